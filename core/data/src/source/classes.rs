//! Which classes a source has: what its files say, or what a list in the experiment says of them.

use std::collections::{BTreeSet, HashSet};

use super::matching::{Finder, abridged, is_numbered, numbered};
use crate::error::DataError;

/// Where the classes of a source are to come from.
#[derive(Clone, Copy)]
pub(crate) enum Classes<'a> {
    /// From the data itself.
    Found,
    /// From the list in the source's own configuration.
    Listed(&'a [String]),
}

impl<'a> Classes<'a> {
    pub(crate) fn choose(listed: Option<&'a [String]>) -> Self {
        listed.map_or(Self::Found, Self::Listed)
    }

    /// The names that are given from outside the data, if any.
    ///
    /// # Errors
    /// If the list in the configuration is empty or has a name twice.
    pub(crate) fn given(self) -> Result<Option<&'a [String]>, DataError> {
        match self {
            Self::Found => Ok(None),
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
}

/// The class of one image as its file says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    /// A number, which the file or a list in the experiment may give a name.
    Number(i64),
    /// A name.
    Name(String),
}

/// Most classes that numbers may come to where nothing lists them.
const MAX_CLASSES: i64 = 1_000_000;

/// Makes classes of what the images say: each image's, and the names of all. `own` are the names that
/// the files themselves give to numbers, and `name` says what to call an image in a message.
///
/// Without a list, names are sorted, and numbers go up to the highest that is there. A list orders names,
/// and those that the files give to numbers; it never renames them. It names numbers that have no names.
pub(crate) fn name_labels(
    labels: Vec<Label>,
    classes: Classes<'_>,
    own: Option<&[String]>,
    name: impl Fn(usize) -> String,
) -> Result<(Vec<u32>, Vec<String>), DataError> {
    let named = matches!(labels.first(), Some(Label::Name(_)));
    if let Some(index) = labels.iter().position(|label| matches!(label, Label::Name(_)) != named) {
        return Err(DataError::Label {
            image: name(index),
            problem: "its class and the first image's are not both numbers or both names".into(),
        });
    }
    let given = classes.given()?;
    // Names that are the numbers themselves are none.
    let own = own.filter(|names| !named && !is_numbered(names));
    let class_names = match (given, own) {
        (Some(given), _) => given.to_vec(),
        (None, Some(own)) => own.to_vec(),
        (None, None) if named => names_in(&labels),
        (None, None) => {
            let highest = labels.iter().filter_map(Label::number).max().unwrap_or(0);
            numbered(highest.clamp(0, MAX_CLASSES - 1) as usize + 1)
        }
    };
    let finder = Finder::new(&class_names);
    let position = |label: &Label| match (label, own, given) {
        (Label::Name(name), ..) => finder.find(name),
        (Label::Number(number), Some(own), Some(_)) => {
            own.get(usize::try_from(*number).ok()?).and_then(|name| finder.find(name))
        }
        (Label::Number(number), Some(own), None) => {
            usize::try_from(*number).ok().filter(|&position| position < own.len())
        }
        (Label::Number(number), None, _) => finder.find_number(*number),
    };
    let mut numbers = Vec::with_capacity(labels.len());
    for (index, label) in labels.iter().enumerate() {
        match position(label) {
            Some(position) => numbers.push(position as u32),
            None => {
                let problem = unlisted(label, given, own, &labels);
                return Err(DataError::Label { image: name(index), problem });
            }
        }
    }
    Ok((numbers, class_names))
}

/// Why an image's class has no place among the classes, with the names on both sides.
fn unlisted(
    label: &Label,
    given: Option<&[String]>,
    own: Option<&[String]>,
    labels: &[Label],
) -> String {
    let shown = match (label, own) {
        (Label::Name(name), _) => format!("`{name}`"),
        (Label::Number(number), own) => {
            let name = usize::try_from(*number).ok().and_then(|number| own?.get(number));
            name.map_or_else(|| number.to_string(), |name| format!("`{name}`"))
        }
    };
    let found = match (label, own) {
        (Label::Name(_), _) => names_in(labels),
        (Label::Number(_), own) => own.unwrap_or_default().to_vec(),
    };
    match (given, found.as_slice()) {
        (Some(given), []) => {
            format!("its class {shown} is not among the listed classes: {}", abridged(given))
        }
        (Some(given), found) => format!(
            "its class {shown} is not among the listed classes: {}; those of the data: {}",
            abridged(given),
            abridged(found)
        ),
        (None, []) => {
            format!("its class {shown} is not among the classes, which are numbered from 0")
        }
        (None, found) => {
            format!("its class {shown} is not among the classes of the data: {}", abridged(found))
        }
    }
}

/// The different names, sorted.
fn names_in(labels: &[Label]) -> Vec<String> {
    let names: BTreeSet<_> = labels.iter().filter_map(Label::name).collect();
    names.into_iter().map(str::to_owned).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    type Named = Result<(Vec<u32>, Vec<String>), DataError>;

    fn names(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn of_names(names: &[&str], classes: Classes<'_>) -> Named {
        let labels = names.iter().map(|name| Label::Name((*name).into())).collect();
        name_labels(labels, classes, None, |index| format!("image {index}"))
    }

    fn of_numbers(numbers: &[i64], classes: Classes<'_>, own: Option<&[String]>) -> Named {
        let labels = numbers.iter().copied().map(Label::Number).collect();
        name_labels(labels, classes, own, |index| format!("image {index}"))
    }

    fn message(result: Named) -> String {
        result.unwrap_err().to_string()
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
        let listed = names("emu cat");
        let (labels, found) = of_names(&["dog", "cat", "dog"], Classes::Found).unwrap();
        assert_eq!((labels, found), (vec![1, 0, 1], names("cat dog")));
        assert_eq!(of_names(&["cat"], Classes::Listed(&listed)).unwrap().0, [1]);
        assert_eq!(of_numbers(&[0, 2], Classes::Found, None).unwrap().1, numbered(3));
        assert_eq!(of_numbers(&[1], Classes::Listed(&listed), None).unwrap(), (vec![1], listed));
    }

    #[test]
    fn classes_that_are_not_listed_are_named_with_both_lists() {
        let listed = names("emu cat");
        let unknown = message(of_names(&["cat", "fox"], Classes::Listed(&listed)));
        assert!(unknown.contains("image 1: its class `fox`"), "{unknown}");
        assert!(
            unknown.contains("listed classes: emu, cat; those of the data: cat, fox"),
            "{unknown}"
        );
        assert!(message(of_numbers(&[0, 2], Classes::Listed(&listed), None)).contains("class 2"));
        let negative = message(of_numbers(&[0, -1], Classes::Found, None));
        assert!(negative.contains("image 1: its class -1"), "{negative}");
        assert!(message(of_numbers(&[i64::MAX], Classes::Found, None)).contains("image 0"));
        let mixed = vec![Label::Number(0), Label::Name("cat".into())];
        let mixed = name_labels(mixed, Classes::Found, None, |index| format!("image {index}"));
        assert!(message(mixed).contains("image 1"));
    }

    #[test]
    fn a_list_orders_the_names_that_a_file_gives_to_numbers_and_never_renames_them() {
        let own = names("emu cat dog");
        let found = of_numbers(&[0, 1, 2], Classes::Found, Some(&own)).unwrap();
        assert_eq!(found, (vec![0, 1, 2], own.clone()));
        let listed = names("cat dog emu");
        let ordered = of_numbers(&[0, 1, 2], Classes::Listed(&listed), Some(&own)).unwrap();
        assert_eq!(ordered, (vec![2, 0, 1], listed));
        let others = names("apple fig kiwi");
        let refused = message(of_numbers(&[0], Classes::Listed(&others), Some(&own)));
        assert!(refused.contains("its class `emu`"), "{refused}");
        assert!(
            refused.contains("apple, fig, kiwi; those of the data: emu, cat, dog"),
            "{refused}"
        );
        assert!(message(of_numbers(&[3], Classes::Found, Some(&own))).contains("class 3 is not"));
        // Names that say nothing may be replaced.
        let digits = of_numbers(&[1, 0], Classes::Listed(&others), Some(&numbered(3))).unwrap();
        assert_eq!(digits, (vec![1, 0], others));
    }

    #[test]
    fn numbers_are_found_by_value_in_a_list_of_numbers() {
        let listed = names("0 1 10 2");
        let found = of_numbers(&[2, 10], Classes::Listed(&listed), None).unwrap();
        assert_eq!(found.0, [3, 2]);
        assert!(message(of_numbers(&[3], Classes::Listed(&listed), None)).contains("class 3"));
    }
}
