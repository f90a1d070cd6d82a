//! `vitral config`.

use std::process::ExitCode;

use vitral_data::SourceConfig;
use vitral_train::Experiment;

use crate::{
    args::{ConfigArguments, ConfigShow},
    experiment::Loaded,
    failure::Failure,
};

/// The least that an experiment must say: where its images are.
const SMALLEST: &str = r#"(
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
        ConfigShow::Defaults => println!("{}", vitral_config::to_ron(&defaults()?)?),
        ConfigShow::Schema => println!("{:#}", vitral_config::schema::<Experiment>()),
    }
    Ok(ExitCode::SUCCESS)
}

/// An experiment in which everything but the data is left to its default.
fn defaults() -> Result<Experiment, Failure> {
    let experiment: Experiment = vitral_config::Document::new("defaults", SMALLEST).parse()?;
    debug_assert!(matches!(experiment.data.train, SourceConfig::ImageFolder { .. }));
    Ok(experiment)
}
