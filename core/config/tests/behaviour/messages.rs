//! Every kind of mistake, the words for it, and exactly what is underlined.

use vitral_config::{ConfigError, Document};

use crate::example::*;

/// A text in which `«` and `»` enclose what should be underlined, the message, and a part of the help.
type Case = (&'static str, &'static str, &'static str);

fn check(cases: &[Case]) {
    for (marked, message, help) in cases {
        let text = marked.replace(['«', '»'], "");
        let start = marked.find('«').expect("the case marks its span");
        let end = marked.find('»').expect("the case marks its span") - '«'.len_utf8();
        let before = &text[..start];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;

        let error = error(&text);
        assert_eq!(underlined(&error), &text[start..end], "{marked}\n{error}");
        assert_eq!((error.line, error.column), (line, column), "{marked}");
        assert_eq!(error.message, *message, "{marked}");
        let given = error.help.as_deref().unwrap_or_default();
        assert!(given.contains(help), "{marked}\nhelp: {given}");
        assert!(!help.is_empty() || given.is_empty(), "{marked}\nhelp: {given}");
    }
}

#[test]
fn names_that_do_not_exist_come_with_the_nearest_that_does() {
    check(&[
        (
            "(\n  model: («dept»: 3),\n)",
            "unknown field `dept`",
            "did you mean `depth`? (fields here: depth, width, heads, dropout, image, pool, bias)",
        ),
        ("(model: (), «modle»: ())", "unknown field `modle`", "did you mean `model`?"),
        ("(model: («banana»: 3))", "unknown field `banana`", "fields here: depth, width"),
        ("(name: \"é\", model: («dépth»: 3))", "unknown field `dépth`", "mean `depth`?"),
        (
            "(model: («weight-decay»: 2))",
            "`weight-decay` is not a name",
            "did you mean `weight_decay`?",
        ),
        (
            "(model: (), train: (optimizer: AdamW(«betas»: 3)))",
            "unknown field `betas`",
            "`betas` is called `beta1` here; fields here: beta1, weight_decay",
        ),
        (
            "(model: (), train: (optimizer: «adamw»(beta1: 3)))",
            "unknown choice `adamw`",
            "did you mean `AdamW`? (choices here: AdamW, Lion, Sgd)",
        ),
        ("(model: (pool: «Max»))", "unknown choice `Max`", "choices here: Class, Mean, Attention"),
        (
            "(\n model: (depth: 1,\n «train»: ()\n)",
            "unknown field `train`",
            "the brackets in this text do not match",
        ),
    ]);
}

#[test]
fn a_field_in_the_wrong_group_is_sent_to_the_right_one() {
    check(&[
        (
            "(model: («learning_rate»: 1), train: ())",
            "unknown field `learning_rate`",
            "`learning_rate` belongs to `train`",
        ),
        (
            "(model: (), train: («beta1»: 1))",
            "unknown field `beta1`",
            "`beta1` belongs to `train.optimizer`",
        ),
    ]);
}

#[test]
fn names_that_other_programs_use_are_known() {
    check(&[
        (
            "(model: (), train: («lr»: 1))",
            "unknown field `lr`",
            "`lr` is called `learning_rate` here; fields here",
        ),
        (
            "(model: («lr»: 1))",
            "unknown field `lr`",
            "`lr` is called `learning_rate`, which belongs to `train`",
        ),
    ]);
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    for (text, messages) in [
        (
            "(modle: (), model: (dept: 1, depth: \"x\", heads: 256, width: 2), data: (prot: 2))",
            &[
                "unknown field `modle`",
                "unknown field `dept`",
                "expected an integer, found a string",
                "`model.heads` is 256, but must be at most 255",
                "unknown field `prot`",
            ][..],
        ),
        // Ranges are told beside what cannot be read at all.
        (
            "(model: (depth: 0, pool: Max), train: (learning_rate: 2.0, seed: -1))",
            &[
                "`model.depth` is 0, but must be at least 1",
                "unknown choice `Max`",
                "`train.learning_rate` is 2.0, but must be at most 1.0",
                "`train.seed` is -1, but must be at least 0",
            ],
        ),
        // Items of a list keep their numbers where others are wrong.
        (
            "(model: (), train: (milestones: [\"a\", 1, \"b\", 0]))",
            &[
                "expected an integer, found a string",
                "expected an integer, found a string",
                "`train.milestones[3]` is 0, but must be at least 1",
            ],
        ),
        // Not: what only follows from another mistake.
        ("(model: 5)", &["expected a group `( ... )`, found `5`"]),
        ("(model: (), train: (resume: (rnu: \"x\")))", &["unknown field `rnu`"]),
        ("(model: (), train: (resume: (x: \"x\")))", &["missing field `run`", "unknown field `x`"]),
        ("(model: (), train: (resume: (run: 5)))", &["expected a string, found `5`"]),
        // Behind a bracket or a comma that is missing, nothing is certain.
        (
            "(model: (dept: 1, width: 2 heads: 3, x: 4))",
            &["unknown field `dept`", "expected a comma"],
        ),
    ] {
        let error = error(text);
        let found: Vec<&str> = std::iter::once(&error)
            .chain(&error.others)
            .map(|error| error.message.as_str())
            .collect();
        assert_eq!(found, messages, "{text}");
    }
    let error = error("(modle: (), model: (dept: 1))");
    assert_eq!(error.to_string().matches("unknown field").count(), 2, "{error}");
}

#[test]
fn a_text_full_of_mistakes_is_cut_off() {
    let fields: String = (0..100).map(|n| format!("x{n}: 1, ")).collect();
    assert_eq!(error(&format!("({fields} model: ())")).others.len(), 19);
}

#[test]
fn a_decimal_comma_becomes_a_point() {
    check(&[
        ("(model: (dropout: «0,05»))", "`0,05` is not a number", "write 0.05"),
        ("(model: (dropout: «0,05», width: 2))", "`0,05` is not a number", "write 0.05"),
        ("(model: (dropout: «\"0,05\"»))", "expected a number, found a string", "point: 0.05"),
    ]);
}

#[test]
fn one_value_in_the_place_of_a_list_is_shown_in_brackets() {
    check(&[
        (
            "(model: (), train: (milestones: «5»))",
            "expected a list `[ ... ]`, found `5`",
            "write it in square brackets: [5]",
        ),
        (
            "(model: (), data: (augment: «\"x\"»))",
            "expected a list `[ ... ]`, found a string",
            "write it in square brackets: [\"x\"]",
        ),
    ]);
}

#[test]
fn missing_and_repeated_fields_are_named() {
    check(&[
        ("«(»)", "missing field `model`", "The network."),
        ("(model: (), train: («resume»: ()))", "missing field `run`", ""),
        ("(model: (), train: (\n  «resume»: (\n  )\n))", "missing field `run`", ""),
        ("(model: (), train: (optimizer: «Lion»()))", "missing field `beta1`", ""),
        ("(model: (), data: (augment: [«(»)]))", "missing field `name`", ""),
        (
            "(model: (depth: 1, width: 2,\n «depth»: 3))",
            "field `depth` is given twice",
            "given first on line 1",
        ),
    ]);
}

#[test]
fn wrong_types_say_what_is_expected() {
    let blocks = "Transformer blocks.";
    check(&[
        ("(model: (depth: «\"x\"»))", "expected an integer, found a string", blocks),
        ("(model: (depth: «\"3\"»))", "expected an integer, found a string", "without quotes: 3"),
        ("(model: (depth: «0.5»))", "expected an integer, found `0.5`", blocks),
        ("(model: (depth: «1e3», width: 1))", "expected an integer, found `1e3`", "as 1000"),
        ("(model: (depth: «foo»))", "expected an integer, found the word `foo`", blocks),
        ("(model: (depth: «abc»))", "expected an integer, found the word `abc`", blocks),
        ("(model: (depth: «true»))", "expected an integer, found `true`", blocks),
        ("(model: (depth: «[1]»))", "expected an integer, found a list `[ ... ]`", blocks),
        ("(model: (depth: «(a: 1)»))", "expected an integer, found a group `( ... )`", blocks),
        ("(model: (depth: «{}»))", "expected an integer, found a map `{ ... }`", blocks),
        ("(model: (depth: «0b12»))", "`2` is not a digit of a number in base 2", blocks),
        ("(model: (dropout: «\"a\"»))", "expected a number, found a string", "Share of"),
        ("(model: (dropout: «1.2.3»))", "expected a number, found `1.2.3`", "Share of"),
        ("(model: (dropout: «0.__1»))", "a `_` in this number is in the wrong place", ""),
        ("(model: (bias: «yes»))", "expected `true` or `false`, found the word `yes`", "`true`"),
        ("(name: «5», model: ())", "expected a string, found `5`", "write it in quotes: \"5\""),
        ("(name: «a», model: ())", "expected a string, found the word `a`", "in quotes: \"a\""),
        ("(model: «5»)", "expected a group `( ... )`, found `5`", "The network."),
        ("(model: («1», 2))", "expected a field's name, found `1`", ""),
        ("(model: «Vit»(depth: 3))", "expected a group `( ... )`, found the word `Vit`", "leave"),
        (
            "(model: (), data: (augment: «(name: \"x\")»))",
            "expected a list `[ ... ]`, found a group `( ... )`",
            "square brackets",
        ),
        (
            "(model: (), data: (weights: {«a»: 1}))",
            "expected a string, found the word `a`",
            "\"a\"",
        ),
        ("(model: (), data: (weights: {\"a\": «'b'»}))", "expected a number, found `'b'`", ""),
        (
            "(model: (), train: (clip: Some(«\"x\"»)))",
            "expected a number, found a string",
            "Largest norm",
        ),
        ("(model: (), train: (clip: «x»))", "expected a number, found the word `x`", "Largest"),
        ("(model: (), train: (milestones: [1, «-»]))", "expected an integer, found `-`", ""),
        ("(model: (), data: (port: «81»))", "ports are even", "A number that serde checks itself."),
    ]);
}

#[test]
fn a_path_without_quotes_is_shown_with_them() {
    check(&[
        (
            "(model: (), data: (path: «data»/train))",
            "expected a string, found the word `data`",
            "write it in quotes: \"data/train\"",
        ),
        (
            "(model: (), data: (path: «/data/train»))",
            "`/data/train` is not a value",
            "write it in quotes: \"/data/train\"",
        ),
    ]);
}

#[test]
fn numbers_beyond_their_type_name_the_limit() {
    check(&[
        ("(model: (depth: «-1»))", "`model.depth` is -1, but must be at least 1", "Transformer"),
        ("(model: (heads: «256»))", "`model.heads` is 256, but must be at most 255", ""),
        (
            "(model: (), train: (seed: «18446744073709551616»))",
            "the number 18446744073709551616 is out of range",
            "",
        ),
    ]);
}

#[test]
fn choices_are_told_from_other_values() {
    check(&[
        (
            "(model: (), train: (optimizer: «\"AdamW\"»))",
            "expected a choice, found a string",
            "write it without quotes: AdamW",
        ),
        ("(model: (pool: «5»))", "expected a choice, found `5`", "Class, Mean, Attention"),
        ("(model: (pool: «(heads: 1)»))", "expected a choice, found a group `( ... )`", "Class"),
        (
            "(model: (), train: (optimizer: «AdamW»))",
            "`AdamW` needs values in parentheses",
            "write `AdamW()` for the defaults",
        ),
        (
            "(model: (), train: (warmup: «Epochs»))",
            "`Epochs` needs values in parentheses",
            "write `Epochs( ... )` with its values",
        ),
        (
            "(model: (), train: (optimizer: Sgd«(»momentum: 1)))",
            "`Sgd` takes no values in parentheses",
            "write only `Sgd`",
        ),
        (
            "(model: (), train: (optimizer: AdamW(«(»beta1: 3))))",
            "expected a field's name, found a group `( ... )`",
            "one pair of parentheses is enough",
        ),
    ]);
}

#[test]
fn tuples_of_the_wrong_length_are_counted() {
    check(&[
        ("(model: (image: «5»))", "expected a group `( ... )`, found `5`", "Height"),
        ("(model: (image: «(1,)»))", "expected 2 values, found 1", "Height"),
        (
            "(model: (image: (1, 2, «3»)))",
            "these parentheses hold too many values",
            "Height and width of the image.",
        ),
    ]);
}

#[test]
fn punctuation_is_missed_where_it_is_missing() {
    check(&[
        ("(\n  model: (depth: «1»\n width: 2)\n)", "expected a comma", ""),
        ("(\n  model: (depth: 1«)»\n  train: ()\n)", "expected a comma", ""),
        ("(model: («depth» 1))", "expected `:` and a value behind `depth`", ""),
        ("(model: (depth «=» 1))", "expected `:`, found `=`", "write `depth: value`"),
        ("(model: («depth:» ))", "`depth` has no value", ""),
        ("(model: («depth:» , width: 1))", "`depth` has no value", ""),
        ("(model: (),«,» )", "expected a field's name, found `,`", ""),
        ("(model: () «/» x)", "unexpected `/`", ""),
        ("(model: ()) «x»", "there is text after the end", "too many"),
        ("(model: (depth: 1))«)»", "there is text after the end", "too many"),
        (
            "«name»: \"x\"\nmodel: ()",
            "the configuration has no parentheses around it",
            "one pair of parentheses",
        ),
    ]);
}

#[test]
fn what_has_no_end_is_underlined_where_it_begins() {
    check(&[
        ("«(»model: (depth: 1)", "this `(` is never closed", ""),
        ("(model: (), train: «(»", "this `(` is never closed", ""),
        (
            "(model: (image: (1, 2«]»))",
            "expected `)`, found `]`",
            "the `(` on line 1, column 17 is still open",
        ),
        ("(name: «\"abc, model: ())»", "this string has no end", ""),
        (
            "(name: «\"abc,»\n model: (),\n data: (path: \"x\"))",
            "this string has no closing quote on its line",
            "close it",
        ),
        ("(model: () «/*» x", "this comment has no end", ""),
        ("(name: «r#\"a\", model: ())»", "this string has no end", ""),
    ]);
}

#[test]
fn escapes_are_explained() {
    check(&[
        (
            r#"(model: (), data: (path: "C:«\d»ata"))"#,
            r"`\d` is not an escape in a string",
            "use `/` in paths",
        ),
        (r#"(name: "é«\u{z»z}b")"#, r"`\u{z` is malformed: non-hex digit found", "backslash"),
    ]);
}

#[test]
fn a_text_without_anything_is_called_empty() {
    check(&[
        ("«»", "the configuration is empty", "write at least `(model: ())`"),
        ("«»  \n", "the configuration is empty", "`(model: ())`"),
        ("«»// only a comment", "the configuration is empty", "`(model: ())`"),
    ]);
}

#[test]
fn brackets_without_end_are_no_stack_overflow() {
    let deep = format!("(model: {}{})", "[".repeat(5000), "]".repeat(5000));
    assert_eq!(error(&deep).column, 9);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let missing = std::path::Path::new("/nowhere/x.ron");
    let error = Document::read(missing).unwrap_err();
    assert_eq!((error.name.as_str(), &error.span, error.line), ("/nowhere/x.ron", &None, 0));
    assert!(error.to_string().starts_with("/nowhere/x.ron: cannot read this file: "));
}

#[test]
fn errors_are_small_and_can_cross_threads() {
    fn crosses<T: std::error::Error + Send + Sync + 'static>() {}
    crosses::<ConfigError>();
    assert_eq!(size_of::<ConfigError>(), size_of::<usize>());
}

#[test]
fn a_text_that_is_longer_than_anybodys_is_not_read_and_little_of_it_is_told() {
    let long = format!("(model: (depth: [{}]))", "1,".repeat(75_000));
    let found = error(&long);
    assert!(found.message.contains("more than 131072 names"), "{}", found.message);
    assert!(found.span.clone().is_some_and(|span| span.start > 120_000), "{:?}", found.span);
    let mut document = Document::new("long", long);
    let found = document.set::<Experiment>("model.depth=3").unwrap_err();
    assert!(found.message.contains("more than 131072 names"), "{}", found.message);

    let name = "x".repeat(1 << 20);
    let found = error(&format!("(model: ({name}: 3, dept: 4, {name}y: 5))"));
    assert!(found.message.starts_with("unknown field `xxx"), "{:.99}", found.message);
    assert!(found.message.len() < 5000 && found.others.is_empty());
}
