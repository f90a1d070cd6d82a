//! What a model takes of memory, by arithmetic: told before there is any of it, and compared with what the
//! system has left.
//!
//! These are lower bounds. What is refused by them could not have gone well; what is let through may still
//! be too much.

use std::collections::HashSet;

use vitral_model::{
    AttentionPrograms, ConfigProblem, ViTConfig,
    device::{Device, is_cpu},
    mlp::Mlp,
    parameters::{of_config, of_program},
    position::Position,
};

use crate::{Error, experiment::Experiment, memory::available};

/// Bytes of a value.
const VALUE: u64 = 4;

/// Names and shapes of a model's parameters, those of programs included, by name.
pub(crate) fn model_parameters(
    model: &ViTConfig,
    programs: &AttentionPrograms,
) -> Vec<(String, Vec<usize>)> {
    let replaced = |name: &str| {
        let layer = name.strip_prefix("blocks.").and_then(|rest| rest.split_once('.'));
        layer.is_some_and(|(layer, rest)| {
            rest.starts_with("attn.rel_pos.")
                && layer.parse().is_ok_and(|layer: usize| programs.contains_key(&layer))
        })
    };
    // A program has no bias of the model's beside it.
    let mut all: Vec<_> =
        of_config(model).into_iter().filter(|(name, _)| !replaced(name)).collect();
    for (layer, program) in programs {
        let declared = of_program(program, *layer).into_iter();
        all.extend(declared.map(|info| (info.name, info.shape)));
    }
    all
}

/// What a model is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// To be there, and take an image.
    Load,
    /// To take so many images at once, being there already.
    Evaluate(usize),
    /// To learn.
    Train {
        /// Images of a step.
        batch: usize,
        /// Of which so many go through the model at once.
        at_once: usize,
        /// Values that are kept beside each parameter's own.
        kept: usize,
    },
}

/// Refuses a model that the system has no memory for.
///
/// # Errors
/// With how many bytes it takes and how many there are.
pub(crate) fn check(
    experiment: &Experiment,
    programs: &AttentionPrograms,
    purpose: Purpose,
    device: &Device,
) -> Result<(), Error> {
    let model = experiment.model.resolved();
    let footprint = Footprint::of(&model, programs, purpose);
    let on_host = if is_cpu(device) { footprint.all() } else { footprint.batch };
    match available() {
        Some(left) if on_host > left => {
            Err(Error::Experiment(footprint.problem(&model, purpose, on_host, left)))
        }
        _ => Ok(()),
    }
}

/// Refuses a model whose parameters the system has no memory for.
///
/// # Errors
/// With how many bytes they take and how many there are.
pub fn check_parameters(model: &ViTConfig) -> Result<(), Error> {
    let model = model.resolved();
    let purpose = Purpose::Load;
    let footprint = Footprint::of(&model, &AttentionPrograms::new(), purpose);
    match available() {
        Some(left) if footprint.parameters > left => {
            let needed = footprint.parameters;
            Err(Error::Experiment(footprint.problem(&model, purpose, needed, left)))
        }
        _ => Ok(()),
    }
}

/// Bytes.
struct Footprint {
    /// Of all parameters, and what training keeps beside them.
    parameters: u64,
    /// Of what follows from the number of tokens alone.
    tables: u64,
    /// Of the images of a batch, as pixels and as values.
    batch: u64,
    /// Of what a block computes from them.
    activations: u64,
}

impl Footprint {
    fn of(model: &ViTConfig, programs: &AttentionPrograms, purpose: Purpose) -> Self {
        let (batch, at_once, copies) = match purpose {
            Purpose::Load => (1, 1, 1),
            Purpose::Evaluate(images) => (images, images, 0),
            Purpose::Train { batch, at_once, kept } => (batch, at_once, 1 + kept),
        };
        let [batch, at_once, copies] = [batch, at_once, copies].map(|count| count as u64);
        let values = model_parameters(model, programs)
            .iter()
            .map(|(_, shape)| product(shape))
            .fold(0, u64::saturating_add);
        let pixels = product(&[model.image_size, model.image_size, model.channels]);
        let tokens = (model.grid() * model.grid() + model.prefix_tokens()) as u64;
        let largest = |of_layer: &dyn Fn(usize) -> usize| {
            (0..model.depth()).map(of_layer).max().unwrap_or_default()
        };
        let gated = if model.mlp == Mlp::SwiGlu { 2 } else { 1 };
        let hidden = gated * largest(&|layer| model.hidden_of(layer));
        // Of queries, keys or values; an MLP over tokens has as many channels.
        let inner = match model.is_mixer() {
            true => model.width(),
            false => largest(&|layer| model.heads_of(layer) * model.head_width_of(layer)),
        };
        // A token itself beside what its block makes of it, one branch after the other.
        let values_of_token = (model.width() + hidden.max(3 * inner)) as u64;
        let of_program = programs.values().map(|program| program.peak().0).max().unwrap_or(0);
        let of_block = tokens.saturating_mul(values_of_token * VALUE).max(of_program);
        Self {
            parameters: values.saturating_mul(VALUE).saturating_mul(copies),
            tables: tables(model, programs).saturating_mul(VALUE).saturating_mul(copies.min(1)),
            // One byte for each value until they go through the model.
            batch: batch.saturating_add(at_once.saturating_mul(VALUE)).saturating_mul(pixels),
            activations: at_once.saturating_mul(of_block),
        }
    }

    fn all(&self) -> u64 {
        [self.parameters, self.tables, self.batch, self.activations]
            .into_iter()
            .fold(0, u64::saturating_add)
    }

    /// What is told where there is too little memory.
    fn problem(
        &self,
        model: &ViTConfig,
        purpose: Purpose,
        needed: u64,
        left: u64,
    ) -> ConfigProblem {
        let (images, beside) = match purpose {
            Purpose::Load => (1, ""),
            Purpose::Evaluate(images) => (images, ""),
            Purpose::Train { batch, .. } => (batch, " and what training keeps beside them"),
        };
        let of_model = self.parameters.saturating_add(self.tables);
        let of_images = self.batch.saturating_add(self.activations);
        let parts = [
            (self.parameters, format!("its parameters{beside}")),
            (self.tables, "its tables of positions".to_owned()),
            (of_images, format!("{images} images at once, at least")),
        ];
        let parts = parts.into_iter().filter(|&(bytes, _)| bytes > 0);
        let parts: Vec<_> = parts.map(|(bytes, of)| format!("{of} {}", text(bytes))).collect();
        let of_batch = of_model <= left && images > 1;
        let (field, help) = if of_batch {
            ("train.batch", "fewer images at once take less: `batch`, or `accum_steps`")
        } else {
            ("model", "a smaller `width`, `depth`, `image_size` or number of `classes` takes less")
        };
        ConfigProblem {
            field: field.into(),
            message: format!(
                "a model of width {} and depth {} with {} classes for images of {} px takes {} of \
                 memory ({}), but only {} are left",
                model.width(),
                model.depth(),
                model.classes,
                model.image_size,
                text(needed),
                parts.join(", "),
                text(left)
            ),
            help: help.into(),
        }
    }
}

/// Values that follow from the number of tokens: fixed positions, rotations, and which entry of its table
/// each relative position is.
fn tables(model: &ViTConfig, programs: &AttentionPrograms) -> u64 {
    let patches = (model.grid() * model.grid()) as u64;
    let mut values = 0_u64;
    if model.position == Position::SinCos2d {
        values = patches.saturating_mul(model.width() as u64);
    }
    if model.is_mixer() {
        return values;
    }
    let layers = 0..model.depth();
    if model.rope.is_some() {
        let widths: HashSet<usize> =
            layers.clone().map(|layer| model.head_width_of(layer)).collect();
        let of_one = |width: usize| patches.saturating_mul(width as u64);
        values = widths.into_iter().map(of_one).fold(values, u64::saturating_add);
    }
    if model.relative_position_bias {
        let tokens = patches + model.prefix_tokens() as u64;
        let pairs = tokens.saturating_mul(tokens);
        let count = layers.filter(|layer| !programs.contains_key(layer)).count() as u64;
        values = values.saturating_add(pairs.saturating_mul(count));
    }
    values
}

fn product(shape: &[usize]) -> u64 {
    shape.iter().map(|&side| side as u64).fold(1, u64::saturating_mul)
}

/// Bytes for people.
fn text(bytes: u64) -> String {
    match bytes {
        0..=0xf_ffff => format!("{} KiB", bytes.div_ceil(1 << 10)),
        0x10_0000..=0x3fff_ffff => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
        _ => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use vitral_model::{ViT, parameters as of_model, program_attention::layer_type};
    use vitral_program::{Initializer, Limits, Tracer, ops};
    use vitral_seed::Seed;

    use super::*;

    fn small() -> ViTConfig {
        let plugin = ron::from_str(r#"[(layers: (1, 1), attention: Plugin(name: "gained"))]"#);
        ViTConfig {
            image_size: 8,
            patch_size: Some(4),
            width: Some(8),
            depth: Some(2),
            heads: Some(2),
            classes: 3,
            relative_position_bias: true,
            attention: plugin.unwrap(),
            ..ViTConfig::default()
        }
    }

    fn programs(model: &ViTConfig) -> AttentionPrograms {
        let mut trace = Tracer::new("gained", Limits::default());
        let r#type = layer_type(model, 1).unwrap();
        let [q, _, _] = ["query", "key", "value"].map(|name| trace.input(name, r#type.clone()));
        let shape = "[2,1,4]".parse().unwrap();
        let gain = trace.parameter("gain", shape, Initializer::Constant(1.0), false);
        let output = trace.apply(ops::Mul {}, &[q, gain], "gained");
        let program = trace.finish(&[("output", output)]).unwrap();
        AttentionPrograms::from([(1, Arc::new(program))])
    }

    #[test]
    fn parameters_are_those_of_the_model_with_its_programs() {
        let (config, device) = (small(), Device::flex());
        let programs = programs(&config);
        let model = ViT::with_programs(&config, &programs, Seed::new(0), &device).unwrap();
        let infos = of_model::infos(&model).into_iter().map(|info| (info.name, info.shape));
        let found: BTreeMap<_, _> = model_parameters(&config, &programs).into_iter().collect();
        assert_eq!(found, infos.collect::<BTreeMap<_, _>>());
    }

    #[test]
    fn bytes_are_counted_without_making_any() {
        let config = ViTConfig { attention: vec![], ..small() };
        let none = AttentionPrograms::new();
        let values: u64 = model_parameters(&config, &none).iter().map(|(_, s)| product(s)).sum();
        let one = Footprint::of(&config, &none, Purpose::Load);
        assert_eq!(one.parameters, 4 * values);
        assert_eq!(one.batch, 8 * 8 * 3 * 5);
        // Five tokens, in each of two layers.
        assert_eq!(one.tables, 4 * 2 * 25);
        assert_eq!(one.activations, 5 * (8 + 32) * 4);
        let train = Footprint::of(&config, &none, Purpose::Train { batch: 4, at_once: 2, kept: 3 });
        assert_eq!((train.parameters, train.batch), (4 * one.parameters, 8 * 8 * 3 * (4 + 2 * 4)));

        let vast = ViTConfig {
            image_size: 8192,
            patch_size: Some(1),
            width: Some(65536),
            depth: Some(1024),
            heads: Some(1),
            classes: 1_000_000,
            ..config
        };
        assert!(
            Footprint::of(&vast, &none, Purpose::Train { batch: 1 << 20, at_once: 1, kept: 4 })
                .all()
                > 1 << 60
        );
        let problem = check_parameters(&vast).unwrap_err().to_string();
        assert!(problem.contains("a model of width 65536 and depth 1024"), "{problem}");
        assert!(problem.contains("GiB of memory (its parameters "), "{problem}");
    }

    #[test]
    fn a_batch_that_does_not_fit_is_named_as_such() {
        let config = ViTConfig { attention: vec![], ..small() };
        let purpose = Purpose::Evaluate(4096);
        let footprint = Footprint::of(&config, &AttentionPrograms::new(), purpose);
        let problem = footprint.problem(&config, purpose, footprint.all(), 1 << 20);
        assert_eq!(problem.field, "train.batch");
        assert!(problem.message.contains("(4096 images at once, at least "), "{}", problem.message);
    }
}
