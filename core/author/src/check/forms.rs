//! The forms of a plugin: whether they open, and whether they do the same.

use std::time::Instant;

use vitral_host::{OpenError, Plugin, WasmEngine};

use super::{
    cases::{Configuration, configurations, inputs},
    finding::{Checked, Findings, Problem, all},
    run::{difference, run},
};
use crate::{Access, Artifacts};

/// The forms that could be opened.
pub(super) struct Forms {
    wasm: Option<Plugin>,
    native: Option<Plugin>,
}

impl Forms {
    /// Opens what may be opened.
    pub(super) fn open(
        artifacts: &Artifacts,
        engine: &WasmEngine,
        access: &Access,
        findings: &mut Findings<'_>,
    ) -> Self {
        let size = artifacts.component.as_ref().map_or(0, Vec::len).div_ceil(1024);
        let mut wasm = None;
        findings.note("opens as WebAssembly", || {
            let (detail, plugin) = opened(|| artifacts.open_wasm(engine, access))?;
            wasm = Some(plugin);
            Ok(format!("{size} KiB, {detail}"))
        });
        let mut native = None;
        findings.note("opens as a native library", || {
            if artifacts.has_native() && !access.native {
                let reason = "native code may do anything, and was not allowed";
                return Err(Problem::Skipped(reason.into()));
            }
            let (detail, plugin) = opened(|| artifacts.open_native())?;
            native = Some(plugin);
            Ok(detail)
        });
        Self { wasm, native }
    }

    /// One of them, the sandboxed one if it is there.
    pub(super) fn any(&self) -> Option<&Plugin> {
        self.wasm.as_ref().or(self.native.as_ref())
    }

    /// Each, with what it is called.
    pub(super) fn each(&self) -> impl Iterator<Item = (&'static str, &Plugin)> {
        let wasm = self.wasm.iter().map(|plugin| ("WebAssembly", plugin));
        wasm.chain(self.native.iter().map(|plugin| ("native", plugin)))
    }

    /// Whether both say and do the same, in every configuration and for every input.
    pub(super) fn agree(&self) -> Checked {
        let (Some(wasm), Some(native)) = (&self.wasm, &self.native) else {
            return Err(Problem::Skipped("there is one form only".into()));
        };
        if (wasm.kind(), wasm.description()) != (native.kind(), native.description()) {
            let problem = "they describe themselves in different ways: build both again";
            return Err(Problem::Failed(problem.into()));
        }
        let inputs = inputs(wasm.kind());
        let configurations = configurations(wasm.description());
        let mut problems = Vec::new();
        for Configuration { title, settings } in &configurations {
            for input in &inputs {
                let (one, other) = (run(wasm, settings, input), run(native, settings, input));
                if let Some(how) = difference(&one, &other) {
                    problems.push(format!("{title}, {input}: {how}"));
                }
            }
        }
        all(problems)?;
        Ok(format!("{} inputs in {} configurations", inputs.len(), configurations.len()))
    }
}

fn opened(
    open: impl FnOnce() -> Option<Result<Plugin, OpenError>>,
) -> Result<(String, Plugin), Problem> {
    let start = Instant::now();
    let plugin = open().ok_or_else(|| Problem::Skipped("there is no such form".into()))?;
    let plugin = plugin.map_err(|error| error.to_string())?;
    let (major, minor) = vitral_abi::VERSION;
    let milliseconds = start.elapsed().as_secs_f64() * 1e3;
    Ok((format!("contract {major}.{minor}, in {milliseconds:.1} ms"), plugin))
}
