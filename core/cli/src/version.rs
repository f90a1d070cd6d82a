//! What this build is: its version, features, and the instruction sets that it computes with here.

use std::sync::LazyLock;

use vitral_kernels::simd::InstructionSet;

/// The commit that a release was built from, where its build says so.
const COMMIT: Option<&str> = option_env!("VITRAL_COMMIT");

/// The features that a build can have, and whether this one does.
const FEATURES: [(&str, bool); 4] = [
    ("wgpu", cfg!(feature = "wgpu")),
    ("vulkan", cfg!(feature = "vulkan")),
    ("cuda", cfg!(feature = "cuda")),
    ("autotune", cfg!(feature = "autotune")),
];

/// What `--version` prints behind the program's name; `-V` prints the version alone.
pub static LONG: LazyLock<String> = LazyLock::new(|| {
    let features = FEATURES.iter().filter_map(|&(name, is_on)| is_on.then_some(name));
    let available: Vec<&str> = InstructionSet::available().iter().map(|set| set.name()).collect();
    long(COMMIT, &features.collect::<Vec<_>>(), InstructionSet::current().name(), &available)
});

fn long(commit: Option<&str>, features: &[&str], used: &str, available: &[&str]) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let commit = commit.map_or_else(String::new, |commit| format!("\ncommit            {commit}"));
    let features = if features.is_empty() { "none".into() } else { features.join(" ") };
    let available = available.join(" ");
    format!(
        "{version}{commit}\nfeatures          {features}\nCPU kernels       {used} (available: {available})"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_says_its_commit_where_it_knows_it() {
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            long(Some("1a2b3c"), &["wgpu", "autotune"], "avx2", &["portable", "avx2"]),
            format!(
                "{version}\ncommit            1a2b3c\nfeatures          wgpu autotune\n\
                 CPU kernels       avx2 (available: portable avx2)"
            )
        );
        assert!(!long(None, &[], "neon", &["neon"]).contains("commit"));
    }
}
