//! Sizes that follow from the images', in graphs that take images of any size.

use std::collections::HashMap;

use vitral_model::vit_program::{AnySizeProgram, ImageDim};
use vitral_program::Dim;

/// What a program's sizes stand for; nothing but themselves in a program for one size of images.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sizes {
    stand_ins: HashMap<usize, ImageDim>,
    patch: usize,
    prefix: usize,
}

/// How a size comes from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Formula {
    /// The size of the input along an axis.
    Input(usize),
    /// Another divided by a number.
    Quotient(ImageDim, usize),
    /// The product of two others.
    Product(ImageDim, ImageDim),
    /// Another and a number.
    Sum(ImageDim, usize),
}

impl Sizes {
    pub(crate) fn of(program: &AnySizeProgram) -> Self {
        let AnySizeProgram { stand_ins, patch, prefix, .. } = program;
        Self { stand_ins: stand_ins.clone(), patch: *patch, prefix: *prefix }
    }

    /// What a dimension stands for.
    pub(crate) fn meaning(&self, dim: Dim) -> Option<ImageDim> {
        self.stand_ins.get(&dim.fixed()?).copied()
    }

    /// The number that a dimension is whatever the input.
    pub(crate) fn fixed(&self, dim: Dim) -> Option<usize> {
        dim.fixed().filter(|size| !self.stand_ins.contains_key(size))
    }

    /// How a size comes from the input's.
    pub(crate) fn formula(&self, size: ImageDim) -> Formula {
        let (rows, columns) = match self.patch {
            1 => (ImageDim::Height, ImageDim::Width),
            _ => (ImageDim::Rows, ImageDim::Columns),
        };
        match size {
            ImageDim::Height => Formula::Input(1),
            ImageDim::Width => Formula::Input(2),
            ImageDim::Rows => Formula::Quotient(ImageDim::Height, self.patch),
            ImageDim::Columns => Formula::Quotient(ImageDim::Width, self.patch),
            ImageDim::Patches => Formula::Product(rows, columns),
            ImageDim::Tokens => Formula::Sum(ImageDim::Patches, self.prefix),
        }
    }

    /// A size's name.
    pub(crate) const fn name(size: ImageDim) -> &'static str {
        match size {
            ImageDim::Height => "height",
            ImageDim::Width => "width",
            ImageDim::Rows => "rows",
            ImageDim::Columns => "columns",
            ImageDim::Patches => "patches",
            ImageDim::Tokens => "tokens",
        }
    }

    /// A new shape in which at most one dimension is left open: numbers, dimensions to be computed, and
    /// the last that is neither, for what is left. `kept` says of axes that they may stay what they are.
    pub(crate) fn reshaping(&self, dims: &[Dim], kept: impl Fn(usize) -> bool) -> Vec<Part> {
        let mut parts: Vec<_> = (0..dims.len())
            .map(|axis| match self.fixed(dims[axis]) {
                Some(size) => Part::Fixed(size),
                None if kept(axis) => Part::Kept,
                None => Part::Computed(dims[axis]),
            })
            .collect();
        let open = |part: &Part| !matches!(part, Part::Fixed(_));
        let last = match parts.iter().filter(|part| open(part)).count() {
            1 => parts.iter().position(open),
            _ => parts.iter().rposition(|part| matches!(part, Part::Computed(_))),
        };
        if let Some(last) = last {
            parts[last] = Part::Left;
        }
        parts
    }
}

/// A dimension of a new shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Fixed(usize),
    /// As in the operand.
    Kept,
    Computed(Dim),
    /// Whatever is left.
    Left,
}
