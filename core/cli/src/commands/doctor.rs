//! `vitral doctor`: what this build and this machine can do.

use std::{process::ExitCode, thread};

use vitral_data::SourceConfig;
use vitral_kernels::simd::InstructionSet;
use vitral_model::{
    Compute,
    device::{Device, DeviceChoice, Gpu, describe},
};

use crate::{
    failure::Failure,
    launcher::Start,
    words::{columns, padded},
};

#[cfg(feature = "mpi")]
const MPI: &str = "built in: `mpirun` and `srun` start ranks that train together";
#[cfg(not(feature = "mpi"))]
const MPI: &str = "not built in; build with `cargo build --release --features mpi`, to train in several processes";

pub fn run() -> Result<ExitCode, Failure> {
    println!("vitral {}", env!("CARGO_PKG_VERSION"));
    println!("devices");
    let cpu = Device::flex();
    let kernels = InstructionSet::current().name();
    println!(
        "  {:8} {} ({}; kernels on {kernels}), {}",
        "cpu",
        describe(&cpu),
        cpu_features(),
        precisions(&cpu)
    );
    for gpu in Gpu::ALL {
        println!("  {:8} {}", gpu.name(), state_of(gpu));
    }
    println!("  {:8} {}", "auto", describe(&DeviceChoice::Auto.open()?));
    println!("processes");
    println!("  {:8} {}", "launcher", Start::of_this_process());
    println!("  {:8} {}", "mpi", MPI);
    println!("data");
    let sources = vitral_config::choices::<SourceConfig>();
    let width = sources.iter().map(|(name, _)| columns(name)).max().unwrap_or(0);
    for (name, meaning) in sources {
        println!("  {}  {meaning}", padded(&name, width));
    }
    println!(
        "  {}  {} (one per processor, unless `data.workers` says otherwise)",
        padded("workers", width),
        processors()
    );
    Ok(ExitCode::SUCCESS)
}

fn state_of(gpu: Gpu) -> String {
    if !gpu.is_built() {
        return format!(
            "not built in; build with `cargo build --release --features {}`",
            gpu.name()
        );
    }
    let devices = gpu.devices();
    if devices.is_empty() {
        return "built in; no such device or driver found".into();
    }
    let line = |device: &Device| format!("{}, {}", describe(device), precisions(device));
    devices.iter().map(line).collect::<Vec<_>>().join("; ")
}

/// What a device computes in.
fn precisions(device: &Device) -> String {
    let all = [Compute::F32, Compute::BF16, Compute::F16];
    let names = all.into_iter().filter(|compute| compute.is_supported(device)).map(Compute::name);
    names.collect::<Vec<_>>().join(" ")
}

fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(target_arch = "x86_64")]
fn cpu_features() -> String {
    let mut found = Vec::new();
    if is_x86_feature_detected!("avx2") {
        found.push("AVX2");
    }
    if is_x86_feature_detected!("fma") {
        found.push("FMA");
    }
    if is_x86_feature_detected!("avx512f") {
        found.push("AVX-512");
    }
    if is_x86_feature_detected!("avx512bf16") {
        found.push("AVX512_BF16");
    }
    if found.is_empty() { "SSE2 only".into() } else { found.join(", ") }
}

#[cfg(not(target_arch = "x86_64"))]
fn cpu_features() -> String {
    std::env::consts::ARCH.into()
}
