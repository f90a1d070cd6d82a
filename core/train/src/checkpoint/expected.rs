//! Which tensors a checkpoint has, by its experiment and its programs alone, so that its files are
//! compared with it before anything is made of them.

use std::collections::BTreeMap;

use crate::{
    experiment::Experiment, footprint::model_parameters, optimizer::Optimizer, plugins::Programs,
    prune::branch_units,
};

/// Names and shapes.
pub(super) type Shapes = BTreeMap<String, Vec<usize>>;

/// The model's.
pub(super) fn of_model(experiment: &Experiment, programs: &Programs) -> Shapes {
    model_parameters(&experiment.model.resolved(), &programs.attention).into_iter().collect()
}

/// Those of the averages that an optimizer keeps of each parameter of a model.
pub(super) fn of_optimizer(optimizer: &Optimizer, model: &Shapes) -> Shapes {
    let averages = model.iter().flat_map(|(name, shape)| {
        let slots = optimizer.slots(name, shape).iter();
        slots.map(move |slot| (average_name(slot, name), shape.clone()))
    });
    averages.collect()
}

/// What heads and hidden neurons of each branch matter.
pub(super) fn of_importance(experiment: &Experiment) -> Shapes {
    let units = branch_units(&experiment.model.resolved()).into_iter();
    units.map(|(name, units)| (name, vec![units])).collect()
}

/// The name of an average of a parameter.
pub(crate) fn average_name(slot: &str, parameter: &str) -> String {
    format!("{slot}/{parameter}")
}

/// Makes sure that tensors are exactly those that are expected.
///
/// # Errors
/// The first one that is missing, superfluous or of another shape.
pub(super) fn compare<'a>(
    found: impl Iterator<Item = (&'a str, &'a [usize])>,
    expected: &Shapes,
) -> Result<(), String> {
    let mut missing: BTreeMap<&str, &[usize]> =
        expected.iter().map(|(name, shape)| (name.as_str(), shape.as_slice())).collect();
    // A file has them in no order, and the same file is to be told of in the same words.
    let mut found: Vec<_> = found.collect();
    found.sort_unstable();
    for (name, shape) in found {
        match missing.remove(name) {
            Some(expected) if expected == shape => {}
            Some(expected) => {
                return Err(format!("`{name}` is {shape:?}, but the model has {expected:?}"));
            }
            None => {
                return Err(format!("`{name}` is present, but the model has no such parameter"));
            }
        }
    }
    match missing.keys().next() {
        Some(name) => Err(format!("`{name}` is missing")),
        None => Ok(()),
    }
}
