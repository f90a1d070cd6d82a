//! No text, however damaged, makes anything panic or a span fall between characters.

use vitral_config::{ConfigError, Document, to_ron};

use crate::example::*;

fn on_boundaries(error: &ConfigError) {
    if let Some(span) = &error.span {
        assert!(span.start <= span.end, "{error}");
        assert!(error.text.is_char_boundary(span.start), "{error}");
        assert!(error.text.is_char_boundary(span.end), "{error}");
        assert!(error.line >= 1 && error.column >= 1);
    }
    assert!(!error.message.is_empty());
}

fn survives(text: String) {
    let document = Document::new("damaged", text);
    match document.parse::<Experiment>() {
        Ok(experiment) => assert!(to_ron(&experiment).is_ok()),
        Err(error) => on_boundaries(&error),
    }
    for path in ["name", "train.optimizer.beta1", "data.augment[1].probability", "a.b"] {
        let span = document.span_of(path);
        assert!(document.text().get(span).is_some(), "{}", document.text());
        on_boundaries(&document.error_at(path, "wrong", None));
    }
    for assignment in ["train.optimizer.weight_decay=0.1", "data.path=x/y", "new.field[0]=é"] {
        if let Err(error) = document.clone().set::<Experiment>(assignment) {
            on_boundaries(&error);
        }
    }
}

#[test]
fn a_document_may_be_damaged_at_every_place() {
    for (at, old) in VALID.char_indices() {
        let (before, after) = (&VALID[..at], &VALID[at + old.len_utf8()..]);
        survives(before.to_owned());
        survives(format!("{before}{after}"));
        for new in "()[]\",:é\0/'#-\\r_5".chars() {
            survives(format!("{before}{new}{after}"));
        }
    }
}

#[test]
fn an_assignment_may_be_damaged_at_every_place() {
    let whole = "data.augment[1].name=\"é(x)\"";
    for (at, old) in whole.char_indices() {
        for new in ["", "(", "[", "]", "\"", ".", "=", "é", "\0", "//", "/*"] {
            let damaged = format!("{}{new}{}", &whole[..at], &whole[at + old.len_utf8()..]);
            let mut document = Document::new("t", VALID);
            match document.set::<Experiment>(&damaged) {
                Ok(()) => {
                    drop(document.parse::<Experiment>().map_err(|error| on_boundaries(&error)))
                }
                Err(error) => on_boundaries(&error),
            }
        }
    }
}
