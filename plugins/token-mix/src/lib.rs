//! TokenMix (Liu et al. 2022) as a batch program: each image gets rectangles of whole patches from its
//! partner in the reversed batch; targets are mixed in the same measure.

use vitral_sdk::prelude::*;

/// The narrowest rectangle's height as a share of its width; the widest one's is the inverse.
const NARROWEST: f64 = 0.3;

/// TokenMix.
#[derive(Clone, Debug, Parameters)]
pub struct TokenMix {
    /// Cells on a side of the mask: the model's `image_size` by its `patch_size`, so that a cell is a
    /// patch.
    #[parameter(default = 14, min = 2, max = 64)]
    grid: u32,
    /// Share of an image that comes from its partner.
    #[parameter(default = 0.5, min = 0.0, max = 1.0)]
    share: f64,
    /// Which cells come from the partner.
    #[parameter(default = Mask::Block)]
    mask: Mask,
    /// How many rectangles are tried, of which those are taken that add to the share without exceeding
    /// it.
    #[parameter(default = 16, min = 1, max = 64)]
    tries: u32,
    /// Probability of mixing at all.
    #[parameter(default = 1.0, min = 0.0, max = 1.0)]
    probability: f64,
    /// What has a draw of its own: the batch as a whole, or each element.
    #[parameter(default = Mode::Batch)]
    mode: Mode,
}

/// Which cells come from the partner.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// Rectangles.
    Block,
    /// Single cells.
    Random,
}

/// What has a draw of its own.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The batch as a whole.
    Batch,
    /// Each element.
    Element,
}

impl Plugin for TokenMix {
    type Parameters = Self;

    const IDENTITY: Identity = identity!("token-mix", "TokenMix on whole batches");

    fn new(parameters: Self) -> Result<Self> {
        Ok(parameters)
    }

    fn examples() -> Vec<Example> {
        vec![
            Example::new("As published, on half of the batches").set("probability", 0.5),
            Example::new("For images of 28 px in patches of 4, drawn for each image")
                .set("grid", 7)
                .set("mode", "element"),
            Example::new("Single patches in place of rectangles").set("mask", "random"),
        ]
    }
}

impl BatchAugmentation for TokenMix {
    fn trace(&self, batch: &Batch, images: Tensor, targets: Tensor) -> Result<(Tensor, Tensor)> {
        let cells = (self.share * f64::from(self.grid * self.grid)).floor();
        if cells == 0.0 || self.probability == 0.0 {
            return Ok((images, targets));
        }
        let draws = match self.mode {
            Mode::Batch => Draws { count: Dim::from(1_u32) },
            Mode::Element => Draws { count: B },
        };
        let mut mask = label("mask", || match self.mask {
            Mask::Block => self.rectangles(&draws, cells),
            Mask::Random => self.single(&draws, cells),
        });
        if self.probability < 1.0 {
            let applies = draws.uniform().lesser(self.probability);
            mask = applies.where_(mask, 0.0);
        }
        let taken = label("pixels", || self.pixels(mask, batch));
        let mixed = taken.greater(0.5).where_(images.reverse([0]), images);
        // Where cells are not of one size, it is pixels that count.
        let share = taken.reduce_mean([1, 2], true).reshape(shape![draws.count, 1]);
        Ok((mixed, targets + share * (targets.reverse([0]) - targets)))
    }
}

/// What a batch or an element draws.
struct Draws {
    count: Dim,
}

impl Draws {
    /// `[count, 1, 1, 1]` from 0 to 1.
    fn uniform(&self) -> Tensor {
        random(shape![self.count, 1, 1, 1], Distribution::Uniform)
    }

    /// `[count, 1, 1, 1]` from a number to another.
    fn between(&self, from: f64, to: Tensor) -> Tensor {
        self.uniform() * (to - from) + from
    }
}

impl TokenMix {
    /// `[n, grid, grid, 1]`, 1 in rectangles that have at most so many cells together.
    fn rectangles(&self, draws: &Draws, cells: f64) -> Tensor {
        let grid = f64::from(self.grid);
        let mut mask = constant(shape![1, 1, 1, 1], &[0.0]).expand(shape![
            draws.count,
            self.grid,
            self.grid,
            1
        ]);
        let mut left = constant(shape![1, 1, 1, 1], &[cells]);
        for _ in 0..self.tries {
            let area = draws.between(1.0, left);
            // The square root of height by width: its logarithm is drawn evenly.
            let root = ((draws.uniform() - 0.5) * -NARROWEST.ln()).exp();
            let height = (area.sqrt() * root + 0.5).floor();
            let width = (area.sqrt() / root + 0.5).floor();
            let rows = self.within(draws, height, shape![1, self.grid, 1, 1]);
            let columns = self.within(draws, width, shape![1, 1, self.grid, 1]);
            let added = rows.logical_and(columns).where_(1.0, 0.0) * (mask * -1.0 + 1.0);
            let count = added.reduce_sum([1, 2], true);
            let fits = count
                .lesser_or_equal(left)
                .logical_and(height.lesser(grid))
                .logical_and(width.lesser(grid));
            mask = mask + fits.where_(added, 0.0);
            left = left - fits.where_(count, 0.0);
        }
        mask
    }

    /// Which cells along an axis are in a span of this length, which starts anywhere that it fits.
    fn within(&self, draws: &Draws, length: Tensor, along: Vec<Dim>) -> Tensor {
        let at = range(DType::F32, self.grid, 0.0, 1.0).reshape(along);
        let from = (draws.uniform() * (length * -1.0 + f64::from(self.grid + 1))).floor();
        at.greater_or_equal(from).logical_and(at.lesser(from + length))
    }

    /// `[n, grid, grid, 1]`, 1 in so many cells.
    fn single(&self, draws: &Draws, cells: f64) -> Tensor {
        let all = self.grid * self.grid;
        let order = random(shape![draws.count, all], Distribution::Uniform);
        let (highest, _) = order.top_k(Dim::from(cells as u32), 1);
        let taken = order.greater_or_equal(highest.reduce_min([1], true)).where_(1.0, 0.0);
        taken.reshape(shape![draws.count, self.grid, self.grid, 1])
    }

    /// A mask of cells as one of pixels.
    fn pixels(&self, mask: Tensor, batch: &Batch) -> Tensor {
        let cells = |pixels: u32| {
            let of: Vec<i64> = (0..pixels)
                .map(|at| i64::from(at) * i64::from(self.grid) / i64::from(pixels))
                .collect();
            constant_i32(shape![pixels], &of)
        };
        mask.gather(cells(batch.height), 1).gather(cells(batch.width), 2)
    }
}

/// The plugin's functions, for programs that link it in.
pub fn plugin() -> &'static vitral_sdk::abi::c::Plugin {
    vitral_sdk::native::batch_augmentation::<TokenMix>()
}

#[cfg(not(feature = "compiled-in"))]
vitral_sdk::export!(TokenMix: batch_augmentation);
