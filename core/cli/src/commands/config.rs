//! `vitral config`.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use vitral_config::Document;
use vitral_train::Experiment;

use crate::{experiment::Loaded, failure::Failure, overrides::Overrides};

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
    /// What a field means, which values it takes, and the fields in it.
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

/// The least that an experiment must say: where its images are.
pub const SMALLEST: &str = r#"(
    data: (
        train: ImageFolder(path: "train"),
        val: ImageFolder(path: "val"),
    ),
)"#;

pub fn run(arguments: &ConfigArguments) -> Result<ExitCode, Failure> {
    match &arguments.show {
        ConfigShow::Resolved { experiment, overrides } => {
            let experiment = Loaded::read(experiment, &overrides.set)?.experiment;
            let classes = experiment.model.classes;
            print!("{}", experiment.resolved(classes).to_ron()?);
        }
        ConfigShow::Defaults => {
            let experiment: Experiment = Document::new("defaults", SMALLEST).parse()?;
            let text = vitral_config::to_ron(&experiment)?;
            print!("{}", vitral_config::commented::<Experiment>(&text));
        }
        ConfigShow::Explain { field } => print!("{}", vitral_config::explain::<Experiment>(field)?),
        ConfigShow::Schema { field: None } => {
            println!("{:#}", vitral_config::schema::<Experiment>());
        }
        ConfigShow::Schema { field: Some(field) } => {
            println!("{:#}", vitral_config::schema_of::<Experiment>(field)?);
        }
    }
    Ok(ExitCode::SUCCESS)
}
