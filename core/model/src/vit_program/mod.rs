//! The whole model as a tensor program, in evaluation mode: what writers of exchange formats lower.
//!
//! [`vit_program`] walks the same parts in the same order as [`ViT::forward`] and records ops in
//! place of computing them. Parameters have the names and shapes of
//! [`parameters::infos`](crate::parameters::infos); a plugin's attention is taken over op by op.
//! The batch is symbolic; the image size is the model's, or any ([`vit_program_of_any_size`]).

mod any_size;
mod attention;
mod merging;
mod plugin;
mod resnet;
mod trace;

use burn::module::Param;
use vitral_program::{Dim, Program, Tensor, TraceErrors, ops};

use crate::{
    ViT,
    layers::{LayerNorm, Linear},
    mlp::{Mlp, MlpBlock},
    patch_embed::PatchEmbed,
    pool::{AttentionPool, Pool},
    position::{Position, sincos_values},
    resized_positions::Grid,
};
use merging::Sizes;
use trace::Trace;

pub use any_size::{AnySizeProgram, ImageDim, vit_program_of_any_size};

/// The name of the program's input, `f32[B, height, width, channels]`.
pub const IMAGES: &str = "images";

/// What the program takes and gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Interface {
    /// Mean and standard deviation of each channel, for values scaled to 0 to 1: the program takes
    /// pixels from 0 to 255. Without them it takes normalised images.
    pub normalize: Option<(Vec<f32>, Vec<f32>)>,
    /// What it gives.
    pub output: Output,
}

/// What a model gives for each class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Logits.
    Logits,
    /// Probabilities that sum to 1, of a model trained with softmax cross-entropy.
    Softmax,
    /// A probability for each class on its own, of a model trained with sigmoid cross-entropy.
    Sigmoid,
}

impl Output {
    /// The name of the program's output, `f32[B, classes]`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Logits => "logits",
            Self::Softmax | Self::Sigmoid => "probabilities",
        }
    }
}

impl Default for Interface {
    /// Normalised images to logits, as [`ViT::forward`].
    fn default() -> Self {
        Self { normalize: None, output: Output::Logits }
    }
}

/// Why a model is no program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VitProgramError {
    /// A plugin's attention draws random numbers for each sample of a batch, in evaluation too.
    #[error(
        "the attention of layer {layer} (plugin `{plugin}`) draws random numbers for each image, \
         which is no function of the image"
    )]
    Random {
        /// The layer.
        layer: usize,
        /// The plugin.
        plugin: String,
    },
    /// A part of the model is made for its own image size, and the program is to take any.
    #[error("{part} for images of any size: it is made for the model's own image size")]
    ImageSize {
        /// The part.
        part: String,
    },
    /// A part of the model does not fit the rules of programs.
    #[error("{0}")]
    Trace(#[from] TraceErrors),
}

/// Traces a model in evaluation mode.
///
/// # Errors
/// A plugin's attention that draws random numbers for each image, and sizes beyond what a program
/// can have.
pub fn vit_program(model: &ViT, interface: &Interface) -> Result<Program, VitProgramError> {
    model.program(Trace::new(model), interface)
}

impl ViT {
    /// Records the model between what goes in and what comes out.
    fn program(&self, mut trace: Trace, interface: &Interface) -> Result<Program, VitProgramError> {
        let images = trace.images();
        let images = match &interface.normalize {
            Some((mean, std)) => trace.normalized(images, mean, std),
            None => images,
        };
        let logits = self.traced(&mut trace, images)?;
        let output = match interface.output {
            Output::Logits => logits,
            Output::Softmax => trace.apply(ops::Softmax { axis: 1 }, &[logits]),
            Output::Sigmoid => trace.apply(ops::Sigmoid {}, &[logits]),
        };
        Ok(trace.finish(interface.output.name(), output)?)
    }

    /// Records [`ViT::forward`].
    fn traced(&self, trace: &mut Trace, images: Tensor) -> Result<Tensor, VitProgramError> {
        let mut tokens = self.traced_embedding(trace, images);
        let mut sizes = Sizes::new(self.config());
        for (layer, block) in self.blocks.iter().enumerate() {
            tokens = trace.within(format!("blocks.{layer}"), |trace| {
                block.traced(self, trace, tokens, &mut sizes, layer)
            })?;
        }
        // Each token is normalised on its own, so the others need not be.
        if self.attn_pool.is_none() && self.config().pool == Pool::ClassToken {
            tokens = trace.slice(tokens, 1, 0, self.heads_read());
        }
        if let Some(norm) = &self.norm {
            tokens = norm.traced(trace, "norm", tokens);
        }
        let width = self.config().width();
        let distilled = self.head_dist.as_ref().map(|head| {
            let token = trace.slice(tokens, 1, 1, 1);
            let token = trace.reshape(token, [Dim::BATCH, width.into()]);
            head.traced(trace, "head_dist", token)
        });
        let pooled = match (&self.attn_pool, self.config().pool) {
            (Some(pool), _) => {
                trace.within("attn_pool", |trace| pool.traced(trace, tokens, &sizes))
            }
            (None, Pool::ClassToken) => trace.slice(tokens, 1, 0, 1),
            (None, Pool::ClassTokenAndMean) => {
                let (class, mean) = (trace.slice(tokens, 1, 0, 1), sizes.mean(trace, tokens));
                trace.concat(&[class, mean], 2)
            }
            (None, _) => sizes.mean(trace, tokens),
        };
        let pooled_width = self.config().pooled_width();
        let mut features = trace.reshape(pooled, [Dim::BATCH, pooled_width.into()]);
        if let Some(norm) = &self.fc_norm {
            features = norm.traced(trace, "fc_norm", features);
        }
        if let Some(pre_logits) = &self.pre_logits {
            features = pre_logits.traced(trace, "pre_logits", features);
            features = trace.apply(ops::Tanh {}, &[features]);
        }
        let logits = self.head.traced(trace, "head", features);
        let Some(distilled) = distilled else { return Ok(logits) };
        let sum = trace.apply(ops::Add {}, &[logits, distilled]);
        let half = trace.scalar(0.5);
        Ok(trace.apply(ops::Mul {}, &[sum, half]))
    }

    /// Patches with their positions, behind the tokens that come before them.
    fn traced_embedding(&self, trace: &mut Trace, images: Tensor) -> Tensor {
        let config = self.config();
        let (width, grid) = (config.width(), config.grid());
        let before = config.prefix_positions();
        let mut patches =
            trace.within("patch_embed", |trace| self.patch_embed.traced(trace, images));
        let positions =
            self.pos_embed.as_ref().map(|positions| trace.parameter("pos_embed", positions));
        if let Some(positions) = positions {
            let mut positions = trace.slice(positions, 1, before, grid * grid);
            if trace.any_size() {
                positions = trace.resized(positions, grid, width);
            }
            patches = trace.apply(ops::Add {}, &[patches, positions]);
        } else if trace.any_size() && self.config().position == Position::SinCos2d {
            let positions = trace.sincos(grid, width);
            patches = trace.apply(ops::Add {}, &[patches, positions]);
        } else if let Some(values) = self.sincos_table() {
            let positions = trace.constant(&[1, grid * grid, width], &values);
            patches = trace.apply(ops::Add {}, &[patches, positions]);
        }
        let mut parts = Vec::with_capacity(4);
        let mut placed = 0;
        for (name, token) in [
            ("cls_token", &self.cls_token),
            ("dist_token", &self.dist_token),
            ("reg_token", &self.reg_token),
        ] {
            let Some(token) = token else { continue };
            let count = token.dims()[1];
            let mut token = trace.parameter(name, token);
            if let Some(positions) = positions.filter(|_| placed < before) {
                let position = trace.slice(positions, 1, placed, count);
                token = trace.apply(ops::Add {}, &[token, position]);
                placed += count;
            }
            parts.push(trace.expand(token, [Dim::BATCH, count.into(), width.into()]));
        }
        parts.push(patches);
        trace.concat(&parts, 1)
    }

    /// The fixed position embedding, if the model has one.
    fn sincos_table(&self) -> Option<Vec<f32>> {
        let config = self.config();
        (config.position == Position::SinCos2d)
            .then(|| sincos_values(Grid::own(config.grid()), config.width()))
    }
}

impl PatchEmbed {
    fn traced(&self, trace: &mut Trace, images: Tensor) -> Tensor {
        let images = match &self.backbone {
            Some(backbone) => trace.within("backbone", |trace| backbone.traced(trace, images)),
            None => images,
        };
        let (patch, [rows, columns]) = (self.patch(), trace.grid());
        let row = self.proj.weight.dims()[0] / patch;
        let split = [rows, patch, columns, row].map(Dim::from);
        let patches = trace.reshape(images, [&[Dim::BATCH], &split[..]].concat());
        let patches = trace.transpose(patches, &[0, 1, 3, 2, 4]);
        let flat = [Dim::BATCH, trace.patches().into(), (patch * row).into()];
        let patches = trace.reshape(patches, flat);
        self.proj.traced(trace, "proj", patches)
    }
}

impl Linear {
    fn traced(&self, trace: &mut Trace, name: &str, input: Tensor) -> Tensor {
        trace.within(name, |trace| {
            let weight = trace.parameter("weight", &self.weight);
            let bias = self.bias.as_ref().map(|bias| trace.parameter("bias", bias));
            trace.apply(ops::Linear {}, &[&[input, weight], bias.as_slice()].concat())
        })
    }
}

impl LayerNorm {
    /// Over the last dimension.
    fn traced(&self, trace: &mut Trace, name: &str, input: Tensor) -> Tensor {
        trace.within(name, |trace| {
            let weight = trace.parameter("weight", &self.weight);
            let bias = trace.parameter("bias", &self.bias);
            let axes = vec![trace.dims(input).len().saturating_sub(1)];
            let op = ops::LayerNormalization { axes, epsilon: self.eps };
            trace.apply(op, &[input, weight, bias])
        })
    }
}

impl MlpBlock {
    fn traced(&self, trace: &mut Trace, name: &str, input: Tensor) -> Tensor {
        trace.within(name, |trace| {
            let projected = self.fc1.traced(trace, "fc1", input);
            let hidden = match self.activation() {
                Mlp::Gelu => trace.apply(ops::Gelu {}, &[projected]),
                Mlp::GeluTanh => trace.apply(ops::GeluTanh {}, &[projected]),
                Mlp::SwiGlu => {
                    let [gate, value] = trace.split(projected);
                    let sigmoid = trace.apply(ops::Sigmoid {}, &[gate]);
                    let silu = trace.apply(ops::Mul {}, &[gate, sigmoid]);
                    trace.apply(ops::Mul {}, &[silu, value])
                }
            };
            self.fc2.traced(trace, "fc2", hidden)
        })
    }
}

impl AttentionPool {
    /// `[B, tokens, width]` to `[B, 1, width]`.
    fn traced(&self, trace: &mut Trace, tokens: Tensor, sizes: &Sizes) -> Tensor {
        let (heads, width) = (self.heads(), self.q.weight.dims()[0]);
        let head_dim = width / heads;
        let latent = trace.parameter("latent", &self.latent);
        let query = self.q.traced(trace, "q", latent);
        let query = trace.reshape(query, [1, heads, 1, head_dim].map(Dim::from));
        let query = trace.expand(query, [Dim::BATCH, heads.into(), Dim::from(1), head_dim.into()]);
        let kv = self.kv.traced(trace, "kv", tokens);
        let [key, value] = trace.split(kv).map(|part| trace.heads(part, heads));
        let scale = (head_dim as f64).powf(-0.5);
        let bias = sizes.bias(trace);
        let op = ops::ScaledDotProductAttention { scale };
        let pooled = trace.apply(op, &[&[query, key, value], bias.as_slice()].concat());
        let pooled = trace.reshape(pooled, [Dim::BATCH, 1.into(), width.into()]);
        let pooled = self.proj.traced(trace, "proj", pooled);
        let normed = self.norm.traced(trace, "norm", pooled);
        let refined = self.mlp.traced(trace, "mlp", normed);
        trace.apply(ops::Add {}, &[pooled, refined])
    }
}

/// The shape of a parameter.
fn shape_of<const D: usize>(parameter: &Param<burn::tensor::Tensor<D>>) -> [usize; D] {
    parameter.dims()
}
