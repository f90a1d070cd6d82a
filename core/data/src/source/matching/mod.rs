//! Two sets of classes, matched by name: labels are positions, and the same position may be another
//! class elsewhere.

use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::groups::Groups;
use super::stored::{Source, Stored};
use crate::error::{DataError, ReadError};
use crate::pixels::Image;

/// Classes that those of a data set are matched with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassList {
    /// Whose they are, for messages: `the training data`.
    pub owner: &'static str,
    /// Their names; a label is a position in this list.
    pub names: Vec<String>,
    /// Whether a number in place of a name is a position in this list
    /// ([`SourceConfig::is_numbered`](super::SourceConfig::is_numbered)).
    pub numbered: bool,
}

/// Where each of the `wanted` classes is among the `known` ones: by its name or, where all of the known
/// names are numbers, by its value. None where it is unknown, or where several have its name.
pub fn match_classes(wanted: &[String], known: &[String]) -> Vec<Option<usize>> {
    if wanted == known {
        return (0..known.len()).map(Some).collect();
    }
    let finder = Finder::new(known);
    let own = places(wanted.iter().map(String::as_str));
    let find = |name: &String| own.get(name.as_str())?.and_then(|_| finder.find(name));
    wanted.iter().map(find).collect()
}

/// Finds classes in a list.
pub(super) struct Finder<'a> {
    count: usize,
    by_name: HashMap<&'a str, Option<usize>>,
    /// Where every name is a number.
    by_value: Option<HashMap<u64, Option<usize>>>,
}

impl<'a> Finder<'a> {
    pub(super) fn new(names: &'a [String]) -> Self {
        let values: Option<Vec<u64>> = names.iter().map(|name| value(name)).collect();
        Self {
            count: names.len(),
            by_name: places(names.iter().map(String::as_str)),
            by_value: values.map(|values| places(values.into_iter())),
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<usize> {
        match self.by_name.get(name) {
            Some(place) => *place,
            None => *self.by_value.as_ref()?.get(&value(name)?)?,
        }
    }

    /// What a number in place of a name means: the name of that value where all names are numbers, else
    /// a position.
    pub(super) fn find_number(&self, number: i64) -> Option<usize> {
        match &self.by_value {
            Some(values) => *values.get(&u64::try_from(number).ok()?)?,
            None => usize::try_from(number).ok().filter(|&position| position < self.count),
        }
    }
}

/// Where each item is; none where it is twice.
fn places<T: Eq + Hash>(items: impl Iterator<Item = T>) -> HashMap<T, Option<usize>> {
    let mut places = HashMap::new();
    for (place, item) in items.enumerate() {
        places.entry(item).and_modify(|known| *known = None).or_insert(Some(place));
    }
    places
}

/// The number that a name is, if it is one.
fn value(name: &str) -> Option<u64> {
    name.bytes().all(|byte| byte.is_ascii_digit()).then(|| name.parse().ok()).flatten()
}

fn are_numbers(names: &[String]) -> bool {
    names.iter().all(|name| value(name).is_some())
}

/// The names "0", "1" and so on of classes that have no others.
pub(super) fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

/// Whether the names are "0", "1" and so on, which say no more than positions do.
pub(super) fn is_numbered(names: &[String]) -> bool {
    names.iter().enumerate().all(|(number, name)| *name == number.to_string())
}

/// The first names of a list, for messages: `cat, dog, emu and 997 more`.
pub fn abridged<T: AsRef<str>>(names: &[T]) -> String {
    const SHOWN: usize = 10;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(AsRef::as_ref).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// A data set whose classes are to be matched.
#[derive(Clone, Copy)]
pub(crate) struct Whose {
    /// What it is called in messages: `the validation data`.
    pub name: &'static str,
    /// Whether its files have numbers, and its list of classes says what these are called.
    pub numbered: bool,
}

impl ClassList {
    /// The source with its labels as positions in this list.
    ///
    /// # Errors
    /// If it has images of a class that is not listed; the message has both lists.
    pub(crate) fn order(
        &self,
        source: Arc<dyn Source>,
        whose: Whose,
    ) -> Result<Arc<dyn Source>, DataError> {
        let own = source.class_names();
        if own == self.names {
            return Ok(source);
        }
        let places = self.places(own, whose.numbered);
        if places.contains(&None) {
            // A class that has no images does no harm.
            let used: HashSet<u32> = (0..source.len()).map(|index| source.label(index)).collect();
            let unknown = (0..).zip(own).zip(&places);
            let unknown: Vec<&str> = unknown
                .filter(|((label, _), place)| place.is_none() && used.contains(label))
                .map(|((_, name), _)| name.as_str())
                .collect();
            if !unknown.is_empty() {
                return Err(self.mismatch(own, &unknown, whose));
            }
        }
        // The labels of classes without images are never asked for.
        let labels = places.into_iter().map(|place| place.unwrap_or(0) as u32).collect();
        Ok(Arc::new(Relabelled { source, labels, class_names: self.names.clone() }))
    }

    /// Where each class of a data set is in this list.
    fn places(&self, own: &[String], numbered: bool) -> Vec<Option<usize>> {
        let by_name = match_classes(own, &self.names);
        if by_name.iter().any(Option::is_some) {
            return by_name;
        }
        let finder = Finder::new(&self.names);
        match (are_numbers(own), are_numbers(&self.names)) {
            // Numbers here, and names there that were given to numbers.
            (true, false) if self.numbered => {
                let number = |name: &String| i64::try_from(value(name)?).ok();
                own.iter().map(|name| number(name).and_then(|n| finder.find_number(n))).collect()
            }
            // The other way round.
            (false, true) if numbered => {
                (0..).take(own.len()).map(|number| finder.find_number(number)).collect()
            }
            _ => by_name,
        }
    }

    fn mismatch(&self, own: &[String], unknown: &[&str], whose: Whose) -> DataError {
        let Self { owner, names, .. } = self;
        let twice = |name: &&&str| {
            let is = |other: &&String| other == *name;
            own.iter().filter(is).count() > 1 || names.iter().filter(is).count() > 1
        };
        let hint = match (unknown.iter().find(twice), are_numbers(own), are_numbers(names)) {
            (Some(name), ..) => format!("; several classes are called `{name}`"),
            (None, true, false) if !self.numbered => format!(
                "; list in the `classes` of {} what its numbers are called, in their order",
                whose.name
            ),
            (None, false, true) if *owner == TRAINING => format!(
                "; list in the `classes` of {owner} what its numbers are called, in their order"
            ),
            _ => String::new(),
        };
        DataError::Classes(format!(
            "{} has {} that {owner} lacks: {}; classes of {owner}: {}; of {}: {}{hint}",
            whose.name,
            if unknown.len() == 1 { "a class" } else { "classes" },
            abridged(unknown),
            abridged(names),
            whose.name,
            abridged(own),
        ))
    }

    /// Checks that a data set has every class of this list.
    ///
    /// # Errors
    /// Those that it lacks; the message has both lists.
    pub(crate) fn check_whole(&self, own: &[String], whose: Whose) -> Result<(), DataError> {
        let found = match_classes(&self.names, own);
        let missing: Vec<&str> = self
            .names
            .iter()
            .zip(found)
            .filter(|(_, place)| place.is_none())
            .map(|(name, _)| name.as_str())
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let Self { owner, names, .. } = self;
        Err(DataError::Classes(format!(
            "{} lacks classes of {owner}: {}; classes of {owner}: {}; of {}: {}",
            whose.name,
            abridged(&missing),
            abridged(names),
            whose.name,
            abridged(own),
        )))
    }
}

/// The owner of a training set's classes.
pub(crate) const TRAINING: &str = "the training data";

/// A source whose labels are positions in another list of classes than its own.
struct Relabelled {
    source: Arc<dyn Source>,
    /// Of each of its own labels, the one in `class_names`.
    labels: Vec<u32>,
    class_names: Vec<String>,
}

impl Source for Relabelled {
    fn len(&self) -> usize {
        self.source.len()
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn label(&self, index: usize) -> u32 {
        self.labels[self.source.label(index) as usize]
    }

    fn read(&self, index: usize) -> Result<Image, ReadError> {
        self.source.read(index)
    }

    fn load<'a>(&'a self, index: usize, buffer: &'a mut Vec<u8>) -> Result<Stored<'a>, ReadError> {
        self.source.load(index, buffer)
    }

    fn name(&self, index: usize) -> String {
        self.source.name(index)
    }

    fn notes(&self) -> &[String] {
        self.source.notes()
    }

    fn damaged(&self) -> &[String] {
        self.source.damaged()
    }

    fn check_whole(&self) -> Result<(), DataError> {
        self.source.check_whole()
    }

    fn groups(&self) -> Option<&Groups> {
        self.source.groups()
    }

    fn keep_groups(&self, shuffled: usize) {
        self.source.keep_groups(shuffled);
    }

    fn hash_index(&self, hasher: &mut dyn Hasher) {
        self.source.hash_index(hasher);
    }
}

#[cfg(test)]
mod tests;
