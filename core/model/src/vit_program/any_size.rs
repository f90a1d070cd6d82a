//! Programs for images of any size.
//!
//! A program's sizes are numbers. What follows from the image's size is traced with stand-ins: numbers
//! that nothing else in the model has, so that a writer can put what they stand for in their place.
//! Positions are resized inside of the program, with the arithmetic of
//! [`resized_positions`](crate::resized_positions): learned ones by the antialiased bicubic filter,
//! fixed ones by where the centres of the patches lie in the model's own grid.

use std::collections::{HashMap, HashSet};

use vitral_program::{DType, Dim, Program, Tensor, ops as op};

use super::{
    interface::{Interface, VitProgramError},
    one_size::vit_program,
    trace::Trace,
};
use crate::{
    ViT,
    config::{AttentionKind, Stem},
    ops::Ops,
    waves::{Rope, prefix_angles},
};

/// A size that follows from the size of the images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ImageDim {
    /// Pixels from top to bottom, a multiple of the patch size.
    Height,
    /// Pixels from left to right, a multiple of the patch size.
    Width,
    /// Rows of patches.
    Rows,
    /// Columns of patches.
    Columns,
    /// Rows times columns.
    Patches,
    /// Patches and the tokens before them.
    Tokens,
}

/// A program for images of any size, and what its sizes stand for.
#[derive(Clone, Debug)]
pub struct AnySizeProgram {
    /// The program.
    pub program: Program,
    /// The sizes that stand for others.
    pub stand_ins: HashMap<usize, ImageDim>,
    /// Pixels of a patch, along one side.
    pub patch: usize,
    /// Tokens before the patches.
    pub prefix: usize,
}

/// Sides of a grid that are taken as stand-ins: primes, which no usual size is a multiple of.
const SIDES: [usize; 14] = [97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163];

/// Traces a model in evaluation mode for images of any size, twice, with other stand-ins each time:
/// what a writer makes of both must be the same, or something in it depends on a stand-in.
///
/// # Errors
/// As [`vit_program`], and parts of the model that are made for one size, by name.
pub fn vit_program_of_any_size(
    model: &ViT,
    interface: &Interface,
) -> Result<[AnySizeProgram; 2], VitProgramError> {
    refuse_fixed_parts(model)?;
    let own = vit_program(model, interface)?;
    let mut taken: HashSet<usize> = own
        .types()
        .iter()
        .flat_map(|r#type| r#type.shape.dims().iter().map(|dim| dim.per_item()))
        .collect();
    let mut traced = Vec::with_capacity(2);
    for pair in SIDES.windows(2) {
        let grid = [pair[0], pair[1]];
        let Some(stand_ins) = stand_ins(model, grid, &taken) else { continue };
        taken.extend(stand_ins.keys());
        traced.push(AnySizeProgram {
            program: model.program(Trace::of_grid(model, grid), interface)?,
            stand_ins,
            patch: model.config().patch_size(),
            prefix: model.config().prefix_tokens(),
        });
        if traced.len() == 2 {
            break;
        }
    }
    let part = "a model of so many different sizes";
    traced.try_into().map_err(|_| VitProgramError::ImageSize { part: part.into() })
}

/// What the sizes of a grid stand for, unless one of them has another meaning, too.
fn stand_ins(
    model: &ViT,
    [rows, columns]: [usize; 2],
    taken: &HashSet<usize>,
) -> Option<HashMap<usize, ImageDim>> {
    let config = model.config();
    let (patch, prefix) = (config.patch_size(), config.prefix_tokens());
    let mut sizes = vec![
        (rows * patch, ImageDim::Height),
        (columns * patch, ImageDim::Width),
        (rows * columns, ImageDim::Patches),
    ];
    // Where these are the same, the first name does for both.
    if patch > 1 {
        sizes.extend([(rows, ImageDim::Rows), (columns, ImageDim::Columns)]);
    }
    if prefix > 0 {
        sizes.push((rows * columns + prefix, ImageDim::Tokens));
    }
    let count = sizes.len();
    let sizes: HashMap<_, _> = sizes.into_iter().collect();
    (sizes.len() == count && !sizes.keys().any(|size| taken.contains(size))).then_some(sizes)
}

/// Parts of a model that are made for its own grid.
fn refuse_fixed_parts(model: &ViT) -> Result<(), VitProgramError> {
    let config = model.config();
    let plugin = config.attention.iter().find_map(|layers| match &layers.attention {
        AttentionKind::Plugin { name, .. } => {
            let (first, last) = layers.layers;
            Some(format!("the attention of layers {first} to {last} (plugin `{name}`)"))
        }
        AttentionKind::Softmax { .. } => None,
    });
    let part = match plugin {
        Some(plugin) => plugin,
        None if config.relative_position_bias => "`relative_position_bias`".into(),
        None if config.token_merging.is_some() => "`token_merging`".into(),
        None if config.token_reorganization.is_some() => "`token_reorganization`".into(),
        None if config.is_mixer() => "MLPs over tokens (`token_mixing`)".into(),
        None if config.stem != Stem::None => "a ResNet before the patches (`stem`)".into(),
        None => return Ok(()),
    };
    Err(VitProgramError::ImageSize { part })
}

impl Trace {
    /// [`sincos_values`](crate::waves::sincos_values) in ops, for a width: `[1, patches, width]`.
    pub(super) fn any_sincos(&mut self, full: usize, width: usize) -> Tensor {
        let quarter = width / 4;
        let omega = |i: usize| 10_000f64.powf(-(i as f64) / (quarter.max(2) - 1) as f64);
        let omega: Vec<f32> = (0..quarter).map(|i| omega(i) as f32).collect();
        let patches = self.grid().iter().product::<usize>();
        self.within("sincos", |trace| {
            let waves = trace.grid().map(|side| {
                let angles = trace.angles(full, side, &omega);
                let sin = trace.apply(op::Sin {}, [angles]);
                let cos = trace.apply(op::Cos {}, [angles]);
                trace.concat(vec![sin, cos], 1)
            });
            let [rows, columns] = trace.over_grid(waves, 2 * quarter);
            let all = trace.concat(vec![columns, rows], 2);
            trace.reshape(all, [1, patches, 4 * quarter].map(Dim::from))
        })
    }

    /// [`rotary_values`](crate::waves::rotary_values) in ops: cosines and sines,
    /// `[tokens, head_dim]` each. They are recorded once for each head width.
    pub(super) fn any_rotary(&mut self, full: usize, head_dim: usize, rope: &Rope) -> [Tensor; 2] {
        if let Some(&tables) = self.rotary.get(&head_dim) {
            return tables;
        }
        let quarter = head_dim / 4;
        let omega: Vec<f32> =
            (0..quarter).map(|i| rope.theta.powf(-(i as f64) / quarter as f64) as f32).collect();
        let patches = self.grid().iter().product::<usize>();
        let tables = self.within("rope", |trace| {
            let angles = trace.grid().map(|side| trace.angles(full, side, &omega));
            let angles = trace.over_grid(angles, quarter);
            let angles = trace.concat(angles.into(), 2);
            let mut angles = trace.reshape(angles, [patches, 2 * quarter].map(Dim::from));
            if rope.prefix > 0 {
                let first: Vec<f32> =
                    prefix_angles(head_dim, rope).into_iter().map(|angle| angle as f32).collect();
                let first = trace.constant(&[rope.prefix, 2 * quarter], &first);
                angles = trace.concat(vec![first, angles], 0);
            }
            // Value i pairs with value i + head_dim / 2, so each angle stands twice.
            let twice = trace.concat(vec![angles, angles], 1);
            [trace.apply(op::Cos {}, [twice]), trace.apply(op::Sin {}, [twice])]
        });
        self.rotary.insert(head_dim, tables);
        tables
    }

    /// What each row has, `[rows, width]`, and each column, `[columns, width]`, for every patch:
    /// `[rows, columns, width]` each.
    fn over_grid(&mut self, [of_rows, of_columns]: [Tensor; 2], width: usize) -> [Tensor; 2] {
        let [rows, columns] = self.grid();
        let all = [rows, columns, width].map(Dim::from);
        let of_rows = self.reshape(of_rows, [rows, 1, width].map(Dim::from));
        let of_columns = self.reshape(of_columns, [1, columns, width].map(Dim::from));
        [of_rows, of_columns].map(|values| self.expand(values, all))
    }

    /// Each place of a side times each frequency: `[side, frequencies]`.
    fn angles(&mut self, full: usize, side: usize, omega: &[f32]) -> Tensor {
        let (places, _) = self.places(full, side);
        let omega = self.constant(&[1, omega.len()], omega);
        self.apply(op::Mul {}, [places, omega])
    }

    /// Where the centres of a side's rows or columns lie in the model's grid, `[side, 1]`, and how far
    /// they are apart, `[1]`: [`Grid::place`](crate::grid::Grid).
    fn places(&mut self, full: usize, side: usize) -> (Tensor, Tensor) {
        let index = op::Range { dtype: DType::F32, length: side.into(), start: 0.5, delta: 1.0 };
        let centres = self.apply(index, []);
        let last = op::ReduceMax { axes: vec![0], keep_dimensions: true };
        let last = self.apply(last, [centres]);
        let half = self.scalar(0.5);
        let count = self.apply(op::Add {}, [last, half]);
        let full = self.scalar(full as f64);
        let step = self.apply(op::Div {}, [full, count]);
        let places = self.apply(op::Mul {}, [centres, step]);
        let places = self.apply(op::Sub {}, [places, half]);
        (self.reshape(places, [side, 1].map(Dim::from)), step)
    }

    /// [`bicubic_weights`](crate::bicubic::bicubic_weights) in ops: `[side, full]`.
    pub(super) fn any_resize_filter(&mut self, full: usize, side: usize) -> Tensor {
        let (places, step) = self.places(full, side);
        let one = self.scalar(1.0);
        let stretch = self.apply(op::Max {}, [step, one]);
        let others: Vec<f32> = (0..full).map(|other| other as f32).collect();
        let others = self.constant(&[1, full], &others);
        let distances = self.apply(op::Sub {}, [others, places]);
        let distances = self.apply(op::Div {}, [distances, stretch]);
        let x = self.apply(op::Abs {}, [distances]);

        let near = self.polynomial(x, &[1.5, -2.5, 0.0, 1.0]);
        let far = self.polynomial(x, &[-0.5, 2.5, -4.0, 2.0]);
        let [two, zero] = [2.0, 0.0].map(|value| self.scalar(value));
        let within = self.apply(op::Lesser {}, [x, two]);
        let weights = self.apply(op::Where {}, [within, far, zero]);
        let within = self.apply(op::Lesser {}, [x, one]);
        let weights = self.apply(op::Where {}, [within, near, weights]);
        let sum = op::ReduceSum { axes: vec![1], keep_dimensions: true };
        let sum = self.apply(sum, [weights]);
        self.apply(op::Div {}, [weights, sum])
    }

    /// A polynomial by Horner's rule, from the highest power on.
    fn polynomial(&mut self, x: Tensor, coefficients: &[f64]) -> Tensor {
        let mut value = self.scalar(coefficients[0]);
        for &coefficient in &coefficients[1..] {
            value = self.apply(op::Mul {}, [value, x]);
            if coefficient != 0.0 {
                let coefficient = self.scalar(coefficient);
                value = self.apply(op::Add {}, [value, coefficient]);
            }
        }
        value
    }
}
