//! Reading one column of a row group: pages to values.
//!
//! Columns may be nullable, in any encoding; lists are refused.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parquet::basic::Type as PhysicalType;
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::file::metadata::ColumnChunkMetaData;

use super::super::classes::Label;
use super::pages::{MAX_BYTES, Pages};
use super::problem::Problem;
use crate::error::panic_message;

/// Labels that are read at once.
const LABELS_AT_ONCE: usize = 1 << 12;

/// The most rows of a row group, which is read as a whole. Writers make groups of up to a million.
const MAX_GROUP_ROWS: usize = 1 << 23;

/// Runs what reads a file; the library indexes some damaged pages without looking, which panics.
pub(super) fn guarded<T>(read: impl FnOnce() -> Result<T, Problem>) -> Result<T, String> {
    // What the panic leaves behind is dropped with the reader.
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(result) => result.map_err(|Problem(problem)| problem),
        Err(panic) => Err(format!("it is damaged ({})", panic_message(&*panic))),
    }
}

/// Checks a column's extent, and gives the bytes that its values take.
pub(super) fn check(column: &ColumnChunkMetaData, rows: usize, file: u64) -> Result<i64, String> {
    let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
    let (length, values) = (column.compressed_size(), column.num_values());
    let end = start.checked_add(length);
    if start < 0 || length < 0 || end.is_none_or(|end| end as u64 > file) {
        return Err("a column goes beyond the file's end".into());
    }
    if rows > MAX_GROUP_ROWS {
        return Err(format!("has {rows} rows; at most {MAX_GROUP_ROWS} can be read as a whole"));
    }
    if usize::try_from(values) != Ok(rows) {
        return Err(format!("has {rows} rows, but a column of {values} values"));
    }
    Ok(column.uncompressed_size())
}

/// The bytes of every row's image; none where it is null.
pub(super) fn read_images(
    file: File,
    column: &ColumnChunkMetaData,
    rows: usize,
) -> Result<Vec<Option<ByteArray>>, String> {
    let mut images = Vec::new();
    guarded(|| read_byte_arrays(Arc::new(file), column, rows, |value| images.push(value)))?;
    Ok(images)
}

/// Every row's label; none where it is null.
pub(super) fn read_labels(
    file: &Arc<File>,
    column: &ColumnChunkMetaData,
    rows: usize,
) -> Result<Vec<Option<Label>>, String> {
    let mut labels = Vec::new();
    let mut push = |label: Option<Label>| labels.push(label);
    let file = Arc::clone(file);
    let copies = Arc::default();
    guarded(|| match column.column_type() {
        PhysicalType::INT64 => {
            read_values::<Int64Type>(file, column, rows, LABELS_AT_ONCE, copies, |number| {
                push(number.map(Label::Number));
                Ok(())
            })
        }
        PhysicalType::INT32 => {
            read_values::<Int32Type>(file, column, rows, LABELS_AT_ONCE, copies, |number| {
                push(number.map(|number| Label::Number(number.into())));
                Ok(())
            })
        }
        _ => read_byte_arrays(file, column, rows, |bytes| {
            let text = |bytes: ByteArray| String::from_utf8_lossy(bytes.data()).into_owned();
            push(bytes.map(|bytes| Label::Name(text(bytes))));
        }),
    })?;
    Ok(labels)
}

/// Hands every row's bytes to `take`, none for null.
fn read_byte_arrays(
    file: Arc<File>,
    column: &ColumnChunkMetaData,
    rows: usize,
    mut take: impl FnMut(Option<ByteArray>),
) -> Result<(), Problem> {
    let copies = Arc::new(AtomicBool::new(false));
    let mut left = MAX_BYTES;
    // One at a time, since each may be a copy of the longest before it.
    read_values::<ByteArrayType>(file, column, rows, 1, Arc::clone(&copies), |bytes| {
        if copies.load(Ordering::Relaxed) {
            let length = bytes.as_ref().map_or(0, ByteArray::len);
            left = left.checked_sub(length).ok_or("its values are larger than they may be")?;
        }
        take(bytes);
        Ok(())
    })
}

/// Hands every row's value to `take`, none for null. So many are in memory at once beside what it keeps.
fn read_values<T: DataType>(
    file: Arc<File>,
    column: &ColumnChunkMetaData,
    rows: usize,
    at_once: usize,
    copies: Arc<AtomicBool>,
    mut take: impl FnMut(Option<T::T>) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let pages = Pages::open(file, column, rows, copies)?;
    let descriptor = column.column_descr_ptr();
    let full = descriptor.max_def_level();
    let mut reader = ColumnReaderImpl::<T>::new(descriptor, Box::new(pages));
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    let mut left = rows;
    while left > 0 {
        levels.clear();
        let wanted = at_once.min(left);
        let (found, ..) = reader.read_records(wanted, Some(&mut levels), None, &mut values)?;
        if found == 0 {
            return Err(format!("{left} of its {rows} values are missing").into());
        }
        left -= found;
        let mut values = values.drain(..);
        if full == 0 {
            values.try_for_each(|value| take(Some(value)))?;
        } else {
            for level in &levels {
                take((*level == full).then(|| values.next()).flatten())?;
            }
        }
    }
    Ok(())
}
