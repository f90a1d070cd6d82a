//! How one parameter is laid out in a file, and here: each layout says both directions.

use crate::Array;

/// A parameter's layout in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// The same.
    Same,
    /// PyTorch's linear layer: `[outputs, inputs]`, here `[inputs, outputs]`.
    Linear,
    /// PyTorch's convolution: `[width, channels, patch, patch]`, here
    /// `[patch * patch * channels, width]`.
    Convolution,
    /// Flax's convolution: `[patch, patch, channels, width]`.
    FlaxConvolution,
    /// Flax's convolution of a ResNet: `[height, width, inputs, outputs]`, here
    /// `[outputs, inputs, height, width]`.
    FlaxKernel,
    /// A GroupNorm's parameter in files older than Flax 0.3.6: `[1, 1, 1, channels]`; those without
    /// these ones are read, too.
    FlaxGroupNorm,
    /// Flax's projection to heads: `[width, heads, head width]`, here `[width, heads * head width]`.
    ToHeads,
    /// Its bias: `[heads, head width]`.
    HeadsBias,
    /// Flax's projection from heads: `[heads, head width, width]`.
    FromHeads,
}

/// Sizes that a file's layout has and ours does not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub heads: usize,
    pub patch: usize,
    pub channels: usize,
}

impl Layout {
    /// From the file's layout to ours; none if the tensor does not have as many dimensions.
    pub(crate) fn to_ours(self, theirs: Array) -> Option<Array> {
        Some(match (self, theirs.shape.as_slice()) {
            (Self::Same, _) => theirs,
            (Self::Linear, [_, _]) => theirs.permuted(&[1, 0]),
            (Self::Convolution, &[width, channels, high, wide]) => {
                theirs.permuted(&[2, 3, 1, 0]).reshaped([high * wide * channels, width])
            }
            (Self::FlaxConvolution, &[high, wide, channels, width]) => {
                theirs.reshaped([high * wide * channels, width])
            }
            (Self::FlaxKernel, [_, _, _, _]) => theirs.permuted(&[3, 2, 0, 1]),
            (Self::FlaxGroupNorm, [_]) => theirs,
            (Self::FlaxGroupNorm, &[1, 1, 1, channels]) => theirs.reshaped([channels]),
            (Self::ToHeads, &[width, heads, head]) => theirs.reshaped([width, heads * head]),
            (Self::HeadsBias, &[heads, head]) => theirs.reshaped([heads * head]),
            (Self::FromHeads, &[heads, head, width]) => theirs.reshaped([heads * head, width]),
            _ => return None,
        })
    }

    /// From our layout to the file's.
    ///
    /// # Panics
    /// If the tensor is not of our layout, or the sizes are not the model's.
    pub(crate) fn to_theirs(self, ours: &Array, sizes: Sizes) -> Array {
        let shape = self.shape(&ours.shape, sizes);
        match self {
            Self::Linear => ours.permuted(&[1, 0]),
            Self::FlaxKernel => ours.permuted(&[2, 3, 1, 0]),
            Self::Convolution => {
                let Sizes { patch, channels, .. } = sizes;
                ours.clone()
                    .reshaped([patch, patch, channels, ours.shape[1]])
                    .permuted(&[3, 2, 0, 1])
            }
            _ => ours.clone().reshaped(shape),
        }
    }

    /// The file's dimensions of a parameter that has these here.
    pub(crate) fn shape(self, ours: &[usize], sizes: Sizes) -> Vec<usize> {
        let Sizes { heads, patch, channels } = sizes;
        match (self, ours) {
            (Self::Linear, &[inputs, outputs]) => vec![outputs, inputs],
            (Self::Convolution, &[_, width]) => vec![width, channels, patch, patch],
            (Self::FlaxConvolution, &[_, width]) => vec![patch, patch, channels, width],
            (Self::FlaxKernel, &[outputs, inputs, high, wide]) => {
                vec![high, wide, inputs, outputs]
            }
            (Self::FlaxGroupNorm, &[channels]) => vec![1, 1, 1, channels],
            (Self::ToHeads, &[width, out]) => vec![width, heads, out / heads],
            (Self::HeadsBias, &[out]) => vec![heads, out / heads],
            (Self::FromHeads, &[inputs, width]) => vec![heads, inputs / heads, width],
            _ => ours.to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layout_comes_back_as_it_was() {
        let sizes = Sizes { heads: 2, patch: 4, channels: 3 };
        for (layout, shape) in [
            (Layout::Same, vec![1, 5, 6]),
            (Layout::Linear, vec![6, 10]),
            (Layout::Convolution, vec![48, 6]),
            (Layout::FlaxConvolution, vec![48, 6]),
            (Layout::FlaxKernel, vec![6, 5, 3, 4]),
            (Layout::FlaxGroupNorm, vec![6]),
            (Layout::ToHeads, vec![5, 6]),
            (Layout::HeadsBias, vec![6]),
            (Layout::FromHeads, vec![6, 5]),
        ] {
            let count: usize = shape.iter().product();
            let ours = Array::new(shape.clone(), (0..count).map(|v| v as f32).collect());
            let theirs = layout.to_theirs(&ours, sizes);
            assert_eq!(theirs.shape, layout.shape(&shape, sizes), "{layout:?}");
            assert_eq!(layout.to_ours(theirs), Some(ours), "{layout:?}");
            assert!(
                layout == Layout::Same || layout.to_ours(Array::zeros([2, 1, 1, 1, 1])).is_none()
            );
        }
    }

    #[test]
    fn a_convolution_puts_channels_last() {
        // Channel 1 of row 0, column 1 of the first filter.
        let mut theirs = Array::zeros([2, 3, 4, 4]);
        theirs.values[16 + 1] = 1.0;
        let ours = Layout::Convolution.to_ours(theirs).unwrap();
        // Row (0 * 4 + 1) * 3 + 1 of [48, 2].
        assert_eq!(ours.values.iter().position(|&value| value == 1.0), Some(4 * 2));
    }
}
