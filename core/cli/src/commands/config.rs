//! `vitral config`.

use std::process::ExitCode;

use vitral_config::Document;
use vitral_train::Experiment;

use crate::{
    args::{ConfigArguments, ConfigShow},
    experiment::Loaded,
    failure::Failure,
};

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
