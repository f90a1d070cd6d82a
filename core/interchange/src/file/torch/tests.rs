//! Pickles as PyTorch writes them, and as somebody who means harm would.

use std::{fs, io::Write, path::Path};

use tempfile::TempDir;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use crate::{
    Array,
    file::{Contents, Tensors, WeightsFile},
};

fn fixture(name: &str) -> std::path::PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.join("tests/fixtures/torch").join(name)
}

fn read(path: &Path) -> Result<Contents, String> {
    let read = WeightsFile::read(path, &|_| true);
    read.map(|file| file.contents).map_err(|error| error.to_string())
}

#[test]
fn every_kind_of_tensor_that_pytorch_saves_has_its_values() {
    let right = read(&fixture("kinds.npz")).unwrap().tensors;
    for file in ["kinds.pth", "kinds-protocol-5.pth"] {
        let contents = read(&fixture(file)).unwrap();
        assert_eq!(contents.tensors.keys().collect::<Vec<_>>(), right.keys().collect::<Vec<_>>());
        for (name, array) in &right {
            assert_eq!(contents.tensors[name], *array, "{name} of {file}");
        }
        let integers = [("bool", "bool"), ("byte", "uint8"), ("long", "int64")];
        let integers = integers.map(|(name, kind)| (name.to_owned(), kind.to_owned()));
        assert_eq!(contents.integers, integers.into());
    }
}

#[test]
fn nested_dictionaries_are_read_by_their_path_and_only_as_wanted() {
    let path = fixture("checkpoint.pth");
    let wanted = |name: &str| name.starts_with("state_dict_ema.");
    let contents = WeightsFile::read(&path, &wanted).unwrap().contents;
    let plain = |(name, array): (String, Array)| {
        (name.strip_prefix("state_dict_ema.").unwrap().to_owned(), array)
    };
    let tensors: Tensors = contents.tensors.into_iter().map(plain).collect();
    assert_eq!(tensors, read(&fixture("checkpoint.npz")).unwrap().tensors);
    for name in ["module.module.head.bias", "momentum.0"] {
        assert!(contents.unread.contains(name), "{name} is not in {:?}", contents.unread);
    }
}

#[test]
fn what_is_no_state_dict_is_refused_by_name() {
    for (name, words) in [
        ("old.pth", "PyTorch's old format"),
        ("module.pth", "it has a `torch.nn.modules.linear.Linear`"),
    ] {
        let said = read(&fixture(name)).unwrap_err();
        assert!(said.contains(words) && said.contains("torch.save("), "{said}");
    }
}

// The parts of a pickle, as bytes.

fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}

fn int(value: i64) -> Vec<u8> {
    [b"\x8a\x08", &value.to_le_bytes()[..]].concat()
}

fn tuple(items: &[Vec<u8>]) -> Vec<u8> {
    [b"(", &items.concat()[..], b"t"].concat()
}

fn ints(values: &[i64]) -> Vec<u8> {
    tuple(&values.iter().map(|&value| int(value)).collect::<Vec<_>>())
}

fn storage(kind: &str, key: &str, count: i64) -> Vec<u8> {
    let class = global("torch", kind);
    [tuple(&[text("storage"), class, text(key), text("cpu"), int(count)]), b"Q".to_vec()].concat()
}

fn tensor(storage: Vec<u8>, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    let arguments = [storage, int(offset), ints(shape), ints(strides), vec![0x89], tuple(&[])];
    [global("torch._utils", "_rebuild_tensor_v2"), tuple(&arguments), b"R".to_vec()].concat()
}

fn dict(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let pairs: Vec<u8> =
        pairs.iter().flat_map(|(key, value)| [text(key), value.clone()].concat()).collect();
    [b"}(", &pairs[..], b"u"].concat()
}

fn pickle(value: &[u8]) -> Vec<u8> {
    [b"\x80\x02", value, b"."].concat()
}

fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in entries {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        archive.start_file(*name, options).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// A file with a storage `0` of four values, 1 to 4.
fn file(pickle: &[u8]) -> Vec<u8> {
    let values: Vec<u8> = [1f32, 2., 3., 4.].iter().flat_map(|v| v.to_le_bytes()).collect();
    archive(&[("x/data.pkl", pickle), ("x/byteorder", b"little"), ("x/data/0", &values)])
}

fn read_bytes(content: &[u8]) -> Result<Contents, String> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("x.pth");
    fs::write(&path, content).unwrap();
    read(&path)
}

fn four() -> Vec<u8> {
    storage("FloatStorage", "0", 4)
}

#[track_caller]
fn refused(content: &[u8], words: &str) {
    let said = read_bytes(content).expect_err(words);
    assert!(said.contains(words), "`{words}` is not in: {said}");
}

#[test]
fn a_pickle_by_bytes_is_read() {
    let square = tensor(four(), 0, &[2, 2], &[1, 2]);
    let contents = read_bytes(&file(&pickle(&dict(&[("w", square)])))).unwrap();
    assert_eq!(contents.tensors["w"], Array::new([2, 2], vec![1., 3., 2., 4.]));
}

#[test]
fn what_would_run_code_is_refused_by_name() {
    let call = |global: Vec<u8>| [global, tuple(&[text("true")]), b"R".to_vec()].concat();
    let by_stack = |module: &str, name: &str| [text(module), text(name), vec![0x93]].concat();
    for (value, words) in [
        (call(global("posix", "system")), "`posix.system`"),
        (call(global("builtins", "eval")), "`builtins.eval`"),
        (call(global("torch", "load")), "`torch.load`"),
        (call(global("torch._utils", "_rebuild_wrapper_subclass")), "_rebuild_wrapper_subclass"),
        (call(by_stack("os", "system")), "`os.system`"),
        (b"(X\x04\0\0\0trueiposix\nsystem\n".to_vec(), "`posix.system`"),
        (global("numpy.core.multiarray", "_reconstruct"), "_reconstruct"),
        (global("a\x1b[31m", "b"), "`a\\u{1b}[31m.b`"),
        // Even where nothing would come of it.
        ([global("posix", "system"), b"0N".to_vec()].concat(), "`posix.system`"),
        (dict(&[("hook", call(global("subprocess", "Popen")))]), "`subprocess.Popen`"),
    ] {
        refused(&file(&pickle(&value)), words);
    }
    // Instructions that files of PyTorch's do not have.
    for code in [b'P', b'o', 0x82, 0x92, 0x97, b'S'] {
        refused(&file(&pickle(&[b'(', code])), &format!("the instruction {code:#04x}"));
    }
}

#[test]
fn tensors_that_lie_about_themselves_are_refused() {
    let one = |value: Vec<u8>| file(&pickle(&dict(&[("w", value)])));
    let max = i64::MAX;
    for (value, words) in [
        (tensor(four(), 1, &[4], &[1]), "`w` of [4] reaches beyond its storage of 4 values"),
        (tensor(four(), 0, &[2, 2], &[2, 2]), "reaches beyond"),
        (tensor(four(), max, &[1], &[1]), "reaches beyond"),
        (tensor(four(), 0, &[2], &[max]), "reaches beyond"),
        (tensor(four(), 0, &[3, 3], &[max, max]), "reaches beyond"),
        (tensor(four(), 0, &[max, max], &[0, 0]), "more values than can be counted"),
        (tensor(four(), 0, &[1 << 20, 1 << 20], &[0, 0]), "more values than a file of"),
        (tensor(four(), -1, &[1], &[1]), "damaged"),
        (tensor(four(), 0, &[-1], &[1]), "damaged"),
        (tensor(four(), 0, &[2, 2], &[1]), "damaged"),
        (tensor(four(), 0, &[1; 9], &[1; 9]), "damaged"),
        (tensor(text("0"), 0, &[1], &[1]), "damaged"),
        (tensor(storage("FloatStorage", "0", 1 << 40), 0, &[1], &[1]), "but has 16 bytes"),
        (tensor(storage("FloatStorage", "0", 3), 0, &[1], &[1]), "but has 16 bytes"),
        (tensor(storage("FloatStorage", "1", 4), 0, &[1], &[1]), "`1` of `w` is not in the"),
        (tensor(storage("FloatStorage", "../0", 4), 0, &[1], &[1]), "is not in the archive"),
        (tensor(storage("ComplexFloatStorage", "0", 4), 0, &[1], &[1]), "ComplexFloatStorage"),
        (tensor(storage("Tensor", "0", 4), 0, &[1], &[1]), "not a storage"),
        // Not finite, as doubles.
        (vec![b'N'], "no tensors"),
    ] {
        refused(&one(value), words);
    }
    refused(&file(&pickle(&tensor(four(), 0, &[4], &[1]))), "single tensor of [4]");
    let (whole, part) =
        (tensor(four(), 0, &[4], &[1]), dict(&[("b", tensor(four(), 0, &[1], &[1]))]));
    refused(&file(&pickle(&dict(&[("a.b", whole), ("a", part)]))), "`a.b` occurs twice");
    let nan = archive(&[
        (
            "x/data.pkl",
            &pickle(&dict(&[("w", tensor(storage("FloatStorage", "0", 1), 0, &[1], &[1]))])),
        ),
        ("x/data/0", &f32::NAN.to_le_bytes()),
    ]);
    refused(&nan, "1 of the 1 values of `w` are not finite");
}

#[test]
fn archives_that_are_no_weights_are_told() {
    let of = |name: &str| pickle(&dict(&[(name, tensor(four(), 0, &[4], &[1]))]));
    refused(&archive(&[("x/data.pkl", &of("w")), ("x/byteorder", b"big")]), "not little-endian");
    refused(&archive(&[("x/data.pkl", &of("w")), ("x/constants.pkl", b"")]), "TorchScript");
    refused(&file(&of(&"w".repeat(2000))), "more than 1024 characters");
    let long = vec![0; (16 << 20) + 1];
    refused(&archive(&[("x/data.pkl", &long)]), "claims to be 16777217 bytes long");
}

/// Nothing that a pickle nests, repeats or claims takes much memory, time or stack.
#[test]
fn pickles_that_grow_are_stopped() {
    let count = 2_000_000;
    let deep = [vec![b']'; count], vec![b'a'; count - 1]].concat();
    refused(&file(&pickle(&deep)), "more objects than files of weights have");
    let deep = [vec![b']'; 500_000], vec![b'a'; 499_999]].concat();
    refused(&file(&pickle(&deep)), "nested more than 16 deep");
    refused(&file(&pickle(&vec![b'('; count])), "more objects");
    refused(&file(&pickle(b"}q\0X\x01\0\0\0ah\0s")), "nested more than 16 deep");
    // Each list has the one before it a hundred times.
    let mut laughs = b"]q\0".to_vec();
    for level in 0..12u8 {
        laughs.extend(b"](");
        laughs.extend([b'h', level].repeat(100));
        laughs.extend([b'e', b'q', level + 1]);
    }
    refused(&file(&pickle(&laughs)), "more objects");
    // Copies of one long dictionary.
    let long: Vec<(&str, Vec<u8>)> = vec![("k", vec![b'N']); 1000];
    let copy = [global("collections", "OrderedDict"), b"h\0\x85R0".to_vec()].concat().repeat(2000);
    refused(&file(&pickle(&[dict(&long), b"q\0".to_vec(), copy].concat())), "more objects");
    for claim in [
        &b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff"[..],
        b"\x8b\xff\xff\xff\xff",
        b"B\xff\xff\xff\xff",
    ] {
        refused(&file(&pickle(claim)), "damaged or cut short");
    }
}

#[test]
fn a_pickle_that_is_cut_short_or_flipped_never_does_harm() {
    let whole = pickle(&dict(&[
        ("w", tensor(four(), 0, &[2, 2], &[1, 2])),
        ("v", tensor(storage("LongStorage", "0", 2), 0, &[2], &[1])),
    ]));
    for length in 0..whole.len() {
        refused(&file(&whole[..length]), "damaged or cut short");
    }
    refused(&file(&[&whole[..], b"."].concat()), "followed by something else");
    for bit in 0..whole.len() * 8 {
        let mut pickle = whole.clone();
        pickle[bit / 8] ^= 1 << (bit % 8);
        if let Ok((objects, top)) = super::pickle::read(&pickle) {
            let _ = super::flatten(&objects, top);
        }
    }
    // What takes what is not there, below a mark or at all.
    for code in 0..=u8::MAX {
        for before in [&b""[..], b"(", b"N", b"N(", b"NN(", b")", b"}", b"NNN"] {
            let _ = super::pickle::read(&pickle(&[before, &[code][..]].concat()));
        }
    }
}
