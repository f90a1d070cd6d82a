//! What it takes to compute on NVIDIA's GPUs, asked of the machine before Burn is, which takes all of it for granted: it
//! panics where the driver lacks something, and ends in a page of a kernel's source, in the first step, where NVRTC does.
//!
//! Kernels are written as CUDA C++ while a program runs. NVRTC, a library of NVIDIA's, makes PTX of them, with headers of
//! NVIDIA's toolkit, and the driver makes machine code of that.

use std::{ffi::c_int, fmt, path::PathBuf};

use cudarc::{
    driver::{
        result::{DriverError, ctx, device, init, mem_get_info, module, primary_ctx},
        sys::{self as driver, CUdevice, CUdevice_attribute, CUresult},
    },
    nvrtc::{result as nvrtc, sys::nvrtcVersion},
};

/// A version of CUDA, as in 12.8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: c_int,
    minor: c_int,
}

impl Version {
    /// The oldest driver that has every function which Burn calls.
    const OLDEST_DRIVER: Self = Self { major: 12, minor: 8 };

    /// As the driver counts: 12080.
    fn of_number(number: c_int) -> Self {
        Self { major: number / 1000, minor: number % 1000 / 10 }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A header that kernels include, and the package of PyPI that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Where it may be below the folder of headers: that differs between versions of the toolkit.
    paths: &'static [&'static str],
    package: &'static str,
}

/// One of each package, as kernels use all of them: numbers of 16 bits, tensor cores, asynchronous copies.
const HEADERS: [Header; 3] = [
    Header { paths: &["cuda_bf16.h"], package: "nvidia-cuda-runtime" },
    Header { paths: &["crt/mma.h"], package: "nvidia-cuda-crt" },
    Header { paths: &["cccl/cuda/barrier", "cuda/barrier"], package: "nvidia-cuda-cccl" },
];

/// Why nothing can be computed on NVIDIA's GPUs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CudaError {
    /// No library of the driver.
    #[error("NVIDIA's driver is not installed (there is no `libcuda.so.1`)")]
    NoDriver,
    /// The driver says no.
    #[error("NVIDIA's driver does not work: {0}")]
    Driver(String),
    /// It lacks functions that are called.
    #[error(
        "NVIDIA's driver supports CUDA {0}, but CUDA {oldest} or newer is needed",
        oldest = Version::OLDEST_DRIVER
    )]
    OldDriver(Version),
    /// Nothing compiles kernels.
    #[error(
        "NVRTC, which compiles kernels, is not installed (there is no `libnvrtc.so`): install NVIDIA's CUDA toolkit, or \
         PyPI's `nvidia-cuda-nvrtc`, and set CUDA_PATH to its folder"
    )]
    NoCompiler,
    /// Nobody knows where headers are.
    #[error(
        "the headers with which NVRTC compiles kernels are not installed: install NVIDIA's CUDA toolkit, or PyPI's \
         {packages}, and set CUDA_PATH to the folder that has them in `include`",
        packages = packages()
    )]
    NoToolkit,
    /// A header is not there.
    #[error(
        "NVRTC needs the header `{header}`, which is not in {folder}: install NVIDIA's whole CUDA toolkit, or PyPI's \
         `{package}`",
        header = header.paths[0], package = header.package, folder = folder.display()
    )]
    NoHeader {
        /// What is missing.
        header: Header,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// The compiler does not know the GPU, or no longer.
    #[error(
        "NVRTC {nvrtc} does not compile for this GPU ({architecture}): install another version of NVIDIA's toolkit"
    )]
    Architecture {
        /// The compiler's.
        nvrtc: Version,
        /// As in `sm_90a`.
        architecture: String,
    },
    /// What the compiler makes is news to the driver.
    #[error(
        "NVRTC is of CUDA {nvrtc}, but NVIDIA's driver only supports kernels of CUDA {driver}: \
         install NVRTC {driver} or older, or a newer driver"
    )]
    NewCompiler {
        /// The compiler's.
        nvrtc: Version,
        /// The driver's.
        driver: Version,
    },
    /// Others have it.
    #[error("the GPU has no memory left to start on: other programs use all of it")]
    NoMemory,
}

/// The packages that have headers, for people.
fn packages() -> String {
    HEADERS.map(|header| format!("`{}`", header.package)).join(", ")
}

impl From<DriverError> for CudaError {
    fn from(DriverError(code): DriverError) -> Self {
        if code == CUresult::CUDA_ERROR_OUT_OF_MEMORY {
            return Self::NoMemory;
        }
        let says = DriverError(code).error_string().map(|text| text.to_string_lossy().into_owned());
        Self::Driver(format!(
            "{} ({code:?})",
            says.unwrap_or_else(|_| "it does not say why".into())
        ))
    }
}

/// What a machine has for NVIDIA's GPUs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cuda {
    /// The GPU's name.
    pub name: String,
    /// What the driver supports.
    pub driver: Version,
    /// The compiler's.
    pub nvrtc: Version,
    /// What it compiles for: as in `sm_90a`.
    pub architecture: String,
    /// Bytes of memory that are free, and of all.
    pub memory: (usize, usize),
}

impl fmt::Display for Cuda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, driver, nvrtc, architecture, memory: (free, all) } = self;
        let gib = |bytes: usize| bytes as f64 / f64::from(1 << 30);
        write!(
            f,
            "{name} ({architecture}), driver of CUDA {driver}, NVRTC {nvrtc}, {:.1} of {:.1} GiB free",
            gib(*free),
            gib(*all)
        )
    }
}

/// How many GPUs the driver has; none where it finds none.
///
/// # Errors
/// There is no driver, or it does not work.
pub fn count() -> Result<usize, CudaError> {
    // SAFETY: it opens libraries of the driver's names, as every program does that computes with CUDA.
    if !unsafe { driver::is_culib_present() } {
        return Err(CudaError::NoDriver);
    }
    match init() {
        Err(DriverError(CUresult::CUDA_ERROR_NO_DEVICE)) => Ok(0),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(usize::try_from(device::get_count()?).unwrap_or(0)),
    }
}

/// What compiled kernels depend on: the GPUs that there are, the driver and the compiler.
///
/// # Errors
/// Something of that is missing.
pub(crate) fn identity() -> Result<String, CudaError> {
    let gpus = (0..count()?).map(|index| -> Result<String, CudaError> {
        let gpu = device::get(c_int::try_from(index).unwrap_or(c_int::MAX))?;
        Ok(format!("{} ({})", device::get_name(gpu)?, architecture(gpu)?))
    });
    let gpus = gpus.collect::<Result<Vec<_>, _>>()?;
    Ok(format!("{}; driver {}, NVRTC {}", gpus.join(", "), driver_version()?, compiler()?))
}

/// The newest version of CUDA that the driver supports.
fn driver_version() -> Result<Version, CudaError> {
    let mut number = 0;
    // SAFETY: it writes a number, which outlives the call.
    unsafe { driver::cuDriverGetVersion(&mut number) }.result()?;
    Ok(Version::of_number(number))
}

/// Whether kernels can be compiled for a GPU and loaded onto it, found by doing so with one that does nothing.
///
/// # Errors
/// What is missing, or too old.
pub fn check(index: usize) -> Result<Cuda, CudaError> {
    count()?;
    let driver = driver_version()?;
    if driver < Version::OLDEST_DRIVER {
        return Err(CudaError::OldDriver(driver));
    }
    let gpu = device::get(c_int::try_from(index).unwrap_or(c_int::MAX))?;
    let nvrtc = compiler()?;
    headers()?;
    let architecture = architecture(gpu)?;
    let ptx = compile_nothing(&architecture)?
        .ok_or_else(|| CudaError::Architecture { nvrtc, architecture: architecture.clone() })?;
    // SAFETY: the GPU is one that the driver has named. Its context is kept, since Burn computes in the same one.
    unsafe { ctx::set_current(primary_ctx::retain(gpu)?) }?;
    // SAFETY: what NVRTC makes ends with a NUL.
    match unsafe { module::load_data(ptx.as_ptr().cast()) } {
        Ok(module) => {
            // SAFETY: it was loaded above, and nothing of it is used.
            unsafe { module::unload(module) }?;
        }
        Err(DriverError(CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION)) => {
            return Err(CudaError::NewCompiler { nvrtc, driver });
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Cuda { name: device::get_name(gpu)?, driver, nvrtc, architecture, memory: mem_get_info()? })
}

/// The compiler's version. It is opened where CUDA_PATH says, if the system does not find it by itself.
fn compiler() -> Result<Version, CudaError> {
    // SAFETY: it opens libraries of NVRTC's names, as Burn does.
    let found = || unsafe { cudarc::nvrtc::sys::is_culib_present() };
    if !found() {
        open_compiler_of_toolkit();
    }
    if !found() {
        return Err(CudaError::NoCompiler);
    }
    let (mut major, mut minor) = (0, 0);
    // SAFETY: it writes two numbers, which outlive the call.
    let version = unsafe { nvrtcVersion(&mut major, &mut minor) };
    version.result().map_err(|error| CudaError::Driver(format!("NVRTC: {error}")))?;
    Ok(Version { major, minor })
}

/// Opens the toolkit's NVRTC for good: from then on, a library that is asked for by its name is this one.
fn open_compiler_of_toolkit() {
    let Some(toolkit) = cubecl::cuda::install::cuda_path() else { return };
    let libraries =
        ["lib64", "lib"].into_iter().filter_map(|folder| toolkit.join(folder).read_dir().ok());
    let names = libraries.flatten().flatten().map(|entry| entry.path());
    let is_compiler = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libnvrtc.so"))
    };
    for path in names.filter(is_compiler) {
        // SAFETY: NVRTC does nothing when it is opened, and is not closed again.
        if let Ok(library) = unsafe { libloading::Library::new(path) } {
            std::mem::forget(library);
            return;
        }
    }
}

/// Whether the headers are there that kernels include.
fn headers() -> Result<(), CudaError> {
    let toolkit = cubecl::cuda::install::cuda_path().ok_or(CudaError::NoToolkit)?;
    let folder = toolkit.join("include");
    let missing = |header: &Header| !header.paths.iter().any(|path| folder.join(path).exists());
    match HEADERS.into_iter().find(missing) {
        Some(header) => Err(CudaError::NoHeader { header, folder }),
        None => Ok(()),
    }
}

/// What kernels are compiled for: as in `sm_80`, and from Hopper on with all that the very GPU has.
fn architecture(gpu: CUdevice) -> Result<String, CudaError> {
    // SAFETY: the GPU is one that the driver has named.
    let attribute = |which| unsafe { device::get_attribute(gpu, which) };
    let major = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    let minor = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    Ok(format!("sm_{major}{minor}{}", if major >= 9 { "a" } else { "" }))
}

/// The PTX of a kernel that does nothing; none if the compiler does not know the architecture.
fn compile_nothing(architecture: &str) -> Result<Option<Vec<std::ffi::c_char>>, CudaError> {
    let failed = |error: nvrtc::NvrtcError| CudaError::Driver(format!("NVRTC: {error}"));
    let program = nvrtc::create_program(c"extern \"C\" __global__ void nothing() {}", None)
        .map_err(failed)?;
    // SAFETY: the program was made above, is not used after it is destroyed, and its source is static.
    unsafe {
        let compiled =
            nvrtc::compile_program(program, &[format!("--gpu-architecture={architecture}")]);
        let ptx = compiled.and_then(|()| nvrtc::get_ptx(program));
        nvrtc::destroy_program(program).map_err(failed)?;
        Ok(ptx.ok())
    }
}
