//! An experiment as a whole, as `vitral train` reads it: the text, `--set`, and the checks that compare
//! fields and point back into the text.
//!
//! The first line is an assignment of `--set`, the rest the text.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use vitral_config::{ConfigError, Document, to_ron};
use vitral_train::Experiment;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    let (assignment, text) = text.split_once('\n').unwrap_or(("", text));
    let mut document = Document::new("fuzz.ron", text);
    read(&document);
    match document.set::<Experiment>(assignment) {
        Ok(()) => read(&document),
        Err(error) => check(&error),
    }
});

fn read(document: &Document) {
    let mut experiment: Experiment = match document.parse() {
        Ok(experiment) => experiment,
        Err(error) => return check(&error),
    };
    // What can be read is the same when it was written and read again.
    let text = to_ron(&experiment).expect("what was read can be written");
    let again = Document::new("again.ron", text).parse::<Experiment>();
    let again = again.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(again, experiment);
    experiment.resolve_paths(Path::new("/folder"));
    if let Err(problem) = experiment.check() {
        assert!(!problem.message.is_empty() && !problem.help.is_empty());
        return check(&document.error_at(&problem.field, problem.message, Some(problem.help)));
    }
    let (_, size) = experiment.input().expect("it was checked");
    assert!(size > 0);
    let resolved = experiment.resolved(10);
    assert_eq!(resolved.check(), Ok(()), "what was written out is right, too");
    assert_eq!(resolved.resolved(10), resolved);
    let _ = [0.0, 0.5, 1e9].map(|epoch| resolved.patch_dropout_at(epoch));
}

/// An error says something, of a place that the text has.
fn check(error: &ConfigError) {
    assert!(!error.message.is_empty() && !error.to_string().is_empty());
    if let Some(span) = error.span.clone() {
        assert!(error.text.get(span).is_some());
        assert!(error.line > 0 && error.column > 0);
    }
}
