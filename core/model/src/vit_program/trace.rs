//! The tracer with what models need of it: parameters by their place in the model, shapes, labels.

use std::collections::HashMap;

use burn::{module::Param, tensor::Tensor as Values};
use vitral_program::{
    DType, Dim, Initializer, Limits, Op, Program, Shape, Tensor, TensorType, TraceErrors, Tracer,
    ops,
};

use super::{IMAGES, shape_of};
use crate::ViT;

/// Records a model.
pub(super) struct Trace {
    tracer: Tracer,
    /// Where in the model the next op belongs, as in `blocks.3.attn`.
    place: Vec<String>,
    image: [usize; 3],
    grid: [usize; 2],
    tokens: usize,
    any_size: bool,
    /// Cosines and sines of RoPE by head width, where they are recorded once.
    pub(super) rotary: HashMap<usize, [Tensor; 2]>,
}

/// A model is the user's own and may be as large as any; a plugin's part has been checked already.
fn limits() -> Limits {
    Limits {
        nodes: 1 << 20,
        names: 1 << 20,
        operands: 1 << 12,
        elements: 1 << 36,
        parameter_elements: 1 << 40,
        constant_bytes: 1 << 34,
        bytes: u64::MAX,
        peak_bytes: u64::MAX,
        flops: u64::MAX,
        ..Limits::default()
    }
}

impl Trace {
    /// For images of the model's own size.
    pub(super) fn new(model: &ViT) -> Self {
        let side = model.config().grid();
        Self { any_size: false, ..Self::of_grid(model, [side, side]) }
    }

    /// For images of any size, for which a grid of rows and columns stands.
    pub(super) fn of_grid(model: &ViT, grid: [usize; 2]) -> Self {
        let config = model.config();
        let [height, width] = grid.map(|side| side * config.patch_pixels());
        Self {
            tracer: Tracer::new("vit", limits()),
            place: Vec::new(),
            image: [height, width, config.channels],
            grid,
            tokens: config.prefix_tokens() + grid[0] * grid[1],
            any_size: true,
            rotary: HashMap::new(),
        }
    }

    /// Whether the grid stands for any.
    pub(super) const fn any_size(&self) -> bool {
        self.any_size
    }

    /// Rows and columns of patches.
    pub(super) const fn grid(&self) -> [usize; 2] {
        self.grid
    }

    /// Patches of an image.
    pub(super) const fn patches(&self) -> usize {
        self.grid[0] * self.grid[1]
    }

    /// Tokens before any are merged.
    pub(super) const fn tokens(&self) -> usize {
        self.tokens
    }

    /// Records a part of the model under its name.
    pub(super) fn within<T>(
        &mut self,
        name: impl Into<String>,
        part: impl FnOnce(&mut Self) -> T,
    ) -> T {
        self.place.push(name.into());
        let result = part(self);
        self.place.pop();
        result
    }

    /// The input: `[B, height, width, channels]`.
    pub(super) fn images(&mut self) -> Tensor {
        let dims = [&[Dim::BATCH], &self.image.map(Dim::from)[..]].concat();
        // Four dimensions, of which the batch is one.
        let shape = Shape::new(dims).expect("a shape of four dimensions");
        self.tracer.input(IMAGES, TensorType::new(DType::F32, shape))
    }

    /// Pixels from 0 to 255 to what the model sees, with the arithmetic of the data pipeline.
    pub(super) fn normalized(&mut self, images: Tensor, mean: &[f32], std: &[f32]) -> Tensor {
        let scaled = |values: &[f32]| values.iter().map(|value| 255.0 * value).collect::<Vec<_>>();
        self.within("normalize", |trace| {
            let mean = trace.constant(&[mean.len()], &scaled(mean));
            let std = trace.constant(&[std.len()], &scaled(std));
            let centred = trace.apply(ops::Sub {}, &[images, mean]);
            trace.apply(ops::Div {}, &[centred, std])
        })
    }

    /// A parameter of the part that is recorded.
    pub(super) fn parameter<const D: usize>(
        &mut self,
        name: &str,
        parameter: &Param<Values<D>>,
    ) -> Tensor {
        self.parameter_of_shape(name, &shape_of(parameter))
    }

    pub(super) fn parameter_of_shape(&mut self, name: &str, sizes: &[usize]) -> Tensor {
        let name = self.named(name);
        // A tensor that exists has a shape.
        let shape = Shape::fixed(sizes).expect("the shape of a parameter");
        self.tracer.parameter(&name, shape, Initializer::Constant(0.0), false)
    }

    fn named(&self, name: &str) -> String {
        let parts = self.place.iter().map(String::as_str).chain([name]);
        parts.collect::<Vec<_>>().join(".")
    }

    pub(super) fn apply(&mut self, op: impl Into<Op>, operands: &[Tensor]) -> Tensor {
        self.tracer.apply(op, operands, &self.place.join("."))
    }

    pub(super) fn apply_all(&mut self, op: impl Into<Op>, operands: &[Tensor]) -> Vec<Tensor> {
        self.tracer.apply_all(op, operands, &self.place.join("."))
    }

    /// The dimensions of a tensor; none of one that follows from an error.
    pub(super) fn dims(&self, tensor: Tensor) -> Vec<Dim> {
        let r#type = self.tracer.type_of(tensor);
        r#type.map_or_else(Vec::new, |r#type| r#type.shape.dims().to_vec())
    }

    /// The size of a dimension without the batch.
    pub(super) fn size(&self, tensor: Tensor, axis: usize) -> usize {
        self.dims(tensor).get(axis).and_then(|dim| dim.fixed()).unwrap_or_default()
    }

    pub(super) fn constant(&mut self, sizes: &[usize], values: &[f32]) -> Tensor {
        let values = values.iter().map(|&value| f64::from(value)).collect();
        self.constant_of(DType::F32, sizes, values)
    }

    pub(super) fn indices(&mut self, sizes: &[usize], values: &[usize]) -> Tensor {
        self.constant_of(DType::I32, sizes, values.iter().map(|&value| value as f64).collect())
    }

    fn constant_of(&mut self, dtype: DType, sizes: &[usize], values: Vec<f64>) -> Tensor {
        // Sizes are those of the model's tensors, none of them 0.
        let shape = Shape::fixed(sizes).expect("the shape of a constant");
        self.apply(ops::Constant { r#type: TensorType::new(dtype, shape), values }, &[])
    }

    pub(super) fn scalar(&mut self, value: f64) -> Tensor {
        self.apply(ops::Constant::scalar(value), &[])
    }

    pub(super) fn reshape(&mut self, input: Tensor, dims: impl Into<Vec<Dim>>) -> Tensor {
        match Shape::new(dims) {
            Ok(new_shape) => self.apply(ops::Reshape { new_shape }, &[input]),
            // Of a tensor that follows from an error already.
            Err(_) => input,
        }
    }

    pub(super) fn expand(&mut self, input: Tensor, dims: impl Into<Vec<Dim>>) -> Tensor {
        match Shape::new(dims) {
            Ok(new_shape) => self.apply(ops::Expand { new_shape }, &[input]),
            Err(_) => input,
        }
    }

    pub(super) fn transpose(&mut self, input: Tensor, permutation: &[usize]) -> Tensor {
        self.apply(ops::Transpose { permutation: permutation.to_vec() }, &[input])
    }

    pub(super) fn concat(&mut self, parts: &[Tensor], axis: usize) -> Tensor {
        match parts {
            [one] => *one,
            parts => self.apply(ops::Concat { axis }, parts),
        }
    }

    /// `count` elements along an axis from a start on.
    pub(super) fn slice(
        &mut self,
        input: Tensor,
        axis: usize,
        start: usize,
        count: usize,
    ) -> Tensor {
        let mut sizes = self.dims(input);
        let (mut starts, strides) = (vec![0; sizes.len()], vec![1; sizes.len()]);
        if sizes.get(axis).is_none_or(|&size| start == 0 && size == Dim::Fixed(count)) {
            return input;
        }
        (starts[axis], sizes[axis]) = (start, count.into());
        self.apply(ops::Slice { starts, sizes, strides }, &[input])
    }

    /// Every second of `count` elements along an axis from a start on.
    pub(super) fn every_second(
        &mut self,
        input: Tensor,
        axis: usize,
        start: usize,
        count: usize,
    ) -> Tensor {
        let mut sizes = self.dims(input);
        let (mut starts, mut strides) = (vec![0; sizes.len()], vec![1; sizes.len()]);
        if axis >= sizes.len() {
            return input;
        }
        (starts[axis], sizes[axis], strides[axis]) = (start, count.into(), 2);
        self.apply(ops::Slice { starts, sizes, strides }, &[input])
    }

    /// Equal parts along the last axis.
    pub(super) fn split<const N: usize>(&mut self, input: Tensor) -> [Tensor; N] {
        let axis = self.dims(input).len().saturating_sub(1);
        let part = Dim::from(self.size(input, axis) / N);
        let parts = self.apply_all(ops::Split { splits: vec![part; N], axis }, &[input]);
        std::array::from_fn(|index| parts[index])
    }

    /// `[B, tokens, width]` to `[B, heads, tokens, head width]`.
    pub(super) fn heads(&mut self, input: Tensor, heads: usize) -> Tensor {
        let (tokens, width) = (self.size(input, 1), self.size(input, 2));
        let split = [Dim::BATCH, tokens.into(), heads.into(), (width / heads).into()];
        let split = self.reshape(input, split);
        self.transpose(split, &[0, 2, 1, 3])
    }

    /// `[B, heads, tokens, head width]` to `[B, tokens, width]`.
    pub(super) fn joined(&mut self, input: Tensor) -> Tensor {
        let [heads, tokens, head_dim] = [1, 2, 3].map(|axis| self.size(input, axis));
        let rows = self.transpose(input, &[0, 2, 1, 3]);
        self.reshape(rows, [Dim::BATCH, tokens.into(), (heads * head_dim).into()])
    }

    pub(super) fn finish(self, name: &str, output: Tensor) -> Result<Program, TraceErrors> {
        self.tracer.finish(&[(name, output)])
    }
}
