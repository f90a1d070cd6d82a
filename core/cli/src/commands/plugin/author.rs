//! The author's loop: new, build, check, test, bench, pack.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Duration,
};

use clap::{Args, ValueEnum};
use vitral_author::{
    Access, Artifacts, BenchOptions, BuildOptions, CheckOptions, Language, Outcome, Row, Sdk,
    bench, check, new, pack,
};
use vitral_bundle::SigningKey;
use vitral_host::Kind;

use crate::{failure::Failure, plugins, progress::note};

/// What a plugin does.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PluginKind {
    /// Changes one image in a data worker.
    ImageAugmentation,
    /// Changes a batch on the device.
    BatchAugmentation,
    /// A layer's attention.
    Attention,
    /// Observes a run.
    Monitor,
}

impl From<PluginKind> for Kind {
    fn from(kind: PluginKind) -> Self {
        match kind {
            PluginKind::ImageAugmentation => Self::ImageAugmentation,
            PluginKind::BatchAugmentation => Self::BatchAugmentation,
            PluginKind::Attention => Self::Attention,
            PluginKind::Monitor => Self::Monitor,
        }
    }
}

/// What a plugin is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PluginLanguage {
    /// With the SDK's crate.
    Rust,
    /// With the contract's header.
    C,
    /// With the SDK's package, which comes with this program.
    Python,
    /// With the SDK's module, which comes with this program.
    #[value(name = "javascript")]
    JavaScript,
}

impl From<PluginLanguage> for Language {
    fn from(language: PluginLanguage) -> Self {
        match language {
            PluginLanguage::Rust => Self::Rust,
            PluginLanguage::C => Self::C,
            PluginLanguage::Python => Self::Python,
            PluginLanguage::JavaScript => Self::JavaScript,
        }
    }
}

#[derive(Debug, Args)]
pub struct NewArguments {
    /// The plugin's name: lower-case words joined by `-`.
    pub name: String,
    /// What the plugin does.
    #[arg(long)]
    pub kind: PluginKind,
    /// What it is written in.
    #[arg(long, default_value = "rust")]
    pub language: PluginLanguage,
    /// Where to write it; by default a folder of the same name.
    #[arg(long)]
    pub folder: Option<PathBuf>,
    /// The SDK's folder, in a checkout of Vitral, for a plugin in Rust; by default the repository and
    /// revision that this program was built from.
    #[arg(long)]
    pub sdk: Option<PathBuf>,
}

/// `vitral plugin new`.
pub fn create(arguments: &NewArguments) -> Result<(), Failure> {
    let name = arguments.name.parse()?;
    let folder = arguments.folder.clone().unwrap_or_else(|| arguments.name.clone().into());
    let language = Language::from(arguments.language);
    let sdk = match &arguments.sdk {
        Some(_) if language != Language::Rust => {
            return Err(Failure::Usage(format!(
                "--sdk is for plugins in Rust; for {language}, the SDK comes with this program"
            )));
        }
        None => Sdk::default(),
        Some(path) if path.join("Cargo.toml").is_file() => {
            let absolute = std::path::absolute(path);
            Sdk::Path(absolute.map_err(|error| Failure::Other(format!("--sdk: {error}")))?)
        }
        Some(path) => {
            return Err(Failure::Usage(format!(
                "--sdk {}: there is no Cargo.toml in this folder; give the folder `sdk` of a checkout",
                path.display()
            )));
        }
    };
    new(arguments.kind.into(), &name, language, &folder, &sdk, &mut say)?;
    if language == Language::Rust {
        println!("the SDK comes from {sdk}");
        if arguments.sdk.is_none() {
            println!("  (`--sdk FOLDER` takes it from a checkout, which needs no network)");
        }
    }
    let (program, folder) = (program(), folder.display());
    println!("try next");
    if language == Language::Rust {
        println!("  {program} plugin test {folder}");
    }
    println!("  {program} plugin build {folder}");
    println!("  {program} plugin check {folder}");
    Ok(())
}

#[derive(Debug, Args)]
pub struct BuildArguments {
    /// The plugin's folder.
    #[arg(default_value = ".")]
    pub folder: PathBuf,
    /// Build the WebAssembly component only.
    #[arg(long, conflicts_with = "native_only")]
    pub wasm_only: bool,
    /// Build the native library only.
    #[arg(long)]
    pub native_only: bool,
    /// Build the component without vector instructions, in Rust or C, to measure what they gain.
    #[arg(long)]
    pub no_simd: bool,
    /// Run cargo without the network.
    #[arg(long)]
    pub offline: bool,
    /// Cargo's target folder.
    #[arg(long)]
    pub target_dir: Option<PathBuf>,
}

/// `vitral plugin build`.
pub fn make(arguments: &BuildArguments) -> Result<(), Failure> {
    let options = BuildOptions {
        wasm: !arguments.native_only,
        native: !arguments.wasm_only,
        simd: !arguments.no_simd,
        offline: arguments.offline,
        target_dir: arguments.target_dir.clone(),
    };
    let built = plugins::workshop().build_noted(&arguments.folder, &options, &mut say)?;
    for path in [built.wasm, built.native].into_iter().flatten() {
        println!("built {}", path.display());
    }
    Ok(())
}

#[derive(Debug, Args)]
pub struct CheckArguments {
    /// The folder of a built plugin, a bundle, or a component (`.wasm`).
    #[arg(default_value = ".")]
    pub plugin: PathBuf,
    /// Check the native library too, which runs its code without a sandbox.
    #[arg(long)]
    pub native: bool,
    /// Give the component as much memory and time as its manifest asks for, beyond the usual 64 MiB and
    /// 1000 ms a call.
    #[arg(long)]
    pub limits: bool,
}

/// `vitral plugin check`: fails if something is wrong.
pub fn examine(arguments: &CheckArguments) -> Result<ExitCode, Failure> {
    let artifacts = Artifacts::find(&arguments.plugin)?;
    let access = access(arguments.native, arguments.limits, &artifacts);
    let options = CheckOptions { access };
    let report = check(&artifacts, &options, &mut say)?;
    let kind = report.kind.map_or_else(String::new, |kind| format!(" ({kind})"));
    println!("{}{kind}", report.plugin);
    for finding in &report.findings {
        match &finding.outcome {
            Outcome::Passed => println!("  ok       {}  {}", finding.name, finding.detail),
            Outcome::Skipped(reason) => println!("  skipped  {}: {reason}", finding.name),
            Outcome::Failed(problem) => println!("  FAILED   {}: {problem}", finding.name),
        }
    }
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `vitral plugin test`: the crate's own tests.
pub fn test(folder: &Path) -> Result<ExitCode, Failure> {
    if !folder.join("Cargo.toml").is_file() {
        return Err(Failure::Usage(format!(
            "{} has no Cargo.toml: `plugin test` runs the tests of plugins in Rust, and `plugin check` tries any \
             plugin with its examples",
            folder.display()
        )));
    }
    let status = Command::new("cargo").arg("test").current_dir(folder).status();
    let status = status.map_err(|error| Failure::Other(format!("cargo cannot be run: {error}")))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[derive(Debug, Args)]
pub struct BenchArguments {
    /// The folder of a built plugin, a bundle, or a component (`.wasm`).
    #[arg(default_value = ".")]
    pub plugin: PathBuf,
    /// Measure the native library too, which runs its code without a sandbox.
    #[arg(long)]
    pub native: bool,
    /// Give the component as much memory and time as its manifest asks for, beyond the usual 64 MiB and
    /// 1000 ms a call.
    #[arg(long)]
    pub limits: bool,
    /// How many times each form is measured, in turn.
    #[arg(long, default_value_t = 9)]
    pub rounds: usize,
    /// How long each measurement takes, in milliseconds.
    #[arg(long, default_value_t = 100)]
    pub round_ms: u64,
}

/// `vitral plugin bench`.
pub fn measure(arguments: &BenchArguments) -> Result<(), Failure> {
    let artifacts = Artifacts::find(&arguments.plugin)?;
    let options = BenchOptions {
        access: access(arguments.native, arguments.limits, &artifacts),
        rounds: arguments.rounds,
        round: Duration::from_millis(arguments.round_ms),
        ..BenchOptions::default()
    };
    let found = bench(&artifacts, &options, &mut say)?;
    println!("{} ({}), {}", found.plugin, found.kind, found.configuration);
    for Row { form, what, time, images_per_second } in &found.rows {
        let images = images_per_second.map_or_else(String::new, |n| format!("  {n:.0} images/s"));
        println!(
            "  {form:12} {what:24} {:>10.1?}  ({:.1?} to {:.1?}){images}",
            time.median, time.least, time.most
        );
    }
    Ok(())
}

#[derive(Debug, Args)]
pub struct PackArguments {
    /// The folder of a built plugin.
    #[arg(default_value = ".")]
    pub folder: PathBuf,
    /// Where to write the bundle; by default the plugin's `dist` folder.
    #[arg(long)]
    pub output: Option<PathBuf>,
    /// Sign the bundle with this secret key.
    #[arg(long, value_name = "NAME.key")]
    pub key: Option<PathBuf>,
    /// Open the native library if there is no component, which runs its code.
    #[arg(long)]
    pub native: bool,
}

/// `vitral plugin pack`.
pub fn bundle(arguments: &PackArguments) -> Result<(), Failure> {
    let password = std::env::var("VITRAL_KEY_PASSWORD").ok();
    let key = arguments.key.as_ref().map(|key| SigningKey::read(key, password.as_deref()));
    let output = arguments.output.clone().unwrap_or_else(|| arguments.folder.join("dist"));
    let access = Access { native: arguments.native, ..usual() };
    let path = pack(&arguments.folder, key.transpose()?.as_ref(), &output, &access, &mut say)?;
    println!("packed {}", path.display());
    Ok(())
}

/// What a command gives a plugin, which says so where it is less than the plugin asks for.
fn access(native: bool, limits: bool, artifacts: &Artifacts) -> Access {
    if let Some(asked) = artifacts.asks_beyond().filter(|_| !limits) {
        say(&format!("it asks for {asked}, which `--limits` grants"));
    }
    Access { native, limits, ..usual() }
}

/// What every command gives.
fn usual() -> Access {
    let (compiler, cache) = (plugins::compiler(), plugins::cache_folder());
    Access { compiler, cache, ..Access::default() }
}

/// Progress goes to the standard error.
fn say(line: &str) {
    note(line);
}

fn program() -> String {
    let program = std::env::args_os().next();
    program.map_or_else(|| "vitral".into(), |program| program.to_string_lossy().into_owned())
}
