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
            println!("{}", vitral_config::to_ron(&experiment.resolved(classes))?);
        }
        ConfigShow::Defaults => {
            let experiment: Experiment = Document::new("defaults", SMALLEST).parse()?;
            println!("{}", vitral_config::to_ron(&experiment)?);
        }
        ConfigShow::Schema => println!("{:#}", vitral_config::schema::<Experiment>()),
    }
    Ok(ExitCode::SUCCESS)
}
