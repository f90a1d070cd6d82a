//! Tables with a row for each image: CSV, JSON lines or Parquet.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use vitral_files::{Access, Existing, NewFile};

use super::{
    answer::{Answer, columns},
    table_parquet::ParquetTable,
};
use crate::failure::Failure;

/// A table that is being written; it appears when it is whole.
pub struct Table {
    path: PathBuf,
    rows: Rows,
}

enum Rows {
    Csv(NewFile, usize),
    JsonLines(NewFile),
    Parquet(Box<ParquetTable>),
}

impl Table {
    /// Begins a table whose images have so many classes at most, in the format that the file's name says.
    pub fn create(path: &Path, classes: usize) -> Result<Self, Failure> {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let file = || {
            let made = NewFile::create(path, Existing::ReplaceFile, Access::Usual);
            made.map_err(|error| failed(path, error))
        };
        let rows = match extension.as_str() {
            "csv" => {
                let mut file = file()?;
                writeln!(file, "{}", header(classes)).map_err(|error| failed(path, error))?;
                Rows::Csv(file, classes)
            }
            "jsonl" => Rows::JsonLines(file()?),
            "parquet" => {
                let table = ParquetTable::new(file()?, classes);
                Rows::Parquet(Box::new(table.map_err(|error| failed(path, error))?))
            }
            _ => {
                return Err(Failure::Usage(format!(
                    "--output {}: a table goes to a .csv, .jsonl or .parquet file",
                    path.display()
                )));
            }
        };
        Ok(Self { path: path.into(), rows })
    }

    pub fn add(&mut self, answer: &Answer<'_>) -> Result<(), Failure> {
        let added = match &mut self.rows {
            Rows::Csv(file, classes) => writeln!(file, "{}", csv_row(answer, *classes)),
            Rows::JsonLines(file) => writeln!(file, "{}", answer.to_json()),
            Rows::Parquet(table) => table.add(answer),
        };
        added.map_err(|error| failed(&self.path, error))
    }

    /// Has the table appear, and tells where.
    pub fn finish(self) -> Result<PathBuf, Failure> {
        let finished = match self.rows {
            Rows::Csv(file, _) | Rows::JsonLines(file) => file.finish(),
            Rows::Parquet(table) => table.finish(),
        };
        finished.map_err(|error| failed(&self.path, error))?;
        Ok(self.path)
    }
}

fn failed(path: &Path, error: io::Error) -> Failure {
    Failure::Other(format!("{}: {error}", path.display()))
}

fn header(classes: usize) -> String {
    let columns: Vec<String> = (0..classes).flat_map(columns).collect();
    format!("image,{}", columns.join(","))
}

/// A row as RFC 4180 has it. Columns of classes that the image does not have are empty.
fn csv_row(answer: &Answer<'_>, classes: usize) -> String {
    let mut row = quoted(answer.image);
    for place in 0..classes {
        row += &match answer.classes.get(place) {
            Some(class) => {
                format!(",{},{},{}", quoted(class.name), class.index, class.probability)
            }
            None => ",,,".into(),
        };
    }
    row
}

fn quoted(text: &str) -> String {
    match text.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::predict::ranking::Ranked;

    const CAT: Ranked<'_> = Ranked { name: "cat, \"tabby\"", index: 7, probability: 0.5 };

    #[test]
    fn rows_of_csv_have_all_columns() {
        assert_eq!(
            header(2),
            "image,class,class_index,probability,class_2,class_index_2,probability_2"
        );
        let row = |image, classes: &[_]| csv_row(&Answer { image, file: None, classes }, 2);
        assert_eq!(row("a.png", &[CAT]), "a.png,\"cat, \"\"tabby\"\"\",7,0.5,,,");
        assert_eq!(row("a\nb.png", &[]), "\"a\nb.png\",,,,,,");
    }

    #[test]
    fn other_formats_are_refused_before_anything_is_computed() {
        let Err(Failure::Usage(said)) = Table::create(Path::new("x.xlsx"), 1) else {
            panic!("it is not a table that is written");
        };
        assert!(said.contains(".parquet"), "{said}");
    }
}
