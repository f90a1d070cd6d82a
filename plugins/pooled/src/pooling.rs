//! Tokens to fewer tokens: the prefix, then the grid's patches pooled.

use vitral_sdk::prelude::*;

use crate::Mode;

/// Pooling of a layer's tokens.
pub(crate) struct Pooling<'l> {
    layer: &'l Layer,
    mode: Mode,
    rows: Side,
    columns: Side,
}

/// One side of the grid.
#[derive(Clone, Copy)]
struct Side {
    patches: u32,
    /// Patches that become one.
    window: u32,
}

impl Side {
    fn new(patches: u32, ratio: u32) -> Self {
        Self { patches, window: ratio.min(patches) }
    }

    const fn pooled(self) -> u32 {
        self.patches.div_ceil(self.window)
    }

    /// What the last window misses.
    const fn missing(self) -> u32 {
        self.pooled() * self.window - self.patches
    }

    /// Patches of each window.
    fn counts(self) -> impl Iterator<Item = u32> + Clone {
        (0..self.pooled()).map(move |at| self.window.min(self.patches - at * self.window))
    }
}

impl<'l> Pooling<'l> {
    pub fn new(layer: &'l Layer, ratio: u32, mode: Mode) -> Self {
        let side = |patches| Side::new(patches, ratio);
        Self { layer, mode, rows: side(layer.grid_height), columns: side(layer.grid_width) }
    }

    /// `[B, heads, tokens, width]` to the same with fewer tokens; the parameter is `conv`'s.
    pub fn pooled(&self, tokens: Tensor, parameter: &str) -> Tensor {
        if self.rows.window * self.columns.window == 1 {
            return tokens;
        }
        let Layer { heads, head_width: width, prefix_tokens: prefix, .. } = *self.layer;
        let patches = self.rows.patches * self.columns.patches;
        let (front, patches) = match prefix {
            0 => (None, tokens),
            _ => {
                let parts = tokens.split([prefix, patches], 2);
                (Some(parts[0]), parts[1])
            }
        };
        let images =
            patches.reshape(shape![B * heads, self.rows.patches, self.columns.patches, width]);
        let images = match self.mode {
            Mode::Average => self.averages(images),
            Mode::Conv => self.convolved(images, parameter),
        };
        let count = self.rows.pooled() * self.columns.pooled();
        let pooled = images.reshape(shape![B, heads, count, width]);
        front.map_or(pooled, |front| concat(&[front, pooled], 2))
    }

    /// The mean of each window; one at the end has what there is of the grid.
    fn averages(&self, images: Tensor) -> Tensor {
        images.average_pool2d(self.window(), self.window(), self.padding(), Layout::Nhwc)
    }

    /// A depthwise convolution, the same for all heads, whose weights start equal. Where a window
    /// ends outside of the grid its result is scaled up, as if the rest were like what there is.
    fn convolved(&self, images: Tensor, name: &str) -> Tensor {
        let (width, [height, across]) = (self.layer.head_width, self.window());
        let share = 1.0 / f64::from(height * across);
        let shape = shape![width, 1, height, across];
        let filter = parameter(name, shape, Initializer::Constant(share), true);
        let how = Convolution {
            padding: self.padding(),
            strides: self.window(),
            groups: width,
            ..Convolution::default()
        };
        let result = images.conv2d(filter, None, how);
        if how.padding == [0; 4] {
            return result;
        }
        let counts = self.rows.counts().flat_map(|rows| {
            self.columns.counts().map(move |columns| f64::from(rows * columns) * share)
        });
        let missing: Vec<_> = counts.map(|present| 1.0 / present).collect();
        result * constant(shape![self.rows.pooled(), self.columns.pooled(), 1], &missing)
    }

    fn window(&self) -> [u32; 2] {
        [self.rows.window, self.columns.window]
    }

    fn padding(&self) -> [u32; 4] {
        [0, self.rows.missing(), 0, self.columns.missing()]
    }
}
