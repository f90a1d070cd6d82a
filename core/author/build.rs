//! Hands the revision that is built to the code, so that new plugins take the SDK of just that one.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    // Not that of a repository that this source merely lies in, as a dependency's copy may.
    let is_own = git(&["ls-files", "--error-unmatch", "build.rs"]).is_some();
    if let Some(revision) = git(&["rev-parse", "HEAD"]).filter(|_| is_own) {
        println!("cargo::rustc-env=VITRAL_REVISION={revision}");
    }
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|_| is_own) {
        println!("cargo::rerun-if-changed={log}");
    }
}
