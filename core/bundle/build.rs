//! Hands the target triple to the code, which has no other way to know it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let triple = std::env::var("TARGET").unwrap_or_default();
    println!("cargo::rustc-env=VITRAL_TARGET={triple}");
}
