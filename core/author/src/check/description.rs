//! What a plugin says of itself.

use vitral_bundle::{PackInput, SourceManifest};
use vitral_host::{Description, Plugin};

use super::finding::{Checked, all};

/// Whether everything is described, and a bundle can hold it. The host has checked names, version
/// and types already.
pub(super) fn check(plugin: &Plugin) -> Checked {
    let description = plugin.description();
    let mut problems = missing(description);
    let input = PackInput::new(plugin.kind(), description.clone(), SourceManifest::default());
    // A form without content: to compress one with an interpreter takes ten seconds.
    let input = input.wasm(Vec::new());
    if let Err(error) = vitral_bundle::pack(&input, None) {
        problems.push(error.to_string());
    }
    all(problems)?;
    let Description { name, version, parameters, examples, .. } = description;
    let (parameters, examples) = (parameters.len(), examples.len());
    Ok(format!("{name} {version}, {parameters} parameters, {examples} examples"))
}

fn missing(description: &Description) -> Vec<String> {
    let is_blank = |text: &str| text.trim().is_empty();
    let mut problems = Vec::new();
    if is_blank(&description.summary) {
        problems.push("it has no summary, which users choose by".to_owned());
    }
    for parameter in description.parameters.iter().filter(|it| is_blank(&it.doc)) {
        problems.push(format!("parameter `{}` has no documentation", parameter.name));
    }
    for example in description.examples.iter().filter(|it| is_blank(&it.title)) {
        problems.push(format!("an example has no title: {:?}", example.settings));
    }
    let needs_example = description.parameters.iter().any(|it| it.default.is_none());
    if needs_example && description.examples.is_empty() {
        let problem = "it has parameters that must be set, but no example that sets them";
        problems.push(problem.to_owned());
    }
    problems
}

#[cfg(test)]
mod tests {
    use vitral_host::{Example, Parameter, ParameterType};

    use super::*;

    #[test]
    fn everything_has_words() {
        let parameter = |doc: &str| Parameter {
            name: "path".into(),
            doc: doc.into(),
            r#type: ParameterType::Text,
            default: None,
        };
        let described = |summary: &str, doc: &str, examples| Description {
            name: "x".into(),
            version: "1.0.0".into(),
            summary: summary.into(),
            parameters: vec![parameter(doc)],
            examples,
        };
        let example = |title: &str| vec![Example::new(title).set("path", "/x")];
        for (description, count) in [
            (described("Does", "A file.", example("One")), 0),
            (described(" ", "", example("")), 3),
            (described("Does", "A file.", vec![]), 1),
        ] {
            assert_eq!(missing(&description).len(), count, "{description:?}");
        }
    }
}
