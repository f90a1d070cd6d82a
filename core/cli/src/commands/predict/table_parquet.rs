//! A table of images and their classes as Parquet.

use std::{io, sync::Arc};

use parquet::{
    basic::{LogicalType, Repetition, Type as Physical},
    data_type::{ByteArray, ByteArrayType, DataType, FloatType, Int32Type},
    errors::ParquetError,
    file::{
        properties::WriterProperties,
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::types::Type,
};
use vitral_files::NewFile;

use super::answer::{Answer, columns};

/// Images of a row group.
const ROWS: usize = 1 << 16;

/// A table that is being written, a row group at a time.
pub struct ParquetTable {
    writer: SerializedFileWriter<NewFile>,
    images: Vec<ByteArray>,
    classes: Vec<Column>,
}

/// The columns of the classes of one rank, as far as images have one.
#[derive(Default)]
struct Column {
    names: Vec<ByteArray>,
    indices: Vec<i32>,
    probabilities: Vec<f32>,
    /// For each image, 1 if it has one.
    are_there: Vec<i16>,
}

impl ParquetTable {
    pub fn new(file: NewFile, classes: usize) -> io::Result<Self> {
        let mut fields = vec![text("image", Repetition::REQUIRED).map_err(failed)?];
        for place in 0..classes {
            let [name, index, probability] = columns(place);
            let number = |name: &str, physical| {
                let column = Type::primitive_type_builder(name, physical);
                column.with_repetition(Repetition::OPTIONAL).build()
            };
            fields.push(text(&name, Repetition::OPTIONAL).map_err(failed)?);
            fields.push(number(&index, Physical::INT32).map_err(failed)?);
            fields.push(number(&probability, Physical::FLOAT).map_err(failed)?);
        }
        let fields = fields.into_iter().map(Arc::new).collect();
        let schema = Type::group_type_builder("images").with_fields(fields).build();
        let schema = Arc::new(schema.map_err(failed)?);
        let properties = Arc::new(WriterProperties::new());
        Ok(Self {
            writer: SerializedFileWriter::new(file, schema, properties).map_err(failed)?,
            images: Vec::new(),
            classes: (0..classes).map(|_| Column::default()).collect(),
        })
    }

    pub fn add(&mut self, answer: &Answer<'_>) -> io::Result<()> {
        self.images.push(answer.image.into());
        for (place, column) in self.classes.iter_mut().enumerate() {
            let class = answer.classes.get(place);
            column.are_there.push(i16::from(class.is_some()));
            if let Some(class) = class {
                column.names.push(class.name.into());
                // A head has at most as many classes as an i32 counts.
                column.indices.push(i32::try_from(class.index).unwrap_or(i32::MAX));
                column.probabilities.push(class.probability);
            }
        }
        if self.images.len() == ROWS { self.write_rows().map_err(failed) } else { Ok(()) }
    }

    fn write_rows(&mut self) -> Result<(), ParquetError> {
        let mut group = self.writer.next_row_group()?;
        put::<ByteArrayType>(&mut group, &self.images, None)?;
        self.images.clear();
        for column in &mut self.classes {
            let Column { names, indices, probabilities, are_there } = std::mem::take(column);
            put::<ByteArrayType>(&mut group, &names, Some(&are_there))?;
            put::<Int32Type>(&mut group, &indices, Some(&are_there))?;
            put::<FloatType>(&mut group, &probabilities, Some(&are_there))?;
        }
        group.close()?;
        Ok(())
    }

    pub fn finish(mut self) -> io::Result<()> {
        if !self.images.is_empty() {
            self.write_rows().map_err(failed)?;
        }
        self.writer.into_inner().map_err(failed)?.finish()
    }
}

fn put<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, NewFile>,
    values: &[T::T],
    are_there: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let missing = || ParquetError::General("there are more columns than the schema has".into());
    let mut column = group.next_column()?.ok_or_else(missing)?;
    column.typed::<T>().write_batch(values, are_there, None)?;
    column.close()
}

fn text(name: &str, repetition: Repetition) -> Result<Type, ParquetError> {
    Type::primitive_type_builder(name, Physical::BYTE_ARRAY)
        .with_repetition(repetition)
        .with_logical_type(Some(LogicalType::String))
        .build()
}

fn failed(error: ParquetError) -> io::Error {
    io::Error::other(error)
}
