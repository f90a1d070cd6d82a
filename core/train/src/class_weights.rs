//! How much images count in the loss, by their class.

use burn::tensor::{Tensor, TensorData};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use vitral_data::Source;
use vitral_model::{ConfigProblem, device::Device};

use crate::experiment::Experiment;

/// How much images count in the loss, by their class.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub enum ClassWeights {
    /// Each class as much as any other: all images / (classes * images of the class), which is 1 on average over
    /// the training images (King and Zeng 2001; scikit-learn's `"balanced"`).
    Balanced,
    /// As much as the number of the class, in the order of the class names.
    #[serde(untagged)]
    Given(#[schemars(inner(range(min = 0.0, max = 1e6)))] Vec<f64>),
}

/// What stands in an experiment, before it is known to be right.
#[derive(Deserialize)]
#[serde(untagged, expecting = "must be `Balanced`, or a list with a number for each class")]
enum Written {
    Numbers(Vec<f64>),
    Name(String),
}

impl<'de> Deserialize<'de> for ClassWeights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Written::deserialize(deserializer)? {
            Written::Numbers(weights) => Ok(Self::Given(weights)),
            Written::Name(name) if name == "Balanced" => Ok(Self::Balanced),
            Written::Name(name) => Err(D::Error::unknown_variant(&name, &["Balanced"])),
        }
    }
}

/// The weights of images by their targets, on a device.
pub(crate) struct ImageWeights {
    /// What each class contributes, `[1, classes]`.
    classes: Tensor<2>,
}

impl ImageWeights {
    /// Those that an experiment, with its number of classes, asks for.
    ///
    /// # Errors
    /// They are not as many as the classes, or none is above 0.
    pub fn open(
        experiment: &Experiment,
        images: &dyn Source,
        device: &Device,
    ) -> Result<Option<Self>, ConfigProblem> {
        let Some(weights) = &experiment.train.class_weights else { return Ok(None) };
        let classes = experiment.model.classes;
        let weights = match weights {
            ClassWeights::Balanced => {
                let mut counts = vec![0; classes];
                (0..images.len()).for_each(|index| counts[images.label(index) as usize] += 1);
                balanced(&counts)
            }
            ClassWeights::Given(weights) => weights.clone(),
        };
        check(&weights, classes, images.class_names())?;
        let weights = unsmoothed(&weights, experiment.train.label_smoothing);
        let data = TensorData::new(weights, [1, classes]);
        Ok(Some(Self { classes: Tensor::from_data(data, device) }))
    }

    /// The weights `[batch, 1]` of images with these targets `[batch, classes]`, whose classes' shares are
    /// smoothed.
    pub fn of(&self, targets: Tensor<2>) -> Tensor<2> {
        (targets * self.classes.clone()).sum_dim(1)
    }
}

fn check(weights: &[f64], classes: usize, names: &[String]) -> Result<(), ConfigProblem> {
    let problem = |message: String, help: String| {
        Err(ConfigProblem { field: "train.class_weights".into(), message, help })
    };
    if weights.len() != classes {
        let names = vitral_data::abridged(names);
        return problem(
            format!("there are {} weights, and {classes} classes", weights.len()),
            format!("give one for each class, in this order: {names}; or `Balanced`"),
        );
    }
    if !weights.iter().any(|&weight| weight > 0.0) {
        return problem(
            "with these weights, no image counts".into(),
            "give a number above 0 for what is to be learned".into(),
        );
    }
    Ok(())
}

/// Weights with which each class that has images counts as much as any other.
fn balanced(counts: &[u64]) -> Vec<f64> {
    let images: u64 = counts.iter().sum();
    let classes = counts.iter().filter(|&&count| count > 0).count();
    let weight = |&count: &u64| match count {
        0 => 0.0,
        count => images as f64 / (classes as f64 * count as f64),
    };
    counts.iter().map(weight).collect()
}

/// What each class contributes to an image's weight by its share of a smoothed target: as much as without the
/// smoothing, which gives every class `smoothing / classes` of what it takes from all.
fn unsmoothed(weights: &[f64], smoothing: f64) -> Vec<f32> {
    let mean = weights.iter().sum::<f64>() / weights.len().max(1) as f64;
    weights.iter().map(|weight| ((weight - smoothing * mean) / (1.0 - smoothing)) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::targets;

    #[test]
    fn balanced_weights_are_those_of_scikit_learn() {
        // compute_class_weight("balanced", classes=[0, 1, 2], y=[0] * 6 + [1] * 3 + [2])
        let expected = [10.0 / 18.0, 10.0 / 9.0, 10.0 / 3.0];
        assert_eq!(balanced(&[6, 3, 1]), expected);
        let on_average: f64 =
            balanced(&[6, 3, 1]).iter().zip([6.0, 3.0, 1.0]).map(|(w, n)| w * n / 10.0).sum();
        assert!((on_average - 1.0).abs() < 1e-12);
        // A class without images has no part.
        assert_eq!(balanced(&[6, 0, 2]), [8.0 / 12.0, 0.0, 2.0]);
    }

    #[test]
    fn an_image_has_the_weight_of_its_class_whatever_the_smoothing() {
        let device = Device::flex();
        let weights = [0.5, 2.0, 4.0];
        for smoothing in [0.0, 0.1, 0.9] {
            let classes = TensorData::new(unsmoothed(&weights, smoothing), [1, 3]);
            let found = ImageWeights { classes: Tensor::from_data(classes, &device) };
            let of: Vec<f32> =
                found.of(targets(&[2, 0, 1], 3, smoothing, &device)).try_into_vec_as().unwrap();
            for (found, expected) in of.iter().zip([4.0, 0.5, 2.0]) {
                assert!((found - expected).abs() < 1e-4, "{of:?} with {smoothing}");
            }
        }
    }

    #[test]
    fn weights_are_a_word_or_a_list() {
        let read = |text: &str| {
            let text = format!(
                r#"(data: (train: Cifar10(files: ["a"]), val: Cifar10(files: ["b"])), train: (class_weights: {text}))"#
            );
            let document = vitral_config::Document::new("test", text);
            let experiment = document.parse::<Experiment>().map_err(|error| error.to_string())?;
            let again = vitral_config::Document::new("again", experiment.to_ron().unwrap());
            assert_eq!(again.parse::<Experiment>().unwrap(), experiment);
            Ok::<_, String>(experiment.train.class_weights)
        };
        assert_eq!(read("Balanced").unwrap(), Some(ClassWeights::Balanced));
        assert_eq!(read("[1, 2.5]").unwrap(), Some(ClassWeights::Given(vec![1.0, 2.5])));
        assert_eq!(read("None").unwrap(), None);
        for (wrong, said) in
            [("Balance", "Balanced"), ("[1, -2]", "-2"), ("3", "Balanced"), ("[\"a\"]", "list")]
        {
            let error = read(wrong).unwrap_err();
            assert!(error.contains(said), "{wrong}: {error}");
        }
    }

    #[test]
    fn weights_that_do_not_fit_the_classes_are_refused() {
        let names = ["a", "b"].map(str::to_owned);
        let problem = check(&[1.0], 2, &names).unwrap_err();
        assert!(problem.help.contains("a, b"), "{}", problem.help);
        assert!(check(&[0.0, 0.0], 2, &names).is_err() && check(&[0.0, 1.0], 2, &names).is_ok());
    }
}
