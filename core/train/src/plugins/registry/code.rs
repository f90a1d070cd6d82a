//! The code of a plugin, opened: a component in the sandbox, or a library in this process.

use std::{path::PathBuf, time::Duration};

use vitral_bundle::{Locked, Origin, Package, Target};
use vitral_host::{Declared, OpenError, Plugin, WasmEngine, WasmOptions};

use super::{
    super::{
        PluginConfig, RunAs,
        refusal::Refusal,
        unpacked::Unpacked,
        wants::{Asks, limits},
    },
    Open, Registry, in_bundle,
};

impl Registry {
    /// Opens a bundle's code, as a configuration has it run.
    pub(super) fn open_package(
        &self,
        package: &Package,
        config: &PluginConfig,
    ) -> Result<Open, Refusal> {
        let manifest = package.manifest();
        let run = config.run.unwrap_or(RunAs::Wasm);
        let target = if run == RunAs::Native { Target::host() } else { Target::Wasm };
        let artifact = manifest.artifacts.iter().find(|artifact| artifact.kind == target);
        let artifact = artifact.ok_or_else(|| {
            Refusal::new(
                format!("the bundle of plugin `{}` has no form for {target}", manifest.name),
                "choose another by `run` in `plugins`: `Wasm`, or `Native` if you trust its code",
            )
        })?;
        let (kind, description) = package.declared();
        let declared = Declared { kind, description };
        let plugin = match run {
            RunAs::Native => {
                let path = self.native_path(package, &target)?;
                Plugin::native(&path, Some(&declared)).map_err(|error| Refusal::new(error, ""))?
            }
            RunAs::Wasm | RunAs::CompiledIn => {
                let component = package.artifact(&Target::Wasm).map_err(in_bundle)?;
                self.open_wasm(&component, Some(&declared), manifest.into(), config)?
            }
        };
        let locked = Locked {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            origin: match target {
                Target::Native(triple) => Origin::Native(triple),
                Target::Wasm => Origin::Wasm,
            },
            sha256: Some(artifact.sha256),
            bundle: Some(package.digest()),
            signer: self.trust.signer(package).map_err(in_bundle)?,
            from: self.trust.origin(package.digest()).map_err(in_bundle)?,
        };
        Ok(Open { plugin, locked, place: None })
    }

    /// Opens a component, within the limits that its author asks for and a user grants.
    pub(super) fn open_wasm(
        &self,
        component: &[u8],
        declared: Option<&Declared>,
        asks: Asks,
        config: &PluginConfig,
    ) -> Result<Plugin, Refusal> {
        let limits = limits(asks, config);
        let options = WasmOptions {
            memory: limits.memory_mib as usize * (1 << 20),
            time: Duration::from_millis(limits.call_ms.into()),
            permissions: config.grant.clone(),
            ..WasmOptions::default()
        };
        let engine = self.engine().map_err(|error| Refusal::new(error, ""))?;
        Plugin::wasm(engine, component, declared, options)
            .map_err(|error| Refusal::new(error, "`vitral plugin check` shows more"))
    }

    fn engine(&self) -> Result<&WasmEngine, OpenError> {
        if let Some(engine) = self.engine.get() {
            return Ok(engine);
        }
        let engine = WasmEngine::new(self.cache.as_deref())?;
        let engine = engine.compiled_by(self.compiler.clone());
        let engine = engine.with_interrupt(self.interrupt.clone());
        let engine = match self.tell {
            Some(tell) => engine.telling(tell),
            None => engine,
        };
        Ok(self.engine.get_or_init(|| engine))
    }

    /// The library of a package as a file whose content has been verified, and which nobody else can
    /// change.
    fn native_path(&self, package: &Package, target: &Target) -> Result<PathBuf, Refusal> {
        if let Some(path) = package.artifact_path(target) {
            return path.map_err(in_bundle);
        }
        self.unpack(&package.artifact(target).map_err(in_bundle)?)
    }

    /// A library as a file that nobody else can change, which stays while the registry does.
    pub(super) fn unpack(&self, library: &[u8]) -> Result<PathBuf, Refusal> {
        let unpacked = Unpacked::new(library, self.cache.as_deref()).map_err(|error| {
            Refusal::new(format!("its library cannot be unpacked: {error}"), "")
        })?;
        let path = unpacked.path().to_owned();
        self.state().unpacked.push(unpacked);
        Ok(path)
    }
}
