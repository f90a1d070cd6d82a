//! Which classes a source has, and whether those of two sources agree.

use std::collections::HashSet;

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
            Self::Found => "classes that were found".into(),
            Self::Listed(names) => format!("classes that are listed: {}", abridged(names)),
            Self::OfTraining(names) => format!("classes of the training set: {}", abridged(names)),
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
    fn long_lists_are_abridged() {
        assert_eq!(abridged(&names("a b")), "a, b");
        assert!(abridged(&numbered(100)).ends_with("9 and 90 more"));
    }
}
