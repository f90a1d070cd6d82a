//! Distillation (Hinton et al. 2015; DeiT, Touvron et al. 2021): beside the labels, a model learns what a
//! trained one, its teacher, answers on the same augmented images.

mod file;
mod open;
mod teach;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use burn::tensor::{Int, Tensor, activation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitral_burn::kernels::cross_entropy;
use vitral_model::{ConfigProblem, Mode, ViT};

pub use self::teach::{Taught, teach};
pub(crate) use self::{
    file::TeacherLogits,
    open::{Opened, change, open},
};
use crate::experiment::Experiment;

/// A trained model that is learned from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TeacherConfig {
    /// A run or checkpoint of Vitral, or whatever else `init: Pretrained` takes. It has to know the
    /// classes of the data by their names, and to take images of the model's size.
    #[serde(default, with = "vitral_config::path_text::option")]
    #[schemars(with = "Option<PathBuf>")]
    #[schemars(extend("otherNames" = ["teacher_path"]))]
    pub checkpoint: Option<PathBuf>,
    /// In place of `checkpoint`, a file of its logits that `vitral teach` wrote, for slow teachers.
    /// Images must then be the same each time: without random stages in `data.augment`, Mixup and
    /// CutMix, batch augmentations, repeated augmentation and smaller images in the first epochs.
    #[serde(default, with = "vitral_config::path_text::option")]
    #[schemars(with = "Option<PathBuf>")]
    #[schemars(extend("otherNames" = ["teacher_logits", "soft_labels"]))]
    pub logits: Option<PathBuf>,
    /// Learns the class that the teacher finds most likely (DeiT's hard distillation) instead of
    /// all probabilities.
    #[serde(default)]
    pub hard: bool,
    /// What the logits of both are divided by before they become probabilities, 1 by default; with
    /// a higher one, more is learned about unlikely classes. The loss is multiplied by its square.
    #[serde(default)]
    #[schemars(range(min = 0.01, max = 100.0))]
    #[schemars(extend("otherNames" = ["tau", "distillation_tau"]))]
    pub temperature: Option<f64>,
    /// Share of the loss that is the teacher's; the rest is that of the labels.
    #[serde(default = "half")]
    #[schemars(range(min = 0.001, max = 1.0))]
    #[schemars(extend("otherNames" = ["alpha", "distillation_alpha"]))]
    pub weight: f64,
}

fn half() -> f64 {
    0.5
}

impl TeacherConfig {
    /// Checks what no single field can say.
    ///
    /// # Errors
    /// A temperature that has no effect, no teacher or two, or logits of images that change.
    pub(crate) fn check(&self, experiment: &Experiment) -> Result<(), ConfigProblem> {
        match (&self.checkpoint, &self.logits) {
            (Some(_), None) => {}
            (None, Some(_)) => file::check_unaugmented(experiment)?,
            (None, None) => {
                return Err(ConfigProblem {
                    field: "train.teacher".into(),
                    message: "there is no teacher".into(),
                    help: "give a `checkpoint`, or the `logits` that `vitral teach` wrote".into(),
                });
            }
            (Some(_), Some(_)) => {
                return Err(ConfigProblem {
                    field: "train.teacher.logits".into(),
                    message: "`checkpoint` and `logits` are both given".into(),
                    help: "leave one of them out".into(),
                });
            }
        }
        if self.hard && self.temperature.is_some() {
            return Err(ConfigProblem {
                field: "train.teacher.temperature".into(),
                message: "a temperature does not change which class is most likely".into(),
                help: "leave `temperature` out, or `hard`".into(),
            });
        }
        Ok(())
    }

    /// Makes a relative path start at the folder that `base` gives for its field, as `checkpoint`.
    pub(crate) fn resolve_paths<'b>(&mut self, base: impl Fn(&str) -> &'b Path) {
        for (field, path) in [("checkpoint", &mut self.checkpoint), ("logits", &mut self.logits)] {
            if let Some(path) = path {
                *path = base(field).join(&*path);
            }
        }
    }

    /// Where what teaches is.
    pub(crate) fn path(&self) -> &Path {
        self.checkpoint.as_deref().or(self.logits.as_deref()).unwrap_or(Path::new(""))
    }

    /// The same, to be changed.
    pub(crate) fn path_mut(&mut self) -> Option<&mut PathBuf> {
        self.checkpoint.as_mut().or(self.logits.as_mut())
    }

    /// The mean loss of a batch, `[1]`, from logits `[batch, classes]`.
    fn loss(&self, teacher: Tensor<2>, student: Tensor<2>) -> Tensor<1> {
        let [batch, classes] = teacher.dims();
        if self.hard {
            let numbers = Tensor::<1, Int>::arange(0..classes as i64, &teacher.device());
            let numbers = numbers.reshape([1, classes]).expand([batch, classes]);
            let likely = teacher.argmax(1).expand([batch, classes]);
            let targets = numbers.equal(likely).float();
            return cross_entropy(student, targets.autodiff()).sum().div_scalar(batch as f64);
        }
        let temperature = self.temperature.unwrap_or(1.0);
        let logarithms = activation::log_softmax(teacher.div_scalar(temperature), 1);
        let probabilities = logarithms.clone().exp();
        // The divergence, so that it is zero where both agree; it has the gradient of the cross-entropy.
        let entropy = (probabilities.clone() * logarithms).sum();
        let cross = cross_entropy(student.div_scalar(temperature), probabilities.autodiff()).sum();
        (cross + entropy.autodiff()) * (temperature * temperature / batch as f64)
    }
}

/// What a model learns from beside the labels.
pub(crate) struct Teacher {
    config: TeacherConfig,
    answers: Answers,
}

/// Where a teacher's answers come from.
enum Answers {
    Model(Box<TeacherModel>),
    File(Arc<TeacherLogits>),
}

/// A model that answers, on a device.
pub(crate) struct TeacherModel {
    model: ViT,
    /// Where each class is among the teacher's, unless both are the same.
    classes: Option<Tensor<1, Int>>,
    /// What takes normalised images to the teacher's normalisation, where it has another: a factor and
    /// an offset, `[1, 1, 1, channels]`.
    inputs: Option<[Tensor<4>; 2]>,
}

impl TeacherModel {
    /// The teacher's logits of normalised images, for the student's classes; without a graph.
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        let images = match &self.inputs {
            Some([factor, offset]) => images * factor.clone() + offset.clone(),
            None => images,
        };
        let logits = self.model.forward(images, Mode::Eval);
        match &self.classes {
            Some(classes) => logits.select(1, classes.clone()),
            None => logits,
        }
    }
}

impl Teacher {
    /// The mean loss of a batch, `[1]`, by what the student answers on normalised images: on its
    /// distillation token where it has one. `read` is what the file of a teacher's logits has of them,
    /// where there is one.
    pub(crate) fn loss(
        &self,
        images: Tensor<4>,
        read: Option<Tensor<2>>,
        student: Tensor<2>,
    ) -> Tensor<1> {
        let logits = match (&self.answers, read) {
            (Answers::Model(model), _) => model.logits(images),
            (Answers::File(_), Some(read)) => read,
            (Answers::File(_), None) => unreachable!("a batch comes with what the file has of it"),
        };
        self.config.loss(logits, student)
    }

    /// The file that has its logits, if one has.
    pub(crate) fn file(&self) -> Option<&Arc<TeacherLogits>> {
        match &self.answers {
            Answers::Model(_) => None,
            Answers::File(logits) => Some(logits),
        }
    }

    /// Share of the loss that is the teacher's.
    pub(crate) fn weight(&self) -> f64 {
        self.config.weight
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    const TEACHER: [[f64; 3]; 2] = [[2.0, -1.0, 0.5], [0.0, 0.3, -2.0]];
    const STUDENT: [[f64; 3]; 2] = [[0.5, 0.1, -0.7], [1.0, -1.0, 0.2]];

    fn config(hard: bool, temperature: Option<f64>) -> TeacherConfig {
        let checkpoint = Some("teacher".into());
        TeacherConfig { checkpoint, logits: None, hard, temperature, weight: 0.5 }
    }

    /// The loss, and its gradient by the student's logits.
    fn found(config: &TeacherConfig, student: [[f64; 3]; 2]) -> (f64, Vec<f32>) {
        let device = Device::flex();
        let tensor = |rows: [[f64; 3]; 2]| {
            Tensor::<2>::from_data(TensorData::from(rows.map(|row| row.map(|v| v as f32))), &device)
        };
        let student = tensor(student).autodiff().require_grad();
        let loss = config.loss(tensor(TEACHER), student.clone());
        let mut gradients = loss.clone().backward();
        let gradient = student.grad_remove(&mut gradients).unwrap();
        let loss: f32 = loss.without_autodiff().into_scalar();
        (f64::from(loss), gradient.flatten::<1>(0, 1).try_into_vec_as().unwrap())
    }

    fn softmax(row: [f64; 3], temperature: f64) -> [f64; 3] {
        let exp = row.map(|v| (v / temperature).exp());
        exp.map(|v| v / exp.iter().sum::<f64>())
    }

    #[test]
    fn soft_distillation_is_the_divergence_times_the_temperatures_square() {
        for temperature in [None, Some(3.0)] {
            let t = temperature.unwrap_or(1.0);
            let (loss, gradient) = found(&config(false, temperature), STUDENT);
            let (mut expected, mut expected_gradient) = (0.0, Vec::new());
            for (teacher, student) in TEACHER.into_iter().zip(STUDENT) {
                let (p, q) = (softmax(teacher, t), softmax(student, t));
                expected += (0..3).map(|i| t * t * p[i] * (p[i] / q[i]).ln() / 2.0).sum::<f64>();
                expected_gradient.extend((0..3).map(|i| t * (q[i] - p[i]) / 2.0));
            }
            assert!((loss - expected).abs() < 1e-6, "{loss} is not {expected}");
            for (found, expected) in gradient.iter().zip(expected_gradient) {
                assert!((f64::from(*found) - expected).abs() < 1e-6, "{found} is not {expected}");
            }
        }
        let (loss, gradient) = found(&config(false, Some(2.0)), TEACHER);
        assert!(
            loss.abs() < 1e-6 && gradient.iter().all(|g| g.abs() < 1e-6),
            "{loss} {gradient:?}"
        );
    }

    #[test]
    fn hard_distillation_is_the_cross_entropy_of_the_likeliest_class() {
        let (loss, _) = found(&config(true, None), STUDENT);
        let [first, second] = STUDENT.map(|row| softmax(row, 1.0));
        let expected = -(first[0].ln() + second[1].ln()) / 2.0;
        assert!((loss - expected).abs() < 1e-6, "{loss} is not {expected}");
    }

    fn experiment(text: &str) -> Experiment {
        let sources = r#"train: Cifar10(files: ["a"]), val: Cifar10(files: ["b"])"#;
        let text = text.replace("SOURCES", sources);
        vitral_config::Document::new("test", text).parse().unwrap()
    }

    #[test]
    fn a_teacher_that_means_nothing_is_refused() {
        let experiment = experiment("(data: (SOURCES))");
        let check = |config: TeacherConfig| config.check(&experiment).map_err(|found| found.field);
        assert_eq!(check(config(true, None)), Ok(()));
        assert_eq!(check(config(false, Some(2.0))), Ok(()));
        let refused = check(config(true, Some(2.0)));
        assert_eq!(refused, Err("train.teacher.temperature".into()));
        let both = TeacherConfig { logits: Some("logits".into()), ..config(false, None) };
        assert_eq!(check(both.clone()), Err("train.teacher.logits".into()));
        assert_eq!(check(TeacherConfig { checkpoint: None, ..both }), Ok(()));
        let none = TeacherConfig { checkpoint: None, ..config(false, None) };
        assert_eq!(check(none), Err("train.teacher".into()));
    }

    #[test]
    fn logits_of_images_that_change_are_refused() {
        for (text, words) in [
            ("(data: (SOURCES, augment: [HorizontalFlip()]))", Some("`HorizontalFlip` changes")),
            ("(data: (SOURCES, augment: [Resize(), PadCrop(padding: 4)]))", Some("`PadCrop`")),
            ("(data: (SOURCES, augment: [RandomResizedCrop()]))", Some("`RandomResizedCrop`")),
            ("(data: (SOURCES, augment: [Plugin(name: \"blur\")]))", Some("`blur` changes")),
            ("(data: (SOURCES, repeated_augmentation: 3))", Some("augmented differently")),
            ("(data: (SOURCES), train: (mix: (cutmix: 1.0)))", Some("Mixup and CutMix")),
            ("(data: (SOURCES), train: (batch_augment: [(name: \"blur\")]))", Some("`blur`")),
            (
                "(data: (SOURCES), train: (image_size: [(until_epoch: 3, size: 112)]))",
                Some("smaller in the first epochs"),
            ),
            ("(data: (SOURCES, augment: [ResizeShorter(to: 256), CenterCrop()]))", None),
            ("(data: (SOURCES), train: (mix: (cutmix: 1.0, probability: 0.0)))", None),
        ] {
            let logits = Some("logits".into());
            let config = TeacherConfig { checkpoint: None, logits, ..config(false, None) };
            let found = config.check(&experiment(text)).map_err(|found| found.message);
            match (found, words) {
                (Ok(()), None) => {}
                (Err(message), Some(words)) => assert!(message.contains(words), "{message}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }
}
