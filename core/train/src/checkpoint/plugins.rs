//! What a checkpoint keeps of plugins: programs, states of monitors, the lock.

use std::sync::Arc;

use vitral_bundle::Lock;
use vitral_files::Kind;
use vitral_program::{Limits, Program};

use super::{Checkpoint, checksum::Listed};
use crate::{
    experiment::Experiment,
    plugins::{Programs, attention_limits, batch_limits},
};

pub(super) const LOCK: &str = "plugins.lock.ron";

fn attention_name(layer: usize) -> String {
    format!("attention-{layer:02}.program.ron")
}

fn batch_name(index: usize) -> String {
    format!("batch-{index}.program.ron")
}

fn monitor_name(index: usize) -> String {
    format!("monitor-{index}.state")
}

/// The files of a checkpoint's plugins, with what they are and their contents.
pub(super) fn files(checkpoint: &Checkpoint) -> Vec<(String, Kind, Vec<u8>)> {
    let programs = &checkpoint.programs;
    let program = |name: String, program: &Program| (name, Kind::PROGRAM, program.to_bytes());
    let attention = programs.attention.iter();
    let attention = attention.map(|(&layer, of_layer)| program(attention_name(layer), of_layer));
    let batch = programs.batch.iter().enumerate();
    let batch = batch.map(|(index, of_batch)| program(batch_name(index), of_batch));
    let monitors = checkpoint.monitors.iter().enumerate();
    let monitors =
        monitors.map(|(index, state)| (monitor_name(index), Kind::MONITOR, state.clone()));
    let mut files: Vec<_> = attention.chain(batch).chain(monitors).collect();
    if !checkpoint.lock.is_empty() {
        let text = checkpoint.lock.to_text().into_bytes();
        files.push((LOCK.to_owned(), Kind::CONFIGURATION, text));
    }
    files
}

/// Reads what the checkpoint of an experiment keeps of plugins.
///
/// # Errors
/// A file that is missing or not what it should be, in words.
pub(super) fn read(
    folder: &mut Listed,
    experiment: &Experiment,
) -> Result<(Programs, Vec<Vec<u8>>, Lock), String> {
    let mut program =
        |name: String, limits: Result<Limits, String>| -> Result<Arc<Program>, String> {
            let limits = limits.map_err(|problem| format!("{name}: {problem}"))?;
            let program = Program::from_bytes(&folder.read(&name, Kind::PROGRAM)?, &limits);
            Ok(Arc::new(program.map_err(|error| format!("{name}: {error}"))?))
        };
    let model = &experiment.model;
    let of_plugins =
        (0..model.depth()).filter(|&layer| model.attention_of(layer).plugin().is_some());
    let augmentations = experiment.train.batch_augment.clone();
    let programs = Programs {
        attention: of_plugins
            .map(|layer| {
                let limits = attention_limits(model, layer);
                Ok((layer, program(attention_name(layer), limits)?))
            })
            .collect::<Result<_, String>>()?,
        batch: (0..augmentations.len())
            .map(|index| program(batch_name(index), batch_limits(model)))
            .collect::<Result<_, _>>()?,
        layers: model.attention.clone(),
        augmentations,
    };
    let monitors = (0..experiment.monitors.len())
        .map(|index| folder.read(&monitor_name(index), Kind::MONITOR));
    let monitors = monitors.collect::<Result<_, _>>()?;
    let lock = match folder.read_text_if_there(LOCK, Kind::CONFIGURATION)? {
        Some(text) => Lock::from_text(&text).map_err(|error| format!("{LOCK}: {error}"))?,
        None => Lock::default(),
    };
    Ok((programs, monitors, lock))
}
