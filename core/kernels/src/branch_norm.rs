//! The LayerNorm before a residual branch: what it gave may be kept in the place of what went in.

use pulp::Simd;

use crate::{
    element::Element,
    layer_norm::{LayerNorm, OfInput, Units, differentiate, normalize, scale_units},
    rows::Shared,
    scratch,
    simd::load,
};

/// What forward leaves for backward of what went into a LayerNorm, in the place of that: half of it where
/// it is kept as `bf16`.
#[derive(Debug)]
pub struct KeptNorm<'a, T> {
    /// `[rows, width]`: normalised, but neither scaled nor shifted. Backward overwrites it.
    pub units: &'a mut [T],
    /// `[rows, 2]`: each row's mean and the inverse of its deviation.
    pub statistics: &'a mut [f32],
}

impl<'a, T: Element> KeptNorm<'a, T> {
    /// Units and statistics.
    ///
    /// # Panics
    /// If they are of another size, or of `f32`, whose input is kept as it is.
    pub(crate) fn into_parts(self, rows: usize, width: usize) -> (&'a mut [T], &'a mut [f32]) {
        assert!(T::BRIEF, "inputs of `f32` are kept as they are");
        assert_eq!((self.units.len(), self.statistics.len()), (rows * width, rows * 2));
        (self.units, self.statistics)
    }

    /// The same for tasks to write.
    pub(crate) fn shared(self, rows: usize, width: usize) -> SharedNorm<T> {
        let (units, statistics) = self.into_parts(rows, width);
        SharedNorm { units: Shared::new(units), statistics: Shared::new(statistics) }
    }
}

/// A [`KeptNorm`] of which each task writes rows of its own.
#[derive(Clone, Copy)]
pub(crate) struct SharedNorm<T> {
    units: Shared<T>,
    statistics: Shared,
}

impl<T: Element> SharedNorm<T> {
    /// Rows from `first` on: units and statistics.
    ///
    /// # Safety
    /// They must lie within the memory, and no other task may touch them meanwhile.
    pub(crate) unsafe fn rows<'a>(
        self,
        first: usize,
        rows: usize,
        width: usize,
    ) -> (&'a mut [T], &'a mut [f32]) {
        // SAFETY: as the caller says.
        unsafe {
            (
                self.units.slice(first * width, rows * width),
                self.statistics.slice(first * 2, rows * 2),
            )
        }
    }
}

/// As they were kept.
#[derive(Clone, Copy)]
struct KeptUnits<'a, T>(&'a [T]);

impl<T: Element> Units for KeptUnits<'_, T> {
    fn len(&self) -> usize {
        self.0.len()
    }

    #[inline(always)]
    unsafe fn at<S: Simd>(
        &self,
        simd: S,
        at: usize,
        count: usize,
        _: S::f32s,
        _: S::f32s,
    ) -> S::f32s {
        // SAFETY: as the caller says.
        unsafe { load(simd, self.0.as_ptr().add(at), count) }
    }
}

/// What is known of some rows of a LayerNorm in a branch's backward.
pub(crate) enum NormOf<'a> {
    /// What went in, and memory for their statistics.
    Input(&'a [f32], &'a mut [f32]),
    /// Their statistics; the memory of their normalised values has these, without their scale.
    Saved(&'a [f32]),
}

/// The LayerNorm before a branch on its way back through some rows.
pub(crate) struct NormBackward<'a, T> {
    norm: LayerNorm<'a>,
    /// What went in, where it is `f32`.
    x: &'a [f32],
    statistics: &'a [f32],
    normalized: &'a mut [T],
}

impl<'a, T: Element> NormBackward<'a, T> {
    /// Finds the rows' normalised values. `operand` gets what forward multiplied with, where they are to
    /// be had of the input.
    #[inline(always)]
    pub(crate) fn begin<S: Simd>(
        simd: S,
        norm: LayerNorm<'a>,
        known: NormOf<'a>,
        normalized: &'a mut [T],
        operand: Option<&mut [T]>,
    ) -> Self {
        let (x, statistics) = match known {
            NormOf::Input(x, statistics) => {
                if const { T::BRIEF } {
                    let mut memory =
                        scratch::take::<T>(if operand.is_some() { 0 } else { x.len() });
                    let operand = operand.unwrap_or(&mut *memory);
                    normalize(simd, norm, x, operand, statistics, Some(&mut *normalized));
                } else {
                    normalize(simd, norm, x, normalized, statistics, None);
                }
                (x, &*statistics)
            }
            NormOf::Saved(statistics) => (&[][..], statistics),
        };
        Self { norm, x, statistics, normalized }
    }

    /// The rows' normalised values.
    pub(crate) fn normalized(&self) -> &[T] {
        self.normalized
    }

    /// The gradient of what went in, `residual` added to it, and the parameters', added to what is there.
    /// The memory of the normalised values then has them as forward multiplied with them.
    #[inline(always)]
    pub(crate) fn finish<S: Simd>(
        self,
        simd: S,
        gradient: &[f32],
        residual: &[f32],
        x_gradient: &mut [f32],
        weight: &mut [f32],
        bias: &mut [f32],
    ) {
        let Self { norm, x, statistics, normalized } = self;
        let residual = Some(residual);
        if const { T::BRIEF } {
            let units = KeptUnits(&*normalized);
            differentiate(
                simd, norm, units, statistics, gradient, residual, x_gradient, weight, bias,
            );
            scale_units(simd, norm, normalized);
        } else {
            let units = OfInput(x);
            differentiate(
                simd, norm, units, statistics, gradient, residual, x_gradient, weight, bias,
            );
        }
    }
}
