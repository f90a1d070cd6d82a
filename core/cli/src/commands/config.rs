//! `vitral config`.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use serde_json::json;
use vitral_config::{Difference, Document};
use vitral_train::Experiment;

use crate::{
    experiment::Loaded, failure::Failure, json, overrides::Overrides, progress::note,
    same_experiment::differences,
};

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
    /// The fields in which two experiments differ, with every default; of a run, its `config.ron` counts.
    Diff {
        /// An experiment, or a run's folder.
        first: PathBuf,
        /// Another one.
        second: PathBuf,
        /// Print one JSON object for each field.
        #[arg(long)]
        json: bool,
    },
    /// Every field with its default and what it means, as an experiment.
    Defaults,
    /// What a field means, which values it takes, and the fields in it.
    Explain {
        /// The field, as in `train.mix` or `data.augment`.
        field: String,
    },
    /// Every field as a page in Markdown: what it takes, its range, its default and what it means.
    Reference,
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

/// An experiment, or that of a run, with every default written out.
fn resolved(path: &Path, set: &[String]) -> Result<String, Failure> {
    let file = if path.is_dir() { path.join("config.ron") } else { path.to_owned() };
    let experiment = Loaded::read(&file, set)?.experiment;
    let classes = experiment.model.classes;
    Ok(experiment.resolved(classes).to_ron()?)
}

pub fn run(arguments: &ConfigArguments) -> Result<ExitCode, Failure> {
    match &arguments.show {
        ConfigShow::Resolved { experiment, overrides } => {
            print!("{}", resolved(experiment, &overrides.set)?);
        }
        ConfigShow::Diff { first, second, json } => {
            let texts = [resolved(first, &[])?, resolved(second, &[])?];
            let differences = differences(&texts[0], &texts[1]);
            for Difference { field, first, second } in &differences {
                if *json {
                    json::print(&json!({ "field": field, "first": first, "second": second }))?;
                    continue;
                }
                let shown =
                    |value: &Option<String>| value.clone().unwrap_or_else(|| "(none)".into());
                println!("{field}: {} -> {}", shown(first), shown(second));
            }
            if differences.is_empty() {
                note("no field differs");
            }
        }
        ConfigShow::Defaults => {
            let experiment: Experiment = Document::new("defaults", SMALLEST).parse()?;
            let text = vitral_config::to_ron(&experiment)?;
            print!("{}", vitral_config::commented::<Experiment>(&text));
        }
        ConfigShow::Explain { field } => print!("{}", vitral_config::explain::<Experiment>(field)?),
        ConfigShow::Reference => {
            println!("# The fields of an experiment\n");
            println!("Made by `vitral config reference`.");
            print!("{}", vitral_config::reference::<Experiment>());
        }
        ConfigShow::Schema { field: None } => {
            println!("{:#}", vitral_config::schema::<Experiment>());
        }
        ConfigShow::Schema { field: Some(field) } => {
            println!("{:#}", vitral_config::schema_of::<Experiment>(field)?);
        }
    }
    Ok(ExitCode::SUCCESS)
}
