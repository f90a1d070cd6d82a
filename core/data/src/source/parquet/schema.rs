//! Which columns of a Parquet file have the images and the labels, and what its classes are called.

use parquet::basic::Type as PhysicalType;
use parquet::file::metadata::{ColumnChunkMetaData, FileMetaData, RowGroupMetaData};
use serde_json::Value;

/// The columns' names as the configuration gives them, if it does.
#[derive(Clone, Copy)]
pub(crate) struct Columns<'a> {
    pub image: Option<&'a str>,
    pub label: Option<&'a str>,
}

/// The columns' names.
pub(super) struct Named {
    pub image: String,
    pub label: String,
}

impl Named {
    /// As configured, else as the Hugging Face metadata says, else `image` and `label`.
    pub(super) fn find(metadata: &FileMetaData, columns: Columns<'_>) -> Result<Self, String> {
        let features = features(metadata);
        let choose = |given: Option<&str>, kind: &str, setting: &str| {
            if let Some(name) = given {
                return Ok(name.to_owned());
            }
            let of_kind = |(_, feature): &(&String, &Value)| feature["_type"] == kind;
            let found: Vec<&str> =
                features.iter().flatten().filter(of_kind).map(|(name, _)| name.as_str()).collect();
            match found.as_slice() {
                [] => Ok(setting.to_owned()),
                [name] => Ok((*name).to_owned()),
                names if names.contains(&setting) => Ok(setting.to_owned()),
                names => Err(format!(
                    "has several columns of type {kind}: {}; choose one with `{setting}`",
                    names.join(", ")
                )),
            }
        };
        let image = choose(columns.image, "Image", "image")?;
        let label = choose(columns.label, "ClassLabel", "label")?;
        Ok(Self { image, label })
    }

    /// The row group's column of image bytes: `image.bytes`, or `image` itself.
    pub(super) fn image_of<'a>(
        &self,
        group: &'a RowGroupMetaData,
    ) -> Result<&'a ColumnChunkMetaData, String> {
        let image = self.image.as_str();
        let column = find(group, &[image, "bytes"])
            .or_else(|| find(group, &[image]))
            .ok_or_else(|| missing(group, image, "a struct with `bytes`, or bytes"))?;
        refuse_lists(column)?;
        match column.column_type() {
            PhysicalType::BYTE_ARRAY => Ok(column),
            other => Err(format!("the column `{image}` holds {other}, not bytes of images")),
        }
    }

    /// The row group's column of labels.
    pub(super) fn label_of<'a>(
        &self,
        group: &'a RowGroupMetaData,
    ) -> Result<&'a ColumnChunkMetaData, String> {
        let label = self.label.as_str();
        let column = find(group, &[label]).ok_or_else(|| missing(group, label, "whole numbers"))?;
        refuse_lists(column)?;
        match column.column_type() {
            PhysicalType::INT64 | PhysicalType::INT32 | PhysicalType::BYTE_ARRAY => Ok(column),
            other => Err(format!("the column `{label}` holds {other}, not whole numbers or names")),
        }
    }
}

fn find<'a>(group: &'a RowGroupMetaData, path: &[&str]) -> Option<&'a ColumnChunkMetaData> {
    group.columns().iter().find(|column| column.column_path().parts() == path)
}

fn refuse_lists(column: &ColumnChunkMetaData) -> Result<(), String> {
    if column.column_descr().max_rep_level() > 0 {
        let name = column.column_path().string();
        return Err(format!("the column `{name}` holds lists; one value for each row is needed"));
    }
    Ok(())
}

fn missing(group: &RowGroupMetaData, name: &str, what: &str) -> String {
    let columns: Vec<_> =
        group.columns().iter().map(|column| column.column_path().string()).collect();
    format!("has no column `{name}` ({what}); its columns: {}", columns.join(", "))
}

/// Names of the classes, from the `ClassLabel` of the Hugging Face metadata.
pub(super) fn class_names_of(metadata: &FileMetaData, label: &str) -> Option<Vec<String>> {
    let features = features(metadata)?;
    let names = features.get(label)?.get("names")?.as_array()?;
    names.iter().map(|name| name.as_str().map(str::to_owned)).collect()
}

/// What the Hugging Face metadata says of each column, if it is there.
fn features(metadata: &FileMetaData) -> Option<serde_json::Map<String, Value>> {
    let pairs = metadata.key_value_metadata()?;
    let text = pairs.iter().find(|pair| pair.key == "huggingface")?.value.as_ref()?;
    let mut value: Value = serde_json::from_str(text).ok()?;
    match value.pointer_mut("/info/features")?.take() {
        Value::Object(features) => Some(features),
        _ => None,
    }
}
