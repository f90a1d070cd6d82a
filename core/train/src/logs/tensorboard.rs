//! Event files of TensorBoard.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::Value;
use vitral_files::{Access, Existing, Kind};

use super::{
    Log, folder, histogram,
    message::{Field, Message, fields, records},
};
use crate::{Error, error::AtPath, experiment::Experiment, pictures::Picture};

/// Files of others in the same folder are left alone.
const PREFIX: &str = "events.out.tfevents.";
const SUFFIX: &str = ".vitral";
const EVENTS: Kind = Kind::new("a file of events", 4 << 30);

/// What figures of a step are called; monitors name theirs themselves.
const OF_STEPS: [(&str, &str); 9] = [
    ("loss", "train/loss"),
    ("accuracy", "train/accuracy"),
    ("gradient_norm", "train/gradient_norm"),
    ("learning_rate", "train/learning_rate"),
    ("images_per_second", "train/images_per_second"),
    ("data_wait", "train/data_wait"),
    ("loss_scale", "train/loss_scale"),
    ("skipped_steps", "train/skipped_steps"),
    ("micro_batch", "train/micro_batch"),
];
/// And those of an evaluation.
const OF_EVALUATIONS: [(&str, &str); 3] =
    [("loss", "val/loss"), ("top1", "val/top1"), ("top5", "val/top5")];

/// What pictures of an evaluation are called, and what the model says of them.
const SAMPLES: &str = "samples/";
const PREDICTIONS: &str = "samples/predictions";

/// The event file of a run.
pub struct TensorBoard {
    path: PathBuf,
    file: File,
}

impl TensorBoard {
    /// Writes a file with these lines in the place of those that there are, whose times stay, and opens it to
    /// add others. It has a later name, so that a TensorBoard that shows the run goes on with it.
    pub fn open(run: &Path, experiment: &Experiment, lines: &[Value]) -> Result<Self, Error> {
        let folder = folder(run, "tensorboard")?;
        let before = files(&folder).at(&folder)?;
        let mut times = HashMap::new();
        // Of an evaluation that was made again, the last ones.
        let mut pictures = BTreeMap::new();
        let evaluations = lines.iter().filter(|line| line["kind"] == "eval");
        let evaluated: HashSet<u64> =
            evaluations.filter_map(|line| line["step"].as_u64()).collect();
        for path in &before {
            let bytes = vitral_files::read(path, EVENTS).at(path)?;
            times.extend(records(&bytes).filter_map(first_tag));
            let is_kept =
                |(tag, step): &(String, u64)| tag.starts_with(SAMPLES) && evaluated.contains(step);
            pictures.extend(records(&bytes).filter_map(|record| {
                let ((tag, step), _) = first_tag(record).filter(|(of, _)| is_kept(of))?;
                has_no_scalar(record).then(|| ((step, tag), Message::of(record)))
            }));
        }
        let last = before.iter().filter_map(|path| second_of(path)).max();
        let now = now();
        let second = last.map_or(now as u64, |last| (last + 1).max(now as u64));
        let path = folder.join(format!("{PREFIX}{second:010}{SUFFIX}"));
        let start = Message::default().double(1, now).text(3, "brain.Event:2");
        // Has a TensorBoard forget what it has read of this run.
        let session = Message::default().varint(1, 1);
        let forget = Message::default().double(1, now).varint(2, 0).message(7, session);
        let mut bytes = [start.record(), forget.record()].concat();
        for value in [text_of(experiment)?, hyper_parameters(experiment)?] {
            bytes.extend(event(now, 0, value).record());
        }
        for line in lines {
            bytes.extend(event_of(line, |tag, step| times.get(&(tag, step)).copied()));
        }
        bytes.extend(pictures.into_values().flat_map(|event| event.record()));
        vitral_files::write(&path, &bytes, Existing::Replace, Access::Usual).at(&path)?;
        for old in before.iter().filter(|old| **old != path) {
            vitral_files::remove(old).at(old)?;
        }
        let file = vitral_files::append(&path).at(&path)?;
        Ok(Self { path, file })
    }
}

impl Log for TensorBoard {
    fn line(&mut self, line: &Value) -> Result<(), Error> {
        self.file.write_all(&event_of(line, |_, _| None)).at(&self.path)
    }

    fn pictures(&mut self, step: u64, pictures: &[Picture]) -> Result<(), Error> {
        let now = now();
        let shown =
            pictures.iter().enumerate().fold(Message::default(), |values, (at, picture)| {
                values.message(1, shown(at, picture))
            });
        let events = [event(now, step, shown), event(now, step, told(pictures))];
        self.file.write_all(&events.map(|event| event.record()).concat()).at(&self.path)
    }
}

/// A picture as a value.
fn shown(at: usize, picture: &Picture) -> Message {
    const RGB: u64 = 3;
    let side = u64::from(picture.side);
    let image = Message::default().varint(1, side).varint(2, side).varint(3, RGB);
    let tag = format!("{SAMPLES}{at} {}", picture.label);
    Message::default().text(1, &tag).message(4, image.bytes(4, &picture.png))
}

/// What the model says of pictures, as a table in Markdown.
fn told(pictures: &[Picture]) -> Message {
    let cell = |text: &str| text.replace('|', "\\|");
    let row = |(at, picture): (usize, &Picture)| {
        let (label, predicted) = (cell(&picture.label), cell(&picture.predicted));
        format!("| {at} | {label} | {predicted} | {:.1}% |\n", 100.0 * picture.probability)
    };
    let rows: String = pictures.iter().enumerate().map(row).collect();
    let table = format!("| image | class | predicted | probability |\n|---|---|---|---|\n{rows}");
    text_value(PREDICTIONS, &table)
}

/// Whether an event is none of figures.
fn has_no_scalar(record: &[u8]) -> bool {
    let mut summaries = fields(record).filter_map(|field| match field {
        (5, Field::Bytes(summary)) => Some(summary),
        _ => None,
    });
    summaries.all(|summary| values(summary).all(|(_, figure)| figure.is_none()))
}

/// The files of a run, in the order of their names.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if second_of(&path).is_some() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The second that a file of ours was begun in.
fn second_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse().ok()
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// An event with one value, or several.
fn event(time: f64, step: u64, values: Message) -> Message {
    Message::default().double(1, time).varint(2, step).message(5, values)
}

/// What a line of the metrics has for TensorBoard, as a record; nothing if it has none. `time` says when one of a
/// tag and a step was made, if that is known.
fn event_of(line: &Value, time: impl FnOnce(String, u64) -> Option<f64>) -> Vec<u8> {
    let Some(step) = line["step"].as_u64() else { return Vec::new() };
    let named = |names: &[(&str, &str)]| -> Vec<(String, f64)> {
        let figure = |(name, tag): &(&str, &str)| Some(((*tag).to_owned(), line[*name].as_f64()?));
        names.iter().filter_map(figure).collect()
    };
    let scalars = match line["kind"].as_str() {
        Some("step") => named(&OF_STEPS),
        Some("eval") => named(&OF_EVALUATIONS),
        Some("monitor") => match (line["monitor"].as_str(), line["name"].as_str()) {
            (Some(monitor), Some(name)) => {
                let tag = format!("{monitor}/{name}");
                line["value"].as_f64().map(|value| (tag, value)).into_iter().collect()
            }
            _ => Vec::new(),
        },
        _ => Vec::new(),
    };
    let scalar = |(tag, figure): (String, f64)| {
        let value = Message::default().text(1, &tag).float(2, figure as f32);
        (tag, value)
    };
    let histogram = |(tag, histogram): (String, Message)| {
        let value = Message::default().text(1, &tag).message(5, histogram);
        (tag, value)
    };
    let found: Vec<(String, Message)> = match line["kind"].as_str() {
        Some(histogram::KIND) => histogram::values_of(line).into_iter().map(histogram).collect(),
        _ => scalars.into_iter().map(scalar).collect(),
    };
    let Some((first, _)) = found.first() else { return Vec::new() };
    let time = time(first.clone(), step).unwrap_or_else(now);
    let values =
        found.into_iter().fold(Message::default(), |values, (_, value)| values.message(1, value));
    event(time, step, values).record()
}

/// A value of a plugin of TensorBoard's, with what it is told and a tensor.
fn of_plugin(tag: &str, plugin: &str, content: Message, tensor: Message) -> Message {
    let plugin = Message::default().text(1, plugin).message(2, content);
    let metadata = Message::default().message(1, plugin);
    let value = Message::default().text(1, tag).message(9, metadata).message(8, tensor);
    Message::default().message(1, value)
}

/// The experiment as a text.
fn text_of(experiment: &Experiment) -> Result<Message, Error> {
    let text = experiment.to_ron().map_err(io::Error::other).at(Path::new("config.ron"))?;
    // What Markdown shows as it is.
    let text: String = text.lines().map(|line| format!("    {line}\n")).collect();
    Ok(text_value("experiment", &text))
}

/// A text in Markdown.
fn text_value(tag: &str, text: &str) -> Message {
    const STRING: u64 = 7;
    let one = Message::default().message(2, Message::default().varint(1, 1));
    let tensor = Message::default().varint(1, STRING).message(2, one).text(8, text);
    of_plugin(tag, "text", Message::default(), tensor)
}

/// What TensorBoard's tab of hyper-parameters compares runs by: every number, word and truth value of `model` and
/// `train`, and the seed.
fn hyper_parameters(experiment: &Experiment) -> Result<Message, Error> {
    let value = serde_json::to_value(experiment).map_err(io::Error::other);
    let value = value.at(Path::new("config.ron"))?;
    let mut found = Vec::new();
    for part in ["seed", "model", "train"] {
        collect(part.into(), &value[part], &mut found);
    }
    let info = found.into_iter().fold(Message::default(), |info, (name, value)| {
        info.message(1, Message::default().text(1, &name).message(2, value))
    });
    let content = Message::default().message(3, info.double(5, now()));
    const FLOAT: u64 = 1;
    let nothing = Message::default().varint(1, FLOAT).message(2, Message::default()).float(5, 0.0);
    Ok(of_plugin("_hparams_/session_start_info", "hparams", content, nothing))
}

/// Every number, word and truth value in a part of an experiment, by its field.
fn collect(field: String, value: &Value, found: &mut Vec<(String, Message)>) {
    let message = match value {
        Value::Number(number) => Message::default().double(2, number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => Message::default().text(3, text),
        Value::Bool(is_true) => Message::default().varint(4, u64::from(*is_true)),
        Value::Object(fields) => {
            for (name, value) in fields {
                collect(format!("{field}.{name}"), value, found);
            }
            return;
        }
        Value::Null | Value::Array(_) => return,
    };
    found.push((field, message));
}

/// The first tag of an event with its step, and when it was made.
fn first_tag(record: &[u8]) -> Option<((String, u64), f64)> {
    let (mut time, mut step, mut tag) = (None, 0, None);
    for (number, field) in fields(record) {
        match (number, field) {
            (1, Field::Fixed64(bytes)) => time = Some(f64::from_le_bytes(bytes)),
            (2, Field::Varint(value)) => step = value,
            (5, Field::Bytes(summary)) => tag = values(summary).next().map(|(tag, _)| tag),
            _ => {}
        }
    }
    Some(((tag?, step), time?))
}

/// The values of a summary: the tag of each, and its figure if it is a scalar.
fn values(summary: &[u8]) -> impl Iterator<Item = (String, Option<f32>)> {
    fields(summary).filter_map(|(number, field)| {
        let (1, Field::Bytes(value)) = (number, field) else { return None };
        let (mut tag, mut figure) = (None, None);
        for (number, field) in fields(value) {
            match (number, field) {
                (1, Field::Bytes(text)) => tag = Some(String::from_utf8_lossy(text).into_owned()),
                (2, Field::Fixed32(bytes)) => figure = Some(f32::from_le_bytes(bytes)),
                _ => {}
            }
        }
        Some((tag?, figure))
    })
}

/// Time, step and figures of an event.
#[cfg(test)]
type Read = (f64, u64, Vec<(String, Option<f32>)>);

/// All events of a run's files.
#[cfg(test)]
fn events(run: &Path) -> Vec<Read> {
    let mut found = Vec::new();
    for path in files(&run.join("tensorboard")).unwrap() {
        for record in records(&fs::read(path).unwrap()) {
            let (mut time, mut step, mut summary) = (0.0, 0, Vec::new());
            for (number, field) in fields(record) {
                match (number, field) {
                    (1, Field::Fixed64(bytes)) => time = f64::from_le_bytes(bytes),
                    (2, Field::Varint(value)) => step = value,
                    (5, Field::Bytes(bytes)) => summary = values(bytes).collect(),
                    _ => {}
                }
            }
            found.push((time, step, summary));
        }
    }
    found
}

/// All that a run's files have, as far as it is text.
#[cfg(test)]
pub fn bytes(run: &Path) -> String {
    let files = files(&run.join("tensorboard")).unwrap().into_iter();
    files.map(|path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()).collect()
}

/// The scalars of a tag that a run's files have, with their steps.
#[cfg(test)]
pub fn scalars(run: &Path, tag: &str) -> Vec<(u64, f32)> {
    let mut found = Vec::new();
    for (_, step, summary) in events(run) {
        let figures = summary.into_iter().filter(|(name, _)| name == tag);
        found.extend(figures.filter_map(|(_, figure)| Some((step, figure?))));
    }
    found
}

/// The tags of a step.
#[cfg(test)]
pub fn tags(run: &Path, step: u64) -> Vec<String> {
    let of_step = events(run).into_iter().filter(|event| event.1 == step);
    of_step.flat_map(|event| event.2).map(|(tag, _)| tag).collect()
}

/// When each event with scalars was made.
#[cfg(test)]
pub fn times(run: &Path) -> Vec<f64> {
    let has_scalars = |summary: &[(String, Option<f32>)]| summary.iter().any(|one| one.1.is_some());
    events(run).iter().filter(|event| has_scalars(&event.2)).map(|event| event.0).collect()
}
