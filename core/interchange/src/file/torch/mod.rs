//! PyTorch's files (`torch.save`, since 1.6): a ZIP file with a pickle, which says what there is, and the
//! bytes of each storage beside it. Unpickling in Python can run anything. Here a small interpreter
//! ([`pickle`]) knows tensors and plain containers, and refuses everything else by its name.

mod class;
mod objects;
mod pickle;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    io::Read,
};

use self::{
    class::Kind,
    objects::{Id, Objects, Tensor, Value},
};
pub(crate) use pickle::SAVE;

use super::{
    archive::{self, Archive},
    contents::{Contents, Wanted},
    element::{Element, damaged},
    values::{check_finite, room},
};
use crate::Array;

/// A pickle has names and shapes; those of published models are smaller than 1 MiB.
const LARGEST_PICKLE: u64 = 16 << 20;
const DEEPEST: usize = 16;
/// More than any file of weights has, optimizer and settings included.
const MOST_VISITED: usize = 1 << 20;
const LONGEST_NAME: usize = 1024;

/// Where in an archive PyTorch's pickle is, if it has one: in its only folder.
pub(super) fn pickle_of(names: &[String]) -> Option<&str> {
    names.iter().map(String::as_str).find(|name| {
        name.strip_suffix("/data.pkl").is_some_and(|root| !root.is_empty() && !root.contains('/'))
    })
}

/// Reads the tensors that are wanted, converted to `f32`. The names of nested dictionaries are put one
/// after the other: `state_dict.head.bias`.
///
/// # Errors
/// What is wrong with the file, in words.
pub(super) fn read(
    mut archive: Archive,
    length: u64,
    wanted: Wanted<'_>,
) -> Result<Contents, String> {
    let names = archive::names(&archive)?;
    let places: BTreeMap<&str, usize> =
        names.iter().enumerate().map(|(index, name)| (name.as_str(), index)).collect();
    let pickle = pickle_of(&names).ok_or("the archive has no `data.pkl`")?;
    let root = pickle.strip_suffix("data.pkl").unwrap_or_default();
    let at = |name: &str| places.get(format!("{root}{name}").as_str()).copied();
    if at("constants.pkl").is_some() {
        return Err(format!("this is a TorchScript program, not weights; {SAVE}"));
    }
    if let Some(index) = at("byteorder") {
        let order = small(&mut archive, index, "byteorder", 16)?;
        if order != b"little" {
            return Err("its numbers are not little-endian; save it on another machine".into());
        }
    }
    let text = small(&mut archive, places[pickle], "data.pkl", LARGEST_PICKLE)?;
    let (objects, top) = pickle::read(&text)?;
    drop(text);
    let tensors = flatten(&objects, top)?;

    let mut contents = Contents::default();
    // By storage, in the order in which the archive has them.
    let mut storages: BTreeMap<(usize, Element), Shared<'_>> = BTreeMap::new();
    let mut budget = archive::allowed(length);
    for (name, tensor) in tensors {
        if !wanted(&name) {
            contents.unread.insert(name);
            continue;
        }
        let Value::Storage(storage) = objects.get(tensor.storage) else { continue };
        let element = match storage.kind {
            Kind::Numbers(element) => element,
            Kind::Integers(kind) => {
                contents.integers.insert(name, kind.into());
                continue;
            }
        };
        let values = check_place(tensor, storage.count)
            .map_err(|problem| format!("`{name}` of {:?} {problem}", tensor.shape))?;
        budget = budget.checked_sub(values.saturating_mul(4)).ok_or_else(|| {
            format!("its tensors have more values than a file of {length} bytes should (`{name}`)")
        })?;
        let key = objects.text(storage.key).unwrap_or_default();
        let index = at(&format!("data/{key}"))
            .ok_or_else(|| format!("the storage `{key}` of `{name}` is not in the archive"))?;
        let shared = storages
            .entry((index, element))
            .or_insert(Shared { count: storage.count, tensors: Vec::new() });
        if shared.count != storage.count {
            return Err(format!(
                "the storage `{key}` claims to have {} values, and {} for `{name}`",
                shared.count, storage.count
            ));
        }
        shared.tensors.push((name, tensor));
    }
    for ((index, element), Shared { count, tensors }) in storages {
        // There is one: a storage is listed with the first.
        let first = tensors.first().map_or("", |(name, _)| name);
        let mut entry = archive::entry(&mut archive, index)?;
        if count.checked_mul(element.width()) != Some(entry.size()) {
            return Err(format!(
                "the storage of `{first}` claims to have {count} values, but has {} bytes",
                entry.size()
            ));
        }
        let values = element.read_any(&mut entry, first, count as usize)?;
        // The ZIP reader compares checksums where an entry ends.
        if entry.read(&mut [0]).map_err(|error| damaged(first, &error))? > 0 {
            return Err(format!("the storage of `{first}` is longer than it claims"));
        }
        drop(entry);
        for (name, array) in views(values, tensors)? {
            check_finite(&name, &array.values)?;
            contents.tensors.insert(name, array);
        }
    }
    Ok(contents)
}

/// A storage of so many values, and the tensors in it.
struct Shared<'a> {
    count: u64,
    tensors: Vec<(String, &'a Tensor)>,
}

/// An entry that must be small, whole.
fn small(archive: &mut Archive, index: usize, name: &str, most: u64) -> Result<Vec<u8>, String> {
    let entry = archive::entry(archive, index)?;
    if entry.size() > most {
        return Err(format!("`{name}` claims to be {} bytes long", entry.size()));
    }
    let mut content = Vec::new();
    entry.take(most + 1).read_to_end(&mut content).map_err(|error| damaged(name, &error))?;
    if content.len() as u64 > most {
        return Err(format!("`{name}` unpacks to more than it claims"));
    }
    Ok(content)
}

/// All tensors of nested dictionaries and lists, by their path.
fn flatten(objects: &Objects, top: Id) -> Result<Vec<(String, &Tensor)>, String> {
    let mut found = BTreeMap::new();
    let mut visited = 0;
    let mut left = vec![(String::new(), top, 0)];
    while let Some((path, id, depth)) = left.pop() {
        let mut visit = |key: &str, id: Id| {
            visited += 1;
            if visited > MOST_VISITED {
                return Err("it has more objects than files of weights have".to_owned());
            }
            if path.len() + key.len() > LONGEST_NAME {
                return Err(format!("a tensor's name has more than {LONGEST_NAME} characters"));
            }
            let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            left.push((path, id, depth + 1));
            Ok(())
        };
        match objects.get(id) {
            Value::Tensor(tensor) if path.is_empty() => {
                return Err(format!(
                    "it is a single tensor of {:?}, without a name; {SAVE}",
                    tensor.shape
                ));
            }
            Value::Tensor(tensor) => match found.entry(path) {
                Entry::Vacant(place) => {
                    place.insert(&**tensor);
                }
                Entry::Occupied(place) => {
                    return Err(format!("`{}` occurs twice", place.key()));
                }
            },
            Value::Dict(_) | Value::Sequence(_) if depth >= DEEPEST => {
                return Err(format!("`{path}` is nested more than {DEEPEST} deep"));
            }
            Value::Dict(pairs) => {
                for &(key, value) in pairs {
                    match objects.get(key) {
                        Value::Text(key) => visit(key, value)?,
                        Value::Int(key) => visit(&key.to_string(), value)?,
                        _ => visit("?", value)?,
                    }
                }
            }
            Value::Sequence(items) => {
                for (index, &item) in items.iter().enumerate() {
                    visit(&index.to_string(), item)?;
                }
            }
            _ => {}
        }
    }
    Ok(found.into_iter().collect())
}

/// How many values a tensor has, if all are in its storage.
fn check_place(tensor: &Tensor, stored: u64) -> Result<u64, String> {
    let count = tensor.shape.iter().try_fold(1u64, |count, &n| count.checked_mul(n as u64));
    let count = count.ok_or("has more values than can be counted")?;
    if count == 0 {
        return Ok(0);
    }
    let steps = tensor.shape.iter().zip(&tensor.strides);
    let last = steps
        .map(|(&length, &stride)| (length as u64 - 1).checked_mul(stride))
        .try_fold(tensor.offset, |sum, step| sum.checked_add(step?));
    match last {
        Some(last) if last < stored => Ok(count),
        _ => Err(format!("reaches beyond its storage of {stored} values")),
    }
}

/// The tensors that share a storage.
fn views(
    stored: Vec<f32>,
    mut tensors: Vec<(String, &Tensor)>,
) -> Result<Vec<(String, Array)>, String> {
    if let [(name, tensor)] = tensors.as_mut_slice()
        && tensor.offset == 0
        && tensor.is_contiguous()
        && tensor.shape.iter().product::<usize>() == stored.len()
    {
        let array = Array { shape: tensor.shape.clone(), values: stored };
        return Ok(vec![(std::mem::take(name), array)]);
    }
    tensors
        .into_iter()
        .map(|(name, tensor)| {
            // `check_place` has found all of these values inside the storage.
            let count = tensor.shape.iter().product();
            let mut values = room(&name, count)?;
            let mut at = vec![0; tensor.shape.len()];
            let mut from = tensor.offset as usize;
            for _ in 0..count {
                values.push(stored[from]);
                for axis in (0..at.len()).rev() {
                    let (length, stride) = (tensor.shape[axis], tensor.strides[axis] as usize);
                    at[axis] += 1;
                    if at[axis] < length {
                        from += stride;
                        break;
                    }
                    at[axis] = 0;
                    from -= stride * (length - 1);
                }
            }
            Ok((name, Array { shape: tensor.shape.clone(), values }))
        })
        .collect()
}

#[cfg(test)]
mod tests;
