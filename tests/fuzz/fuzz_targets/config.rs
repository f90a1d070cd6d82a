//! An experiment's text: the outline, `--set`, errors, and the `data` part, which needs no model.
//!
//! The first line is an assignment of `--set`, the rest the text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use vitral_config::{Document, to_ron};
use vitral_data::DataConfig;

/// The part of an experiment that can be read without a model, and what stands beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Experiment {
    data: DataConfig,
    #[serde(default)]
    seed: u64,
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    let (assignment, text) = text.split_once('\n').unwrap_or(("", text));
    let mut document = Document::new("fuzz.ron", text);
    read::<Experiment>(&document);
    read::<DataConfig>(&document);
    let path = assignment.split('=').next().unwrap_or_default();
    let span = document.span_of(path);
    assert!(document.text().get(span).is_some());
    let _ = document.error_at(path, "is wrong", None).to_string();
    match document.set::<Experiment>(assignment) {
        Ok(()) => read::<Experiment>(&document),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

/// What can be read is the same when it was written and read again.
fn read<T>(document: &Document)
where
    T: DeserializeOwned + Serialize + JsonSchema + PartialEq + std::fmt::Debug,
{
    match document.parse::<T>() {
        Ok(value) => {
            let text = to_ron(&value).expect("what was read can be written");
            let again = Document::new("again.ron", text).parse::<T>();
            let again = again.unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(again, value);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
