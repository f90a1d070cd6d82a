//! The mean of several checkpoints' weights: a model soup (Wortsman et al. 2022).

use std::collections::HashMap;

use vitral_model::ViTConfig;

use crate::checkpoint::{Checkpoint, NamedTensor, State, Tensors};

/// A mean of weights to which more can be added. Sums are `f64`, so that their order does not matter much.
#[derive(Clone)]
pub struct Soup {
    /// How many models it is of.
    count: u32,
    /// The sums of all values, in the order of the first model's parameters.
    sums: Vec<(String, Vec<usize>, Vec<f64>)>,
}

impl Soup {
    /// Of one model alone.
    pub fn of(first: &Checkpoint) -> Self {
        let sum = |tensor: &NamedTensor| {
            let values = tensor.values.iter().map(|&value| f64::from(value)).collect();
            (tensor.name.clone(), tensor.shape.clone(), values)
        };
        Self { count: 1, sums: weights(first).iter().map(sum).collect() }
    }

    /// The same with another model, which must be like `first`.
    ///
    /// # Errors
    /// What differs, in a sentence.
    pub fn with(mut self, first: &Checkpoint, other: &Checkpoint) -> Result<Self, String> {
        check_alike(first, other)?;
        let by_name: HashMap<&str, &NamedTensor> =
            weights(other).iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        for (name, shape, sums) in &mut self.sums {
            let tensor = by_name.get(name.as_str()).filter(|tensor| tensor.shape == *shape);
            let Some(tensor) = tensor else {
                return Err(format!("it has no parameter `{name}` of shape {shape:?}"));
            };
            for (sum, value) in sums.iter_mut().zip(&tensor.values) {
                *sum += f64::from(*value);
            }
        }
        self.count += 1;
        Ok(self)
    }

    /// The mean as a model alone, of the kind of `first`.
    pub fn model(&self, first: &Checkpoint) -> Checkpoint {
        let count = f64::from(self.count);
        let mean = |(name, shape, sums): &(String, Vec<usize>, Vec<f64>)| NamedTensor {
            name: name.clone(),
            shape: shape.clone(),
            values: sums.iter().map(|sum| (sum / count) as f32).collect(),
        };
        let mut experiment = first.experiment.clone();
        experiment.monitors.clear();
        Checkpoint {
            path: first.path.clone(),
            written: experiment.clone(),
            experiment,
            state: State { class_names: first.state.class_names.clone(), ..State::default() },
            programs: first.programs.clone(),
            tensors: Tensors {
                model: self.sums.iter().map(mean).collect(),
                ema: None,
                optimizer: Vec::new(),
                importance: None,
            },
            monitors: Vec::new(),
            lock: first.lock.clone(),
            notes: Vec::new(),
            branch: None,
        }
    }
}

/// What is evaluated of a checkpoint: the moving average of its weights, where there is one.
fn weights(checkpoint: &Checkpoint) -> &[NamedTensor] {
    checkpoint.tensors.ema.as_ref().unwrap_or(&checkpoint.tensors.model)
}

/// Makes sure that two models compute the same of the same weights.
fn check_alike(first: &Checkpoint, other: &Checkpoint) -> Result<(), String> {
    let (a, b) = (&first.state.class_names, &other.state.class_names);
    if a != b {
        let mut sorted = [a.clone(), b.clone()];
        sorted.iter_mut().for_each(|names| names.sort());
        return Err(match sorted[0] == sorted[1] {
            true => "its classes are in a different order".into(),
            false => format!(
                "it has other classes: {}, and not {}",
                vitral_data::abridged(b),
                vitral_data::abridged(a)
            ),
        });
    }
    if trained_model(first) != trained_model(other) {
        return Err("it is another kind of model: `config diff` shows what differs".into());
    }
    if first.programs.attention != other.programs.attention {
        return Err("its plugins' attention is different".into());
    }
    if first.experiment.data.normalize != other.experiment.data.normalize {
        return Err("it expects images with a different normalisation (`data.normalize`)".into());
    }
    Ok(())
}

/// The model without what has a say in training alone.
fn trained_model(checkpoint: &Checkpoint) -> ViTConfig {
    let usual = ViTConfig::default();
    ViTConfig {
        variant: usual.variant,
        // Whether there is a LayerScale, and not how it starts.
        layer_scale: checkpoint.experiment.model.layer_scale.map(|_| 0.0),
        drop_path: usual.drop_path,
        dropout: usual.dropout,
        attention_dropout: usual.attention_dropout,
        patch_dropout: usual.patch_dropout,
        init: usual.init,
        head_bias_init: usual.head_bias_init,
        ..checkpoint.experiment.model.resolved()
    }
}

#[cfg(test)]
mod tests {
    use vitral_config::Document;
    use vitral_interchange::{Array, Pretrained};

    use super::*;
    use crate::Experiment;

    /// A model of two values, in whatever order its file has them.
    fn checkpoint(values: [f32; 2], model: &str, classes: [&str; 2]) -> Checkpoint {
        let text = format!(
            r#"(model: ({model}), data: (train: Cifar10(files: ["a"]), val: Cifar10(files: ["b"])))"#
        );
        let experiment = Document::new("test", text).parse::<Experiment>().unwrap();
        let array = |value| Array { shape: vec![1], values: vec![value] };
        let tensors = [("a", values[0]), ("b", values[1])];
        let pretrained = Pretrained {
            origin: "test".into(),
            config: experiment.model.clone(),
            tensors: tensors.map(|(name, value)| (name.to_owned(), array(value))).into(),
            class_names: classes.map(str::to_owned).to_vec(),
            normalization: None,
            preprocessing: None,
            notes: Vec::new(),
        };
        let mut made = Checkpoint::of_model(experiment, pretrained);
        if values[0] > values[1] {
            made.tensors.model.reverse();
        }
        made
    }

    fn values(model: &Checkpoint) -> Vec<(&str, f32)> {
        let all = model.tensors.model.iter();
        all.map(|tensor| (tensor.name.as_str(), tensor.values[0])).collect()
    }

    #[test]
    fn weights_are_averaged_by_name_and_averages_of_runs_count() {
        let kind = ["cat", "dog"];
        let first = checkpoint([1.0, 2.0], "drop_path: 0.1, layer_scale: 0.1", kind);
        let second = checkpoint([5.0, 3.0], "dropout: 0.2, layer_scale: 1e-5", kind);
        let mut third = checkpoint([100.0, 100.0], "layer_scale: 1.0", kind);
        third.tensors.ema = Some(checkpoint([0.0, 4.0], "", kind).tensors.model);
        let soup = Soup::of(&first).with(&first, &second).unwrap();
        assert_eq!(values(&soup.model(&first)), [("a", 3.0), ("b", 2.5)]);
        let soup = soup.with(&first, &third).unwrap().model(&first);
        assert_eq!(values(&soup), [("a", 2.0), ("b", 3.0)]);
        assert_eq!(soup.state.class_names, kind);
    }

    #[test]
    fn models_that_differ_are_not_averaged() {
        let first = checkpoint([1.0, 2.0], "", ["cat", "dog"]);
        for (model, classes, problem) in [
            ("", ["dog", "cat"], "in a different order"),
            ("", ["cat", "emu"], "other classes: cat, emu, and not cat, dog"),
            ("heads: 1", ["cat", "dog"], "another kind of model"),
            ("layer_scale: 1.0", ["cat", "dog"], "another kind of model"),
        ] {
            let other = checkpoint([1.0, 2.0], model, classes);
            let said = Soup::of(&first).with(&first, &other).err().unwrap();
            assert!(said.contains(problem), "{said}");
        }
        let mut other = checkpoint([1.0, 2.0], "", ["cat", "dog"]);
        other.tensors.model.truncate(1);
        let said = Soup::of(&first).with(&first, &other).err().unwrap();
        assert!(said.contains("no parameter `b`"), "{said}");
    }
}
