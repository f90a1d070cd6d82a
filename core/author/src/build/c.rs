//! Plugins in C: the same sources in both forms. In WebAssembly, the SDK's own C calls the plugin's table for what a
//! component exports.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use vitral_files::Kind as FileKind;
use vitral_host::Kind;

use super::{
    component,
    sdk::{C, Unpacked},
    tool::{self, Tool},
};
use crate::{AuthorError, Language, Progress, files};

const WASM: Tool = Tool {
    language: Language::C,
    variable: "VITRAL_WASM_CC",
    candidates: &["clang", "python3 -m ziglang cc", "zig cc"],
    trial: &["-target", "wasm32-wasi", "-include", "stdlib.h", "-x", "c", "-E", "/dev/null"],
    help: "install a C compiler that has it: `pip install ziglang`, or Debian's clang, lld, wasi-libc and \
           libclang-rt-dev-wasm32",
};
const NATIVE: Tool = Tool {
    language: Language::C,
    variable: "CC",
    candidates: &["cc", "clang", "gcc", "python3 -m ziglang cc"],
    trial: &["--version"],
    help: "install a C compiler, or build with `--wasm-only`",
};

/// What both forms are compiled with. No product is fused with a sum: both forms must give the same bytes.
const FLAGS: [&str; 5] = ["-std=c11", "-O3", "-Wall", "-Wextra", "-ffp-contract=off"];
/// Bytes that the plugin has on its stack in WebAssembly.
const STACK: &str = "-Wl,-z,stack-size=524288";

/// The plugin as a component.
///
/// # Errors
/// There is no compiler, or it fails.
pub(super) fn component(
    folder: &Path,
    kind: Kind,
    simd: bool,
    progress: Progress,
) -> Result<Vec<u8>, AuthorError> {
    let sdk = Unpacked::new(&[C])?;
    let module = sdk.path("plugin.wasm");
    let mut command = tool::command(&WASM.find()?);
    command.args(["-target", "wasm32-wasi", "-mexec-model=reactor", "-Wl,--strip-debug", STACK]);
    if simd {
        command.arg("-msimd128");
    }
    command.arg(format!("-DVITRAL_KIND={}", number(kind)));
    let beside = ["c/component.c", "c/no_system.c"];
    compile(command, WASM.help, folder, &sdk, &beside, &module, progress)?;
    component::of_kind(&module, files::read(&module, FileKind::COMPONENT)?, kind)
}

/// The plugin as a native library.
///
/// # Errors
/// There is no compiler, or it fails.
pub(super) fn library(
    folder: &Path,
    kind: Kind,
    progress: Progress,
) -> Result<Vec<u8>, AuthorError> {
    let sdk = Unpacked::new(&[C])?;
    let library = sdk.path("plugin");
    let mut command = tool::command(&NATIVE.find()?);
    command.args(["-shared", "-fPIC"]).arg(format!("-DVITRAL_KIND={}", number(kind)));
    compile(command, NATIVE.help, folder, &sdk, &[], &library, progress)?;
    files::read(&library, FileKind::LIBRARY)
}

fn compile(
    mut command: Command,
    help: &'static str,
    folder: &Path,
    sdk: &Unpacked,
    beside: &[&str],
    output: &Path,
    progress: Progress,
) -> Result<(), AuthorError> {
    command.args(FLAGS).arg("-I").arg(sdk.path("include")).arg("-I").arg(folder);
    command.args(sources(folder)?).args(beside.iter().map(|name| sdk.path(name)));
    command.arg("-o").arg(output).arg("-lm");
    tool::run(&mut command, "compiling the plugin", help, progress)?;
    Ok(())
}

/// All C in the plugin's folder, and in a folder `src` of it.
fn sources(folder: &Path) -> Result<Vec<PathBuf>, AuthorError> {
    let mut found = files::entries(folder)?;
    found.extend(files::entries(&folder.join("src"))?);
    found.retain(|path| path.extension() == Some(OsStr::new("c")));
    Ok(found)
}

/// The number of a kind in the contract's header.
const fn number(kind: Kind) -> u32 {
    match kind {
        Kind::ImageAugmentation => vitral_abi::c::IMAGE_AUGMENTATION,
        Kind::BatchAugmentation => vitral_abi::c::BATCH_AUGMENTATION,
        Kind::Attention => vitral_abi::c::ATTENTION,
        Kind::Monitor => vitral_abi::c::MONITOR,
    }
}
