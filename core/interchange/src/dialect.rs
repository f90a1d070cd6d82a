//! Whose names a file uses, where among its names the model is, and small differences between files of the
//! same dialect taken away.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::{
    file::{Contents, Tensors},
    names::Dialect,
    pattern::pattern_of,
};

/// A model among the tensors of a file: whose names it has, and what stands before them.
#[derive(Clone, Debug)]
pub(crate) struct ModelInFile {
    pub dialect: Dialect,
    /// With the separator at its end, or empty: `_orig_mod.module.`, `params/`.
    prefix: String,
    /// Other models of the same dialect in the file, by their prefixes.
    others: Vec<String>,
    /// Names of the dialect, without a prefix, `{}` standing for the layer.
    known: HashSet<String>,
    /// The file's name of each that is known only without a part of the prefix, by the dialect's.
    beside: BTreeMap<String, String>,
}

/// Tensors under the plain names of their dialect.
pub(crate) struct Normalised {
    pub tensors: Tensors,
    /// Those of integers, and their types.
    pub integers: BTreeMap<String, String>,
    /// What was concluded or left out, in sentences.
    pub notes: Vec<String>,
}

/// big_vision can keep all layers of a kind in one tensor (`scan: True`).
const STACK: &str = "Transformer/encoderblock/";

/// Words of a prefix that say which of several models in a file it is of: the smaller the number, the likelier
/// people want it. Words that are not here count as [`OTHER`].
const WORDS: [(&str, usize); 11] = [
    ("ema", 0),
    ("teacher", 1),
    ("encoder", 3),
    ("backbone", 3),
    ("visual", 3),
    ("vision", 3),
    ("model", 3),
    ("student", 7),
    ("momentum", 7),
    ("text", 8),
    ("decoder", 8),
];
const OTHER: usize = 4;

impl ModelInFile {
    /// Finds the model among a file's names. `part` says which, where there are several.
    ///
    /// # Errors
    /// There is none that is known, or several of which none is likelier; in words.
    pub(crate) fn find(names: &BTreeSet<String>, part: Option<&str>) -> Result<Self, String> {
        for dialect in Dialect::ALL {
            let mut prefixes = prefixes(dialect, names);
            if prefixes.is_empty() {
                continue;
            }
            if let Some(part) = part {
                let all = listed(&prefixes);
                prefixes.retain(|prefix| has_part(prefix, part));
                if prefixes.is_empty() {
                    return Err(format!(
                        "no model in it is under `{part}`; there is one under `{all}`"
                    ));
                }
            }
            prefixes.sort_by_key(|prefix| (rank(prefix), prefix.len()));
            if let [first, second, ..] = prefixes.as_slice()
                && rank(first) == rank(second)
            {
                let all = listed(&prefixes);
                let one = if first.is_empty() { second } else { first };
                return Err(format!(
                    "it has several models, under `{all}`: say which (`--part {}`)",
                    one.trim_end_matches(['.', '/'])
                ));
            }
            let prefix = prefixes.remove(0);
            return Ok(Self::new(dialect, prefix, prefixes, names));
        }
        let first: Vec<&str> = names.iter().take(5).map(String::as_str).collect();
        let known: Vec<&str> = Dialect::ALL.iter().map(|dialect| dialect.name()).collect();
        Err(format!(
            "the names of its tensors are unknown ({}, ...); known are those of {}",
            first.join(", "),
            known.join("; ")
        ))
    }

    fn new(
        dialect: Dialect,
        prefix: String,
        others: Vec<String>,
        names: &BTreeSet<String>,
    ) -> Self {
        let entries = dialect.entries();
        let unused = dialect.unused().iter().map(|(name, _)| (*name).to_owned());
        let known: HashSet<String> =
            entries.into_iter().flat_map(|entry| entry.theirs).chain(unused).collect();
        let mut place = Self { dialect, prefix, others, known, beside: BTreeMap::new() };
        // A head may stand beside the model that it belongs to: `vit.encoder...` and `classifier.weight`.
        for name in names {
            let Some(plain) = place.plain_beside(name) else { continue };
            let nearer = place.beside.get(plain).is_none_or(|other| other.len() < name.len());
            if nearer && !names.contains(&format!("{}{plain}", place.prefix)) {
                place.beside.insert(plain.to_owned(), name.clone());
            }
        }
        place
    }

    /// The dialect's name of a tensor that has only a part of the prefix, the longest that makes it known.
    fn plain_beside<'a>(&self, name: &'a str) -> Option<&'a str> {
        if self.prefix.is_empty() || name.starts_with(&self.prefix) {
            return None;
        }
        let ends = self.prefix.match_indices(['.', '/']).map(|(at, _)| at + 1);
        let mut parts: Vec<&str> = ends.map(|end| &self.prefix[..end]).chain([""]).collect();
        parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
        let mut plain = parts.into_iter().filter_map(|part| name.strip_prefix(part));
        plain.find(|plain| self.known.contains(&pattern_of(plain).0))
    }

    /// The dialect's name of a tensor, if it belongs to the model.
    pub(crate) fn plain<'a>(&self, name: &'a str) -> Option<&'a str> {
        if let Some(plain) = name.strip_prefix(&self.prefix) {
            return Some(plain);
        }
        self.plain_beside(name).filter(|&plain| self.beside.get(plain).is_some_and(|n| n == name))
    }

    /// Gives the model's tensors their plain names.
    ///
    /// # Errors
    /// Stacked layers that are not as many as others.
    pub(crate) fn normalise(&self, contents: Contents) -> Result<Normalised, String> {
        let Contents { tensors, integers, unread } = contents;
        let mut notes = vec![match self.prefix.as_str() {
            "" => format!("names of {}", self.dialect.name()),
            prefix => format!("names of {}, under `{prefix}`", self.dialect.name()),
        }];
        for other in self.others.iter().take(5) {
            notes.push(match other.trim_end_matches(['.', '/']) {
                "" => "there is another model in the file, without a prefix".into(),
                part => {
                    format!("there is another model in the file, under `{other}` (`--part {part}`)")
                }
            });
        }
        if let Some(first) = unread.first() {
            let more = match unread.len() {
                1 => String::new(),
                count => format!(" and {} more", count - 1),
            };
            notes.push(format!(
                "`{first}`{more} are left out, as they are not under `{}`",
                self.prefix
            ));
        }
        let plain = |name: String| self.plain(&name).map_or(name.clone(), str::to_owned);
        let tensors = tensors.into_iter().map(|(name, array)| (plain(name), array)).collect();
        let integers = integers.into_iter().map(|(name, kind)| (plain(name), kind)).collect();
        Ok(Normalised { tensors: unstacked(tensors)?, integers, notes })
    }
}

/// What stands before the mark of a dialect, wherever it is.
fn prefixes(dialect: Dialect, names: &BTreeSet<String>) -> Vec<String> {
    let (mark, companion) = dialect.mark();
    let plain = |name: &str| name.replace(STACK, "Transformer/encoderblock_0/");
    let is_end = |prefix: &str| prefix.is_empty() || prefix.ends_with(['.', '/']);
    let found = names.iter().filter_map(|name| {
        let name = plain(name);
        let prefix = name.strip_suffix(mark).filter(|prefix| is_end(prefix))?;
        let has = |name: &str| names.contains(&format!("{prefix}{name}"));
        companion.is_none_or(has).then(|| prefix.to_owned())
    });
    let found: Vec<String> = found.collect();
    // What differs in a number is no model of its own, but a stage of one that is not known (Swin's
    // `layers.0.blocks.0`, `layers.1.blocks.0`).
    let unnumbered = |prefix: &String| -> Vec<String> {
        let parts = prefix.split(['.', '/']);
        parts.map(|part| if is_number(part) { "#".into() } else { part.to_owned() }).collect()
    };
    let mut alike: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    for prefix in &found {
        *alike.entry(unnumbered(prefix)).or_default() += 1;
    }
    found.into_iter().filter(|prefix| alike[&unnumbered(prefix)] == 1).collect()
}

/// The first few of the prefixes, for a message.
fn listed(prefixes: &[String]) -> String {
    let first: Vec<&str> = prefixes.iter().take(5).map(String::as_str).collect();
    first.join("`, `")
}

fn is_number(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a prefix is, or has, what `--part` names.
fn has_part(prefix: &str, part: &str) -> bool {
    let part = part.trim_end_matches(['.', '/']);
    let whole = prefix.trim_end_matches(['.', '/']);
    whole == part || whole.split(['.', '/']).any(|segment| segment == part)
}

/// Where a prefix is among those that people want, by the word that says most.
fn rank(prefix: &str) -> usize {
    let words = prefix.split(['.', '/', '_']).filter(|word| !word.is_empty());
    let known = words.filter_map(|word| WORDS.iter().find(|(known, _)| *known == word));
    // The farther from the middle, the more a word says: `teacher.encoder` is the teacher's.
    let ranks = known.map(|&(_, rank)| rank);
    ranks.max_by_key(|rank| rank.abs_diff(OTHER)).unwrap_or(OTHER)
}

/// Each layer of big_vision's stacks becomes a tensor of its own.
fn unstacked(tensors: Tensors) -> Result<Tensors, String> {
    let mut result = Tensors::new();
    let mut depth = None;
    for (name, array) in tensors {
        let Some((prefix, rest)) = name.split_once(STACK) else {
            result.insert(name, array);
            continue;
        };
        let layers = array.shape.first().copied().unwrap_or(0);
        if *depth.get_or_insert(layers) != layers || layers == 0 || layers > MOST_LAYERS {
            return Err(format!(
                "`{name}` is {:?}: the layers that are stacked in it are not as many as in others, or not 1 to {MOST_LAYERS}",
                array.shape
            ));
        }
        for (layer, array) in array.rows().enumerate() {
            result.insert(format!("{prefix}Transformer/encoderblock_{layer}/{rest}"), array);
        }
    }
    Ok(result)
}

/// As many as a configuration can have.
pub(crate) const MOST_LAYERS: usize = 1024;
