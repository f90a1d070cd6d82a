//! What a WebAssembly plugin costs: compiling it, loading it from the cache, making an instance,
//! and calling it.
//!
//! `cargo run --release -p vitral-host --example call_cost [COMPONENT.wasm]`
//!
//! With a component of yours, the first two figures are that component's.

#[path = "../tests/behaviour/guests.rs"]
#[allow(dead_code)]
mod guests;

use std::{
    error::Error,
    hint::black_box,
    time::{Duration, Instant},
};

use vitral_host::{Image, Plugin, Sample, Settings, WasmEngine, WasmOptions};

const SAMPLE: Sample = Sample { seed: 7, epoch: 0, size: 224 };

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let component = match std::env::args_os().nth(1) {
        Some(path) => std::fs::read(path)?,
        None => guests::image(UNCHANGED),
    };
    println!("component of {} bytes", component.len());
    for what in ["cold compile and open", "open from the cache"] {
        let engine = WasmEngine::new(Some(folder.path()))?;
        let open = || Plugin::wasm(&engine, &component, None, WasmOptions::default());
        let (time, plugin) = timed(open);
        plugin?;
        println!("{what:28} {time:?}");
    }
    let engine = WasmEngine::new(None)?;
    let component = guests::image(UNCHANGED);
    let plugin = Plugin::wasm(&engine, &component, None, WasmOptions::default())?;
    let settings = Settings::check(plugin.description(), &[])?;
    let time = median(200, || {
        let instance = plugin.image_augmentation(&settings);
        drop(black_box(instance));
    });
    println!("{:28} {time:?}", "make an instance and drop it");
    for (what, body) in [("image stays", UNCHANGED), ("image in and out", COPIED)] {
        let plugin = Plugin::wasm(&engine, &guests::image(body), None, WasmOptions::default())?;
        for side in [1, 224] {
            let mut instance = plugin.image_augmentation(&settings)?;
            let pixels = vec![7; side * side * 3];
            let side = u32::try_from(side)?;
            let mut image = Image { width: side, height: side, channels: 3, pixels };
            let time = median(2000, || {
                instance.augment(&mut image, &SAMPLE).expect("a guest that works");
            });
            println!("call, {side:3}x{side:3}x3, {what:17} {time:?}");
        }
    }
    Ok(())
}

/// Leaves the image as it is. Memory is used anew by each call.
const UNCHANGED: &str = "(global.set $next (i32.const 4096))
    (i32.store (i32.const 256) (i32.const 0)) (i32.store (i32.const 260) (i32.const 0))
    (i32.const 256)";

/// Gives the image back from where it was put.
const COPIED: &str = "(global.set $next (i32.const 4096))
    (i32.store (i32.const 256) (i32.const 0)) (i32.store (i32.const 260) (i32.const 1))
    (i32.store (i32.const 264) (local.get 0)) (i32.store (i32.const 268) (local.get 1))
    (i32.store (i32.const 272) (local.get 2)) (i32.store (i32.const 276) (local.get 3))
    (i32.store (i32.const 280) (local.get 4)) (i32.const 256)";

fn timed<R>(work: impl FnOnce() -> R) -> (Duration, R) {
    let start = Instant::now();
    let result = work();
    (start.elapsed(), result)
}

fn median(times: usize, mut work: impl FnMut()) -> Duration {
    let mut durations: Vec<_> = (0..times).map(|_| timed(&mut work).0).collect();
    durations.sort_unstable();
    durations[times / 2]
}
