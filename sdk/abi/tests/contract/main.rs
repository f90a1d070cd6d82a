//! What follows from the contract and is checked in: the C header, in step with the Rust types, and good C
//! and C++; and the types of the WIT.

mod generate;
mod layout;
mod list;
mod source;
mod wit;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set to rewrite what follows.
const BLESS: &str = "VITRAL_BLESS";

/// Compares a file with what the contract gives, and rewrites it where that is asked for.
fn is_in_step(path: &Path, generated: &str) {
    if std::env::var_os(BLESS).is_some() {
        fs::write(path, generated).unwrap();
    }
    let committed = fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == generated,
        "{} is not what sdk/abi/src/contract.rs gives; run this test with {BLESS}=1 to rewrite it",
        path.display()
    );
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../include")
}

fn header() -> PathBuf {
    folder().join("vitral_plugin.h")
}

/// Has a compiler look at a file that includes the header.
fn compile(compiler: &str, arguments: &[&str], source: &str, file: &str) {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file);
    fs::write(&path, format!("#include \"vitral_plugin.h\"\n{source}")).unwrap();
    let mut command = Command::new(compiler);
    command.args(["-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I"]).arg(folder());
    let output = command.args(arguments).arg(&path).output().unwrap();
    assert!(output.status.success(), "{compiler}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_header_is_in_step_with_the_rust_types() {
    is_in_step(&header(), &generate::header(&source::source()));
}

#[test]
fn the_wit_is_in_step_with_the_rust_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit/vitral-plugin.wit");
    is_in_step(&path, &wit::wit(&fs::read_to_string(&path).unwrap()));
}

#[test]
fn the_header_is_c_and_cpp() {
    let table = "const struct VitralPlugin *vitral_plugin(void) { return 0; }\n";
    compile("cc", &["-std=c11", "-pedantic"], table, "alone.c");
    compile("c++", &["-std=c++17", "-pedantic"], table, "alone.cpp");
}

#[test]
fn structs_are_laid_out_as_in_rust() {
    compile("cc", &["-std=c11"], &layout::assertions("_Static_assert"), "layout.c");
    compile("c++", &["-std=c++17"], &layout::assertions("static_assert"), "layout.cpp");
}

/// Plugins that were built for it read and write these places for ever.
#[cfg(target_pointer_width = "64")]
#[test]
fn everything_of_contract_1_1_is_where_it_was() {
    compile("cc", &["-std=c11"], include_str!("layout-1.1.c"), "layout-1.1.c");
}

#[test]
fn every_struct_and_field_is_compared() {
    assert_eq!(layout::compared(), layout::declared(&source::source()));
}
