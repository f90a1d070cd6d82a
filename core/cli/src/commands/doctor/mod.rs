//! `vitral doctor`: what this build and this machine can do.

mod gpu;

use std::{process::ExitCode, thread};

use clap::Args;
use vitral_data::SourceConfig;
use vitral_kernels::simd::InstructionSet;
use vitral_model::{
    Compute,
    device::{Device, DeviceChoice, DeviceError, Gpu, describe, kept_kernels, nccl},
};

use crate::{
    failure::Failure,
    launcher::Start,
    words::{columns, padded},
};

#[cfg(feature = "mpi")]
const MPI: &str = "built in: `mpirun` and `srun` start ranks that train together";
#[cfg(not(feature = "mpi"))]
const MPI: &str = "not built in; build with `cargo build --release --features mpi` to train in \
                   several processes";

#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// Train a small model on a GPU and on the CPU from the same seed, in each precision, and show how much they
    /// differ, next to what is expected: on the GPU that `auto` takes, or on another: cuda:1, wgpu, vulkan.
    #[arg(long, value_name = "DEVICE", num_args = 0..=1, default_missing_value = "auto")]
    pub gpu: Option<DeviceChoice>,
}

pub fn run(arguments: &DoctorArguments) -> Result<ExitCode, Failure> {
    if let Some(choice) = arguments.gpu {
        return gpu::run(choice);
    }
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
    let auto = DeviceChoice::Auto.open();
    println!(
        "  {:8} {}",
        "auto",
        auto.map_or_else(|error| error.to_string(), |device| describe(&device))
    );
    println!("  {:8} {}", "kernels", kept_kernels());
    println!("processes");
    println!("  {:8} {}", "launcher", Start::of_this_process());
    println!("  {:8} {}", "mpi", MPI);
    println!("  {:8} {}", "nccl", nccl());
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
    let found = gpu.devices().len();
    let line = |index| match gpu.open(index) {
        Ok(device) => format!("{}, {}", describe(&device), precisions(&device)),
        Err(DeviceError::NotThere { .. }) => "no such device or driver found".into(),
        Err(error) => error.to_string(),
    };
    // Asked for the first one, it says why there is none.
    let lines = (0..found.max(1)).map(line).collect::<Vec<_>>().join("; ");
    if found == 0 { format!("built in; {lines}") } else { lines }
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
    // Only where the system lets programs use it, too.
    if InstructionSet::available().contains(&InstructionSet::Amx) {
        found.push("AMX");
    }
    if found.is_empty() { "SSE2 only".into() } else { found.join(", ") }
}

#[cfg(not(target_arch = "x86_64"))]
fn cpu_features() -> String {
    std::env::consts::ARCH.into()
}
