//! The features of images as a matrix in a file: NumPy's format, or safetensors.

use std::{
    io::{self, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use vitral_files::{Access, Existing, NewFile};

use crate::failure::Failure;

/// Bytes of what stands before the values, whatever their number: a multiple of 64, as NumPy aligns them.
const HEADER: usize = 128;
/// The name of the matrix in safetensors.
const NAME: &str = "embeddings";

/// A matrix that is being written, a row for each image; it appears when it is whole.
pub struct Embeddings {
    path: PathBuf,
    file: NewFile,
    format: Format,
    width: usize,
    values: usize,
}

#[derive(Clone, Copy)]
enum Format {
    Numpy,
    Safetensors,
}

impl Embeddings {
    /// Begins a matrix of rows of so many values, in the format that the file's name says.
    pub fn create(path: &Path, width: usize) -> Result<Self, Failure> {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let format = match extension.as_str() {
            "npy" => Format::Numpy,
            "safetensors" => Format::Safetensors,
            _ => {
                return Err(Failure::Usage(format!(
                    "--embeddings {}: features go to a .npy or .safetensors file",
                    path.display()
                )));
            }
        };
        let failed = |error| failed(path, error);
        let mut file =
            NewFile::create(path, Existing::ReplaceFile, Access::Usual).map_err(failed)?;
        // How many rows there are is known at the end.
        file.write_all(&[0; HEADER]).map_err(failed)?;
        Ok(Self { path: path.into(), file, format, width, values: 0 })
    }

    /// Adds whole rows.
    pub fn add(&mut self, features: &[f32]) -> Result<(), Failure> {
        let bytes: Vec<u8> = features.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.values += features.len();
        self.file.write_all(&bytes).map_err(|error| failed(&self.path, error))
    }

    /// Has the matrix appear, and tells where.
    pub fn finish(mut self) -> Result<PathBuf, Failure> {
        let shape = [self.values / self.width.max(1), self.width];
        let header = match self.format {
            Format::Numpy => numpy_header(shape),
            Format::Safetensors => safetensors_header(shape),
        };
        let file = &mut self.file;
        let written = file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(&header));
        written.and_then(|()| self.file.finish()).map_err(|error| failed(&self.path, error))?;
        Ok(self.path)
    }
}

fn failed(path: &Path, error: io::Error) -> Failure {
    Failure::Other(format!("{}: {error}", path.display()))
}

/// Version 1.0 of NumPy's format, padded with blanks.
fn numpy_header([rows, width]: [usize; 2]) -> Vec<u8> {
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend(((HEADER - 10) as u16).to_le_bytes());
    let shape = format!("({rows}, {width})");
    header
        .extend(format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}").bytes());
    header.resize(HEADER - 1, b' ');
    header.push(b'\n');
    header
}

/// The length of a description in JSON, and that, padded with blanks.
fn safetensors_header([rows, width]: [usize; 2]) -> Vec<u8> {
    let mut header = ((HEADER - 8) as u64).to_le_bytes().to_vec();
    let end = 4 * rows * width;
    header.extend(
        format!(
            r#"{{"{NAME}":{{"dtype":"F32","shape":[{rows},{width}],"data_offsets":[0,{end}]}}}}"#
        )
        .bytes(),
    );
    header.resize(HEADER, b' ');
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_have_room_for_more_rows_than_any_disk() {
        let most = [1 << 40, 1 << 16];
        for header in [numpy_header(most), safetensors_header(most)] {
            assert_eq!(header.len(), HEADER, "{}", String::from_utf8_lossy(&header));
        }
    }

    #[test]
    fn matrices_are_read_by_the_formats_own_libraries() {
        let folder = tempfile::tempdir().unwrap();
        let rows = [[1.0_f32, -2.0, 0.5], [f32::MIN_POSITIVE, 3.0, 4.0]];
        let written = |name: &str| {
            let path = folder.path().join(name);
            let mut matrix = Embeddings::create(&path, 3).unwrap();
            rows.iter().for_each(|row| matrix.add(row).unwrap());
            std::fs::read(matrix.finish().unwrap()).unwrap()
        };
        let numpy = written("a.npy");
        let numpy = npyz::NpyFile::new(&numpy[..]).unwrap();
        assert_eq!(numpy.shape(), [2, 3]);
        assert_eq!(numpy.into_vec::<f32>().unwrap(), rows.concat());
        let tensors = written("a.safetensors");
        let tensors = safetensors::SafeTensors::deserialize(&tensors).unwrap();
        let matrix = tensors.tensor(NAME).unwrap();
        assert_eq!(matrix.shape(), [2, 3]);
        let bytes: Vec<u8> = rows.concat().iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(matrix.data(), bytes);
        assert!(matches!(Embeddings::create(Path::new("a.txt"), 3), Err(Failure::Usage(_))));
    }
}
