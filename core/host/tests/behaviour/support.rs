//! Opening plugins and calling them.

use std::path::Path;

use vitral_host::{CallError, Image, ImageAugmentation, Layer, Plugin, Sample, Settings};
use vitral_program::{Limits, Program};

#[cfg(feature = "wasm")]
pub use wasm::*;

#[cfg(feature = "wasm")]
mod wasm {
    use std::{sync::OnceLock, time::Duration};

    use vitral_host::{ImageAugmentation, OpenError, Plugin, WasmEngine, WasmOptions};

    use super::defaults;

    /// One engine for all tests, without a cache.
    pub fn engine() -> &'static WasmEngine {
        static ENGINE: OnceLock<WasmEngine> = OnceLock::new();
        ENGINE.get_or_init(|| WasmEngine::new(None).unwrap())
    }

    /// Little memory and output; enough time for a machine that does other things, too.
    pub fn options() -> WasmOptions {
        WasmOptions {
            memory: 4 << 20,
            time: Duration::from_secs(2),
            setup_time: Duration::from_secs(20),
            output: 1 << 20,
            ..WasmOptions::default()
        }
    }

    pub fn open(component: &[u8]) -> Result<Plugin, OpenError> {
        Plugin::wasm(engine(), component, None, options())
    }

    pub fn refusal(component: &[u8]) -> String {
        match open(component) {
            Ok(plugin) => panic!("{} was opened", plugin.description().name),
            Err(error) => error.to_string(),
        }
    }

    pub fn augmentation(component: &[u8]) -> Box<dyn ImageAugmentation> {
        let plugin = open(component).unwrap();
        plugin.image_augmentation(&defaults(&plugin)).unwrap()
    }
}

pub fn defaults(plugin: &Plugin) -> Settings {
    Settings::check(plugin.description(), &[]).unwrap()
}

/// A 2x2 grey image.
pub fn image() -> Image {
    Image { width: 2, height: 2, channels: 1, pixels: vec![1, 2, 3, 4] }
}

pub const SAMPLE: Sample = Sample { seed: 7, epoch: 1, size: 2 };

pub fn augment(instance: &mut dyn ImageAugmentation) -> Result<Image, CallError> {
    let mut image = image();
    instance.augment(&mut image, &SAMPLE).map(|()| image)
}

pub const LAYER: Layer = Layer {
    index: 0,
    depth: 1,
    heads: 2,
    head_width: 4,
    prefix_tokens: 1,
    grid_height: 2,
    grid_width: 2,
    dropout: 0.0,
};

pub fn trace(plugin: &Plugin) -> Result<Program, CallError> {
    plugin.trace_attention(&defaults(plugin), &LAYER, &Limits::default())
}

/// A shared library of C code against the contract's header.
pub fn library(folder: &Path, code: &str) -> std::path::PathBuf {
    let source = folder.join("plugin.c");
    std::fs::write(&source, format!("#include \"vitral_plugin.h\"\n{code}")).unwrap();
    let library = folder.join(format!("plugin.{}", std::env::consts::DLL_EXTENSION));
    let output = std::process::Command::new("cc")
        .args(["-std=c11", "-Wall", "-Werror", "-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source)
        .arg(concat!("-I", env!("CARGO_MANIFEST_DIR"), "/../../sdk/include"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    library
}
