//! What all ranks have to have in common to train one model in one way.

use vitral_bundle::Lock;
use vitral_data::{Fingerprint, Fingerprints};
use vitral_model::parameters;

use crate::{Error, Experiment, Learner, checkpoint::State, experiment::fields, flat::flat};

/// Everything that has a say in a run, by its name and as a text.
pub(super) fn in_common(
    experiment: &Experiment,
    lock: &Lock,
    data: &Fingerprints,
    state: &State,
    learner: &Learner,
) -> Result<Vec<(String, String)>, Error> {
    let mut things = fields_of(experiment)?;
    things.extend(lock.plugins().iter().map(|plugin| {
        let code = plugin.sha256.as_ref().map_or_else(String::new, |code| format!(" {code}"));
        (format!("plugin {}", plugin.name), format!("{}{code}", plugin.version))
    }));
    for (name, set) in [("data.train", data.train), ("data.val", data.val)] {
        let Fingerprint { images, labels, index } = set;
        let found = format!("{images} images (classes {labels:016x}, index {index:016x})");
        things.push((name.into(), found));
    }
    things.push(("list of classes".into(), state.class_names.join(", ")));
    things.push(("teacher".into(), state.teacher.clone().unwrap_or_else(|| "none".into())));
    things.push(("step to go on from".into(), state.step.to_string()));
    things.push(("weights".into(), digest_of_weights(learner)?));
    Ok(things)
}

/// What tells a learner's weights from any others, as a text.
pub(super) fn digest_of_weights(learner: &Learner) -> Result<String, Error> {
    let bytes: Vec<u8> = flat(&parameters::values(learner.model()))?
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    Ok(format!("{:08x}", crc32c::crc32c(&bytes)))
}

/// What must be the same for two ranks to train one model: the fields of the experiment, by their path. Where a
/// rank writes and computes is its own affair, and the data is told by what it is, wherever it lies.
fn fields_of(experiment: &Experiment) -> Result<Vec<(String, String)>, Error> {
    let mut fields = fields::of(experiment).map_err(|error| Error::Message(error.to_string()))?;
    const OWN: [&str; 4] = ["output", "device", "data.train", "data.val"];
    let is_own = |field: &str| {
        OWN.iter().any(|own| {
            field.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    };
    fields.retain(|(field, _)| !is_own(field));
    Ok(fields.into_iter().map(|(field, value)| (format!("`{field}`"), value.to_string())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn experiment(learning_rate: &str) -> Experiment {
        let text = format!(
            r#"(
                data: (train: Cifar10(files: ["a"]), val: Cifar10(files: ["b"])),
                train: (learning_rate: {learning_rate}),
            )"#
        );
        vitral_config::Document::new("test", text).parse().unwrap()
    }

    #[test]
    fn another_experiment_is_named_by_its_field_and_places_do_not_count() {
        let mut other = experiment("2e-3");
        other.output = "elsewhere".into();
        let (one, other) = (experiment("1e-3"), fields_of(&other).unwrap());
        let one = fields_of(&one).unwrap();
        let differ = one.iter().zip(&other).filter(|(one, other)| one != other);
        let differ: Vec<_> = differ.map(|(one, _)| one.0.as_str()).collect();
        assert_eq!(differ, ["`train.learning_rate`"]);
    }
}
