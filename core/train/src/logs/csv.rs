//! Tables of a run's figures: one of steps, one of evaluations, one of what monitors measure.

use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
};

use serde_json::Value;
use vitral_files::{Access, Existing};

use super::{Log, folder};
use crate::{Error, error::AtPath};

/// The tables: the lines of the metrics that each has, and what of them.
const TABLES: [(&str, &str, &[&str]); 3] = [
    (
        "step",
        "train.csv",
        &[
            "step",
            "epoch",
            "loss",
            "accuracy",
            "gradient_norm",
            "learning_rate",
            "images_per_second",
            "data_wait",
            "left_out",
            "loss_scale",
            "skipped_steps",
            "micro_batch",
        ],
    ),
    ("eval", "val.csv", &["step", "epoch", "loss", "top1", "top5", "images", "skipped"]),
    ("monitor", "monitors.csv", &["step", "monitor", "name", "value"]),
];

/// The tables of a run.
pub struct Csv {
    files: Vec<(PathBuf, File)>,
}

impl Csv {
    /// Writes the tables anew, with these lines, and opens them to add others.
    pub fn open(run: &Path, lines: &[Value]) -> Result<Self, Error> {
        let folder = folder(run, "csv")?;
        let mut files = Vec::new();
        for (kind, name, columns) in TABLES {
            let path = folder.join(name);
            let rows = lines.iter().filter(|line| line["kind"] == kind);
            let rows: String = rows.map(|line| row(line, columns)).collect();
            let text = format!("{}\n{rows}", columns.join(","));
            let written =
                vitral_files::write(&path, text.as_bytes(), Existing::Replace, Access::Usual);
            written.at(&path)?;
            let file = vitral_files::append(&path).at(&path)?;
            files.push((path, file));
        }
        Ok(Self { files })
    }
}

impl Log for Csv {
    fn line(&mut self, line: &Value) -> Result<(), Error> {
        for ((kind, _, columns), (path, file)) in TABLES.iter().zip(&mut self.files) {
            if line["kind"] == *kind {
                file.write_all(row(line, columns).as_bytes()).at(path)?;
            }
        }
        Ok(())
    }
}

/// A line as a row. What it does not have, and what is no number, is empty.
fn row(line: &Value, columns: &[&str]) -> String {
    let cell = |column: &&str| match &line[*column] {
        Value::Null => String::new(),
        Value::String(text) => quoted(text),
        value => value.to_string(),
    };
    columns.iter().map(cell).collect::<Vec<_>>().join(",") + "\n"
}

fn quoted(text: &str) -> String {
    match text.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}
