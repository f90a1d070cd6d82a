//! From a file of any dialect to a model's configuration and parameters.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use vitral_model::{ViTConfig, parameters, resnet::Stem};

use crate::{
    Array, InterchangeError,
    architecture::{Read, architecture},
    dialect::{ModelInFile, Normalised},
    error::Mismatches,
    file::{ELEMENTS, Tensors, WeightsFile},
    grid::Squared,
    hints::Hints,
    layout::{Layout, Sizes},
    names::{Dialect, Entry},
    pattern::{named, pattern_of},
    positions::{Resize, resize_grid},
    preprocessing::Preprocessing,
    settings::{Settings, settings},
};

/// A model that was trained elsewhere.
#[derive(Clone, Debug)]
pub struct Pretrained {
    /// Where it comes from.
    pub origin: String,
    /// What it is made of; its `classes` are 0 where the file has no head.
    pub config: ViTConfig,
    /// Its parameters, by our names and in our layouts.
    pub tensors: BTreeMap<String, Array>,
    /// Names of the classes, where they are known.
    pub class_names: Vec<String>,
    /// Mean and standard deviation of each channel, of values scaled to 0 to 1, that inputs are
    /// normalised with, where they are known.
    pub normalization: Option<(Vec<f32>, Vec<f32>)>,
    /// How images become as large as the model for an evaluation, where that is known.
    pub preprocessing: Option<Preprocessing>,
    /// What was concluded, converted or left out, in sentences.
    pub notes: Vec<String>,
}

/// Reads a file, or a folder as the Hugging Face hub has them.
///
/// # Errors
/// The file cannot be read, is damaged, or its tensors are not those of a model here: every one
/// that is missing, unexpected or of another shape is listed.
pub fn read(path: &Path, hints: &Hints) -> Result<Pretrained, InterchangeError> {
    let names = WeightsFile::names(path)?;
    let here = |problem| InterchangeError::Foreign { path: path.into(), problem };
    let place = ModelInFile::find(&names, hints.part.as_deref()).map_err(here)?;
    let file = WeightsFile::read(path, &|name| place.plain(name).is_some())?;
    let path = file.path;
    let foreign = |problem| InterchangeError::Foreign { path: path.clone(), problem };
    let dialect = place.dialect;
    let Normalised { tensors, integers, mut notes } =
        place.normalise(file.contents).map_err(foreign)?;
    let settings =
        settings(dialect, file.config.as_ref(), file.preprocessor.as_ref()).map_err(foreign)?;
    let mut sorted = Sorted::new(dialect, tensors);
    sorted.leave_out(dialect, integers).map_err(foreign)?;
    let first = sorted.patch_embedding.as_deref();
    let Read { config, notes: concluded, squared } =
        architecture(dialect, &sorted.ours, first, sorted.heads, &settings, hints)
            .map_err(foreign)?;
    if let Some(squared) = squared {
        sorted.square(squared, config.width(), hints.positions);
    }
    notes.extend(concluded);
    notes.append(&mut sorted.notes);
    let mismatches = sorted.compare(dialect, &config);
    if !mismatches.is_empty() {
        let model = format!("a {} ({})", describe(&config), dialect.name());
        return Err(InterchangeError::Mismatch { path, model, mismatches });
    }
    let Settings { normalization, preprocessing, mut class_names, notes: left_out, .. } = settings;
    notes.extend(left_out);
    if class_names.len() != config.classes {
        if !class_names.is_empty() && config.classes > 0 {
            notes.push(format!(
                "config.json names {} classes and the head has {}, so the names are left out",
                class_names.len(),
                config.classes
            ));
        }
        class_names.clear();
    }
    Ok(Pretrained {
        origin: path.display().to_string(),
        config,
        tensors: sorted.ours,
        class_names,
        normalization,
        preprocessing,
        notes,
    })
}

/// A model in a few words: `ViT of width 192, depth 12, 3 heads, 16 px patches, 224 px images`.
pub fn describe(config: &ViTConfig) -> String {
    let (kind, heads) = match config.is_mixer() {
        true => ("MLP-Mixer", String::new()),
        false => ("ViT", format!(", {} heads", config.heads())),
    };
    let stem = match &config.stem {
        Stem::None => String::new(),
        Stem::ResNet { layers, width } => {
            format!(" behind a ResNet (stages of {layers:?} units, {width} channels)")
        }
    };
    format!(
        "{kind} of width {}, depth {}{heads}, {} px patches, {} px images{stem}",
        config.width(),
        config.depth(),
        config.patch_pixels(),
        config.image_size
    )
}

/// A file's tensors, sorted into our parameters.
struct Sorted {
    ours: BTreeMap<String, Array>,
    /// The patch embedding's shape in the file, which tells patch and channels apart.
    patch_embedding: Option<Vec<usize>>,
    /// Heads, where shapes tell.
    heads: Option<usize>,
    /// Shapes in the file, by its names.
    found: BTreeMap<String, Vec<usize>>,
    unexpected: Vec<(String, Vec<usize>)>,
    /// Tensors whose number of dimensions is wrong.
    misshapen: Vec<String>,
    notes: Vec<String>,
}

/// Where a tensor of a file belongs.
struct Place<'a> {
    entry: &'a Entry,
    part: usize,
}

impl Sorted {
    fn new(dialect: Dialect, tensors: Tensors) -> Self {
        let entries = dialect.entries();
        let mut places: HashMap<&str, Place<'_>> = HashMap::new();
        for entry in &entries {
            for (part, name) in entry.theirs.iter().enumerate() {
                places.insert(name, Place { entry, part });
            }
        }
        let mut sorted = Self {
            ours: BTreeMap::new(),
            patch_embedding: None,
            heads: None,
            found: tensors
                .iter()
                .map(|(name, array)| (name.clone(), array.shape.clone()))
                .collect(),
            unexpected: Vec::new(),
            misshapen: Vec::new(),
            notes: Vec::new(),
        };
        let mut parts: BTreeMap<String, (usize, Vec<(usize, Array)>)> = BTreeMap::new();
        for (name, array) in tensors {
            let (pattern, layer) = pattern_of(&name);
            let Some(place) = places.get(pattern.as_str()) else {
                sorted.set_aside(dialect, name, array.shape);
                continue;
            };
            sorted.learn(place.entry, &array.shape);
            let ours = named(place.entry.ours, &layer);
            match place.entry.layout.to_ours(array) {
                Some(array) => {
                    let whole = place.entry.theirs.len();
                    let of = parts.entry(ours).or_insert((whole, Vec::new()));
                    of.1.push((place.part, array));
                }
                None => sorted.misshapen.push(name),
            }
        }
        for (name, (whole, mut found)) in parts {
            found.sort_by_key(|(part, _)| *part);
            let found: Vec<Array> = found.into_iter().map(|(_, array)| array).collect();
            let alike = found.iter().all(|part| part.shape == found[0].shape);
            if found.len() == whole && alike {
                sorted.ours.insert(name, Array::joined(&found));
            }
        }
        sorted
    }

    /// A tensor that is no parameter of ours: unused by any model, or unexpected.
    fn set_aside(&mut self, dialect: Dialect, name: String, shape: Vec<usize>) {
        let reason = dialect.unused().iter().find(|(unused, _)| *unused == name);
        match reason {
            Some((_, reason)) => self.notes.push(format!("`{name}` is left out: {reason}")),
            None => self.unexpected.push((name, shape)),
        }
    }

    /// Leaves tensors of integers out, which no model computes with.
    ///
    /// # Errors
    /// One has a parameter's name: it is quantised.
    fn leave_out(
        &mut self,
        dialect: Dialect,
        integers: BTreeMap<String, String>,
    ) -> Result<(), String> {
        let entries = dialect.entries();
        let is_parameter = |name: &str| {
            let (pattern, _) = pattern_of(name);
            entries.iter().any(|entry| entry.theirs.contains(&pattern))
        };
        if let Some((name, kind)) = integers.iter().find(|(name, _)| is_parameter(name)) {
            return Err(format!("`{name}` is {kind}; {ELEMENTS}"));
        }
        // One sentence for all of a kind: buffers come once for each layer.
        let mut kinds: BTreeMap<(String, String), (String, usize)> = BTreeMap::new();
        for (name, kind) in integers {
            let last = name.rsplit(['.', '/']).next().unwrap_or_default().to_owned();
            kinds.entry((last, kind)).or_insert((name, 0)).1 += 1;
        }
        self.notes.extend(kinds.into_iter().map(|((_, kind), (name, count))| {
            let more =
                if count > 1 { format!(" and {} like it are", count - 1) } else { " is".into() };
            format!("`{name}`{more} left out: no weights are {kind}")
        }));
        Ok(())
    }

    /// Makes positions of images that were not square those of square ones. Positions of another shape
    /// than a model has are left as they are, and found by [`Sorted::compare`].
    fn square(&mut self, squared: Squared, width: usize, how: Resize) {
        let Squared { prefix, from, to } = squared;
        let count = prefix + from[0] * from[1];
        if let Some(positions) = self.ours.get_mut("pos_embed")
            && positions.shape == [1, count, width]
        {
            *positions = resize_grid(positions, prefix, from, to, how);
        }
    }

    /// Takes what only the file's own layout tells.
    fn learn(&mut self, entry: &Entry, shape: &[usize]) {
        match (entry.layout, shape) {
            (Layout::Convolution | Layout::FlaxConvolution, _) => {
                let mut shape = shape.to_vec();
                if entry.layout == Layout::FlaxConvolution && shape.len() == 4 {
                    shape = vec![shape[3], shape[2], shape[0], shape[1]];
                }
                self.patch_embedding = Some(shape);
            }
            (Layout::ToHeads, &[_, heads, _]) => self.heads = Some(heads),
            _ => {}
        }
    }

    /// What one of our parameters was made of: the file's names and shapes.
    fn theirs(&self, entries: &[Entry], ours: &str) -> Vec<(String, Vec<usize>)> {
        let (pattern, layer) = pattern_of(ours);
        let entries = entries.iter().filter(|entry| entry.ours == pattern);
        let names = entries.flat_map(|entry| &entry.theirs).map(|theirs| named(theirs, &layer));
        names.filter_map(|name| self.found.get(&name).map(|shape| (name, shape.clone()))).collect()
    }

    /// Every difference from the model, by the file's names.
    fn compare(&self, dialect: Dialect, config: &ViTConfig) -> Mismatches {
        let sizes = sizes_of(config);
        let entries = dialect.entries();
        let mut wanted: BTreeMap<_, _> = parameters::of_config(config).into_iter().collect();
        let mut mismatches =
            Mismatches { unexpected: self.unexpected.clone(), ..Mismatches::default() };
        for (name, array) in &self.ours {
            match wanted.get(name) {
                Some(shape) if *shape == array.shape => {
                    wanted.remove(name);
                }
                // Listed below, by the file's name and in its layout.
                Some(_) => {}
                None => mismatches.unexpected.extend(self.theirs(&entries, name)),
            }
        }
        for (name, shape) in wanted {
            let (pattern, layer) = pattern_of(&name);
            let mut known = false;
            for entry in entries.iter().filter(|entry| entry.ours == pattern) {
                let part = split_shape(&shape, entry.theirs.len());
                let shape = entry.layout.shape(&part, sizes);
                for theirs in &entry.theirs {
                    let theirs = named(theirs, &layer);
                    match self.found.get(&theirs) {
                        Some(found) if *found == shape => {}
                        Some(found) => {
                            mismatches.shapes.push((theirs, found.clone(), shape.clone()));
                        }
                        // A second name for the same thing is not missing, too.
                        None if known => {}
                        None => mismatches.missing.push((theirs, shape.clone())),
                    }
                }
                known = true;
            }
            if !known {
                mismatches.missing.push((name, shape));
            }
        }
        mismatches
    }
}

/// What a file's layout has and ours does not.
pub(crate) fn sizes_of(config: &ViTConfig) -> Sizes {
    Sizes {
        heads: config.heads(),
        patch: config.patch_size(),
        channels: config.stem.channels(config.channels),
    }
}

fn split_shape(shape: &[usize], parts: usize) -> Vec<usize> {
    let mut shape = shape.to_vec();
    if let Some(last) = shape.last_mut() {
        *last /= parts;
    }
    shape
}
