//! The ResNet before the patches of a hybrid model: convolutions with standardised weights and
//! GroupNorm, as google-research/vision_transformer has it (`models_resnet.py`; Kolesnikov et al. 2020,
//! "Big Transfer").

use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use vitral_burn::{Composite, same_padding};
use vitral_program::{Dim, ops as op};

pub use crate::config::{GROUPS, Stem};
use crate::{
    init::{Fill, Initializer},
    layers::shape,
    ops::Ops,
};

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

    /// `[B, inputs, height, width]` to `[B, outputs, height / stride, width / stride]`.
    pub(crate) fn forward<O: Ops>(&self, ops: &mut O, input: O::Tensor) -> O::Tensor {
        let (kernel, stride) = (shape(&self.weight)[2], self.stride);
        let weight = ops.parameter(&self.weight);
        let weight = standardized(ops, weight);
        let [rows, columns] =
            [2, 3].map(|axis| same_padding(ops.size(&input, axis), kernel, stride));
        let op = op::Conv2d {
            padding: [rows.0, rows.1, columns.0, columns.1],
            strides: [stride; 2],
            dilations: [1; 2],
            groups: 1,
            input_layout: op::Layout::Nchw,
        };
        ops.apply(op, [input, weight])
    }
}

/// Each output channel's kernel, `[outputs, inputs, height, width]`, with mean 0 and deviation 1.
pub(crate) fn standardized<O: Ops>(ops: &mut O, weight: O::Tensor) -> O::Tensor {
    let mean = || op::ReduceMean { axes: vec![1, 2, 3], keep_dimensions: true };
    let centre = ops.apply(mean(), [weight.clone()]);
    let centred = ops.apply(op::Sub {}, [weight, centre]);
    let squares = ops.mul(centred.clone(), centred.clone());
    let variance = ops.apply(mean(), [squares]);
    let deviation = ops.apply(op::Sqrt {}, [variance]);
    let eps = ops.scalar(WEIGHT_EPS);
    let deviation = ops.add(deviation, eps);
    ops.apply(op::Div {}, [centred, deviation])
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

    /// `[B, channels, height, width]` to the same.
    pub(crate) fn forward<O: Ops>(&self, ops: &mut O, input: O::Tensor) -> O::Tensor {
        let [channels, height, width] = [1, 2, 3].map(|axis| ops.size(&input, axis));
        let group = channels / GROUPS * height * width;
        ops.in_f32([input], |ops, [input]| {
            // A group is a row of a LayerNorm, for which there is a kernel.
            let rows = ops.reshape(input, [Dim::BATCH, GROUPS.into(), group.into()]);
            let op = op::LayerNormalization { axes: vec![2], epsilon: NORM_EPS };
            let rows = ops.apply(op, [rows]);
            let shape = [Dim::BATCH, channels.into(), height.into(), width.into()];
            let normed = ops.reshape(rows, shape);
            let [weight, bias] = [&self.weight, &self.bias].map(|parameter| {
                let values = ops.parameter(parameter);
                ops.reshape(values, [channels, 1, 1].map(Dim::from))
            });
            let scaled = ops.mul(normed, weight);
            ops.add(scaled, bias)
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

    fn forward<O: Ops>(&self, ops: &mut O, input: O::Tensor) -> O::Tensor {
        let branch = self.conv1.forward(ops, input.clone());
        let branch = self.norm1.forward(ops, branch);
        let branch = ops.apply(op::Relu {}, [branch]);
        let branch = self.conv2.forward(ops, branch);
        let branch = self.norm2.forward(ops, branch);
        let branch = ops.apply(op::Relu {}, [branch]);
        let branch = self.conv3.forward(ops, branch);
        let branch = self.norm3.forward(ops, branch);
        let residual = match &self.downsample {
            Some(Downsample { conv, norm }) => {
                let projected = conv.forward(ops, input);
                norm.forward(ops, projected)
            }
            None => input,
        };
        let sum = ops.add(residual, branch);
        ops.apply(op::Relu {}, [sum])
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

    /// `[B, height, width, channels]` to the same, smaller and with more channels; its values are
    /// zero or more.
    pub(crate) fn forward<O: Ops>(&self, ops: &mut O, images: O::Tensor) -> O::Tensor {
        let images = ops.transpose(images, &[0, 3, 1, 2]);
        let root = ops.within("stem", |ops| {
            let root = self.stem.conv.forward(ops, images);
            let root = self.stem.norm.forward(ops, root);
            let root = ops.apply(op::Relu {}, [root]);
            pooled(ops, root)
        });
        let mut features = root;
        for (stage, units) in self.stages.iter().enumerate() {
            for (unit, block) in units.blocks.iter().enumerate() {
                let place = format_args!("stages.{stage}.blocks.{unit}");
                features = ops.within(place, |ops| block.forward(ops, features));
            }
        }
        ops.transpose(features, &[0, 2, 3, 1])
    }
}

/// The largest of each 3 x 3 values, two apart; all are zero or more, so that zeros around them
/// change nothing.
fn pooled<O: Ops>(ops: &mut O, input: O::Tensor) -> O::Tensor {
    if let Some(pooled) = ops.composite(Composite::MaxPool, &input, |_| Vec::new()) {
        return pooled;
    }
    let [rows, columns] = [2, 3].map(|axis| same_padding(ops.size(&input, axis), 3, 2));
    let outputs = [2, 3].map(|axis| ops.size(&input, axis).div_ceil(2));
    let pad = op::Pad {
        beginning_padding: vec![0, 0, rows.0, columns.0],
        ending_padding: vec![0, 0, rows.1, columns.1],
        value: 0.0,
    };
    let mut largest = ops.apply(pad, [input]);
    for (axis, outputs) in [2, 3].into_iter().zip(outputs) {
        let [first, second, third] = [0, 1, 2].map(|start| {
            ops.every_second(largest.clone(), axis, start, 2 * outputs.saturating_sub(1) + 1)
        });
        let two = ops.apply(op::Max {}, [first, second]);
        largest = ops.apply(op::Max {}, [two, third]);
    }
    largest
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};
    use vitral_seed::Seed;

    use super::*;
    use crate::{
        Compute,
        eager::{Eager, EagerTensor},
        init::Init,
    };

    fn read<const D: usize>(tensor: EagerTensor) -> Vec<f32> {
        Eager::values::<D>(tensor).try_into_vec_as().unwrap()
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
        let mut ops = Eager::new(1, &device, Compute::F32);
        let weight = ops.constant(&[4, 2, 2, 2], &values);
        let found = standardized(&mut ops, weight);
        close(&read::<4>(found), &exact, 1e-5);
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
        let mut ops = Eager::new(2, &device, Compute::F32);
        let input = ops.batched(input);
        let found = norm.forward(&mut ops, input);
        close(&read::<4>(found), &exact, 5e-5);
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
            let mut ops = Eager::new(1, &device, Compute::F32);
            let images = ops.batched(Tensor::<4>::zeros([1, 32, 32, 1], &device));
            let out = Eager::values::<4>(resnet.forward(&mut ops, images));
            let side = 32 / stem.downscaling();
            assert_eq!(out.dims(), [1, side, side, stem.channels(1)], "{stem:?}");
        }
    }
}
