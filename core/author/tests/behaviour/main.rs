//! The author's loop from start to end, with cargo: each kind of new plugin builds, passes every
//! check, can be measured and packed, and what is wrong with a plugin is found.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;
use vitral_author::{
    Access, Artifacts, AuthorError, BenchOptions, BuildOptions, Built, CheckOptions, Language,
    Outcome, Report, Sdk, bench, build, check, new, pack,
};
use vitral_host::Kind;

/// A plugin in a folder of its own.
struct Plugin {
    _root: TempDir,
    folder: PathBuf,
}

impl Plugin {
    fn new(kind: Kind) -> Self {
        let root = tempfile::tempdir().unwrap();
        // The same name, and thus the same places in the target folder, in each run.
        let name = format!("new-{kind}");
        let folder = root.path().join(&name);
        // This checkout's, which needs no network.
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk").canonicalize().unwrap();
        let sdk = Sdk::Path(sdk);
        new(kind, &name.parse().unwrap(), Language::Rust, &folder, &sdk, &mut |_| ()).unwrap();
        Self { _root: root, folder }
    }

    /// Changes the code.
    fn replace(self, from: &str, to: &str) -> Self {
        let path = self.folder.join("src/lib.rs");
        let code = fs::read_to_string(&path).unwrap();
        assert!(code.contains(from), "{from}\n{code}");
        fs::write(path, code.replace(from, to)).unwrap();
        self
    }

    fn try_build(&self, wasm: bool, simd: bool) -> Result<Built, AuthorError> {
        let target_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("author-tests");
        let target_dir = Some(target_dir);
        let options = BuildOptions { wasm, native: true, simd, offline: true, target_dir };
        build(&self.folder, &options, &mut |_| ())
    }

    /// Builds both forms, or only the native one where there is no toolchain for WebAssembly; says
    /// whether there are both.
    fn build(&self, simd: bool) -> bool {
        match self.try_build(true, simd) {
            Ok(built) => built.wasm.is_some(),
            Err(AuthorError::Toolchain { problem, .. }) => {
                eprintln!("only as a native library: {problem}");
                self.try_build(false, simd).unwrap();
                false
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn access() -> Access {
    Access { native: true, ..Access::default() }
}

fn report(path: &Path) -> Report {
    let artifacts = Artifacts::find(path).unwrap();
    let options = CheckOptions { access: access() };
    check(&artifacts, &options, &mut |_| ()).unwrap()
}

/// Why a check failed; nothing if it did not.
fn failure<'r>(report: &'r Report, name: &str) -> &'r str {
    let finding = report.findings.iter().find(|finding| finding.name == name);
    match &finding.unwrap_or_else(|| panic!("{name} in {report:#?}")).outcome {
        Outcome::Failed(problem) => problem,
        _ => "",
    }
}

/// What is done with each kind of new plugin.
fn goes_through_the_loop(kind: Kind, checks: usize) {
    let plugin = Plugin::new(kind);
    let has_wasm = plugin.build(true);
    let found = report(&plugin.folder);
    assert!(found.passed(), "{found:#?}");
    assert_eq!(found.kind, Some(kind));
    let passed = found.findings.iter().filter(|finding| finding.outcome == Outcome::Passed).count();
    assert_eq!(passed, if has_wasm { checks } else { checks - 5 }, "{found:#?}");

    let options = BenchOptions {
        access: access(),
        rounds: 1,
        round: Duration::from_millis(1),
        ..BenchOptions::default()
    };
    let measured = bench(&Artifacts::find(&plugin.folder).unwrap(), &options, &mut |_| ()).unwrap();
    assert_eq!(measured.rows.len(), if has_wasm { 4 } else { 1 });
    assert!(measured.rows.iter().all(|row| row.time.median > Duration::ZERO));

    let bundle = pack(&plugin.folder, None, &plugin.folder, &access(), &mut |_| ()).unwrap();
    let name = format!("new-{kind}-0.1.0.vitral");
    assert_eq!(bundle.file_name().unwrap().to_str(), Some(&name[..]));
    let packed = report(&bundle);
    assert!(packed.passed(), "{packed:#?}");
    let without_native = CheckOptions::default();
    let report = check(&Artifacts::find(&bundle).unwrap(), &without_native, &mut |_| ()).unwrap();
    assert_eq!(report.passed(), has_wasm, "{report:#?}");
}

#[test]
fn a_new_image_augmentation_goes_through_the_loop() {
    goes_through_the_loop(Kind::ImageAugmentation, 9);
}

#[test]
fn a_new_batch_augmentation_goes_through_the_loop() {
    goes_through_the_loop(Kind::BatchAugmentation, 10);
}

#[test]
fn a_new_attention_goes_through_the_loop() {
    goes_through_the_loop(Kind::Attention, 10);
}

#[test]
fn a_new_monitor_goes_through_the_loop() {
    goes_through_the_loop(Kind::Monitor, 9);
}

#[test]
fn what_is_wrong_with_a_plugin_is_found() {
    let plugin = Plugin::new(Kind::ImageAugmentation)
        .replace("255 - *value", "254 - *value + u8::from(cfg!(target_family = \"wasm\"))")
        .replace("Ok(parameters)", "assert!(parameters.threshold > 0); Ok(parameters)")
        .replace(".set(\"threshold\", 0)", "");
    if !plugin.build(false) {
        return;
    }
    let report = report(&plugin.folder);
    let has = |name: &str, text: &str| {
        let problem = failure(&report, name);
        assert!(problem.contains(text), "{name}: {problem}");
    };
    has("both forms do the same", "bytes differ");
    has("parameters", "with `threshold` at 0");
    has("parameters", "assertion failed: parameters.threshold > 0");
    has("vector instructions", "there are none");
    assert!(!report.passed());
}

#[test]
fn cargos_own_words_are_shown() {
    let plugin = Plugin::new(Kind::Monitor).replace("self.settings.patience", "self.patience");
    let error = plugin.try_build(true, true).unwrap_err().to_string();
    assert!(error.contains("no field `patience`") || error.contains("toolchain"), "{error}");
}
