//! A teacher's logits in a file, which one pass over the training images wrote: for teachers that are slow beside
//! the model that learns from them.
//!
//! The file is a safetensors file of one tensor, `logits` `[images, classes]`, with a row for each training image
//! by its place in the data. An image that could not be read has a row without numbers. What they were made of
//! stands in the file's metadata, so that nothing else is learned from by them.

use std::{
    collections::HashMap,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::{
    Dtype,
    tensor::{Metadata, TensorInfo},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use vitral_data::{Fingerprint, Source, Transform, abridged, match_classes};
use vitral_files::{Access, Existing, Kind, NewFile};
use vitral_model::ConfigProblem;

use crate::{Error, checkpoint::hex, experiment::Experiment};

/// The field that problems are told of.
pub(super) const FIELD: &str = "train.teacher.logits";
/// The tensor's name.
const LOGITS: &str = "logits";
/// Under which name the metadata says what logits were made of.
const MADE_OF: &str = "vitral.teacher_logits";
/// Bytes that a header has at most.
const HEADER: u64 = 64 << 20;

/// What logits were made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct MadeOf {
    /// Where the teacher came from, in words.
    pub(super) teacher: String,
    /// What tells it from any other model.
    pub(super) fingerprint: String,
    /// The names of the classes, in the order of the columns.
    pub(super) classes: Vec<String>,
    /// The training images.
    images: Fingerprint,
    /// How these were prepared.
    prepared: Prepared,
}

/// How images become what a model takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Prepared {
    size: usize,
    channels: usize,
    /// `data.augment`, as RON.
    stages: String,
    /// `data.normalize`, as RON.
    normalize: String,
}

impl Prepared {
    fn of(experiment: &Experiment) -> Result<Self, Error> {
        let text = |text: Result<String, vitral_config::ConfigError>| {
            let text = text.map_err(|error| Error::Message(error.to_string()))?;
            Ok::<_, Error>(one_line(&text))
        };
        Ok(Self {
            size: experiment.model.image_size,
            channels: experiment.model.channels,
            stages: text(vitral_config::to_ron(&experiment.data.augment))?,
            normalize: text(vitral_config::to_ron(&experiment.data.normalize))?,
        })
    }
}

/// RON without its line breaks.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    [("( ", "("), ("[ ", "["), (", )", ")"), (", ]", "]")]
        .into_iter()
        .fold(line, |line, (from, to)| line.replace(from, to))
}

impl MadeOf {
    pub(super) fn new(
        experiment: &Experiment,
        images: &dyn Source,
        (teacher, fingerprint): (String, String),
    ) -> Result<Self, Error> {
        Ok(Self {
            teacher,
            fingerprint,
            classes: images.class_names().to_vec(),
            images: Fingerprint::of(images),
            prepared: Prepared::of(experiment)?,
        })
    }

    /// Makes sure that an experiment learns of the same images, seen in the same way.
    fn check(&self, experiment: &Experiment, images: &dyn Source) -> Result<(), Error> {
        // Which class an image has does not matter to the teacher.
        let now = Fingerprint { labels: self.images.labels, ..Fingerprint::of(images) };
        if let Some(difference) = self.images.difference(&now) {
            let message =
                format!("logits were made of other images: the training data {difference}");
            return Err(problem(message, AGAIN));
        }
        let now = Prepared::of(experiment)?;
        let differs = |what: &str, then: &str, now: &str| {
            let message = format!("logits were made with {what} {then}, but it is {now} now");
            Err(problem(message, AGAIN))
        };
        let Prepared { size, channels, stages, normalize } = &self.prepared;
        if *size != now.size {
            return differs("`model.image_size`", &size.to_string(), &now.size.to_string());
        }
        if *channels != now.channels {
            return differs("`model.channels`", &channels.to_string(), &now.channels.to_string());
        }
        if *stages != now.stages {
            return differs("`data.augment`", stages, &now.stages);
        }
        if *normalize != now.normalize {
            return differs("`data.normalize`", normalize, &now.normalize);
        }
        Ok(())
    }
}

/// What to do about logits of something else.
const AGAIN: &str = "make them again with `vitral teach`, or learn from `checkpoint`";

fn problem(message: String, help: &str) -> Error {
    Error::Experiment(ConfigProblem { field: FIELD.into(), message, help: help.into() })
}

/// Refuses what has an image be another one each time that it comes, so that logits of the image as it is are wrong.
///
/// # Errors
/// The first field that does.
pub(super) fn check_unaugmented(experiment: &Experiment) -> Result<(), ConfigProblem> {
    let (train, data) = (&experiment.train, &experiment.data);
    let refuse = |what: String, field: &str| {
        Err(ConfigProblem {
            field: field.into(),
            message: format!("{what}, but logits from a file are those of unchanged images"),
            help: "leave it out, or let `train.teacher.checkpoint` answer on the same images"
                .into(),
        })
    };
    for (index, stage) in data.augment.iter().enumerate() {
        if let Some(name) = stage.drawn() {
            let field = format!("data.augment[{index}]");
            return refuse(format!("`{name}` changes images at random"), &field);
        }
    }
    if data.repeated_augmentation > 1 {
        let field = "data.repeated_augmentation";
        return refuse("images are augmented differently each time".into(), field);
    }
    if train.mix.is_on() {
        return refuse("Mixup and CutMix make new images".into(), "train.mix");
    }
    if let Some(used) = train.batch_augment.first() {
        let what = format!("the plugin `{}` changes images of a batch", used.name);
        return refuse(what, "train.batch_augment");
    }
    if !train.image_size.is_empty() {
        return refuse("images are smaller in the first epochs".into(), "train.image_size");
    }
    Ok(())
}

/// The stages of training images, none of which draws.
pub(super) fn stages(experiment: &Experiment) -> Result<Vec<vitral_data::Stage>, Error> {
    let stage = |stage: &Transform| {
        stage.stage(|used| Err(problem(format!("`{}` is a plugin", used.name), "leave it out")))
    };
    experiment.data.augment.iter().map(stage).collect()
}

/// A file of logits that is being written.
pub(super) struct Writer {
    file: NewFile,
    path: PathBuf,
    classes: usize,
    /// Rows that it has.
    rows: usize,
    images: usize,
}

impl Writer {
    pub(super) fn create(path: &Path, made_of: &MadeOf) -> Result<Self, Error> {
        let (images, classes) = (made_of.images.images, made_of.classes.len());
        let told =
            |error: &dyn std::fmt::Display| Error::Message(format!("{}: {error}", path.display()));
        let info = TensorInfo {
            dtype: Dtype::F32,
            shape: vec![images, classes],
            data_offsets: (0, images * classes * size_of::<f32>()),
        };
        let text = serde_json::to_string(made_of).map_err(|error| told(&error))?;
        let more = HashMap::from([(MADE_OF.to_owned(), text)]);
        let metadata = Metadata::new(Some(more), vec![(LOGITS.to_owned(), info)])
            .map_err(|error| told(&error))?;
        let mut header = serde_json::to_vec(&metadata).map_err(|error| told(&error))?;
        header.resize(header.len().next_multiple_of(8), b' ');
        let mut file =
            NewFile::create(path, Existing::Refuse, Access::Usual).map_err(|error| told(&error))?;
        let written = file.write_all(&(header.len() as u64).to_le_bytes());
        written.and_then(|()| file.write_all(&header)).map_err(|error| told(&error))?;
        Ok(Self { file, path: path.to_owned(), classes, rows: 0, images })
    }

    /// Writes the rows of a batch, `[batch, classes]`, whose images have these places in the data, which rise. Images
    /// between them get rows without numbers.
    pub(super) fn add(&mut self, samples: &[u32], logits: &[f32]) -> Result<(), Error> {
        for (&sample, row) in samples.iter().zip(logits.chunks_exact(self.classes)) {
            if let Some(value) = row.iter().find(|value| !value.is_finite()) {
                let problem = format!("the teacher answers {value} on image {sample} of the data");
                return Err(Error::Message(problem));
            }
            self.skip_to(sample as usize)?;
            self.write(row)?;
        }
        Ok(())
    }

    fn skip_to(&mut self, row: usize) -> Result<(), Error> {
        let nothing = vec![f32::NAN; self.classes];
        while self.rows < row {
            self.write(&nothing)?;
        }
        Ok(())
    }

    fn write(&mut self, row: &[f32]) -> Result<(), Error> {
        let bytes: Vec<u8> = row.iter().flat_map(|value| value.to_le_bytes()).collect();
        let written = self.file.write_all(&bytes);
        self.rows += 1;
        written.map_err(|error| Error::Message(format!("{}: {error}", self.path.display())))
    }

    /// Moves the file to its place.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        self.skip_to(self.images)?;
        let Self { file, path, .. } = self;
        file.finish().map_err(|error| Error::Message(format!("{}: {error}", path.display())))
    }
}

/// Logits that are read row by row as images come.
pub(crate) struct TeacherLogits {
    path: PathBuf,
    file: Mutex<File>,
    /// Where the first row begins.
    start: u64,
    /// Columns of the file.
    columns: usize,
    /// Where each class of the data is among them.
    classes: Vec<usize>,
}

/// A file of logits that has been opened.
pub(super) struct OpenedLogits {
    pub(super) logits: TeacherLogits,
    pub(super) made_of: MadeOf,
    /// What tells these logits from any others.
    pub(super) fingerprint: String,
}

impl TeacherLogits {
    /// Opens a file for the training images of an experiment.
    ///
    /// # Errors
    /// It cannot be read, is something else, or was made of other images, or for other classes.
    pub(super) fn open(
        path: &Path,
        experiment: &Experiment,
        images: &dyn Source,
    ) -> Result<OpenedLogits, Error> {
        let (mut file, size) = vitral_files::open(path, Kind::TENSORS)
            .map_err(|error| unusable(path, &error.to_string()))?;
        let header = header(&mut file, size).map_err(|found| unusable(path, &found))?;
        let start = 8 + header.len() as u64;
        let (made_of, shape) = parse(&header).map_err(|found| unusable(path, &found))?;
        let (rows, columns) = (made_of.images.images, made_of.classes.len());
        let bytes =
            (rows as u64).checked_mul(columns as u64 * 4).and_then(|all| all.checked_add(start));
        if shape != [rows, columns] || bytes != Some(size) {
            return Err(unusable(path, "it is damaged: it does not have a row for each image"));
        }
        made_of.check(experiment, images)?;
        let names = images.class_names();
        let found = match_classes(names, &made_of.classes);
        let unknown: Vec<&String> =
            names.iter().zip(&found).filter(|(_, at)| at.is_none()).map(|(name, _)| name).collect();
        if !unknown.is_empty() {
            let message = format!(
                "there are no logits for these classes of the data: {}; theirs are {}",
                abridged(&unknown),
                abridged(&made_of.classes)
            );
            return Err(problem(message, AGAIN));
        }
        let fingerprint = hex(&Sha256::digest(&header));
        let classes = found.into_iter().flatten().collect();
        let file = Mutex::new(file);
        let logits = Self { path: path.to_owned(), file, start, columns, classes };
        Ok(OpenedLogits { logits, made_of, fingerprint })
    }

    /// The logits of some images, by their places in the data, `[batch, classes]`.
    ///
    /// # Errors
    /// The file cannot be read, or an image was not there when they were made.
    pub(crate) fn of(&self, samples: &[u32], device: &Device) -> Result<Tensor<2>, Error> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = vec![0; self.columns * 4];
        let mut values = Vec::with_capacity(samples.len() * self.classes.len());
        for &sample in samples {
            let at = self.start + u64::from(sample) * bytes.len() as u64;
            file.seek(SeekFrom::Start(at))
                .and_then(|_| file.read_exact(&mut bytes))
                .map_err(|error| unusable(&self.path, &error.to_string()))?;
            let (row, _) = bytes.as_chunks::<4>();
            let row = self.classes.iter().map(|&class| f32::from_le_bytes(row[class]));
            values.extend(row);
            let first = values.len() - self.classes.len();
            if !values[first..].iter().all(|value| value.is_finite()) {
                return Err(unusable(
                    &self.path,
                    &format!("image {sample} of the data could not be read when they were made"),
                ));
            }
        }
        Ok(Tensor::from_data(TensorData::new(values, [samples.len(), self.classes.len()]), device))
    }
}

fn unusable(path: &Path, found: &str) -> Error {
    let message = format!("logits cannot be used: {found} ({})", path.display());
    problem(message, AGAIN)
}

/// The header of a safetensors file of so many bytes.
fn header(file: &mut File, size: u64) -> Result<Vec<u8>, String> {
    let not = "it is not a safetensors file";
    let mut len = [0; 8];
    file.read_exact(&mut len).map_err(|_| not.to_owned())?;
    let len = u64::from_le_bytes(len);
    if len > HEADER.min(size.saturating_sub(8)) {
        return Err(not.into());
    }
    let mut header = vec![0; len as usize];
    file.read_exact(&mut header).map_err(|error| error.to_string())?;
    Ok(header)
}

/// What logits were made of, and their shape.
fn parse(header: &[u8]) -> Result<(MadeOf, Vec<usize>), String> {
    let not = || "`vitral teach` has not written it".to_owned();
    let metadata: Metadata = serde_json::from_slice(header).map_err(|_| not())?;
    let made_of = metadata.metadata().as_ref().and_then(|all| all.get(MADE_OF)).ok_or_else(not)?;
    let made_of = serde_json::from_str(made_of).map_err(|error| error.to_string())?;
    let info = metadata.info(LOGITS).filter(|info| info.dtype == Dtype::F32).ok_or_else(not)?;
    Ok((made_of, info.shape.clone()))
}
