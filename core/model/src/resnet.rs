//! The ResNet before the patches of a hybrid model: convolutions with standardised weights and
//! GroupNorm, as google-research/vision_transformer has it (`models_resnet.py`; Kolesnikov et al. 2020,
//! "Big Transfer").

use burn::{
    module::{Module, Param},
    tensor::{
        Tensor, activation,
        module::{conv2d, max_pool2d},
        ops::{ConvOptions, MaxPoolOptions},
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    compute::{cast_like, in_f32},
    fused,
    init::{Fill, Initializer},
};

/// What an image goes through before it is cut into patches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum Stem {
    /// Nothing.
    #[default]
    None,
    /// A ResNet (hybrid models, Dosovitskiy et al. 2021): a root that makes the image four times
    /// smaller, and stages of which each but the first halves it again.
    ResNet {
        /// Units of each stage, as in `[3, 4, 9]`; none leaves the root alone.
        #[schemars(length(max = 8))]
        layers: Vec<usize>,
        /// Channels of the root (64 times vit_jax's `width_factor`), a multiple of 32. Stages have
        /// four, eight, ... times as many.
        #[serde(default = "default_width")]
        #[schemars(range(min = 32, max = 2048))]
        width: usize,
    },
}

const fn default_width() -> usize {
    64
}

impl Stem {
    /// How many pixels along one side become one of what it gives.
    pub fn downscaling(&self) -> usize {
        match self {
            Self::None => 1,
            Self::ResNet { layers, .. } => 4 << layers.len().saturating_sub(1),
        }
    }

    /// Channels of what it gives, from those of the image.
    pub fn channels(&self, image: usize) -> usize {
        match self {
            Self::None => image,
            Self::ResNet { layers, width } if layers.is_empty() => *width,
            Self::ResNet { layers, width } => (4 * width) << (layers.len() - 1),
        }
    }
}

/// Groups of every GroupNorm.
pub const GROUPS: usize = 32;

/// Epsilon of every GroupNorm, added to the variance.
pub const NORM_EPS: f64 = 1e-6;

/// Added to the deviation that kernels are divided by.
pub const WEIGHT_EPS: f64 = 1e-5;

/// A convolution whose kernel is standardised before use (Qiao et al. 2019): each output channel's
/// weights have mean 0 and deviation 1. Padding is TensorFlow's `SAME`.
#[derive(Module, Debug)]
pub struct StdConv {
    /// `[outputs, inputs, height, width]`
    pub weight: Param<Tensor<4>>,
    #[module(skip)]
    stride: usize,
}

impl StdConv {
    fn new(
        init: &Initializer,
        inputs: usize,
        outputs: usize,
        kernel: usize,
        stride: usize,
    ) -> Self {
        let fill = Fill::TruncatedNormal { std: (1.0 / (inputs * kernel * kernel) as f64).sqrt() };
        let weight = init.parameter("weight", [outputs, inputs, kernel, kernel], fill);
        Self { weight, stride }
    }

    /// Side of the kernel, and how far it moves.
    pub(crate) fn kernel_and_stride(&self) -> (usize, usize) {
        (self.weight.dims()[2], self.stride)
    }

    /// `[batch, inputs, height, width]` to `[batch, outputs, height / stride, width / stride]`.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let [_, _, height, width] = input.dims();
        let (kernel, stride) = self.kernel_and_stride();
        let padding = [height, width].map(|size| same_padding(size, kernel, stride));
        let weight = cast_like(standardized(self.weight.val()), &input);
        let options = ConvOptions::new_with_padding([stride; 2], padding, [1; 2], 1);
        conv2d(input, weight, None, options)
    }
}

/// What `SAME` puts before and after `size` values.
pub(crate) fn same_padding(size: usize, kernel: usize, stride: usize) -> (usize, usize) {
    let all = ((size.div_ceil(stride) - 1) * stride + kernel).saturating_sub(size);
    (all / 2, all - all / 2)
}

/// Each output channel's kernel, `[outputs, ...]`, with mean 0 and deviation 1.
pub(crate) fn standardized(weight: Tensor<4>) -> Tensor<4> {
    let dims = weight.dims();
    let rows: Tensor<2> = weight.reshape([dims[0] as i32, -1]);
    let centred = rows.clone() - rows.mean_dim(1);
    let deviation = (centred.clone() * centred.clone()).mean_dim(1).sqrt();
    (centred / (deviation + WEIGHT_EPS)).reshape(dims)
}

/// Normalisation over groups of channels and all places (Wu and He 2018).
#[derive(Module, Debug)]
pub struct GroupNorm {
    /// `[channels]`
    pub weight: Param<Tensor<1>>,
    /// `[channels]`
    pub bias: Param<Tensor<1>>,
}

impl GroupNorm {
    fn new(init: &Initializer, channels: usize, scale: f64) -> Self {
        Self {
            weight: init.parameter("weight", [channels], Fill::Constant(scale)),
            bias: init.parameter("bias", [channels], Fill::Constant(0.0)),
        }
    }

    /// `[batch, channels, height, width]` to the same.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = input.dims();
        let group = channels / GROUPS * height * width;
        in_f32(input, |input| {
            // A group is a row of a LayerNorm, for which there is a kernel.
            let device = input.device().without_autodiff();
            let (ones, zeros) = (Tensor::ones([group], &device), Tensor::zeros([group], &device));
            let rows: Tensor<3> = input.reshape([batch, GROUPS, group]);
            let normed = fused::layer_norm(rows, ones, zeros, NORM_EPS);
            let normed = normed.reshape([batch, channels, height, width]);
            let by_channel =
                |parameter: &Param<Tensor<1>>| parameter.val().reshape([1, channels, 1, 1]);
            normed * by_channel(&self.weight) + by_channel(&self.bias)
        })
    }
}

/// The projection beside a unit's convolutions.
#[derive(Module, Debug)]
pub struct Downsample {
    /// 1 x 1, with the unit's stride.
    pub conv: StdConv,
    /// Its norm.
    pub norm: GroupNorm,
}

/// A bottleneck unit: 1 x 1, 3 x 3 and 1 x 1 convolutions on a residual branch.
#[derive(Module, Debug)]
pub struct ResidualUnit {
    /// The projection of what the branch is added to, where its shape changes.
    pub downsample: Option<Downsample>,
    /// 1 x 1, to fewer channels.
    pub conv1: StdConv,
    /// Its norm.
    pub norm1: GroupNorm,
    /// 3 x 3, with the unit's stride.
    pub conv2: StdConv,
    /// Its norm.
    pub norm2: GroupNorm,
    /// 1 x 1, to four times as many channels.
    pub conv3: StdConv,
    /// Its norm, which starts at zero.
    pub norm3: GroupNorm,
}

impl ResidualUnit {
    fn new(init: &Initializer, inputs: usize, features: usize, stride: usize) -> Self {
        let outputs = 4 * features;
        let projects = inputs != outputs || stride != 1;
        let conv = |name: &str, inputs, outputs, kernel, stride| {
            StdConv::new(&init.of(name), inputs, outputs, kernel, stride)
        };
        let norm = |name: &str, channels, scale| GroupNorm::new(&init.of(name), channels, scale);
        Self {
            downsample: projects.then(|| Downsample {
                conv: conv("downsample.conv", inputs, outputs, 1, stride),
                norm: norm("downsample.norm", outputs, 1.0),
            }),
            conv1: conv("conv1", inputs, features, 1, 1),
            norm1: norm("norm1", features, 1.0),
            conv2: conv("conv2", features, features, 3, stride),
            norm2: norm("norm2", features, 1.0),
            conv3: conv("conv3", features, outputs, 1, 1),
            norm3: norm("norm3", outputs, 0.0),
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let branch = self.norm1.forward(self.conv1.forward(input.clone()));
        let branch = self.norm2.forward(self.conv2.forward(activation::relu(branch)));
        let branch = self.norm3.forward(self.conv3.forward(activation::relu(branch)));
        let residual = match &self.downsample {
            Some(Downsample { conv, norm }) => norm.forward(conv.forward(input)),
            None => input,
        };
        activation::relu(residual + branch)
    }
}

/// Units of the same size.
#[derive(Module, Debug)]
pub struct Stage {
    /// Of which the first may halve the image.
    pub blocks: Vec<ResidualUnit>,
}

/// The first convolution and its norm; a pooling comes after them.
#[derive(Module, Debug)]
pub struct Root {
    /// 7 x 7, with a stride of 2.
    pub conv: StdConv,
    /// Its norm.
    pub norm: GroupNorm,
}

/// A ResNet without its head. Names of parameters are timm's.
#[derive(Module, Debug)]
pub struct ResNet {
    /// The root.
    pub stem: Root,
    /// The stages.
    pub stages: Vec<Stage>,
}

impl ResNet {
    /// The ResNet of a stem for images of so many channels, if it is one.
    pub(crate) fn new(init: &Initializer, stem: &Stem, channels: usize) -> Option<Self> {
        let Stem::ResNet { layers, width } = stem else { return None };
        let of_root = init.of("stem");
        let root = Root {
            conv: StdConv::new(&of_root.of("conv"), channels, *width, 7, 2),
            norm: GroupNorm::new(&of_root.of("norm"), *width, 1.0),
        };
        let mut inputs = *width;
        let stages = layers.iter().enumerate().map(|(stage, &count)| {
            let features = width << stage;
            let blocks = (0..count).map(|unit| {
                let init = init.of(format_args!("stages.{stage}.blocks.{unit}"));
                let stride = if stage > 0 && unit == 0 { 2 } else { 1 };
                let inputs = std::mem::replace(&mut inputs, 4 * features);
                ResidualUnit::new(&init, inputs, features, stride)
            });
            Stage { blocks: blocks.collect() }
        });
        Some(Self { stages: stages.collect(), stem: root })
    }

    /// `[batch, height, width, channels]` to the same, smaller and with more channels; its values are
    /// zero or more.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let root = self.stem.conv.forward(images.permute([0, 3, 1, 2]));
        let root = activation::relu(self.stem.norm.forward(root));
        let mut features = pooled(root);
        for unit in self.stages.iter().flat_map(|stage| &stage.blocks) {
            features = unit.forward(features);
        }
        features.permute([0, 2, 3, 1])
    }
}

/// The largest of each 3 x 3 values, two apart.
fn pooled(input: Tensor<4>) -> Tensor<4> {
    let [_, _, height, width] = input.dims();
    let padding = [height, width].map(|size| same_padding(size, 3, 2));
    max_pool2d(input, MaxPoolOptions { stride: [2; 2], padding, ..MaxPoolOptions::new([3; 2]) })
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};
    use vitral_seed::Seed;

    use super::*;
    use crate::init::Init;

    fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.try_into_vec_as().unwrap()
    }

    fn close(found: &[f32], exact: &[f64], tolerance: f64) {
        assert_eq!(found.len(), exact.len());
        for (found, exact) in found.iter().zip(exact) {
            assert!((f64::from(*found) - exact).abs() < tolerance, "{found} is not {exact}");
        }
    }

    /// Deviations far above, around and far below the epsilon, and a kernel that is constant.
    #[test]
    fn kernels_are_standardised_with_the_epsilon_beside_the_deviation() {
        let (device, eps) = (Device::flex(), 1e-5);
        let pattern = [0.5, -1.0, 0.25, 1.5, -0.75, 0.0, 2.0, -0.5];
        let scales = [1.0, 1e-5, 1e-8, 0.0];
        let values: Vec<f32> =
            scales.iter().flat_map(|scale| pattern.map(|value| (scale * value) as f32)).collect();
        let exact: Vec<f64> = values
            .chunks(8)
            .flat_map(|kernel| {
                let mean = kernel.iter().map(|&v| f64::from(v)).sum::<f64>() / 8.0;
                let off = kernel.iter().map(|&v| f64::from(v) - mean).collect::<Vec<_>>();
                let deviation = (off.iter().map(|v| v * v).sum::<f64>() / 8.0).sqrt();
                off.into_iter().map(move |v| v / (deviation + eps))
            })
            .collect();
        let weight = Tensor::<4>::from_data(TensorData::new(values, [4, 2, 2, 2]), &device);
        close(&read(standardized(weight)), &exact, 1e-5);
    }

    /// Groups whose variance is far above, around and far below the epsilon.
    #[test]
    fn groups_are_normalised_with_the_epsilon_in_the_variance() {
        let device = Device::flex();
        let init = Initializer::new(Seed::new(0), Init::Jax, &device);
        let channels = 2 * GROUPS;
        let mut norm = GroupNorm::new(&init, channels, 1.0);
        let of_channel = |at: usize| (1.0 + at as f64 / 10.0, at as f64 / 7.0);
        let parameter =
            |values: Vec<f32>| Param::from_tensor(Tensor::from_floats(&*values, &device));
        norm.weight = parameter((0..channels).map(|at| of_channel(at).0 as f32).collect());
        norm.bias = parameter((0..channels).map(|at| of_channel(at).1 as f32).collect());
        let values: Vec<f32> = (0..2 * channels * 6)
            .map(|at| {
                let group = at / 12 % GROUPS;
                let scale = [1.0, 1e-3, 1e-6][group % 3];
                (scale * ((at as f64 * 0.7).sin() + 0.3)) as f32
            })
            .collect();
        let exact: Vec<f64> = values
            .chunks(12)
            .enumerate()
            .flat_map(|(group, row)| {
                let mean = row.iter().map(|&v| f64::from(v)).sum::<f64>() / 12.0;
                let variance =
                    row.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / 12.0;
                let normal = move |(at, &v): (usize, &f32)| {
                    let (weight, bias) = of_channel(group % GROUPS * 2 + at / 6);
                    (f64::from(v) - mean) / (variance + NORM_EPS).sqrt() * weight + bias
                };
                row.iter().enumerate().map(normal).collect::<Vec<_>>()
            })
            .collect();
        let input = Tensor::<4>::from_data(TensorData::new(values, [2, channels, 3, 2]), &device);
        close(&read(norm.forward(input)), &exact, 5e-5);
    }

    #[test]
    fn padding_is_that_of_same() {
        // TensorFlow: more after than before where it is odd, none where windows fit.
        assert_eq!(same_padding(224, 7, 2), (2, 3));
        assert_eq!(same_padding(112, 3, 2), (0, 1));
        assert_eq!(same_padding(56, 3, 1), (1, 1));
        assert_eq!(same_padding(56, 1, 2), (0, 0));
        assert_eq!(same_padding(7, 3, 2), (1, 1));
    }

    #[test]
    fn stems_make_images_smaller_as_they_say() {
        let device = Device::flex();
        let init = Initializer::new(Seed::new(0), Init::Jax, &device);
        for layers in [vec![], vec![1], vec![1, 2], vec![1, 1, 1]] {
            let stem = Stem::ResNet { layers, width: 32 };
            let resnet = ResNet::new(&init, &stem, 1).unwrap();
            let out = resnet.forward(Tensor::zeros([1, 32, 32, 1], &device));
            let side = 32 / stem.downscaling();
            assert_eq!(out.dims(), [1, side, side, stem.channels(1)], "{stem:?}");
        }
    }
}
