//! Files that are damaged, or made to do harm: each is told in words, and in little memory.

use std::{fs, io::Write, path::Path};

use tempfile::TempDir;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::*;
use crate::Array;

fn sample() -> Tensors {
    let values = |count: usize| (0..count).map(|value| value as f32 * 0.5 - 1.0).collect();
    [
        ("a/kernel".to_owned(), Array::new([3, 4], values(12))),
        ("b".to_owned(), Array::new([5], values(5))),
        ("empty".to_owned(), Array::new([0, 2], Vec::new())),
        ("scalar".to_owned(), Array::new([], values(1))),
    ]
    .into()
}

/// All tensors of a file.
fn read(path: &Path) -> Result<Contents, InterchangeError> {
    WeightsFile::read(path, &|_| true).map(|file| file.contents)
}

fn complaint(path: &Path) -> String {
    match read(path) {
        Ok(contents) => panic!("{} was read: {:?}", path.display(), contents.tensors.keys()),
        Err(error) => error.to_string(),
    }
}

fn complaint_of(folder: &TempDir, name: &str, content: &[u8]) -> String {
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    complaint(&path)
}

fn written(folder: &TempDir) -> [(&'static str, Vec<u8>); 2] {
    let at = |name: &str| folder.path().join(name);
    write_whole(&at("whole.npz"), |file| write_npz(&sample(), file)).unwrap();
    write_whole(&at("whole.safetensors"), |file| write_safetensors(&sample(), file)).unwrap();
    ["whole.npz", "whole.safetensors"].map(|name| (name, fs::read(at(name)).unwrap()))
}

#[test]
fn what_is_written_is_read_again() {
    let folder = TempDir::new().unwrap();
    for (name, _) in written(&folder) {
        let read = read(&folder.path().join(name)).unwrap();
        assert_eq!(read.tensors, sample(), "{name}");
    }
    let left = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 2, "nothing half written is left");
}

#[test]
fn files_that_are_cut_short_are_told_anywhere() {
    let folder = TempDir::new().unwrap();
    for (name, whole) in written(&folder) {
        for length in (0..whole.len()).step_by(7) {
            let said = complaint_of(&folder, &format!("cut-{name}"), &whole[..length]);
            assert!(said.contains("cut-"), "{said}");
        }
    }
}

/// A flipped bit is told, or is in what no checksum covers and only changes numbers; it never ends
/// the program.
#[test]
fn flipped_bits_never_do_harm() {
    let folder = TempDir::new().unwrap();
    for (name, whole) in written(&folder) {
        let path = folder.path().join(format!("flipped-{name}"));
        for bit in (0..whole.len() * 8).step_by(5) {
            let mut content = whole.clone();
            content[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &content).unwrap();
            if let Ok(file) = read(&path) {
                let values: usize = file.tensors.values().map(|array| array.values.len()).sum();
                assert!(values <= 40, "bit {bit} of {name}: {values} values");
                assert!(name.ends_with("safetensors") || file.tensors.len() <= 4);
            }
        }
    }
}

fn safetensors_of(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(data);
    bytes
}

#[test]
fn headers_of_safetensors_are_not_believed() {
    let folder = TempDir::new().unwrap();
    let entry = |dtype: &str, shape: &str, start: u64, end: u64| {
        format!(r#"{{"w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{start},{end}]}}}}"#)
    };
    let nan: Vec<u8> =
        [1.0, f32::NAN, f32::INFINITY].iter().flat_map(|v| v.to_le_bytes()).collect();
    let huge = [&(1u64 << 40).to_le_bytes()[..], b"{}"].concat();
    for (content, words) in [
        (huge, "header claims"),
        (safetensors_of(&entry("F32", "[1099511627776]", 0, 4398046511104), &[]), "cut short"),
        (safetensors_of(&entry("F32", "[4294967296,4294967296,16]", 0, 4), &[0; 4]), "overflow"),
        (safetensors_of(&entry("F32", "[3]", 0, 8), &[0; 8]), "header is damaged"),
        (safetensors_of(&entry("F32", "[2]", 4, 12), &[0; 12]), "header is damaged"),
        (safetensors_of(&entry("I64", "[1]", 0, 8), &[0; 8]), "I64"),
        (safetensors_of(&entry("F32", "[1]", 0, 4), &[0; 8]), "followed by something else"),
        (safetensors_of(&entry("F32", "[3]", 0, 12), &nan), "2 of the 3 values of `w`"),
        (safetensors_of("{\"w\": [[[[", &[]), "header is damaged"),
        (safetensors_of(&format!("{{\"w\":{}", "[".repeat(100_000)), &[]), "header is damaged"),
        (safetensors_of("{}", &[]), "no tensors"),
    ] {
        let said = complaint_of(&folder, "x.safetensors", &content);
        assert!(said.contains(words), "`{words}` is not in: {said}");
    }
}

#[test]
fn halves_are_converted() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("x.safetensors");
    let header = r#"{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},"b":{"dtype":"BF16","shape":[1],"data_offsets":[4,6]},"c":{"dtype":"F64","shape":[1],"data_offsets":[6,14]}}"#;
    let mut data = Vec::new();
    data.extend(half::f16::from_f32(0.333).to_le_bytes());
    data.extend(half::f16::from_f32(-65504.0).to_le_bytes());
    data.extend(half::bf16::from_f32(1e30).to_le_bytes());
    data.extend(0.1f64.to_le_bytes());
    fs::write(&path, safetensors_of(header, &data)).unwrap();
    let read = read(&path).unwrap().tensors;
    assert_eq!(read["a"].values, [0.333_007_8, -65504.0]);
    assert_eq!(read["b"].values, [half::bf16::from_f32(1e30).to_f32()]);
    assert_eq!(read["c"].values, [0.1f32]);
}

fn npy(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(data);
    bytes
}

fn zipped(name: &str, method: CompressionMethod, write: impl FnOnce(&mut dyn Write)) -> Vec<u8> {
    let mut archive = ZipWriter::new(io::Cursor::new(Vec::new()));
    archive.start_file(name, SimpleFileOptions::default().compression_method(method)).unwrap();
    write(&mut archive);
    archive.finish().unwrap().into_inner()
}

#[test]
fn headers_of_arrays_are_not_believed() {
    let folder = TempDir::new().unwrap();
    let header = |descr: &str, order: &str, shape: &str| {
        format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n")
    };
    let mut long = b"\x93NUMPY\x02\x00".to_vec();
    long.extend(u32::MAX.to_le_bytes());
    let nan = f32::NAN.to_le_bytes();
    for (content, words) in [
        (npy(&header("<f4", "False", "(1099511627776,)"), &[0; 4]), "claims to be"),
        (npy(&header("<f4", "False", "(4294967296, 4294967296, 4)"), &[0; 4]), "claims to be"),
        (npy(&header("<i4", "False", "(1,)"), &[0; 4]), "<i4"),
        (npy(&header("|O", "False", "(1,)"), &[0; 4]), "`w`"),
        (npy(&header("<f4", "True", "(2, 2)"), &[0; 16]), "column by column"),
        (npy(&header("<f4", "False", "(1,)"), &[0; 8]), "do not belong"),
        (npy(&header("<f4", "False", "(1,)"), &nan), "not finite"),
        (npy(&"[".repeat(60_000), &[]), "not one of NumPy's"),
        (npy("nonsense", &[]), "`w`"),
        (long, "header claims"),
        (b"hello".to_vec(), "`w`"),
    ] {
        let archive =
            zipped("w.npy", CompressionMethod::Stored, |file| file.write_all(&content).unwrap());
        let said = complaint_of(&folder, "x.npz", &archive);
        assert!(said.contains(words), "`{words}` is not in: {said}");
    }
}

#[test]
fn bombs_are_not_unpacked() {
    let folder = TempDir::new().unwrap();
    let bomb = zipped("w.npy", CompressionMethod::Deflated, |file| {
        let zeros = vec![0; 1 << 20];
        (0..1200).for_each(|_| file.write_all(&zeros).unwrap());
    });
    assert!(bomb.len() < 2 << 20);
    let said = complaint_of(&folder, "x.npz", &bomb);
    assert!(said.contains("claims to unpack to"), "{said}");
}

/// An archive whose directory says that its entry is 200 bytes, and whose entry unpacks to much more.
#[test]
fn sizes_of_archives_are_not_believed() {
    let folder = TempDir::new().unwrap();
    let zeros = vec![0; 1 << 20];
    for (shape, words) in [("(268435456,)", "claims to be"), ("(18,)", "`w`")] {
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut archive = zipped("w.npy", CompressionMethod::Deflated, |file| {
            file.write_all(&npy(&header, &[])).unwrap();
            (0..64).for_each(|_| file.write_all(&zeros).unwrap());
        });
        // Where the unpacked size stands, after an entry's mark and after the directory's.
        for (mark, place) in [(b"PK\x03\x04", 22), (b"PK\x01\x02", 24)] {
            let at = archive.windows(4).position(|bytes| bytes == mark).unwrap() + place;
            archive[at..at + 4].copy_from_slice(&200u32.to_le_bytes());
        }
        let said = complaint_of(&folder, "x.npz", &archive);
        assert!(said.contains(words), "`{words}` is not in: {said}");
    }
}

#[test]
fn other_files_are_told_what_they_are() {
    let folder = TempDir::new().unwrap();
    let stored = |name| {
        zipped(name, CompressionMethod::Stored, |file| file.write_all(b"something").unwrap())
    };
    let lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 345579424\n";
    let mut tar = vec![b'x'; 600];
    tar[257..262].copy_from_slice(b"ustar");
    for (name, content, words) in [
        ("model.pt", b"\x80\x02}q\x00.".as_slice(), "a pickle of Python's"),
        ("old.pth", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "PyTorch's old format"),
        ("model.npz", &stored("archive/data.pkl"), "its pickle"),
        ("keras.zip", &stored("model.weights.h5"), "neither NumPy's arrays (.npy) nor"),
        ("model.h5", b"\x89HDF\r\n\x1a\n and so on", "HDF5"),
        ("model.npz", b"\x93NUMPY\x01\x00", "a single array"),
        ("model.safetensors", lfs, "a pointer of Git LFS, and not the file of 345579424 bytes"),
        ("model.safetensors", b"<!DOCTYPE html><html>", "a web page"),
        ("model.npz", b"\n <?xml version=\"1.0\"?>", "a web page"),
        ("model.npz", b"{\"error\": \"Repository not found\"}", "JSON, but not an index"),
        ("model.npz", b"\x1f\x8b\x08", "compressed file"),
        ("model.pth", &tar, "a tar archive"),
        ("noise", b"and so on, and on", "neither"),
        ("empty.npz", b"", "the file is empty"),
    ] {
        let said = complaint_of(&folder, name, content);
        assert!(said.contains(words), "`{words}` is not in: {said}");
    }
    assert!(complaint(&folder.path().join("missing.npz")).contains("missing.npz"));
    assert!(complaint(TempDir::new().unwrap().path()).contains("none of model.safetensors"));
    #[cfg(unix)]
    assert!(complaint(Path::new("/dev/null")).contains("regular file"));
}

#[test]
fn a_name_says_nothing_about_what_a_file_is() {
    let folder = TempDir::new().unwrap();
    for (name, content) in written(&folder) {
        for other in ["weights", "model.bin", "model.npz", "model.safetensors", "x.index.json"] {
            let path = folder.path().join(format!("of-{name}-{other}"));
            fs::write(&path, &content).unwrap();
            assert_eq!(read(&path).unwrap().tensors, sample(), "{name} as {other}");
        }
    }
}

#[test]
fn what_is_not_wanted_is_not_read_and_integers_are_told_apart() {
    let folder = TempDir::new().unwrap();
    let header = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"n":{"dtype":"I64","shape":[],"data_offsets":[4,12]},"x":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[12,13]}}"#;
    let path = folder.path().join("x.safetensors");
    fs::write(&path, safetensors_of(header, &[0; 13])).unwrap();
    let contents = WeightsFile::read(&path, &|name| name != "x").unwrap().contents;
    assert_eq!(contents.tensors.keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(contents.integers, [("n".to_owned(), "I64".to_owned())].into());
    assert_eq!(contents.unread, ["x".to_owned()].into());
    assert!(complaint(&path).contains("`x` is F8_E4M3; weights are"));
    let mut archive = ZipWriter::new(io::Cursor::new(Vec::new()));
    for (name, kind) in [("a", "<f4"), ("n", "<i4"), ("x", "|S4")] {
        archive.start_file(format!("{name}.npy"), SimpleFileOptions::default()).unwrap();
        let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': (1,), }}\n");
        archive.write_all(&npy(&header, &[0; 4])).unwrap();
    }
    fs::write(&path, archive.finish().unwrap().into_inner()).unwrap();
    let contents = WeightsFile::read(&path, &|name| name != "x").unwrap().contents;
    assert_eq!(contents.tensors.keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(contents.integers, [("n".to_owned(), "<i4".to_owned())].into());
    assert!(complaint(&path).contains("`x` is `|S4`"));
}

#[test]
fn the_same_arrays_make_the_same_bytes() {
    let bytes = || {
        let mut file = io::Cursor::new(Vec::new());
        write_npz(&sample(), &mut file).unwrap();
        file.into_inner()
    };
    let first = bytes();
    // A ZIP's times have steps of two seconds, and its fields are at a fixed place: there are none.
    assert_eq!(first[10..14], [0, 0, 0x21, 0], "1980-01-01, 0:00");
    assert_eq!(first, bytes());
}
