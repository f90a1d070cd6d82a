//! What a forward pass is written in.
//!
//! Each layer says once what it computes, in the ops of [`vitral_program`] and a few [`Composite`]s.
//! [`Eager`](crate::eager::Eager) computes them in Burn, on any device, in any precision and with
//! automatic differentiation; `Trace` (`vit_program/trace.rs`) records them as a tensor
//! program, which is what goes out as ONNX and SavedModel. A layer does not ask which of both it is.

use std::fmt::{Debug, Display};

use burn::{module::Param, tensor::Tensor as Values};
use vitral_burn::{Composite, recording::Drawn};
use vitral_program::{DType, Dim, Op, Shape, TensorType, ops as op};

use crate::{
    Mode,
    bicubic::bicubic_weights,
    grid::Grid,
    program_attention::ProgramAttention,
    waves::{Rope, rotary_values, sincos_values},
};

/// What runs or records a forward pass.
///
/// Where a method has a body, it is that of evaluation in `f32` with images of one size; whoever can
/// do more has a body of its own.
pub(crate) trait Ops: Sized {
    /// A tensor, or what stands for one.
    type Tensor: Clone + Debug;

    /// The results of an op.
    fn apply_all(&mut self, op: Op, operands: Vec<Self::Tensor>) -> Vec<Self::Tensor>;

    /// The dimensions of a tensor; those that grow with the batch say so.
    fn dims(&self, tensor: &Self::Tensor) -> Vec<Dim>;

    /// A parameter of the model.
    fn parameter<const D: usize>(&mut self, parameter: &Param<Values<D>>) -> Self::Tensor;

    /// A plugin's attention of queries, keys and values.
    fn program(
        &mut self,
        program: &ProgramAttention,
        inputs: [Self::Tensor; 3],
        layer: usize,
        mode: Mode,
    ) -> Self::Tensor;

    /// A part of the model by one kernel, if there is one for it, for where its input is, and for the
    /// input's type. The other operands are as [`Composite`] says.
    fn composite(
        &mut self,
        _composite: Composite,
        _input: &Self::Tensor,
        _others: impl FnOnce(&mut Self) -> Vec<Option<Self::Tensor>>,
    ) -> Option<Self::Tensor> {
        None
    }

    /// Whether somebody wants to know what each token takes from each other one.
    fn keeps_attention(&self) -> bool {
        false
    }

    /// Keeps what values of a layer, or of pooling, are weighted with, `[B, heads, queries, keys]` in `f32`;
    /// of a plugin's attention also what it gave, and what these weights give.
    fn keep_attention(&mut self, _weights: Self::Tensor, _given: Option<[Self::Tensor; 2]>) {}

    /// A part of the model under its name in it.
    fn within<T>(&mut self, _name: impl Display, part: impl FnOnce(&mut Self) -> T) -> T {
        part(self)
    }

    /// A constant that is the same in each forward pass. `name` is that of these values alone.
    fn table(
        &mut self,
        _name: String,
        dtype: DType,
        sizes: &[usize],
        values: impl FnOnce() -> Vec<f64>,
    ) -> Self::Tensor {
        self.constant_of(dtype, sizes, values())
    }

    /// A tensor without its history: no gradient goes through it.
    fn detached(&mut self, tensor: Self::Tensor) -> Self::Tensor {
        tensor
    }

    // Precision.

    /// Computes a function in `f32`, and rounds its result to the type of the first input.
    fn in_f32<const N: usize>(
        &mut self,
        inputs: [Self::Tensor; N],
        function: impl FnOnce(&mut Self, [Self::Tensor; N]) -> Self::Tensor,
    ) -> Self::Tensor {
        function(self, inputs)
    }

    /// Rounded to the type that the model computes in.
    fn rounded(&mut self, tensor: Self::Tensor) -> Self::Tensor {
        tensor
    }

    /// In the type of the residual stream, to which branches are added.
    fn streamed(&mut self, tensor: Self::Tensor) -> Self::Tensor {
        tensor
    }

    /// As `f32`.
    fn unrounded(&mut self, tensor: Self::Tensor) -> Self::Tensor {
        tensor
    }

    // Noise, of which evaluation has none.

    /// Zeroes a share of the values, and scales up the rest.
    fn dropout(&mut self, tensor: Self::Tensor, _rate: f64, _mode: Mode) -> Self::Tensor {
        tensor
    }

    /// Drops a residual branch `[B, ..]` for some of the samples.
    fn drop_path(&mut self, branch: Self::Tensor, _rate: f64, _mode: Mode) -> Self::Tensor {
        branch
    }

    /// What [`Ops::drop_path`] multiplies each sample with; nothing if none is left out.
    fn drop_path_factors(&self, _rate: f64, _mode: Mode) -> Option<Drawn> {
        None
    }

    /// The patches that patch dropout keeps, `[B, kept]`; none if all are kept.
    fn kept_patches(&mut self, _patches: usize, _rate: f64, _mode: Mode) -> Option<Self::Tensor> {
        None
    }

    /// The first `prefix` of `[B, tokens, width]`, and of the tokens behind them those at some places
    /// `[B, kept]`, by a kernel, if there is one: `[B, prefix + kept, width]`.
    fn kept_by_kernel(
        &mut self,
        _tokens: &Self::Tensor,
        _prefix: usize,
        _kept: &Self::Tensor,
    ) -> Option<Self::Tensor> {
        None
    }

    // Positions.

    /// Whether the grid of patches stands for any.
    fn any_size(&self) -> bool {
        false
    }

    /// How much each of `full` rows or columns of the model's grid adds to each of `side`:
    /// `[side, full]`.
    fn resize_filter(&mut self, full: usize, side: usize) -> Self::Tensor {
        self.fixed_resize_filter(full, side)
    }

    /// The fixed position embedding, `[1, patches, width]`.
    fn sincos(&mut self, grid: Grid, width: usize) -> Self::Tensor {
        self.fixed_sincos(grid, width)
    }

    /// Cosines and sines of RoPE, `[tokens, head_dim]` each.
    fn rotary(&mut self, grid: Grid, head_dim: usize, rope: &Rope) -> [Self::Tensor; 2] {
        self.fixed_rotary(grid, head_dim, rope)
    }

    /// [`Ops::resize_filter`] of one size.
    fn fixed_resize_filter(&mut self, full: usize, side: usize) -> Self::Tensor {
        let name = format!("resize {full} to {side}");
        self.table(name, DType::F32, &[side, full], || bicubic_weights(full, side))
    }

    /// [`Ops::sincos`] of one size.
    fn fixed_sincos(&mut self, grid: Grid, width: usize) -> Self::Tensor {
        let sizes = [1, grid.side * grid.side, width];
        self.table(format!("sincos {grid:?} {width}"), DType::F32, &sizes, || {
            sincos_values(grid, width).into_iter().map(f64::from).collect()
        })
    }

    /// [`Ops::rotary`] of one size.
    fn fixed_rotary(&mut self, grid: Grid, head_dim: usize, rope: &Rope) -> [Self::Tensor; 2] {
        let sizes = [rope.prefix + grid.side * grid.side, head_dim];
        [0, 1].map(|part| {
            let name = format!("rotary {part} {grid:?} {head_dim} {rope:?}");
            self.table(name, DType::F32, &sizes, || {
                let values = rotary_values(grid, head_dim, rope);
                values[part].iter().copied().map(f64::from).collect()
            })
        })
    }

    // What is made of these.

    /// The one result of an op.
    fn apply<const N: usize>(
        &mut self,
        op: impl Into<Op>,
        operands: [Self::Tensor; N],
    ) -> Self::Tensor {
        self.apply_all(op.into(), operands.into()).swap_remove(0)
    }

    /// The one result of an op with operands that are left out at the end.
    fn apply_some(
        &mut self,
        op: impl Into<Op>,
        operands: impl IntoIterator<Item = Option<Self::Tensor>>,
    ) -> Self::Tensor {
        self.apply_all(op.into(), operands.into_iter().flatten().collect()).swap_remove(0)
    }

    /// The size of a dimension other than the batch; 0 of one that is not there, in what follows
    /// from an error.
    fn size(&self, tensor: &Self::Tensor, axis: usize) -> usize {
        self.dims(tensor).get(axis).and_then(|dim| dim.fixed()).unwrap_or_default()
    }

    fn constant_of(&mut self, dtype: DType, sizes: &[usize], values: Vec<f64>) -> Self::Tensor {
        // Sizes are those of the model's tensors, none of them 0.
        let shape = Shape::fixed(sizes).expect("the shape of a constant");
        self.apply(op::Constant { r#type: TensorType::new(dtype, shape), values }, [])
    }

    fn constant(&mut self, sizes: &[usize], values: &[f32]) -> Self::Tensor {
        let values = values.iter().map(|&value| f64::from(value)).collect();
        self.constant_of(DType::F32, sizes, values)
    }

    fn indices(&mut self, sizes: &[usize], values: &[usize]) -> Self::Tensor {
        self.constant_of(DType::I32, sizes, values.iter().map(|&value| value as f64).collect())
    }

    fn scalar(&mut self, value: f64) -> Self::Tensor {
        self.apply(op::Constant::scalar(value), [])
    }

    fn add(&mut self, a: Self::Tensor, b: Self::Tensor) -> Self::Tensor {
        self.apply(op::Add {}, [a, b])
    }

    fn mul(&mut self, a: Self::Tensor, b: Self::Tensor) -> Self::Tensor {
        self.apply(op::Mul {}, [a, b])
    }

    fn matmul(&mut self, a: Self::Tensor, b: Self::Tensor) -> Self::Tensor {
        self.apply(op::Matmul {}, [a, b])
    }

    fn reshape(&mut self, input: Self::Tensor, dims: impl Into<Vec<Dim>>) -> Self::Tensor {
        let dims = dims.into();
        if self.dims(&input) == dims {
            return input;
        }
        match Shape::new(dims) {
            Ok(new_shape) => self.apply(op::Reshape { new_shape }, [input]),
            // Of a tensor that follows from an error already.
            Err(_) => input,
        }
    }

    fn expand(&mut self, input: Self::Tensor, dims: impl Into<Vec<Dim>>) -> Self::Tensor {
        match Shape::new(dims) {
            Ok(new_shape) => self.apply(op::Expand { new_shape }, [input]),
            Err(_) => input,
        }
    }

    fn transpose(&mut self, input: Self::Tensor, permutation: &[usize]) -> Self::Tensor {
        self.apply(op::Transpose { permutation: permutation.to_vec() }, [input])
    }

    fn concat(&mut self, mut parts: Vec<Self::Tensor>, axis: usize) -> Self::Tensor {
        match parts.len() {
            1 => parts.swap_remove(0),
            _ => self.apply_all(op::Concat { axis }.into(), parts).swap_remove(0),
        }
    }

    /// The tokens at some places `[B, kept]` of `[B, tokens, width]`: `[B, kept, width]`.
    fn tokens_at(&mut self, tokens: Self::Tensor, places: Self::Tensor) -> Self::Tensor {
        if let Some(kept) = self.kept_by_kernel(&tokens, 0, &places) {
            return kept;
        }
        let (kept, width) = (self.size(&places, 1), self.size(&tokens, 2));
        let places = self.reshape(places, [Dim::BATCH, kept.into(), 1.into()]);
        let places = self.expand(places, [Dim::BATCH, kept.into(), width.into()]);
        self.apply(op::GatherElements { axis: 1 }, [tokens, places])
    }

    /// Which of `count` places are among some `[B, kept]`: `[B, count]` of ones, and zeros elsewhere.
    fn membership(&mut self, places: Self::Tensor, count: usize) -> Self::Tensor {
        let kept = self.size(&places, 1);
        let places = self.reshape(places, [Dim::BATCH, kept.into(), 1.into()]);
        let all = self.indices(&[count], &(0..count).collect::<Vec<_>>());
        let same = self.apply(op::Equal {}, [places, all]);
        let same = self.apply(op::Cast { to: DType::F32 }, [same]);
        self.apply(op::ReduceMax { axes: vec![1], keep_dimensions: false }, [same])
    }

    /// The mean along an axis, which is left with 1.
    fn mean(&mut self, input: Self::Tensor, axis: usize) -> Self::Tensor {
        self.apply(op::ReduceMean { axes: vec![axis], keep_dimensions: true }, [input])
    }

    /// `count` elements along an axis from a start on.
    fn slice(
        &mut self,
        input: Self::Tensor,
        axis: usize,
        start: usize,
        count: usize,
    ) -> Self::Tensor {
        let size = self.dims(&input).get(axis).copied();
        match start == 0 && size == Some(Dim::Fixed(count)) {
            true => input,
            false => self.strided(input, axis, [start, count, 1]),
        }
    }

    /// Every second of `count` elements along an axis from a start on.
    fn every_second(
        &mut self,
        input: Self::Tensor,
        axis: usize,
        start: usize,
        count: usize,
    ) -> Self::Tensor {
        self.strided(input, axis, [start, count, 2])
    }

    /// `count` elements along an axis, `stride` apart, from a start on.
    fn strided(
        &mut self,
        input: Self::Tensor,
        axis: usize,
        [start, count, stride]: [usize; 3],
    ) -> Self::Tensor {
        let mut sizes = self.dims(&input);
        if axis >= sizes.len() {
            // Of a tensor that follows from an error already.
            return input;
        }
        let (mut starts, mut strides) = (vec![0; sizes.len()], vec![1; sizes.len()]);
        (starts[axis], sizes[axis], strides[axis]) = (start, count.into(), stride);
        self.apply(op::Slice { starts, sizes, strides }, [input])
    }

    /// Equal parts along an axis.
    fn split<const N: usize>(&mut self, input: Self::Tensor, axis: usize) -> [Self::Tensor; N] {
        let part = Dim::from(self.size(&input, axis) / N);
        let parts = self.apply_all(op::Split { splits: vec![part; N], axis }.into(), vec![input]);
        std::array::from_fn(|index| parts[index].clone())
    }

    /// `[B, tokens, parts * width]`, each part with its heads side by side, to `parts` of
    /// `[B, heads, tokens, head width]`.
    fn heads<const PARTS: usize>(
        &mut self,
        input: Self::Tensor,
        heads: usize,
    ) -> [Self::Tensor; PARTS] {
        let (tokens, width) = (self.size(&input, 1), self.size(&input, 2));
        let all = PARTS * heads;
        let split = [Dim::BATCH, tokens.into(), all.into(), (width / all).into()];
        let split = self.reshape(input, split);
        let split = self.transpose(split, &[0, 2, 1, 3]);
        match PARTS {
            1 => std::array::from_fn(|_| split.clone()),
            _ => self.split(split, 1),
        }
    }

    /// `[B, heads, tokens, head width]` to `[B, tokens, width]`.
    fn joined(&mut self, input: Self::Tensor) -> Self::Tensor {
        let [heads, tokens, head_dim] = [1, 2, 3].map(|axis| self.size(&input, axis));
        let rows = self.transpose(input, &[0, 2, 1, 3]);
        self.reshape(rows, [Dim::BATCH, tokens.into(), (heads * head_dim).into()])
    }
}
