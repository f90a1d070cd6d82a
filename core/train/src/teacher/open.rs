//! Reading a teacher, and making sure that it can teach this model this data's classes.

use std::{path::Path, sync::Arc};

use burn::tensor::{Int, Tensor, TensorData};
use sha2::{Digest, Sha256};
use vitral_data::{Source, abridged, match_classes};
use vitral_interchange::{Array, Hints, Pretrained, read};
use vitral_model::{AttentionPrograms, ConfigProblem, ViT, ViTConfig, device::Device, parameters};
use vitral_seed::Seed;

use super::{
    Answers, Teacher, TeacherConfig, TeacherLogits, TeacherModel,
    file::{self, OpenedLogits},
};
use crate::{
    Error,
    checkpoint::{self, Checkpoint, NamedTensor, check_finite, hex, to_device},
    experiment::{Experiment, TrainConfig},
    footprint::check_parameters,
};

/// The field that problems are told of.
const FIELD: &str = "train.teacher.checkpoint";

/// A teacher that has been read.
pub(crate) struct Opened {
    pub teacher: Teacher,
    /// What tells it from any other.
    pub fingerprint: String,
    /// What is to be known of it, in sentences.
    pub notes: Vec<String>,
}

/// A model that has been read to teach.
pub(super) struct OpenedModel {
    pub(super) model: TeacherModel,
    pub(super) fingerprint: String,
    /// Where it came from, in words.
    pub(super) origin: String,
    pub(super) notes: Vec<String>,
}

/// Reads the teacher of an experiment, if it has one, for these training images.
///
/// # Errors
/// It cannot be read, does not know the classes, does not take the images, or there is no memory for it; or
/// logits were made of other images.
pub(crate) fn open(
    experiment: &Experiment,
    class_names: &[String],
    images: &dyn Source,
    device: &Device,
) -> Result<Option<Opened>, Error> {
    let Some(config) = &experiment.train.teacher else { return Ok(None) };
    let (answers, fingerprint, origin, doubts) = match (&config.checkpoint, &config.logits) {
        (Some(path), _) => {
            let opened = open_model(path, experiment, class_names, device)?;
            let OpenedModel { model, fingerprint, origin, notes } = opened;
            (Answers::Model(Box::new(model)), fingerprint, origin, notes)
        }
        (None, Some(path)) => {
            let opened = TeacherLogits::open(path, experiment, images)?;
            let OpenedLogits { logits, made_of, fingerprint } = opened;
            let origin = format!("the logits of {} in {}", made_of.teacher, path.display());
            (Answers::File(Arc::new(logits)), fingerprint, origin, Vec::new())
        }
        // The experiment's check has refused it.
        (None, None) => return Ok(None),
    };
    let taught = match experiment.model.distillation_token {
        true => "the distillation token learns",
        false => "the model learns",
    };
    let learned = if config.hard { "its likeliest class" } else { "its probabilities" };
    let told = format!("{taught} {learned} from {origin}, {} of the loss", share(config.weight));
    let notes = [told].into_iter().chain(doubts).collect();
    let teacher = Teacher { config: config.clone(), answers };
    Ok(Some(Opened { teacher, fingerprint, notes }))
}

/// Reads a model that is to teach these classes.
///
/// # Errors
/// As [`open`].
pub(super) fn open_model(
    path: &Path,
    experiment: &Experiment,
    class_names: &[String],
    device: &Device,
) -> Result<OpenedModel, Error> {
    let (pretrained, programs) = of_path(path, experiment)?;
    check_images(&pretrained.config, experiment)?;
    let (classes, doubt) = classes(&pretrained, class_names, experiment.model.classes)?;
    check_parameters(&pretrained.config).map_err(|error| {
        problem(format!("there is no room for the teacher: {error}"), "take a smaller teacher")
    })?;
    let (inputs, unknown) = inputs(&pretrained, experiment, device)?;
    let fingerprint = fingerprint(&pretrained);
    let origin = pretrained.origin.to_string();
    let notes = doubt.into_iter().chain(unknown).chain(pretrained.notes.iter().cloned()).collect();
    let model = model(pretrained, &programs, device)?;
    let model = model.computing_in(experiment.train.precision.compute());
    let classes = classes.map(|classes| {
        let count = classes.len();
        Tensor::<1, Int>::from_data(TensorData::new(classes, [count]), device)
    });
    Ok(OpenedModel { model: TeacherModel { model, classes, inputs }, fingerprint, origin, notes })
}

/// What becomes of a run whose teacher was another one so far, in a sentence, if it is to be told.
///
/// # Errors
/// What the experiment names has become another model.
pub(crate) fn change(
    written: &TrainConfig,
    before: Option<&str>,
    now: &TrainConfig,
    fingerprint: Option<&str>,
) -> Result<Option<String>, Error> {
    let place = |teacher: &TeacherConfig| teacher.path().display().to_string();
    match (&written.teacher, &now.teacher) {
        (None, None) => Ok(None),
        (Some(old), None) => Ok(Some(format!("{} no longer teaches", place(old)))),
        (None, Some(new)) => Ok(Some(format!("{} teaches from now on", place(new)))),
        (Some(old), Some(new)) if old.path() != new.path() => {
            Ok(Some(format!("the teacher is {}, and was {}", place(new), place(old))))
        }
        (Some(_), Some(_)) if before == fingerprint => Ok(None),
        (Some(_), Some(new)) if new.logits.is_some() => Err(Error::Experiment(ConfigProblem {
            field: file::FIELD.into(),
            message: format!(
                "{} has different logits from those that the run has learned from so far",
                place(new)
            ),
            help: "put back what was there, or give the new file another name and \
                       `--set train.teacher.logits=...`"
                .into(),
        })),
        (Some(_), Some(new)) => Err(problem(
            format!(
                "{} is a different model from the one that the run has learned from so far",
                place(new)
            ),
            "put back what was there, or give the new teacher another name and \
             `--set train.teacher.checkpoint=...`",
        )),
    }
}

fn problem(message: String, help: &str) -> Error {
    Error::Experiment(ConfigProblem { field: FIELD.into(), message, help: help.into() })
}

fn share(weight: f64) -> String {
    format!("{}%", (weight * 1000.0).round() / 10.0)
}

/// The model at a path, and the programs of its plugins' attention.
fn of_path(path: &Path, experiment: &Experiment) -> Result<(Pretrained, AttentionPrograms), Error> {
    if let Ok(found) = checkpoint::find(path) {
        let checkpoint = Checkpoint::load(&found)?;
        let programs = checkpoint.programs.attention.clone();
        return Ok((checkpoint.into_pretrained(), programs));
    }
    let hints = Hints { image_size: Some(experiment.model.image_size), ..Hints::default() };
    Ok((read(path, &hints)?, AttentionPrograms::new()))
}

/// Makes sure that the teacher takes the images that the model is trained on.
fn check_images(teacher: &ViTConfig, experiment: &Experiment) -> Result<(), Error> {
    let student = &experiment.model;
    if teacher.channels != student.channels {
        return Err(problem(
            format!(
                "the teacher takes images of {} channels, but the model takes {}",
                teacher.channels, student.channels
            ),
            "both see the same images: take a teacher for grey or RGB images like the model",
        ));
    }
    let patch = teacher.patch_pixels();
    let is_fixed = teacher.relative_position_bias
        || teacher.is_mixer()
        || teacher.attention.iter().any(|entry| entry.attention.plugin().is_some());
    let stages = experiment.train.image_size.iter().map(|stage| stage.size as usize);
    for size in stages.chain([student.image_size]) {
        if !size.is_multiple_of(patch) {
            return Err(problem(
                format!("the teacher's patches of {patch} px do not fill images of {size} px"),
                "both see the same images, whose side must be a multiple of both patch sizes",
            ));
        }
        if is_fixed && size != teacher.image_size {
            return Err(problem(
                format!(
                    "the teacher only takes images of {} px, but the model is trained on {size} px",
                    teacher.image_size
                ),
                "relative position biases, plugins' attention and MLPs over tokens are of one size",
            ));
        }
    }
    Ok(())
}

/// Where each of the model's classes is among the teacher's, unless both are the same; and what is to be
/// known of that.
fn classes(
    teacher: &Pretrained,
    names: &[String],
    count: usize,
) -> Result<(Option<Vec<i32>>, Option<String>), Error> {
    let (theirs, known) = (&teacher.class_names, teacher.config.classes);
    if known == 0 {
        return Err(problem(
            "the teacher has no head, so it answers nothing".into(),
            "take one that was trained on the classes of the data",
        ));
    }
    if names.len() < count {
        return Err(problem(
            format!("`model.classes` is {count}, but the data names {} classes", names.len()),
            "leave `model.classes` out: a teacher teaches the classes of the data",
        ));
    }
    let numbers: Vec<String> = (0..known).map(|number| number.to_string()).collect();
    let is_named = !theirs.is_empty();
    let found = match_classes(names, if is_named { theirs } else { &numbers });
    let unknown: Vec<&String> =
        names.iter().zip(&found).filter(|(_, at)| at.is_none()).map(|(name, _)| name).collect();
    if unknown.is_empty() {
        let found: Vec<usize> = found.into_iter().flatten().collect();
        let is_same = found.len() == known && found.iter().copied().eq(0..known);
        let left = known - found.len();
        let told =
            (left > 0).then(|| format!("{left} of the teacher's {known} classes are left out"));
        // A model has fewer classes than an `i32` counts.
        let found = found.into_iter().map(|class| class as i32).collect();
        return Ok(((!is_same).then_some(found), told));
    }
    if is_named {
        return Err(problem(
            format!(
                "the teacher does not know these classes of the data: {}; its own are {}",
                abridged(&unknown),
                abridged(theirs)
            ),
            "take a teacher that was trained on these classes, by the same names",
        ));
    }
    if known != count {
        return Err(problem(
            format!("the teacher has {known} classes without names, but the data has {count}"),
            "take a teacher that was trained on these classes",
        ));
    }
    let first = names.first().map_or("0", String::as_str);
    let doubt = format!(
        "warning: the teacher does not name its {known} classes, so they are taken by position: its class \
         0 for `{first}`, and so on"
    );
    Ok((None, Some(doubt)))
}

/// What takes the model's inputs to the teacher's, where they differ; and a doubt.
fn inputs(
    teacher: &Pretrained,
    experiment: &Experiment,
    device: &Device,
) -> Result<(Option<[Tensor<4>; 2]>, Option<String>), Error> {
    let (channels, _) = experiment.input()?;
    let (mean, std) = experiment.data.normalize.mean_std(channels)?;
    let Some((their_mean, their_std)) = &teacher.normalization else {
        let doubt = "warning: the teacher does not say how its images were normalised, so it is given them \
                     as `data.normalize` has them";
        return Ok((None, Some(doubt.into())));
    };
    if (&mean, &std) == (their_mean, their_std) {
        return Ok((None, None));
    }
    let each = |value: &dyn Fn(usize) -> f32| {
        let values: Vec<f32> = (0..mean.len()).map(value).collect();
        Tensor::<4>::from_data(TensorData::new(values, [1, 1, 1, mean.len()]), device)
    };
    let factor = each(&|channel| std[channel] / their_std[channel]);
    let offset = each(&|channel| (mean[channel] - their_mean[channel]) / their_std[channel]);
    Ok((Some([factor, offset]), None))
}

/// What tells a model from any other: its configuration and its weights.
fn fingerprint(model: &Pretrained) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{:?} {:?}", model.config, model.class_names));
    for (name, Array { shape, values }) in &model.tensors {
        hash.update(format!("{name} {shape:?}"));
        for piece in values.chunks(4096) {
            let bytes: Vec<[u8; 4]> = piece.iter().map(|value| value.to_le_bytes()).collect();
            hash.update(bytes.as_flattened());
        }
    }
    hex(&hash.finalize())
}

/// The model on a device, whose weights are not trained.
fn model(teacher: Pretrained, programs: &AttentionPrograms, device: &Device) -> Result<ViT, Error> {
    let Pretrained { config, tensors, origin, .. } = teacher;
    let model = ViT::with_programs(&config, programs, Seed::new(0), device)?;
    let tensor = |(name, Array { shape, values })| NamedTensor { name, shape, values };
    let tensors: Vec<NamedTensor> = tensors.into_iter().map(tensor).collect();
    let unusable = |found: String| {
        problem(format!("{origin}: {found}"), "take another checkpoint of the teacher")
    };
    check_finite(&tensors).map_err(unusable)?;
    let values = to_device(&tensors, &parameters::infos(&model), device).map_err(unusable)?;
    Ok(parameters::with_values(model, values))
}
