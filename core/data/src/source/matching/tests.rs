use super::*;
use crate::pixels::Channels;

fn names(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// One image of each of some classes.
struct Labels {
    names: Vec<String>,
    labels: Vec<u32>,
}

impl Source for Labels {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn class_names(&self) -> &[String] {
        &self.names
    }

    fn label(&self, index: usize) -> u32 {
        self.labels[index]
    }

    fn read(&self, index: usize) -> Result<Image, ReadError> {
        Ok(Image::new(1, 1, Channels::Grey, vec![index as u8]).unwrap())
    }

    fn name(&self, index: usize) -> String {
        format!("image {index}")
    }

    fn hash_index(&self, _: &mut dyn std::hash::Hasher) {}
}

fn data(classes: &str) -> Arc<dyn Source> {
    let names = names(classes);
    Arc::new(Labels { labels: (0..names.len() as u32).collect(), names })
}

fn list(classes: &str, numbered: bool) -> ClassList {
    ClassList { owner: TRAINING, names: names(classes), numbered }
}

const VALIDATION: Whose = Whose { name: "the validation data", numbered: false };
const NUMBERED: Whose = Whose { numbered: true, ..VALIDATION };

fn labels(ordered: Result<Arc<dyn Source>, DataError>) -> Vec<u32> {
    let source = ordered.unwrap();
    (0..source.len()).map(|index| source.label(index)).collect()
}

fn message(ordered: Result<Arc<dyn Source>, DataError>) -> String {
    ordered.err().unwrap().to_string()
}

#[test]
fn classes_are_matched_by_name_or_by_value() {
    let matched = |wanted: &str, known: &str| match_classes(&names(wanted), &names(known));
    assert_eq!(matched("cat dog emu", "emu cat dog"), [Some(1), Some(2), Some(0)]);
    assert_eq!(matched("cat fox", "cat dog"), [Some(0), None]);
    assert_eq!(matched("2 10 007", "0 1 10 2 7"), [Some(3), Some(2), Some(4)]);
    // Where a word is among them, a number is a name like others.
    assert_eq!(matched("2 02", "2 two"), [Some(0), None]);
    // Which of both it is, nobody knows; but equal lists are equal.
    assert_eq!(matched("crane cat", "crane cat crane"), [None, Some(1)]);
    assert_eq!(matched("cat cat", "cat dog"), [None, None]);
    assert_eq!(matched("crane crane", "crane crane"), [Some(0), Some(1)]);
}

#[test]
fn a_source_takes_the_order_of_a_list() {
    let ordered = list("emu cat dog", false).order(data("cat emu"), VALIDATION).unwrap();
    assert_eq!(ordered.class_names(), names("emu cat dog"));
    assert_eq!([ordered.label(0), ordered.label(1)], [1, 0]);
    assert_eq!(ordered.read(1).unwrap().pixels(), [1]);
    assert_eq!(ordered.name(1), "image 1");
}

#[test]
fn what_is_not_listed_is_refused_with_both_lists() {
    let said = message(list("cat dog", false).order(data("cat fox"), VALIDATION));
    assert_eq!(
        said,
        "the validation data has a class that the training data lacks: fox; classes of the training \
         data: cat, dog; of the validation data: cat, fox"
    );
    let twice = message(list("crane cat crane", false).order(data("crane cat"), VALIDATION));
    assert!(twice.contains("several classes are called `crane`"), "{twice}");
}

#[test]
fn a_class_without_images_may_be_unknown() {
    let source = Arc::new(Labels { names: names("fox cat"), labels: vec![1, 1] });
    assert_eq!(labels(list("cat dog", false).order(source, VALIDATION)), [0, 0]);
}

#[test]
fn numbers_are_positions_only_where_a_list_has_named_them() {
    let folders = list("0 1 10 11 2", false).order(data("0 1 2 10 11"), VALIDATION);
    assert_eq!(labels(folders), [0, 1, 4, 2, 3]);
    assert_eq!(labels(list("cat dog", true).order(data("0 1"), VALIDATION)), [0, 1]);
    let refused = message(list("cat dog", false).order(data("0 1"), VALIDATION));
    assert!(refused.contains("list in the `classes` of the validation data"), "{refused}");
    assert!(message(list("cat dog", true).order(data("1 2"), VALIDATION)).contains("lacks: 2"));
    // The other way round.
    assert_eq!(labels(list("1 0", false).order(data("cat dog"), NUMBERED)), [1, 0]);
    let refused = message(list("0 1", false).order(data("cat dog"), VALIDATION));
    assert!(refused.contains("list in the `classes` of the training data"), "{refused}");
}

#[test]
fn a_list_that_is_not_whole_is_refused_with_both_lists() {
    let wanted = list("cat dog emu", false);
    assert!(wanted.check_whole(&names("emu dog cat"), VALIDATION).is_ok());
    let said = wanted.check_whole(&names("cat emu"), VALIDATION).unwrap_err().to_string();
    assert!(said.contains("lacks classes of the training data: dog"), "{said}");
}

#[test]
fn long_lists_are_abridged() {
    assert_eq!(abridged(&names("a b")), "a, b");
    assert!(abridged(&numbered(100)).ends_with("9 and 90 more"));
}
