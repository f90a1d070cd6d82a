//! The fields of an experiment, one by one.

use serde_json::Value;

use super::Experiment;

/// Every field of an experiment that has no others in it, by its path (`train.learning_rate`), defaults
/// included, in the order of their paths.
pub(crate) fn of(experiment: &Experiment) -> serde_json::Result<Vec<(String, Value)>> {
    let mut fields = Vec::new();
    collect(String::new(), serde_json::to_value(experiment)?, &mut fields);
    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(fields)
}

fn collect(path: String, value: Value, into: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                let inner = if path.is_empty() { name } else { format!("{path}.{name}") };
                collect(inner, value, into);
            }
        }
        value => into.push((path, value)),
    }
}
