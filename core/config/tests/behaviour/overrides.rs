//! `--set path=value`.

use vitral_config::{ConfigError, Document};

use crate::example::*;

fn set(text: &str, assignment: &str) -> String {
    let mut document = Document::new("t.ron", text);
    let outcome = document.set::<Experiment>(assignment);
    outcome.unwrap_or_else(|error| panic!("{text} --set {assignment}: {error}"));
    document.text().to_owned()
}

fn refused(text: &str, assignment: &str) -> ConfigError {
    let mut document = Document::new("t.ron", text);
    let error = document.set::<Experiment>(assignment).expect_err(assignment);
    assert_eq!(document, Document::new("t.ron", text), "a refused change changes nothing");
    error
}

#[test]
fn values_are_replaced_in_place() {
    for (text, assignment, after) in [
        ("(a: 1, b: 2)", "a=3", "(a: 3, b: 2)"),
        ("(a: 1, b: 2)", " b = [1, 2] ", "(a: 1, b: [1, 2])"),
        ("(a: (b: (c: 1)))", "a.b.c=-0.5", "(a: (b: (c: -0.5)))"),
        ("(a: [1, (x: 2), 3])", "a[1].x=4", "(a: [1, (x: 4), 3])"),
        ("(o: AdamW(beta1: 0.9))", "o.beta1=0.8", "(o: AdamW(beta1: 0.8))"),
        ("(o: AdamW(beta1: 0.9))", "o=Lion(beta1: 0.95)", "(o: Lion(beta1: 0.95))"),
        ("(o: Some((x: 1)))", "o.x=2", "(o: Some((x: 2)))"),
        ("(o: Some(1))", "o=None", "(o: None)"),
        ("(m: {\"k.l\": 1})", "m[\"k.l\"]=2", "(m: {\"k.l\": 2})"),
        ("(/* a: */ a /* = */ : 1 /* one */)", "a=2", "(/* a: */ a /* = */ : 2 /* one */)"),
        ("(a: 1)", "a=2 // why", "(a: 2)"),
        ("(a:)", "a=2", "(a: 2)"),
    ] {
        assert_eq!(set(text, assignment), after);
    }
}

#[test]
fn quotes_may_be_left_out_where_a_string_stood() {
    for (text, assignment, after) in [
        ("(p: \"x\")", "p=data/train", "(p: \"data/train\")"),
        ("(p: \"x\")", "p=/data/train", "(p: \"/data/train\")"),
        ("(p: \"x\")", "p=word", "(p: \"word\")"),
        ("(p: \"x\")", "p=12", "(p: \"12\")"),
        ("(p: \"x\")", "p=a (b), c", "(p: \"a (b), c\")"),
        ("(p: \"x\")", "p=C:\\d", "(p: \"C:\\\\d\")"),
        ("(p: \"x\")", "p=a=b", "(p: \"a=b\")"),
        ("(p: \"x\")", "p=\"y\"", "(p: \"y\")"),
        ("(p: \"x\")", "p=None", "(p: None)"),
        ("(p: Some(\"x\"))", "p=y", "(p: \"y\")"),
        ("()", "p=/data/train", "(p: \"/data/train\")"),
    ] {
        assert_eq!(set(text, assignment), after);
    }
}

#[test]
fn missing_fields_and_their_parents_are_inserted() {
    for (text, assignment, after) in [
        ("()", "a=1", "(a: 1)"),
        ("( )", "a.b.c=1", "(a: (b: (c: 1)) )"),
        ("(a: 1)", "b=2", "(a: 1, b: 2)"),
        ("(a: 1,)", "b=2", "(a: 1, b: 2,)"),
        ("(a: ())", "a.b=2", "(a: (b: 2))"),
        ("(a: None)", "a.b=2", "(a: (b: 2))"),
        ("(o: AdamW)", "o.beta1=2", "(o: AdamW(beta1: 2))"),
        ("(o: AdamW())", "o.beta1=2", "(o: AdamW(beta1: 2))"),
        ("(o: Some(AdamW))", "o.beta1=2", "(o: Some(AdamW(beta1: 2)))"),
        ("(m: {})", "m.k=2", "(m: {\"k\": 2})"),
        ("(l: [1])", "l[1]=2", "(l: [1, 2])"),
        ("()", "l[0]=2", "(l: [2])"),
        ("", "a.b=1", "(a: (b: 1))\n"),
        ("// nothing", "a=1", "// nothing\n(a: 1)\n"),
        ("( // nothing\n)", "a=1", "(a: 1 // nothing\n)"),
        ("(a: 1 // one\n)", "b=2", "(a: 1, b: 2 // one\n)"),
    ] {
        assert_eq!(set(text, assignment), after);
    }
}

#[test]
fn an_inserted_line_is_laid_out_like_the_one_before() {
    for (text, assignment, after) in [
        ("(\n    a: 1,\n)", "b=2", "(\n    a: 1,\n    b: 2,\n)"),
        ("(\n    a: 1\n)", "b=2", "(\n    a: 1,\n    b: 2,\n)"),
        ("(\n\ta: 1, // one\n)", "b=2", "(\n\ta: 1, // one\n\tb: 2,\n)"),
        ("(\n a: 1 // one\n)", "b=2", "(\n a: 1, // one\n b: 2,\n)"),
        ("(\n a: 1, /* x\n y */\n)", "b=2", "(\n a: 1,\n b: 2, /* x\n y */\n)"),
        ("(\n a: 1, b: 2)", "c=3", "(\n a: 1, b: 2, c: 3)"),
        ("(\n a: (\n  b: 1,\n ),\n)", "a.c=2", "(\n a: (\n  b: 1,\n  c: 2,\n ),\n)"),
    ] {
        assert_eq!(set(text, assignment), after);
    }
}

#[test]
fn a_changed_document_parses_and_keeps_its_comments() {
    let mut document = Document::new("quick.ron", VALID);
    for assignment in [
        "train.learning_rate=0.5",
        "train.seed=7",
        "train.optimizer=Lion(beta1: 0.95)",
        "model.pool=Mean",
        "data.augment[1].probability=1",
        "data.path=/data/other",
    ] {
        document.set::<Experiment>(assignment).unwrap();
    }
    let experiment: Experiment = document.parse().unwrap();
    assert_eq!(experiment.train.learning_rate, 0.5);
    assert_eq!(experiment.train.seed, 7);
    assert_eq!(experiment.train.optimizer, Optimizer::Lion { beta1: 0.95 });
    assert_eq!(experiment.model.pool, Pool::Mean);
    assert_eq!(experiment.data.augment[1].probability, 1.0);
    assert_eq!(experiment.data.path.to_str(), Some("/data/other"));
    for comment in ["// A small run.", "/* é */", "// soon"] {
        assert!(document.text().contains(comment));
    }
}

#[test]
fn a_group_that_the_text_lacks_is_the_choice_that_is_default() {
    for (text, assignment, after) in [
        ("()", "train.optimizer.beta1=0.8", "(train: (optimizer: AdamW(beta1: 0.8)))"),
        ("", "train.optimizer.beta1=0.8", "(train: (optimizer: AdamW(beta1: 0.8)))\n"),
        ("(train: ())", "train.optimizer.beta1=0.8", "(train: (optimizer: AdamW(beta1: 0.8)))"),
        (
            "(train: (optimizer: Lion(beta1: 0.9)))",
            "train.optimizer.beta1=0.8",
            "(train: (optimizer: Lion(beta1: 0.8)))",
        ),
        // Not: groups that are no choice.
        ("()", "train.resume.run=/x", "(train: (resume: (run: \"/x\")))"),
    ] {
        assert_eq!(set(text, assignment), after);
    }
    let error = refused("(model: ())", "model.pool.heads=2");
    assert_eq!(error.message, "`model.pool` is `Class` by default, which has no `heads`");
    let help = "`Attention` has it: --set 'model.pool=Attention(heads: ...)'";
    assert_eq!(error.help.as_deref(), Some(help));
    // What no choice has is told by the text that comes of it.
    let mut document = Document::new("t.ron", "(name: \"x\", model: ())");
    document.set::<Experiment>("train.optimizer.momentum=1").unwrap();
    let error = document.parse::<Experiment>().unwrap_err();
    assert!(error.message.contains("`momentum`") || error.message.contains("choice"), "{error}");
}

#[test]
fn an_error_from_a_set_value_shows_the_changed_text() {
    let mut document = Document::new("quick.ron", VALID);
    document.set::<Experiment>("train.learning_rate=3.0").unwrap();
    document.set::<Experiment>("train.seed=1").unwrap();
    let error = document.parse::<Experiment>().unwrap_err();
    assert_eq!(error.name, "quick.ron with --set");
    assert_eq!(underlined(&error), "3.0");

    let mut document = Document::new("quick.ron", VALID);
    document.set::<Experiment>("train.lerning_rate=3.0").unwrap();
    let error = document.parse::<Experiment>().unwrap_err();
    assert_eq!(underlined(&error), "lerning_rate");
}

#[test]
fn malformed_assignments_are_refused() {
    for (text, assignment, underline, message) in [
        ("()", "a.b", "a.b", "an assignment is `path.to.field=value`"),
        ("()", "", "", "an assignment is `path.to.field=value`"),
        ("()", "=1", "=", "the path before `=` is missing"),
        ("()", "a..b=1", "..b", "not a path: a field's name is missing here"),
        ("()", "a[x]=1", "[x]", "not a path: expected an item's number in `[ ]`, from 0"),
        ("()", "a=", "", "the value after `=` is missing"),
        ("(a: 1)", "a.b=1", "a.b", "`a` has no fields, so no `b`"),
        ("(a: \"x\")", "a.b=1", "a.b", "`a` has no fields, so no `b`"),
        ("(a: (1, 2))", "a.b=1", "a.b", "`a` has no fields, so no `b`"),
        ("(a: true)", "a.b=1", "a.b", "`a` has no fields, so no `b`"),
        ("(a: [1])", "a[3]=1", "a[3]", "`a` has 1 item, so there is no [3]"),
        ("(a: (b: 1))", "a[3]=1", "a[3]", "`a` is not a list"),
        ("()", "a[1]=1", "a[1]", "the configuration has no list there, so there is no [1]"),
        ("5", "a=1", "a", "the configuration has no fields, so no `a`"),
    ] {
        let error = refused(text, assignment);
        assert_eq!(error.name, "--set");
        assert_eq!((underlined(&error), error.message.as_str()), (underline, message));
    }
    let error = refused("(a: 1)", "a=(1, ");
    assert_eq!(underlined(&error), "(1,");
    assert!(error.message.starts_with("the value after `=` is not valid RON"));
}

#[test]
fn what_was_assigned_is_known() {
    let mut document = Document::new("t.ron", "(a: (b: 1), c: None, d: [2])");
    document.set::<Experiment>("a.b=3").unwrap();
    document.set::<Experiment>(" d = [4, 5]").unwrap();
    assert_eq!(document.assigned().collect::<Vec<_>>(), ["a.b", "d"]);
    for (field, is_assigned) in
        [("a.b", true), ("a.b.c", true), ("a", false), ("d[1]", true), ("c", false)]
    {
        assert_eq!(document.is_assigned(field), is_assigned, "{field}");
    }
    for (field, is_given) in [("a.b", true), ("a.x", false), ("c", false), ("d[0]", true)] {
        assert_eq!(document.gives(field), is_given, "{field}");
    }
}
