//! Opening a plugin's forms through the host.

use std::{path::PathBuf, time::Duration};

use vitral_bundle::Limits;
use vitral_host::{Compiler, OpenError, Permissions, Plugin, WasmEngine, WasmOptions};

use super::Artifacts;
use crate::AuthorError;

/// What a caller allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Whether native libraries may be opened. Their code may do whatever the user may.
    pub native: bool,
    /// What a sandboxed plugin is granted of what it asks for.
    pub granted: Permissions,
    /// Whether a sandboxed plugin has as much memory and time as it asks for, beyond the usual.
    pub limits: bool,
    /// Where the sandboxed form is compiled.
    pub compiler: Compiler,
    /// Where it is kept once it is compiled, if it is.
    pub cache: Option<PathBuf>,
}

impl Access {
    /// An engine for what is allowed.
    ///
    /// # Errors
    /// This machine cannot run WebAssembly.
    pub(crate) fn engine(&self) -> Result<WasmEngine, OpenError> {
        let engine = WasmEngine::new(self.cache.as_deref())?;
        Ok(engine.compiled_by(self.compiler.clone()))
    }
}

impl Artifacts {
    /// The memory and time beyond the usual that it asks for, in words, if it does.
    pub fn asks_beyond(&self) -> Option<String> {
        let Limits { memory_mib, call_ms } = self.limits;
        let usual = Limits::default();
        let beyond = memory_mib > usual.memory_mib || call_ms > usual.call_ms;
        beyond.then(|| format!("{memory_mib} MiB of memory and {call_ms} ms a call"))
    }

    /// What the sandboxed form may have: of what it asks for, what it is granted.
    pub(crate) fn wasm_options(&self, access: &Access) -> WasmOptions {
        let (asked, usual) = (self.limits, Limits::default());
        let limits = match access.limits {
            true => asked,
            false => Limits {
                memory_mib: asked.memory_mib.min(usual.memory_mib),
                call_ms: asked.call_ms.min(usual.call_ms),
            },
        };
        let granted = &access.granted;
        let files = if self.permissions.files { granted.files.clone() } else { Vec::new() };
        let network = if self.permissions.network { granted.network.clone() } else { Vec::new() };
        WasmOptions {
            memory: limits.memory_mib as usize * (1 << 20),
            time: Duration::from_millis(limits.call_ms.into()),
            permissions: Permissions {
                files,
                network,
                clock: self.permissions.clock && granted.clock,
            },
            ..WasmOptions::default()
        }
    }

    /// Opens the WebAssembly form, if there is one.
    pub(crate) fn open_wasm(
        &self,
        engine: &WasmEngine,
        access: &Access,
    ) -> Option<Result<Plugin, OpenError>> {
        let options = self.wasm_options(access);
        let component = self.component.as_ref()?;
        Some(Plugin::wasm(engine, component, self.declared.as_ref(), options))
    }

    /// Opens the native form, if there is one, as what the manifest declares; an author's own
    /// library is what it says itself.
    pub(crate) fn open_native(&self) -> Option<Result<Plugin, OpenError>> {
        let path = self.library.as_ref()?;
        Some(Plugin::native(path, self.declared.as_ref()))
    }

    /// Opens one form, the sandboxed one if there is one.
    pub(crate) fn open_any(
        &self,
        engine: &WasmEngine,
        access: &Access,
    ) -> Result<Plugin, AuthorError> {
        if let Some(plugin) = self.open_wasm(engine, access) {
            return Ok(plugin?);
        }
        match self.open_native() {
            Some(plugin) if access.native => Ok(plugin?),
            _ => Err(AuthorError::NoForm {
                plugin: self.name.clone(),
                has: "only a native library",
                help: "allow native code, or build it for WebAssembly",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;
    use vitral_host::FileGrant;

    #[test]
    fn a_plugin_gets_what_it_asks_for_and_is_granted() {
        let grant = FileGrant { path: "/data".into(), write: false };
        let network = vec!["lab:80".parse().unwrap()];
        let granted = Permissions { files: vec![grant.clone()], network, clock: true };
        let access = Access { granted, ..Access::default() };
        let folder = tempfile::tempdir().unwrap();
        files::write(&folder.path().join("dist/x.wasm"), b"").unwrap();
        let granted = || Artifacts::find(folder.path()).unwrap().wasm_options(&access);
        assert_eq!(granted(), WasmOptions::default());
        let asks = b"(permissions: (files: true, clock: true), limits: (memory_mib: 2))";
        files::write(&folder.path().join("plugin.ron"), asks).unwrap();
        let options = granted();
        assert_eq!((options.memory, options.permissions.files), (2 << 20, vec![grant]));
        assert!(options.permissions.clock && options.permissions.network.is_empty());
        let asks = b"(limits: (memory_mib: 4096, call_ms: 3600000))";
        files::write(&folder.path().join("plugin.ron"), asks).unwrap();
        assert_eq!(granted(), WasmOptions::default(), "a manifest does not decide");
        let artifacts = Artifacts::find(folder.path()).unwrap();
        assert!(artifacts.asks_beyond().is_some_and(|asked| asked.contains("4096 MiB")));
        let options = artifacts.wasm_options(&Access { limits: true, ..Access::default() });
        assert_eq!((options.memory, options.time), (4 << 30, Duration::from_secs(3600)));
    }
}
