//! Which classes the head of an initial model knows: its part of each class follows the class's name.

use vitral_data::{abridged, match_classes};
use vitral_interchange::Pretrained;

/// What becomes of an initial model's head.
pub(super) struct Head {
    /// Of each class of the model, the one of the initial model that is the same.
    pub(super) classes: Vec<Option<usize>>,
    /// What was done, in a sentence.
    pub(super) note: String,
}

impl Head {
    /// For a model with so many classes, of which these are named; none where the initial model has no
    /// head.
    pub(super) fn find(pretrained: &Pretrained, names: &[String], count: usize) -> Option<Self> {
        let (theirs, known) = (&pretrained.class_names, pretrained.config.classes);
        if known == 0 {
            return None;
        }
        if theirs.is_empty() {
            return Some(Self::unnamed(names, count, known));
        }
        let mut classes = match_classes(names, theirs);
        classes.resize(count, None);
        let taken = classes.iter().flatten().count();
        if taken == 0 {
            let note = format!(
                "the initial model knows none of the classes ({}), as its own are different ({}): \
                 the head starts afresh",
                abridged(names),
                abridged(theirs)
            );
            return Some(Self { classes, note });
        }
        let kept = classes.iter().enumerate().filter(|(at, from)| **from == Some(*at)).count();
        let new: Vec<&String> = names
            .iter()
            .zip(&classes)
            .filter(|(_, from)| from.is_none())
            .map(|(name, _)| name)
            .collect();
        let mut note = format!(
            "of the head's {count} classes, {kept} are kept, {} moved and {} new",
            taken - kept,
            count - taken
        );
        if !new.is_empty() {
            note += &format!(" ({})", abridged(&new));
        }
        if known > taken {
            note += &format!("; {} of the initial model's are left out", known - taken);
        }
        Some(Self { classes, note })
    }

    fn unnamed(names: &[String], count: usize, known: usize) -> Self {
        if known != count {
            return Self {
                classes: vec![None; count],
                note: format!(
                    "the initial model does not name its {known} classes, and there are {count} \
                     here: the head starts afresh"
                ),
            };
        }
        let numbers: Vec<String> = (0..known).map(|number| number.to_string()).collect();
        let by_value = match_classes(names, &numbers);
        if by_value.len() == known && !by_value.contains(&None) {
            let note =
                "the initial model does not name its classes, so its head is kept by their numbers";
            return Self { classes: by_value, note: note.into() };
        }
        let first = names.first().map_or("0", String::as_str);
        Self {
            classes: (0..count).map(Some).collect(),
            note: format!(
                "warning: the initial model does not name its {known} classes, so the head is kept by position: \
                 its class 0 is taken for `{first}`, and so on"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use vitral_model::ViTConfig;

    fn names(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn of(theirs: &str, known: usize, ours: &str) -> Option<Head> {
        let pretrained = Pretrained {
            origin: "a file".into(),
            config: ViTConfig { classes: known, ..ViTConfig::default() },
            tensors: BTreeMap::new(),
            class_names: names(theirs),
            normalization: None,
            preprocessing: None,
            notes: Vec::new(),
        };
        let ours = names(ours);
        Head::find(&pretrained, &ours, ours.len())
    }

    #[test]
    fn classes_are_kept_moved_and_new_by_name() {
        let head = of("cat emu dog fox", 4, "cat dog emu gnu").unwrap();
        assert_eq!(head.classes, [Some(0), Some(2), Some(1), None]);
        assert_eq!(
            head.note,
            "of the head's 4 classes, 1 are kept, 2 moved and 1 new (gnu); 1 of the initial model's are left out"
        );
    }

    #[test]
    fn a_head_that_knows_no_class_starts_new() {
        let head = of("cat dog", 2, "apple fig").unwrap();
        assert_eq!(head.classes, [None, None]);
        assert!(
            head.note.contains("(apple, fig)") && head.note.contains("(cat, dog)"),
            "{}",
            head.note
        );
        assert!(of("", 0, "apple fig").is_none());
    }

    #[test]
    fn a_head_without_names_is_kept_by_position_where_the_number_is_the_same() {
        let head = of("", 2, "cat dog").unwrap();
        assert_eq!(head.classes, [Some(0), Some(1)]);
        assert!(head.note.starts_with("warning: the initial model does not name"), "{}", head.note);
        // Without names, they are numbers.
        let head = of("", 12, "0 1 10 11 2 3 4 5 6 7 8 9").unwrap();
        assert_eq!(head.classes[..5], [Some(0), Some(1), Some(10), Some(11), Some(2)]);
        assert!(head.note.ends_with("kept by their numbers"), "{}", head.note);
        let head = of("", 1000, "cat dog").unwrap();
        assert_eq!(head.classes, [None, None]);
        assert!(head.note.contains("its 1000 classes, and there are 2 here"), "{}", head.note);
    }
}
