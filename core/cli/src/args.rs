//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use vitral_bundle::Allowance;
use vitral_host::Kind;
use vitral_model::Variant;
use vitral_train::batch_size::MemorySize;

use crate::{commands::bench::Technique, precision::PrecisionName};

/// Trains Vision Transformers.
#[derive(Debug, Parser)]
#[command(name = "vitral", version, propagate_version = true)]
pub struct Arguments {
    /// Print results, warnings and errors only, and no progress.
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Log what is done; twice (`-vv`) in detail. Wins over `VITRAL_LOG`.
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a model as an experiment says, or go on with a run.
    Train(TrainArguments),
    /// Evaluate a checkpoint on its validation images.
    Eval(EvalArguments),
    /// Classify image files with a checkpoint.
    Predict(PredictArguments),
    /// Take in a model that was trained elsewhere: weights of google-research/vision_transformer,
    /// big_vision, timm or Hugging Face.
    Import(ImportArguments),
    /// Write a checkpoint's model for use elsewhere.
    Export(ExportArguments),
    /// Write a run's curves (loss, accuracy, learning rate, speed) as one HTML page.
    Report(ReportArguments),
    /// Show what an experiment comes to, what a field means, all defaults, or the JSON schema.
    Config(ConfigArguments),
    /// Write, check, share and install plugins.
    Plugin {
        #[command(subcommand)]
        command: PluginCommand,
    },
    /// Show what is in a data set, and pack it into one file that is read faster.
    Data {
        #[command(subcommand)]
        command: DataCommand,
    },
    /// Measure how fast this machine trains and infers.
    Bench {
        #[command(subcommand)]
        command: BenchCommand,
    },
    /// Show which devices and features are there.
    Doctor,
    /// Compile a component from the standard input to the standard output, as this program has it done in
    /// a process of its own.
    #[command(name = crate::plugins::COMPILE, hide = true)]
    CompilePlugin,
}

#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Show counts, image sizes and the balance of classes, and draw a contact sheet.
    Info(DataInfoArguments),
    /// Pack a data set into one file, which is mapped into memory and read without a copy.
    Cache(DataCacheArguments),
    /// Check every image of a cache against its checksum.
    Verify {
        /// The cache's file.
        cache: PathBuf,
    },
}

/// A data set, as the `data` commands take it.
#[derive(Debug, Args)]
pub struct DataArguments {
    /// An experiment (a RON file), a folder of class folders, a cache (.vcache), shards (.tar) or
    /// files (.parquet) or a pattern of such, or a source as an experiment writes it:
    /// `Cifar10(files: ["train.bin"])`.
    pub data: PathBuf,
    /// The experiment's training or validation images; by default `info` shows both, and `cache` packs
    /// the training images.
    #[arg(long)]
    pub split: Option<Split>,
    #[command(flatten)]
    pub overrides: Overrides,
}

/// A part of an experiment's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Split {
    /// Images to train with.
    Train,
    /// Images to validate with.
    Val,
}

#[derive(Debug, Args)]
pub struct DataInfoArguments {
    #[command(flatten)]
    pub data: DataArguments,
    /// Draw images of some classes into a PNG, JPEG or WebP file; each before and, with an experiment,
    /// after its augmentation.
    #[arg(long, value_name = "FILE.png")]
    pub sheet: Option<PathBuf>,
    /// Decode every image, and name those that cannot be.
    #[arg(long)]
    pub check: bool,
    /// Print one JSON object for each data set.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct DataCacheArguments {
    #[command(flatten)]
    pub data: DataArguments,
    /// The cache's file.
    #[arg(long, value_name = "FILE.vcache")]
    pub out: PathBuf,
    /// Make images smaller whose longer side has more pixels. Images that stay encoded keep their size.
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(1..=16_384))]
    pub max_side: Option<u32>,
    /// How large the cache may become, as in "20 GiB": as many images as fit become pixels, and the
    /// others stay as they are encoded. Without it, all become pixels.
    #[arg(long, value_name = "SIZE", conflicts_with = "encoded")]
    pub budget: Option<MemorySize>,
    /// Keep images as they are encoded.
    #[arg(long)]
    pub encoded: bool,
    /// Leave out images that cannot be read, instead of stopping at the first.
    #[arg(long)]
    pub skip: bool,
}

#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Measure training steps on noise that is in memory: img/s, time of each stage, peak memory,
    /// and the share of the machine's matrix-product limit that is reached.
    Step(StepArguments),
    /// Measure the CPU kernels of a model's blocks, forward and backward, next to plain matrix
    /// products of the same sizes.
    Kernels(KernelArguments),
    /// Measure how fast the training images of an experiment come, without its model: img/s, the time
    /// of each stage and the bottleneck with different numbers of workers, next to reading, decoding
    /// and copying alone.
    Data(BenchDataArguments),
    /// Train with each efficiency technique alone and with all together, and compare time of an
    /// epoch, peak memory and accuracy with the plain loop; a table, and a plot as SVG.
    Tricks(TricksArguments),
    /// Train, and report what it took as JSON: one of the runs of `tricks`.
    #[command(hide = true)]
    Measure(MeasureArguments),
}

#[derive(Debug, Args)]
pub struct TricksArguments {
    /// The experiment, a RON file. The plain loop is this with every technique off, unless `--set`
    /// turns it on.
    #[arg(default_value = "examples/tricks.ron")]
    pub experiment: PathBuf,
    /// Epochs of each run.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    pub epochs: u32,
    /// Runs of each technique: the experiment's seed, and those that follow it.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub seeds: u32,
    /// Compare these alone, as in `--only ema,drop-path`.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub only: Vec<Technique>,
    /// Where the plot goes.
    #[arg(long, default_value = "tricks.svg")]
    pub plot: PathBuf,
    /// Where to train: auto, cpu, cuda, cuda:1, wgpu, vulkan; by default as the experiment says.
    #[arg(long)]
    pub device: Option<String>,
    /// Print one JSON object with every run instead of a table.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub overrides: Overrides,
    #[command(flatten)]
    pub allowed: Allowed,
}

#[derive(Debug, Args)]
pub struct BenchDataArguments {
    /// The experiment, a RON file.
    pub experiment: PathBuf,
    /// Numbers of workers to try, as in `--workers 1,4`; by default 1, its doubles, and the number of
    /// processors.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub workers: Vec<u32>,
    /// Seconds of each measurement of the whole path; a part of it alone is measured half as long.
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    pub seconds: f64,
    /// How often everything is measured; all take turns.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Print one JSON object with every sample instead of a table.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub overrides: Overrides,
    #[command(flatten)]
    pub allowed: Allowed,
}

/// A length of time, in seconds.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.01..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("seconds are a number from 0.01 to 3600".into()),
    }
}

#[derive(Debug, Args)]
pub struct MeasureArguments {
    pub experiment: PathBuf,
    #[arg(long)]
    pub device: Option<String>,
    #[command(flatten)]
    pub overrides: Overrides,
    #[command(flatten)]
    pub allowed: Allowed,
}

#[derive(Debug, Args)]
pub struct KernelArguments {
    /// The published model whose sizes are taken: a size and a patch size.
    #[arg(long, default_value = "Ti/16")]
    pub variant: String,
    /// Side of the images in pixels.
    #[arg(long, default_value_t = 224)]
    pub image_size: usize,
    /// Images at once.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub batch: u32,
    /// How often each kernel is run; all take turns.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rounds: u32,
    /// portable, avx2, avx512 or neon; by default the best that the machine has.
    #[arg(long)]
    pub instruction_set: Option<String>,
    /// Print one JSON object with every sample instead of a table.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// Write a new plugin's crate, which compiles and passes its checks.
    New(NewArguments),
    /// Build a plugin's crate as WebAssembly and as a native library, into its `dist` folder.
    Build(BuildArguments),
    /// Check a plugin: contract, parameters, permissions, shapes, gradients, determinism, and that
    /// its native and WebAssembly forms agree.
    Check(CheckArguments),
    /// Run the tests of a plugin's crate.
    Test {
        /// The plugin's folder.
        #[arg(default_value = ".")]
        folder: PathBuf,
    },
    /// Measure a plugin, native against WebAssembly.
    Bench(BenchArguments),
    /// Put a built plugin into a bundle, `name-version.vitral`.
    Pack(PackArguments),
    /// Show what a bundle, an installed plugin or one that is compiled in is and takes.
    Inspect {
        /// A bundle's file, or a plugin's name (`name` or `name@version`).
        plugin: PathBuf,
    },
    /// Check every file of a bundle or an installed plugin, and who signed it.
    Verify {
        /// A bundle's file, or an installed plugin's name.
        plugin: PathBuf,
        /// A public key that must have signed it.
        #[arg(long, value_name = "KEY.pub")]
        key: Option<PathBuf>,
    },
    /// Install a bundle, signed with a key that you trust.
    Install(InstallArguments),
    /// List the plugins that are compiled in and installed.
    List,
    /// Remove an installed plugin.
    Remove {
        /// `name`, or `name@version`.
        plugin: String,
    },
    /// Make a pair of keys: `NAME.pub` to give away, `NAME.key` to sign with.
    Keygen {
        /// Path of the keys, without an extension.
        name: PathBuf,
    },
    /// Sign a bundle.
    Sign {
        /// The bundle's file.
        bundle: PathBuf,
        /// The secret key.
        #[arg(long, value_name = "NAME.key")]
        key: PathBuf,
    },
    /// Trust a public key: bundles that it has signed can be installed and run in the sandbox.
    Trust {
        /// The public key's file.
        key: PathBuf,
    },
    /// Take trust back: of a key, whose bundles do not run any more then, or of a bundle that you have
    /// allowed something.
    Distrust {
        /// The public key's file, or the first digits of its fingerprint or of the bundle's digest.
        what: PathBuf,
    },
    /// Show the keys that you trust, the names that are theirs, and what you have allowed beside.
    Keys,
}

/// What a plugin does.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PluginKind {
    /// Changes one image in a data worker.
    ImageAugmentation,
    /// Changes a batch on the device.
    BatchAugmentation,
    /// A layer's attention.
    Attention,
    /// Hears of what happens in a run.
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

#[derive(Debug, Args)]
pub struct NewArguments {
    /// The plugin's name: lower-case words joined by `-`.
    pub name: String,
    /// What the plugin does.
    #[arg(long)]
    pub kind: PluginKind,
    /// Where it is written; by default a folder of its name.
    #[arg(long)]
    pub folder: Option<PathBuf>,
    /// The SDK's folder, in a checkout of Vitral; by default the repository that this program was built
    /// from, at that revision.
    #[arg(long)]
    pub sdk: Option<PathBuf>,
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
    /// Leave vector instructions out of the component, to measure what they bring.
    #[arg(long)]
    pub no_simd: bool,
    /// Do without the network.
    #[arg(long)]
    pub offline: bool,
    /// Where cargo keeps what it compiles.
    #[arg(long)]
    pub target_dir: Option<PathBuf>,
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
    /// How many times each form is measured, in turns.
    #[arg(long, default_value_t = 9)]
    pub rounds: usize,
    /// How long each measurement is, in milliseconds.
    #[arg(long, default_value_t = 100)]
    pub round_ms: u64,
}

#[derive(Debug, Args)]
pub struct PackArguments {
    /// The folder of a built plugin.
    #[arg(default_value = ".")]
    pub folder: PathBuf,
    /// Where the bundle goes; by default the plugin's `dist` folder.
    #[arg(long)]
    pub output: Option<PathBuf>,
    /// Sign the bundle with this secret key.
    #[arg(long, value_name = "NAME.key")]
    pub key: Option<PathBuf>,
    /// Open the native library where there is no component, which runs its code.
    #[arg(long)]
    pub native: bool,
}

#[derive(Debug, Args)]
pub struct InstallArguments {
    /// The bundle's file.
    pub bundle: PathBuf,
    /// Allow the plugin what needs your word, from now on: `blur:run` lets it run though nobody whom
    /// you trust has signed it, `blur:run,network` grants it the network, too; can be given several
    /// times.
    #[arg(long = "allow", value_name = "PLUGIN:WHAT")]
    pub allow: Vec<Allowance>,
}

/// What the user allows plugins, beside what they have been asked before.
#[derive(Debug, Args)]
pub struct Allowed {
    /// Allow a plugin what needs your word: to run though nobody whom you trust has signed it, native
    /// code, files, the network, more memory or time. `blur:run,network` holds for whatever plugin has
    /// that name, `blur@DIGEST:run` for one bundle; a refusal shows what to give here. It holds for this
    /// command; can be given several times.
    #[arg(long = "allow", value_name = "PLUGIN:WHAT")]
    pub allow: Vec<Allowance>,
}

/// Changes to an experiment from the command line.
#[derive(Debug, Args)]
pub struct Overrides {
    /// Set a field of the experiment, e.g. `--set train.batch=64`; can be given several times. Relative
    /// paths start where vitral is started.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    pub set: Vec<String>,
}

#[derive(Debug, Args)]
pub struct TrainArguments {
    /// The experiment, a RON file.
    #[arg(required_unless_present = "resume")]
    pub experiment: Option<PathBuf>,
    /// Go on with a run: its folder (from its newest checkpoint), its `best` or `last`, or one of
    /// its `checkpoints/step-...`.
    #[arg(long, value_name = "RUN", conflicts_with = "experiment")]
    pub resume: Option<PathBuf>,
    /// Start from a model that was trained before: what `import` or `export` wrote, a run, or a file
    /// of weights. The same as `init: Pretrained(path: ...)` in the experiment.
    #[arg(long, value_name = "MODEL", conflicts_with = "resume")]
    pub init: Option<PathBuf>,
    /// Where to train: auto, cpu, cuda, cuda:1, wgpu, vulkan.
    #[arg(long)]
    pub device: Option<String>,
    #[command(flatten)]
    pub overrides: Overrides,
    #[command(flatten)]
    pub allowed: Allowed,
}

#[derive(Debug, Args)]
pub struct StepArguments {
    /// An experiment, a RON file; without one, a published model is trained by AdamW. Its data is
    /// read only where it alone says how many classes there are.
    #[arg(conflicts_with = "variant")]
    pub experiment: Option<PathBuf>,
    /// The published model: a size and a patch size, as in Ti/16 (the default) or B/32.
    #[arg(long)]
    pub variant: Option<Variant>,
    /// Side of the images in pixels; by default the experiment's, or 224.
    #[arg(long)]
    pub image_size: Option<usize>,
    /// Number of classes; by default the experiment's, or 1000.
    #[arg(long)]
    pub classes: Option<usize>,
    /// Images of a step; by default the experiment's, or 16.
    #[arg(long)]
    pub batch: Option<usize>,
    /// AdamW, Sgd, Lion or Lamb, or one with settings: `Sgd(momentum: 0.8)`.
    #[arg(long, conflicts_with = "infer")]
    pub optimizer: Option<String>,
    /// Steps that are measured.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub steps: u32,
    /// Steps before those, which are not.
    #[arg(long, default_value_t = 3)]
    pub warmup: u32,
    /// Measure inference: forward passes without gradients.
    #[arg(long)]
    pub infer: bool,
    /// Where to compute: auto, cpu, cuda, cuda:1, wgpu, vulkan; by default as the experiment says.
    #[arg(long)]
    pub device: Option<String>,
    /// Print one JSON object with every sample instead of a table.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub overrides: Overrides,
    #[command(flatten)]
    pub allowed: Allowed,
}

#[derive(Debug, Args)]
pub struct EvalArguments {
    /// A run's folder, its `best` or `last`, or a checkpoint.
    pub checkpoint: PathBuf,
    /// Evaluate on these images: a folder of class folders, a cache (.vcache), shards (.tar) or files
    /// (.parquet) or a pattern of such, an experiment (.ron), whose validation images they are, or a
    /// source as an experiment writes it. By default the experiment's validation images.
    #[arg(long, value_name = "FOLDER_OR_FILE")]
    pub data: Option<PathBuf>,
    /// Where to compute: auto, cpu, cuda, cuda:1, wgpu, vulkan; by default as the experiment says.
    #[arg(long)]
    pub device: Option<String>,
    /// The type to compute in: f32, bf16 or f16; by default the one that the run was trained in.
    #[arg(long)]
    pub precision: Option<PrecisionName>,
    /// Merge this many tokens away in each layer (ToMe), without training again: faster, and
    /// usually a little less accurate. 0 merges none, also where the model was trained to.
    #[arg(long, value_name = "R")]
    pub token_merging: Option<usize>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub overrides: Overrides,
}

#[derive(Debug, Args)]
pub struct PredictArguments {
    /// A run's folder, its `best` or `last`, or a checkpoint.
    pub checkpoint: PathBuf,
    /// Image files: JPEG, PNG or WebP.
    #[arg(required = true)]
    pub images: Vec<PathBuf>,
    /// How many classes to show for each image.
    #[arg(long, short = 'k', default_value_t = 5)]
    pub top: usize,
    /// Where to compute: auto, cpu, cuda, cuda:1, wgpu, vulkan; by default as the experiment says.
    #[arg(long)]
    pub device: Option<String>,
    /// The type to compute in: f32, bf16 or f16; by default the one that the run was trained in.
    #[arg(long)]
    pub precision: Option<PrecisionName>,
    /// Merge this many tokens away in each layer (ToMe), without training again: faster, and
    /// usually a little less accurate. 0 merges none, also where the model was trained to.
    #[arg(long, value_name = "R")]
    pub token_merging: Option<usize>,
    /// Print one JSON object for each image.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ImportArguments {
    /// A `.npz` of google-research/vision_transformer or big_vision, a `.safetensors`, `.pth` or `.bin` of
    /// timm or Hugging Face, or the folder that has it with its config.json.
    pub source: PathBuf,
    /// The folder to write, which `predict`, `eval` and `train --init` open.
    #[arg(long)]
    pub out: PathBuf,
    /// Attention heads, where the file does not tell.
    #[arg(long, value_parser = heads)]
    pub heads: Option<usize>,
    /// Which model, where the file has several, by a part of what stands before its names, e.g. `teacher`
    /// or `state_dict`.
    #[arg(long, value_name = "NAME")]
    pub part: Option<String>,
    /// Take the model to images of this side in pixels; its positions are resized.
    #[arg(long)]
    pub image_size: Option<usize>,
    /// Take the model to this number of classes; a head for another number is replaced by zeros.
    #[arg(long)]
    pub classes: Option<usize>,
    /// How positions are resized.
    #[arg(long, value_enum, default_value_t = PositionResizing::Zoom)]
    pub positions: PositionResizing,
    /// Set a field of the experiment that is written with the model, e.g. `--set model.mlp=Gelu` or
    /// `--set data.normalize=ImageNet`; can be given several times.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    pub set: Vec<String>,
}

fn heads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(heads @ 1..=1024) => Ok(heads),
        _ => Err("it is a number from 1 to 1024".into()),
    }
}

/// How learned positions are taken to another grid.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PositionResizing {
    /// Linear between aligned corners, as google-research/vision_transformer.
    Zoom,
    /// Antialiased bicubic, as timm.
    Bicubic,
}

impl From<PositionResizing> for vitral_interchange::Resize {
    fn from(resizing: PositionResizing) -> Self {
        match resizing {
            PositionResizing::Zoom => Self::Zoom,
            PositionResizing::Bicubic => Self::Bicubic,
        }
    }
}

#[derive(Debug, Args)]
pub struct ExportArguments {
    /// A run's folder, its `best` or `last`, or a checkpoint.
    pub checkpoint: PathBuf,
    /// What is written.
    #[arg(long, value_enum)]
    pub format: ExportFormat,
    /// Where: a file for npz and onnx, a folder for the others.
    #[arg(long)]
    pub out: PathBuf,
    #[command(flatten)]
    pub graph: GraphArguments,
}

/// What goes with formats that have the model's graph: onnx and saved-model.
#[derive(Debug, Args)]
pub struct GraphArguments {
    /// Keep weights in 16 bits; they are computed with in 32 (onnx, saved-model).
    #[arg(long)]
    pub f16: bool,
    /// Take u8 pixels and give probabilities, rather than normalised images and logits (onnx,
    /// saved-model).
    #[arg(long)]
    pub preprocessing: bool,
    /// The size of the images that the graph takes: the model's, or any whose sides are multiples of the
    /// patch size, with positions resized in the graph (onnx, saved-model).
    #[arg(long, value_enum, default_value_t = GraphImageSize::Fixed)]
    pub image_size: GraphImageSize,
    /// Run what was written with onnxruntime or TensorFlow in Python, and compare it with the model.
    #[arg(long)]
    pub verify: bool,
    /// The Python that verifies.
    #[arg(long, default_value = "python3", value_name = "PROGRAM")]
    pub python: PathBuf,
}

/// The size of the images that a graph takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GraphImageSize {
    /// The model's.
    Fixed,
    /// Any, height and width on their own.
    Dynamic,
}

/// A format that models are exported in.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ExportFormat {
    /// Vitral's own: safetensors and RON, which `predict`, `eval` and `train --init` open.
    Native,
    /// A NumPy archive with the names of google-research/vision_transformer's checkpoints.
    Npz,
    /// safetensors and config.json, which `timm.create_model("local-dir:...")` opens.
    Timm,
    /// An ONNX file, opset 20, with the model's graph; weights of more than 2 GB lie beside it.
    Onnx,
    /// A TensorFlow SavedModel with the signature `serving_default`.
    SavedModel,
}

#[derive(Debug, Args)]
pub struct ReportArguments {
    /// A run's folder; the run may still be going on.
    pub run: PathBuf,
    /// Where the page goes, `-` being standard output; by default `report.html` in the run's folder.
    #[arg(long)]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ConfigArguments {
    #[command(subcommand)]
    pub show: ConfigShow,
}

#[derive(Debug, Subcommand)]
pub enum ConfigShow {
    /// An experiment with every default and override written out.
    Resolved {
        /// The experiment, a RON file.
        experiment: PathBuf,
        #[command(flatten)]
        overrides: Overrides,
    },
    /// Every field with its default and what it means, as an experiment.
    Defaults,
    /// What a field means and takes, and the fields in it.
    Explain {
        /// The field, as in `train.mix` or `data.augment`.
        field: String,
    },
    /// The JSON schema of an experiment, or of one of its fields: types, ranges, defaults and what each
    /// field means.
    Schema {
        /// The field, as in `train.batch`.
        field: Option<String>,
    },
}
