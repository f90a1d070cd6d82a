//! Where a model runs: which devices a build knows, which the machine has, and how one is opened.

use std::{fmt, path::PathBuf, str::FromStr, sync::OnceLock};

pub use burn::tensor::Device;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
use burn::tensor::DeviceType;

pub use crate::cpu::is_cpu;

/// A device as a user names it: `auto`, `cpu`, `cuda`, `cuda:1`, `wgpu`, `vulkan`.
/// ```
/// use vitral_burn::device::{DeviceChoice, is_cpu};
///
/// let device = "cpu".parse::<DeviceChoice>()?.open()?;
/// assert!(is_cpu(&device));
/// assert!("tpu".parse::<DeviceChoice>().is_err());
/// # Ok::<(), vitral_burn::device::DeviceError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The best one that is there: CUDA, then a hardware GPU, then the CPU.
    #[default]
    Auto,
    /// Burn's `flex`, in pure Rust.
    Cpu,
    /// A GPU of one kind, by its number.
    Gpu(Gpu, usize),
}

/// A way to a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gpu {
    /// NVIDIA's own.
    Cuda,
    /// WebGPU's shading language on Vulkan, Metal or DirectX 12.
    Wgpu,
    /// SPIR-V on Vulkan.
    Vulkan,
}

impl Gpu {
    /// Every way, best first.
    pub const ALL: [Self; 3] = [Self::Cuda, Self::Vulkan, Self::Wgpu];

    /// The name of the device and of the Cargo feature that builds it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cuda => "cuda",
            Self::Wgpu => "wgpu",
            Self::Vulkan => "vulkan",
        }
    }

    /// Whether this build can use it.
    pub const fn is_built(self) -> bool {
        match self {
            Self::Cuda => cfg!(feature = "cuda"),
            Self::Wgpu => cfg!(feature = "wgpu"),
            Self::Vulkan => cfg!(feature = "vulkan"),
        }
    }

    /// The devices of this kind that the machine has; none where this build cannot use it. Only what
    /// [`open`](Self::open) gives can be computed on.
    pub fn devices(self) -> Vec<Device> {
        // Whatever the GPU, CubeCL is not to keep anything elsewhere.
        #[cfg(feature = "cuda")]
        let _ = crate::kernel_cache::begin();
        match self {
            #[cfg(feature = "cuda")]
            Self::Cuda => Device::enumerate(DeviceType::Cuda).into_vec(),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => Device::enumerate(DeviceType::Wgpu).into_vec(),
            #[cfg(feature = "vulkan")]
            Self::Vulkan => Device::enumerate(DeviceType::Vulkan).into_vec(),
            #[allow(unreachable_patterns)] // with every feature on, nothing is left
            _ => Vec::new(),
        }
    }

    /// Opens one of its devices, by its number.
    ///
    /// # Errors
    /// It is not built in, the machine does not have it, or lacks what it takes to compute on it.
    pub fn open(self, index: usize) -> Result<Device, DeviceError> {
        if !self.is_built() {
            return Err(DeviceError::NotBuilt(self.name()));
        }
        let devices = self.devices();
        let found = devices.len();
        let device = devices.into_iter().nth(index).ok_or_else(|| self.absence(index, found))?;
        #[cfg(feature = "cuda")]
        if self == Self::Cuda {
            crate::cuda::check(index)?;
        }
        Ok(device)
    }

    /// What is known of one of its devices beside its name: of NVIDIA's, the versions of what it takes.
    pub fn details(self, index: usize) -> Option<String> {
        #[cfg(feature = "cuda")]
        if self == Self::Cuda {
            return crate::cuda::check(index).ok().map(|cuda| cuda.to_string());
        }
        let _ = index;
        None
    }

    /// Why a device is not there.
    fn absence(self, index: usize, found: usize) -> DeviceError {
        #[cfg(feature = "cuda")]
        if self == Self::Cuda
            && let Err(error) = crate::cuda::count()
        {
            return error.into();
        }
        DeviceError::NotThere { kind: self.name(), index, found }
    }
}

/// A device that cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// Not a device's name.
    #[error(
        "unknown device `{}`: {}devices are auto, cpu, cuda, wgpu and vulkan, and `cuda:1` is the \
         second of its kind",
        .0, meant(.0)
    )]
    Unknown(String),
    /// The program was built without it.
    #[error(
        "this vitral was built without `{0}`: build it with `cargo build --release --features {0}`, or use `--device cpu`"
    )]
    NotBuilt(&'static str),
    /// The machine does not have it.
    #[error(
        "there is no {kind} device {index} on this machine ({found} found): use `--device cpu`, or `--device auto`"
    )]
    NotThere {
        /// Its kind.
        kind: &'static str,
        /// The number asked for.
        index: usize,
        /// How many of its kind there are.
        found: usize,
    },
    /// The machine lacks what it takes to compute on NVIDIA's GPUs.
    #[cfg(feature = "cuda")]
    #[error("`cuda` cannot be used: {0}; `--device cpu` does without it")]
    Cuda(#[from] crate::cuda::CudaError),
}

/// What a wrong name was meant to be, in words that go before the list of those that there are.
fn meant(name: &str) -> String {
    let (kind, index) = match name.split_once(':') {
        Some((kind, index)) => (kind, format!(":{index}")),
        None => (name, String::new()),
    };
    if kind.eq_ignore_ascii_case("gpu") {
        return "`auto` uses a GPU if there is one; ".into();
    }
    let mut names = vec!["auto", "cpu"];
    names.extend(Gpu::ALL.map(Gpu::name));
    match vitral_config::nearest(kind, &names) {
        Some(near) if near != kind => format!("did you mean `{near}{index}`? "),
        _ => String::new(),
    }
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::Unknown(text.into());
        let (name, index) = match text.split_once(':') {
            Some((name, index)) => (name, Some(index.parse().map_err(|_| unknown())?)),
            None => (text, None),
        };
        match (name, index) {
            ("auto", None) => Ok(Self::Auto),
            ("cpu", None) => Ok(Self::Cpu),
            (name, index) => {
                let gpu =
                    Gpu::ALL.into_iter().find(|gpu| gpu.name() == name).ok_or_else(unknown)?;
                Ok(Self::Gpu(gpu, index.unwrap_or(0)))
            }
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Gpu(gpu, 0) => f.write_str(gpu.name()),
            Self::Gpu(gpu, index) => write!(f, "{}:{index}", gpu.name()),
        }
    }
}

impl DeviceChoice {
    /// Opens the device of one of several processes on this machine, by its number: each GPU of the kind is
    /// the next process's, and where there are fewer they are shared.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_for(self, process: usize) -> Result<Device, DeviceError> {
        // Those of the first way that there is: others lead to the same ones.
        let found = match self {
            Self::Cpu => None,
            Self::Auto => Gpu::ALL
                .into_iter()
                .map(|gpu| (gpu, hardware(gpu)))
                .find(|found| !found.1.is_empty()),
            Self::Gpu(gpu, _) => Some((gpu, (0..gpu.devices().len()).collect())),
        };
        match found {
            Some((gpu, indices)) if !indices.is_empty() => {
                gpu.open(indices[process % indices.len()])
            }
            _ => self.open(),
        }
    }

    /// Opens the device. `Auto` ends at the CPU where there is no GPU.
    ///
    /// # Errors
    /// The device is not built in, or the machine does not have it, or there is one that cannot be
    /// computed on.
    pub fn open(self) -> Result<Device, DeviceError> {
        match self.gpu() {
            Some((gpu, index)) => gpu.open(index),
            None => Ok(Device::flex()),
        }
    }

    /// The GPU that is meant, by its kind and its number; none where the CPU is.
    pub fn gpu(self) -> Option<(Gpu, usize)> {
        match self {
            Self::Cpu => None,
            Self::Auto => {
                let first = |gpu: Gpu| hardware(gpu).first().map(|&index| (gpu, index));
                Gpu::ALL.into_iter().find_map(first)
            }
            Self::Gpu(gpu, index) => Some((gpu, index)),
        }
    }
}

/// The devices of a kind that are not software, by their numbers: what `auto` takes.
fn hardware(gpu: Gpu) -> Vec<usize> {
    let devices = gpu.devices().into_iter().enumerate();
    devices.filter(|(_, device)| !is_software(device)).map(|(index, _)| index).collect()
}

/// Has compiled kernels of NVIDIA's GPUs be kept in a folder from run to run, where this build has any. It is made, for
/// this user alone, when a GPU is looked for; the call must come before.
pub fn keep_kernels_in(folder: PathBuf) {
    #[cfg(feature = "cuda")]
    crate::kernel_cache::keep_in(folder);
    #[cfg(not(feature = "cuda"))]
    drop(folder);
}

/// Where compiled kernels of NVIDIA's GPUs are kept from run to run, or why they are not, for people.
pub fn kept_kernels() -> String {
    #[cfg(feature = "cuda")]
    return match crate::kernel_cache::begin() {
        Ok(cache) => {
            let mib = cache.bytes() as f64 / f64::from(1 << 20);
            format!("compiled ones are kept in {} ({mib:.1} MiB)", cache.folder.display())
        }
        Err(why) => format!("compiled ones are not kept: {why}"),
    };
    #[cfg(not(feature = "cuda"))]
    "compiled ones are kept by a build with `--features cuda`".into()
}

/// Where the kernels of a GPU that are compiled now are kept for later runs; none if there are some already, or the
/// device keeps none.
pub fn compiles_anew(device: &Device) -> Option<PathBuf> {
    #[cfg(feature = "cuda")]
    if format!("{device:?}").contains("Cuda") {
        let cache = crate::kernel_cache::begin().ok()?;
        return cache.is_new().then(|| cache.folder.clone());
    }
    let _ = device;
    None
}

/// What gives memory of the process back that is free.
static GIVE_BACK: OnceLock<fn()> = OnceLock::new();

/// Has [`release_memory`] call this on the CPU, too: for a program whose allocator keeps free memory for what comes
/// next. The first call counts.
pub fn give_back_by(give_back: fn()) {
    let _ = GIVE_BACK.set(give_back);
}

/// Gives memory back that no tensor uses: on the CPU all that fused operations keep for the next
/// step, on a GPU what its allocator can spare.
pub fn release_memory(device: &Device) {
    if is_cpu(device) {
        crate::kernels::release_memory();
        if let Some(give_back) = GIVE_BACK.get() {
            give_back();
        }
    } else {
        device.memory_cleanup();
    }
}

/// What there is for GPUs of several ranks to exchange values directly, for people.
pub fn nccl() -> String {
    #[cfg(feature = "cuda")]
    return crate::nccl::Nccl::open()
        .and_then(|nccl| nccl.version())
        .map_or_else(|error| error.to_string(), |version| format!("version {version}"));
    #[cfg(not(feature = "cuda"))]
    "not built in; it comes with `--features cuda`".into()
}

/// A device's name for people.
pub fn describe(device: &Device) -> String {
    if is_cpu(device) {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        return format!("CPU, {threads} threads");
    }
    format!("{device:?}")
}

/// Whether a GPU device is a driver that computes on the CPU, which `auto` passes over.
fn is_software(device: &Device) -> bool {
    format!("{device:?}").contains("Cpu")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_as_they_are_written() {
        for name in ["auto", "cpu", "cuda", "cuda:1", "wgpu", "vulkan:3"] {
            assert_eq!(name.parse::<DeviceChoice>().unwrap().to_string(), name);
        }
        for name in ["", "gpu", "cpu:1", "cuda:x", "cuda:"] {
            assert!(
                name.parse::<DeviceChoice>().unwrap_err().to_string().contains("unknown device"),
                "{name}"
            );
        }
    }

    /// Behaviour tests train with `auto` where there may be a GPU.
    #[cfg(not(any(feature = "wgpu", feature = "vulkan", feature = "cuda")))]
    #[test]
    fn auto_is_the_cpu_in_a_build_without_gpus() {
        assert!(is_cpu(&DeviceChoice::Auto.open().unwrap()));
    }

    #[test]
    fn wrong_names_come_with_what_is_meant() {
        for (name, meant) in [
            ("gpu", "`auto` uses a GPU if there is one"),
            ("gpu:1", "`auto` uses a GPU if there is one"),
            ("CPU", "did you mean `cpu`?"),
            ("cud:1", "did you mean `cuda:1`?"),
            ("nvidia", "devices are auto, cpu, cuda, wgpu and vulkan"),
        ] {
            let error = name.parse::<DeviceChoice>().unwrap_err().to_string();
            assert!(error.contains(meant), "{name}: {error}");
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_device_that_is_not_built_in_names_its_feature() {
        let error = DeviceChoice::Gpu(Gpu::Cuda, 0).open().unwrap_err();
        assert!(error.to_string().contains("--features cuda"));
    }
}
