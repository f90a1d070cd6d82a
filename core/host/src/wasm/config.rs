//! How WebAssembly is compiled and runs.

use std::time::Duration;

use wasmtime::Config;

/// The largest component; those of Python have 40 MiB.
pub(super) const MAX_COMPONENT: usize = 256 << 20;
/// How exactly the time of a call is kept.
pub(super) const TICK: Duration = Duration::from_millis(10);
/// What a plugin may have on its stack, in bytes.
const STACK: usize = 1 << 20;

/// How everything is compiled, and runs.
pub(super) fn config() -> Config {
    let mut config = Config::new();
    // Results are the same on every machine, but for the sign and the payload of a NaN, which no
    // comparison, conversion or rounding sees. The native form has them from the processor, too,
    // and making them canonical would take a third of a bilinear warp's time.
    config.cranelift_nan_canonicalization(false).relaxed_simd_deterministic(true);
    config.epoch_interruption(true).max_wasm_stack(STACK).async_stack_size(2 * STACK);
    config
}
