//! Stands in for the crate `cubecl-llvm`, by `[patch]` in the workspace's `Cargo.toml`.
//!
//! `cubecl-cuda` can compile a kernel by NVIDIA's NVRTC or through LLVM. It links both, and its feature `cpp` says which
//! one it uses: NVRTC, here. LLVM's way would cost a build a library of LLVM that its build script downloads (which fails
//! without the internet), and never be taken. So this crate has the names that `cubecl-cuda` asks for and nothing behind
//! them: the types of what LLVM would make cannot be made, and compiling answers with an error.

use std::convert::Infallible;
use std::ffi::c_char;
use std::fmt;

use cubecl_core::ir::nvidia::SmArch;
use cubecl_core::prelude::KernelDefinition;
use cubecl_environment::backtrace::BackTrace;
use cubecl_runtime::compiler::{CompilationError, Compiler};
use cubecl_runtime::kernel::BufferIOAttr;

/// What LLVM would compile for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LlvmTarget {
    /// NVIDIA's GPUs.
    #[default]
    Nvptx,
}

/// The compiler that is left out.
#[derive(Clone, Debug, Default)]
pub struct PlironCompiler {
    /// What it would compile for.
    pub target: LlvmTarget,
}

/// What it would be told of a kernel.
#[derive(Clone, Debug, Default)]
pub struct PlironOptions {
    /// An architecture of AMD.
    pub arch: Option<Infallible>,
    /// An architecture of NVIDIA.
    pub sm_arch: Option<SmArch>,
    /// The PTX to emit.
    pub ptx_version: Option<nvptx::ptx_version::PtxVersion>,
    /// How a launch hands over its scalars.
    pub grid_constants: bool,
}

/// A kernel as LLVM would have compiled it: there is none.
#[derive(Clone, Debug)]
pub struct NvptxModule {
    /// PTX, ended by a NUL.
    pub ptx: Vec<c_char>,
    /// The kernel's name in it.
    pub entrypoint: String,
    /// What it was made from.
    pub ir: String,
    /// Bytes of shared memory of a launch.
    pub shared_memory_size: usize,
    /// What it does with each of its buffers.
    pub io: Vec<BufferIOAttr>,
    never: Infallible,
}

/// What compiling would give.
#[derive(Clone, Debug)]
pub enum PlironArtifact {
    /// A kernel for NVIDIA's GPUs.
    NvptxCode(NvptxModule),
}

impl fmt::Display for PlironArtifact {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::NvptxCode(module) = self;
        match module.never {}
    }
}

impl Compiler for PlironCompiler {
    type Representation = PlironArtifact;
    type CompilationOptions = PlironOptions;

    fn compile(
        &mut self,
        _: KernelDefinition,
        _: &PlironOptions,
    ) -> Result<PlironArtifact, CompilationError> {
        Err(CompilationError::Generic {
            reason: "this program was built without LLVM: kernels are compiled by NVRTC (feature `cuda-cpp` of `cubecl`)".to_string(),
            backtrace: BackTrace::capture(),
        })
    }

    fn extension(&self) -> &'static str {
        "ll"
    }

    fn lang_tag(&self) -> &'static str {
        "llvm"
    }
}

/// As `cubecl-llvm` has it.
pub mod nvptx {
    /// As `cubecl-llvm` has it.
    pub mod ptx_version {
        use std::convert::Infallible;
        use std::fmt;

        /// A version of PTX that LLVM would emit: none.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct PtxVersion(Infallible);

        impl PtxVersion {
            /// The newest that a driver takes.
            pub fn for_driver(_driver: i32) -> Option<Self> {
                None
            }
        }

        impl fmt::Display for PtxVersion {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.0 {}
            }
        }
    }
}

/// As `cubecl-llvm` has it.
pub mod shared {
    /// As `cubecl-llvm` has it.
    pub mod lowered_features {
        use cubecl_core::ir::DeviceProperties;

        /// Whose features LLVM would narrow.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum GpuTarget {
            /// NVIDIA's GPUs.
            Nvptx,
        }

        /// Would take away what LLVM's way cannot do. NVRTC can, so that a device keeps all that it has.
        pub fn restrict_features(_: &mut DeviceProperties, _: GpuTarget) {}
    }
}
