//! What an experiment sets, and what runs differ in.

use vitral_config::{Difference, Document};
use vitral_train::Experiment;

use super::Run;
use crate::{
    commands::config::SMALLEST,
    page::{escape, table},
};

/// The fields in which runs differ: a row for each, a column for each run. What is not as in the first run is
/// marked.
pub fn differences(runs: &[Run]) -> String {
    let Some((first, others)) = runs.split_first() else { return String::new() };
    let compared: Vec<Vec<Difference>> = others
        .iter()
        .map(|other| vitral_config::differences(&first.experiment, &other.experiment))
        .collect();
    let mut fields: Vec<(&str, Option<&str>)> = Vec::new();
    for difference in compared.iter().flatten() {
        // Where each has its files is its name.
        if difference.field != "output"
            && fields.iter().all(|(field, _)| *field != difference.field)
        {
            fields.push((&difference.field, difference.first.as_deref()));
        }
    }
    if fields.is_empty() {
        return "<h2>Differences</h2>\n<p>The experiments are the same.</p>\n".into();
    }
    let names: String = runs.iter().map(|run| format!("<th>{}</th>", escape(&run.name))).collect();
    let mut rows = format!("<tr><th>field</th>{names}</tr>\n");
    for (field, value) in fields {
        let mut cells = cell(value, false);
        for found in &compared {
            let difference = found.iter().find(|difference| difference.field == field);
            cells += &match difference {
                Some(difference) => cell(difference.second.as_deref(), true),
                None => cell(value, false),
            };
        }
        rows += &format!("<tr><td>{}</td>{cells}</tr>\n", escape(field));
    }
    format!("<h2>Differences</h2>\n{}", table(&rows))
}

fn cell(value: Option<&str>, is_changed: bool) -> String {
    let changed = if is_changed { " changed" } else { "" };
    format!("<td class=\"v{changed}\">{}</td>", value.map_or_else(|| "-".into(), escape))
}

/// What the experiment of a run has of its own, and behind it all of it.
pub fn changed(run: &Run, is_named: bool) -> String {
    let own = match own(&run.experiment) {
        rows if rows.is_empty() => String::new(),
        rows => table(&format!("<tr><th>field</th><th>default</th><th>set</th></tr>\n{rows}")),
    };
    let name = if is_named { format!(": {}", escape(&run.name)) } else { String::new() };
    let text = escape(&run.experiment);
    format!(
        "<h2>Experiment{name}</h2>\n{own}<details><summary>All fields</summary>\n<pre>{text}</pre>\
         </details>\n"
    )
}

/// A row for each field that has not its default.
fn own(experiment: &str) -> String {
    let defaults = Document::new("defaults", SMALLEST).parse::<Experiment>();
    // What is the smallest is an experiment, and can be written.
    let Some(defaults) = defaults.ok().and_then(|defaults| vitral_config::to_ron(&defaults).ok())
    else {
        return String::new();
    };
    let row = |difference: &Difference| {
        let values =
            [&difference.first, &difference.second].map(|value| cell(value.as_deref(), false));
        format!("<tr><td>{}</td>{}</tr>\n", escape(&difference.field), values.concat())
    };
    vitral_config::differences(&defaults, experiment).iter().map(row).collect()
}
