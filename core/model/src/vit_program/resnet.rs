//! The ResNet of a hybrid, channels first as it computes.

use vitral_program::{Dim, Tensor, ops};

use super::trace::Trace;
use crate::resnet::{
    Downsample, GROUPS, GroupNorm, NORM_EPS, ResNet, ResidualUnit, StdConv, WEIGHT_EPS,
    same_padding,
};

impl ResNet {
    /// `[B, height, width, channels]` to the same, smaller and with more channels.
    pub(super) fn traced(&self, trace: &mut Trace, images: Tensor) -> Tensor {
        let images = trace.transpose(images, &[0, 3, 1, 2]);
        let root = trace.within("stem", |trace| {
            let root = self.stem.conv.traced(trace, "conv", images);
            let root = self.stem.norm.traced(trace, "norm", root);
            let root = trace.apply(ops::Relu {}, &[root]);
            pooled(trace, root)
        });
        let mut features = root;
        for (stage, units) in self.stages.iter().enumerate() {
            for (unit, block) in units.blocks.iter().enumerate() {
                let name = format!("stages.{stage}.blocks.{unit}");
                features = trace.within(name, |trace| block.traced(trace, features));
            }
        }
        trace.transpose(features, &[0, 2, 3, 1])
    }
}

impl ResidualUnit {
    fn traced(&self, trace: &mut Trace, input: Tensor) -> Tensor {
        let branch = self.conv1.traced(trace, "conv1", input);
        let branch = self.norm1.traced(trace, "norm1", branch);
        let branch = trace.apply(ops::Relu {}, &[branch]);
        let branch = self.conv2.traced(trace, "conv2", branch);
        let branch = self.norm2.traced(trace, "norm2", branch);
        let branch = trace.apply(ops::Relu {}, &[branch]);
        let branch = self.conv3.traced(trace, "conv3", branch);
        let branch = self.norm3.traced(trace, "norm3", branch);
        let residual = match &self.downsample {
            Some(Downsample { conv, norm }) => trace.within("downsample", |trace| {
                let residual = conv.traced(trace, "conv", input);
                norm.traced(trace, "norm", residual)
            }),
            None => input,
        };
        let sum = trace.apply(ops::Add {}, &[residual, branch]);
        trace.apply(ops::Relu {}, &[sum])
    }
}

impl StdConv {
    fn traced(&self, trace: &mut Trace, name: &str, input: Tensor) -> Tensor {
        trace.within(name, |trace| {
            let weight = trace.parameter("weight", &self.weight);
            let mean = || ops::ReduceMean { axes: vec![1, 2, 3], keep_dimensions: true };
            let centre = trace.apply(mean(), &[weight]);
            let centred = trace.apply(ops::Sub {}, &[weight, centre]);
            let squares = trace.apply(ops::Mul {}, &[centred, centred]);
            let variance = trace.apply(mean(), &[squares]);
            let deviation = trace.apply(ops::Sqrt {}, &[variance]);
            let eps = trace.scalar(WEIGHT_EPS);
            let deviation = trace.apply(ops::Add {}, &[deviation, eps]);
            let weight = trace.apply(ops::Div {}, &[centred, deviation]);
            let (kernel, stride) = self.kernel_and_stride();
            let [rows, columns] =
                [2, 3].map(|axis| same_padding(trace.size(input, axis), kernel, stride));
            let op = ops::Conv2d {
                padding: [rows.0, rows.1, columns.0, columns.1],
                strides: [stride; 2],
                dilations: [1; 2],
                groups: 1,
                input_layout: ops::Layout::Nchw,
            };
            trace.apply(op, &[input, weight])
        })
    }
}

impl GroupNorm {
    fn traced(&self, trace: &mut Trace, name: &str, input: Tensor) -> Tensor {
        trace.within(name, |trace| {
            let [channels, height, width] = [1, 2, 3].map(|axis| trace.size(input, axis));
            let group = channels / GROUPS * height * width;
            let rows = trace.reshape(input, [Dim::BATCH, GROUPS.into(), group.into()]);
            let op = ops::LayerNormalization { axes: vec![2], epsilon: NORM_EPS };
            let rows = trace.apply(op, &[rows]);
            let shape = [Dim::BATCH, channels.into(), height.into(), width.into()];
            let normed = trace.reshape(rows, shape);
            let [weight, bias] =
                [("weight", &self.weight), ("bias", &self.bias)].map(|(name, parameter)| {
                    let values = trace.parameter(name, parameter);
                    trace.reshape(values, [channels, 1, 1].map(Dim::from))
                });
            let scaled = trace.apply(ops::Mul {}, &[normed, weight]);
            trace.apply(ops::Add {}, &[scaled, bias])
        })
    }
}

/// The largest of each 3 x 3 values, two apart; all are zero or more, so that zeros around them
/// change nothing.
fn pooled(trace: &mut Trace, input: Tensor) -> Tensor {
    let [rows, columns] = [2, 3].map(|axis| same_padding(trace.size(input, axis), 3, 2));
    let outputs = [2, 3].map(|axis| trace.size(input, axis).div_ceil(2));
    let pad = ops::Pad {
        beginning_padding: vec![0, 0, rows.0, columns.0],
        ending_padding: vec![0, 0, rows.1, columns.1],
        value: 0.0,
    };
    let mut largest = trace.apply(pad, &[input]);
    for (axis, outputs) in [2, 3].into_iter().zip(outputs) {
        let [first, second, third] = [0, 1, 2].map(|start| {
            trace.every_second(largest, axis, start, 2 * outputs.saturating_sub(1) + 1)
        });
        let two = trace.apply(ops::Max {}, &[first, second]);
        largest = trace.apply(ops::Max {}, &[two, third]);
    }
    largest
}
