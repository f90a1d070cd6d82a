//! Weights in several files of safetensors or PyTorch, with an index that says which tensor is in which of
//! them, as the Hugging Face hub has them: `{"weight_map": {"norm.weight": "model-00002-of-00002.safetensors"}}`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Component, Path},
};

use serde_json::Value;

use super::{
    container::{open, read_tensors},
    contents::{Contents, Wanted},
    json,
};
use crate::InterchangeError;

/// The index's name.
pub(super) const INDEX: &str = "model.safetensors.index.json";
/// That of an index of PyTorch's files.
pub(super) const TORCH_INDEX: &str = "pytorch_model.bin.index.json";

/// More files than any model has.
const MOST_FILES: usize = 10_000;

/// Reads the tensors that are wanted, from the files beside the index.
///
/// # Errors
/// The index or one of its files is missing or damaged, or they do not have the same tensors.
pub(super) fn read(index: &Path, wanted: Wanted<'_>) -> Result<Contents, InterchangeError> {
    let damaged = |problem| InterchangeError::Damaged { path: index.into(), problem };
    let text = json::read(index)?.ok_or_else(|| damaged("there is no such file".to_owned()))?;
    let files = files_of(&text).map_err(damaged)?;
    // All are there before the first is read.
    if let Some(missing) = files.keys().find(|&&name| !index.with_file_name(name).is_file()) {
        return Err(damaged(format!("`{missing}`, which it names, is not beside it")));
    }
    let mut contents = Contents::default();
    for (name, listed) in &files {
        let path = index.with_file_name(name);
        let found = read_tensors(&path, open(&path)?, wanted)?;
        if let Some(missing) = listed.iter().find(|&&tensor| !found.has(tensor)) {
            return Err(damaged(format!("`{missing}` is not in `{name}`, where it should be")));
        }
        if let Some(other) = found.names().find(|tensor| !listed.contains(tensor.as_str())) {
            let place = files.iter().find(|(_, tensors)| tensors.contains(other.as_str()));
            return Err(damaged(match place {
                Some((place, _)) => format!("`{other}` is in `{name}`, but should be in `{place}`"),
                None => format!("`{other}` of `{name}` is not in the index"),
            }));
        }
        contents.extend(found);
    }
    Ok(contents)
}

/// The names of the files, and which tensors each should have.
fn files_of(index: &Value) -> Result<BTreeMap<&str, BTreeSet<&str>>, String> {
    let Some(map) = index["weight_map"].as_object() else {
        return Err(
            "this is JSON, but not an index of weights: it has no `weight_map` with the file of \
             each tensor"
                .into(),
        );
    };
    let mut files: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (tensor, file) in map {
        let Some(file) = file.as_str() else {
            return Err(format!("the file of `{tensor}` is {file}, which is not a name"));
        };
        let mut parts = Path::new(file).components();
        let is_plain = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
        let is_weights = file.ends_with(".safetensors") || file.ends_with(".bin");
        if !is_plain || file.contains(['/', '\\']) || !is_weights {
            return Err(format!(
                "the file of `{tensor}` is `{file}`, but must be a .safetensors file beside the index (or one of PyTorch's, .bin)"
            ));
        }
        files.entry(file).or_default().insert(tensor);
        if files.len() > MOST_FILES {
            return Err(format!("it names more than {MOST_FILES} files"));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;
    use tempfile::TempDir;

    use super::{super::*, INDEX};
    use crate::Array;

    const FIRST: &str = "model-00001-of-00002.safetensors";
    const SECOND: &str = "model-00002-of-00002.safetensors";

    fn array(value: f32) -> Array {
        Array::new([2], vec![value; 2])
    }

    /// A folder with two files: `a` and `b` in the first, `c` in the second.
    fn folder(index: &serde_json::Value) -> TempDir {
        let folder = TempDir::new().unwrap();
        for (name, tensors) in [(FIRST, vec![("a", 1.0), ("b", 2.0)]), (SECOND, vec![("c", 3.0)])] {
            let tensors = tensors.into_iter().map(|(name, value)| (name.into(), array(value)));
            let tensors: Tensors = tensors.collect();
            let path = folder.path().join(name);
            write_whole(&path, |file| write_safetensors(&tensors, file)).unwrap();
        }
        fs::write(folder.path().join(INDEX), index.to_string()).unwrap();
        folder
    }

    fn complaint(folder: &TempDir) -> String {
        WeightsFile::read(folder.path(), &|_| true).err().unwrap().to_string()
    }

    #[test]
    fn an_index_brings_its_files_together() {
        let map = json!({"a": FIRST, "b": FIRST, "c": SECOND});
        let folder = folder(&json!({"metadata": {"total_size": 24}, "weight_map": map}));
        fs::write(folder.path().join("config.json"), r#"{"num_attention_heads": 3}"#).unwrap();
        let whole: Tensors =
            [("a", 1.0), ("b", 2.0), ("c", 3.0)].map(|(n, v)| (n.into(), array(v))).into();
        for path in [folder.path().to_path_buf(), folder.path().join(INDEX)] {
            let file = WeightsFile::read(&path, &|_| true).unwrap();
            assert_eq!(file.contents.tensors, whole);
            assert_eq!(file.config.unwrap()["num_attention_heads"], 3);
        }
    }

    #[test]
    fn an_index_is_not_believed() {
        let escaped = |path: &str| json!({"a": FIRST, "b": path, "c": SECOND});
        for (map, words) in [
            (json!({"a": FIRST, "b": FIRST, "c": "model-3.safetensors"}), "is not beside it"),
            (json!({"a": FIRST, "b": SECOND, "c": SECOND}), "`b` is in `model-00001"),
            (json!({"a": FIRST, "c": SECOND}), "is not in the index"),
            (json!({"a": FIRST, "b": FIRST, "c": SECOND, "d": SECOND}), "`d` is not in"),
            (escaped("../model.safetensors"), "must be a .safetensors file beside the index"),
            (escaped("/etc/model.safetensors"), "beside the index"),
            (escaped("x/../model.safetensors"), "beside the index"),
            (escaped("..\\model.safetensors"), "beside the index"),
            (escaped(".."), "beside the index"),
            (escaped(""), "beside the index"),
            (escaped("/dev/zero"), "beside the index"),
            (json!({"a": 1}), "which is not a name"),
            (json!([FIRST]), "no `weight_map`"),
            (json!({}), "no tensors"),
        ] {
            let said = complaint(&folder(&json!({"weight_map": map})));
            assert!(said.contains(words), "`{words}` is not in: {said}");
        }
        let many: serde_json::Map<_, _> = (0..20_000)
            .map(|index| (format!("w{index}"), json!(format!("{index}.safetensors"))))
            .collect();
        let said = complaint(&folder(&json!({"weight_map": many})));
        assert!(said.contains("more than 10000 files"), "{said}");
    }

    #[test]
    fn damage_is_told_by_the_file_that_has_it() {
        let map = json!({"a": FIRST, "b": FIRST, "c": SECOND});
        let folder = folder(&json!({"weight_map": map}));
        let second = folder.path().join(SECOND);
        let whole = fs::read(&second).unwrap();
        fs::write(&second, &whole[..whole.len() - 1]).unwrap();
        let said = complaint(&folder);
        assert!(said.contains(SECOND) && said.contains("cut short"), "{said}");
        fs::write(folder.path().join(INDEX), "{\n         ").unwrap();
        let said = complaint(&folder);
        assert!(said.contains(INDEX), "{said}");
        let index = fs::OpenOptions::new().write(true).open(folder.path().join(INDEX)).unwrap();
        index.set_len(1 << 30).unwrap();
        let said = complaint(&folder);
        assert!(said.contains("a file of settings can have at most"), "{said}");
    }
}
