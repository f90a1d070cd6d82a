//! One file per command, with its arguments and what it does.

pub mod average;
pub mod bench;
pub mod completions;
pub mod config;
pub mod data;
pub mod doctor;
pub mod eval;
pub mod export;
pub mod import;
pub mod inspect;
pub mod man;
pub mod plugin;
pub mod predict;
pub mod prune;
pub mod quickstart;
pub mod report;
pub mod run_list;
pub mod teach;
pub mod train;
pub mod tune;

use clap::Subcommand;

use self::{
    average::AverageArguments,
    bench::{BenchCommand, Recorder},
    completions::CompletionsArguments,
    config::ConfigArguments,
    data::DataCommand,
    doctor::DoctorArguments,
    eval::EvalArguments,
    export::ExportArguments,
    import::ImportArguments,
    inspect::InspectArguments,
    man::ManArguments,
    plugin::PluginCommand,
    predict::PredictArguments,
    prune::PruneArguments,
    quickstart::QuickstartArguments,
    report::ReportArguments,
    run_list::RunsArguments,
    teach::TeachArguments,
    train::TrainArguments,
    tune::TuneArguments,
};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a first experiment and its images.
    Quickstart(QuickstartArguments),
    /// Train a model as an experiment describes, or resume a run.
    Train(TrainArguments),
    /// Evaluate checkpoints on their validation images: accuracy, F1, calibration, confusion.
    Eval(EvalArguments),
    /// Classify images with a checkpoint: files, folders, shards or a list.
    Predict(PredictArguments),
    /// Average the weights of several checkpoints into one model (a model soup).
    Average(AverageArguments),
    /// Remove the attention heads and hidden neurons that matter least from a trained model.
    Prune(PruneArguments),
    /// Write a trained model's logits of all training images, for students to learn from.
    Teach(TeachArguments),
    /// Show a model's layers, parameters, operations and memory.
    Inspect(InspectArguments),
    /// Import weights of google-research/vision_transformer, big_vision, timm or Hugging Face.
    Import(ImportArguments),
    /// Export a checkpoint's model to ONNX, TensorFlow, timm or npz.
    Export(ExportArguments),
    /// Write a run's curves, figures and mistakes as one HTML page.
    Report(ReportArguments),
    /// Search for the best values of a few fields, or for a learning rate.
    Tune(TuneArguments),
    /// List runs, their figures and how they differ.
    Runs(RunsArguments),
    /// Show a resolved experiment, what a field means, all defaults, or the JSON schema.
    Config(ConfigArguments),
    /// Write, check, share and install plugins.
    Plugin {
        #[command(subcommand)]
        command: PluginCommand,
    },
    /// Show what a data set contains, or pack it into a cache.
    Data {
        #[command(subcommand)]
        command: DataCommand,
    },
    /// Measure the speed of training, inference and data loading.
    Bench {
        #[command(subcommand)]
        command: BenchCommand,
    },
    /// Show which devices and features are available, or try a GPU.
    Doctor(DoctorArguments),
    /// Print completions for a shell.
    Completions(CompletionsArguments),
    /// Write a manual page for each command.
    Man(ManArguments),
    /// Compile a component from the standard input to the standard output, as this program has it done in
    /// a process of its own.
    #[command(name = crate::plugins::COMPILE, hide = true)]
    CompilePlugin,
}

/// What becomes of a command that a launcher has started several times at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AmongOthers {
    /// All processes share what there is to do.
    Shared,
    /// It is refused: what it writes or computes is for one process.
    Refused,
    /// Each process tells or measures by itself.
    Repeated,
}

impl Command {
    /// What takes down the spans of what is done, where this command wants them.
    pub fn recorder(&self) -> Option<Recorder> {
        match self {
            Self::Bench { command: BenchCommand::Profile(_) } => Some(Recorder),
            _ => None,
        }
    }

    /// What becomes of this command among others.
    pub fn among_others(&self) -> AmongOthers {
        match self {
            Self::Train(_) => AmongOthers::Shared,
            Self::Bench { command: BenchCommand::Tricks(_) }
            | Self::Quickstart(_)
            | Self::Eval(_)
            | Self::Predict(_)
            | Self::Average(_)
            | Self::Prune(_)
            | Self::Teach(_)
            | Self::Import(_)
            | Self::Export(_)
            | Self::Report(_)
            | Self::Tune(_)
            | Self::Man(_) => AmongOthers::Refused,
            Self::Plugin { command } => match command {
                PluginCommand::Check(_)
                | PluginCommand::Bench(_)
                | PluginCommand::Inspect { .. }
                | PluginCommand::Verify { .. }
                | PluginCommand::List
                | PluginCommand::Keys => AmongOthers::Repeated,
                _ => AmongOthers::Refused,
            },
            Self::Data { command: DataCommand::Cache(_) } => AmongOthers::Refused,
            Self::Data { command: DataCommand::Info(info) } if info.sheet.is_some() => {
                AmongOthers::Refused
            }
            Self::Data { .. }
            | Self::Inspect(_)
            | Self::Runs(_)
            | Self::Config(_)
            | Self::Bench { .. }
            | Self::Doctor(_)
            | Self::Completions(_)
            | Self::CompilePlugin => AmongOthers::Repeated,
        }
    }
}
