//! What is known of a plugin before its code runs.

use vitral_abi::{Description, Kind, Parameter};

use crate::OpenError;

/// What a bundle's manifest says of its plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct Declared {
    /// What it does.
    pub kind: Kind,
    /// What it says of itself.
    pub description: Description,
}

impl Declared {
    /// Checks that a plugin is what its manifest has declared.
    ///
    /// # Errors
    /// The first difference.
    pub(crate) fn agrees(&self, plugin: &str, found: &Self) -> Result<(), OpenError> {
        match difference(self, found) {
            None => Ok(()),
            Some((what, said, says)) => Err(OpenError::new(
                plugin,
                format!("its manifest declares {what} {said}, but the plugin says {says}"),
            )),
        }
    }
}

/// What differs: its name, what the manifest says, what the plugin says.
fn difference(said: &Declared, says: &Declared) -> Option<(String, String, String)> {
    let differ = |what: &str, said: String, says: String| {
        (said != says).then(|| (what.to_owned(), said, says))
    };
    let kind = differ("kind", said.kind.to_string(), says.kind.to_string());
    let (said, says) = (&said.description, &says.description);
    kind.or_else(|| differ("name", said.name.clone(), says.name.clone()))
        .or_else(|| differ("version", said.version.clone(), says.version.clone()))
        .or_else(|| differ("summary", quoted(&said.summary), quoted(&says.summary)))
        .or_else(|| differ("parameters", names(said), names(says)))
        .or_else(|| {
            let pairs = said.parameters.iter().zip(&says.parameters);
            pairs.filter(|(said, says)| said != says).find_map(|(said, says)| {
                let (name, says_default) = (&said.name, default(says));
                differ(
                    &format!("parameter `{name}` as"),
                    said.r#type.to_string(),
                    says.r#type.to_string(),
                )
                .or_else(|| {
                    differ(&format!("the default of `{name}` as"), default(said), says_default)
                })
                .or_else(|| {
                    differ(
                        &format!("the text of `{name}` as"),
                        quoted(&said.doc),
                        quoted(&says.doc),
                    )
                })
            })
        })
        .or_else(|| {
            differ("examples", format!("{:?}", said.examples), format!("{:?}", says.examples))
        })
}

fn names(description: &Description) -> String {
    let names: Vec<_> = description.parameters.iter().map(|p| p.name.as_str()).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

fn default(parameter: &Parameter) -> String {
    parameter.default.as_ref().map_or_else(|| "none".into(), ToString::to_string)
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

#[cfg(test)]
mod tests {
    use vitral_abi::{Example, ParameterType, Value};

    use super::*;

    fn declared() -> Declared {
        let size = ParameterType::Integer { min: 1, max: 64 };
        let size = Parameter {
            name: "size".into(),
            doc: "Its size.".into(),
            r#type: size,
            default: Some(Value::Integer(7)),
        };
        let description = Description {
            name: "guest".into(),
            version: "1.0.0".into(),
            summary: "A guest.".into(),
            parameters: vec![size],
            examples: vec![Example::new("Small").set("size", 2)],
        };
        Declared { kind: Kind::Attention, description }
    }

    fn message(change: impl FnOnce(&mut Declared)) -> String {
        let mut found = declared();
        change(&mut found);
        declared().agrees("guest.so", &found).unwrap_err().to_string()
    }

    #[test]
    fn the_first_difference_is_named() {
        assert!(declared().agrees("guest.so", &declared()).is_ok());
        for (found, wanted) in [
            (
                message(|found| found.kind = Kind::Monitor),
                "declares kind attention, but the plugin says monitor",
            ),
            (message(|found| found.description.summary.push('!')), "summary \"A guest.\""),
            (
                message(|found| found.description.parameters.clear()),
                "declares parameters size, but the plugin says none",
            ),
            (
                message(|found| found.description.parameters[0].default = None),
                "the default of `size` as 7, but the plugin says none",
            ),
            (
                message(|found| {
                    let size = &mut found.description.parameters[0];
                    size.r#type = ParameterType::Integer { min: 1, max: 9 };
                }),
                "`size` as an integer from 1 to 64, but the plugin says an integer from 1 to 9",
            ),
            (message(|found| found.description.examples.clear()), "declares examples"),
        ] {
            assert!(
                found.starts_with("guest.so cannot be opened") && found.contains(wanted),
                "{found}"
            );
        }
    }
}
