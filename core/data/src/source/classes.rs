//! Which classes a source has, and whether those of two sources agree.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::error::DataError;

/// Where the classes of a source are to come from.
#[derive(Clone, Copy)]
pub(crate) enum Classes<'a> {
    /// From the data itself.
    Found,
    /// From the list in the source's own configuration.
    Listed(&'a [String]),
    /// From the training set that this source is to validate.
    OfTraining(&'a [String]),
}

impl<'a> Classes<'a> {
    pub(crate) fn choose(own: Option<&'a [String]>, training: Option<&'a [String]>) -> Self {
        match (own, training) {
            (Some(own), _) => Self::Listed(own),
            (None, Some(training)) => Self::OfTraining(training),
            (None, None) => Self::Found,
        }
    }

    /// The names that are given from outside the data, if any.
    ///
    /// # Errors
    /// If the list in the configuration is empty or has a name twice.
    pub(crate) fn given(self) -> Result<Option<&'a [String]>, DataError> {
        match self {
            Self::Found => Ok(None),
            Self::OfTraining(names) => Ok(Some(names)),
            Self::Listed([]) => {
                Err(DataError::setting("classes", "is empty; list every class, or leave it out"))
            }
            Self::Listed(names) => {
                let mut seen = HashSet::new();
                match names.iter().find(|name| !seen.insert(*name)) {
                    Some(twice) => {
                        Err(DataError::setting("classes", format!("lists `{twice}` twice")))
                    }
                    None => Ok(Some(names)),
                }
            }
        }
    }

    /// Whose the given names are, for a message: "classes of the training set: cat, dog".
    pub(crate) fn describe(self) -> String {
        match self {
            Self::Found => "classes, which are numbered from 0".into(),
            Self::Listed(names) => format!("classes that are listed: {}", abridged(names)),
            Self::OfTraining(names) => format!("classes of the training set: {}", abridged(names)),
        }
    }
}

/// The class of one image as its file says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    /// A position in the list of classes.
    Number(i64),
    /// A name.
    Name(String),
}

/// Most classes that numbers may come to where nothing lists them.
const MAX_CLASSES: i64 = 1_000_000;

/// Makes classes of what the images say: each image's, and the names of all. `name` says what to call
/// an image in a message.
///
/// Without given classes, names are sorted, and numbers go up to the highest that is there.
pub(crate) fn name_labels(
    labels: Vec<Label>,
    classes: Classes<'_>,
    name: impl Fn(usize) -> String,
) -> Result<(Vec<u32>, Vec<String>), DataError> {
    let named = matches!(labels.first(), Some(Label::Name(_)));
    if let Some(index) = labels.iter().position(|label| matches!(label, Label::Name(_)) != named) {
        return Err(DataError::Label {
            image: name(index),
            problem: "its class and the first image's are not both numbers or both names".into(),
        });
    }
    let class_names = match classes.given()? {
        Some(given) => given.to_vec(),
        None if named => {
            let names: BTreeSet<_> = labels.iter().filter_map(Label::name).collect();
            names.into_iter().map(str::to_owned).collect()
        }
        None => {
            let highest = labels.iter().filter_map(Label::number).max().unwrap_or(0);
            numbered(highest.clamp(0, MAX_CLASSES - 1) as usize + 1)
        }
    };
    let positions: HashMap<&str, u32> =
        (0..).zip(&class_names).map(|(position, name)| (name.as_str(), position)).collect();
    let mut numbers = Vec::with_capacity(labels.len());
    for (index, label) in labels.iter().enumerate() {
        let (number, shown) = match label {
            Label::Name(name) => (positions.get(name.as_str()).copied(), format!("`{name}`")),
            Label::Number(number) => {
                let known = (0..class_names.len() as i64).contains(number);
                (known.then_some(*number as u32), number.to_string())
            }
        };
        let problem = || format!("its class {shown} is not among the {}", classes.describe());
        numbers.push(
            number.ok_or_else(|| DataError::Label { image: name(index), problem: problem() })?,
        );
    }
    Ok((numbers, class_names))
}

impl Label {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Number(_) => None,
        }
    }

    fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Name(_) => None,
        }
    }
}

/// The names "0", "1" and so on of classes that have no others.
pub(crate) fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

/// Checks that a label means the same in validation data as in training data.
///
/// Numbers in place of names fit any names. Validation data may lack the last classes.
pub(crate) fn check_same(training: &[String], validation: &[String]) -> Result<(), DataError> {
    let unnamed = is_numbered(training) || is_numbered(validation);
    for (number, name) in validation.iter().enumerate() {
        match training.get(number) {
            None => {
                return Err(DataError::Classes(format!(
                    "class `{name}` of the validation data is not one of the {} classes of the training data: {}",
                    training.len(),
                    abridged(training)
                )));
            }
            Some(expected) if name != expected && !unnamed => {
                return Err(DataError::Classes(format!(
                    "class {number} is `{expected}` in training and `{name}` in validation; \
                     give both the same `classes`"
                )));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn is_numbered(names: &[String]) -> bool {
    names == numbered(names.len())
}

fn abridged(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn classes_must_mean_the_same_in_both_sets() {
        let animals = names("cat dog emu");
        assert!(check_same(&animals, &animals).is_ok());
        assert!(check_same(&animals, &names("cat dog")).is_ok());
        assert!(check_same(&animals, &names("0 1 2")).is_ok());
        let extra = check_same(&animals, &names("cat dog emu fox")).unwrap_err();
        assert!(extra.to_string().contains("`fox`"), "{extra}");
        let other = check_same(&animals, &names("cat emu dog")).unwrap_err();
        assert!(other.to_string().contains("`dog` in training and `emu`"), "{other}");
        assert!(check_same(&names("0 1"), &names("0 1 2")).is_err());
    }

    #[test]
    fn a_list_with_a_name_twice_is_refused() {
        let twice = names("cat dog cat");
        let error = Classes::Listed(&twice).given().unwrap_err();
        assert!(error.to_string().contains("`cat` twice"), "{error}");
        assert!(Classes::Listed(&[]).given().is_err());
    }

    #[test]
    fn labels_become_positions_in_the_list() {
        let name = |index: usize| format!("image {index}");
        let of_names = |names: &[&str], classes: Classes<'_>| {
            let labels = names.iter().map(|name| Label::Name((*name).into())).collect();
            name_labels(labels, classes, name)
        };
        let of_numbers = |numbers: &[i64], classes: Classes<'_>| {
            name_labels(numbers.iter().copied().map(Label::Number).collect(), classes, name)
        };
        let listed = names("emu cat");
        let (labels, found) = of_names(&["dog", "cat", "dog"], Classes::Found).unwrap();
        assert_eq!((labels, found), (vec![1, 0, 1], names("cat dog")));
        assert_eq!(of_names(&["cat"], Classes::Listed(&listed)).unwrap().0, [1]);
        assert_eq!(of_numbers(&[0, 2], Classes::Found).unwrap().1, numbered(3));
        assert_eq!(of_numbers(&[1], Classes::Listed(&listed)).unwrap().1, listed);

        let message =
            |result: Result<(Vec<u32>, Vec<String>), DataError>| result.unwrap_err().to_string();
        let unknown = message(of_names(&["cat", "fox"], Classes::OfTraining(&listed)));
        assert!(
            unknown.contains("image 1: its class `fox`") && unknown.contains("emu, cat"),
            "{unknown}"
        );
        assert!(message(of_numbers(&[0, 2], Classes::Listed(&listed))).contains("class 2"));
        assert!(message(of_numbers(&[0, -1], Classes::Found)).contains("image 1: its class -1"));
        assert!(message(of_numbers(&[i64::MAX], Classes::Found)).contains("image 0"));
        let mixed = vec![Label::Number(0), Label::Name("cat".into())];
        assert!(message(name_labels(mixed, Classes::Found, name)).contains("image 1"));
    }

    #[test]
    fn long_lists_are_abridged() {
        assert_eq!(abridged(&names("a b")), "a, b");
        assert!(abridged(&numbered(100)).ends_with("9 and 90 more"));
    }
}
