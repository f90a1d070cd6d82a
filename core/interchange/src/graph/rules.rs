//! Ops in terms of simpler ones, for formats that lack them.

use vitral_program::{DType, Dim, Op, Shape, TensorType, ops, ops::Layout};

use super::walk::{Target, Value, Values, Walk, identity, unsupported};
use crate::InterchangeError;

pub(crate) type One = Result<Value, InterchangeError>;

impl<T: Target> Walk<'_, T> {
    /// Indices along a dimension as formats want them: from 0 to its last element.
    pub(crate) fn in_range(&mut self, indices: &Value, dim: Dim) -> One {
        in_range(self, indices, dim)
    }

    fn add(&mut self, a: &Value, b: &Value) -> One {
        self.one(ops::Add {}, &[a.clone(), b.clone()])
    }

    fn mul(&mut self, a: &Value, b: &Value) -> One {
        self.one(ops::Mul {}, &[a.clone(), b.clone()])
    }

    fn scaled(&mut self, x: &Value, factor: f64) -> One {
        let factor = self.scalar(DType::F32, factor);
        self.mul(x, &factor)
    }

    fn transposed(&mut self, x: &Value, permutation: &[usize]) -> One {
        self.one(ops::Transpose { permutation: permutation.to_vec() }, std::slice::from_ref(x))
    }

    fn reshaped(&mut self, x: &Value, dims: &[Dim]) -> One {
        let new_shape = Shape::new(dims).map_err(|misfit| unsupported::<T>(misfit.to_string()))?;
        self.one(ops::Reshape { new_shape }, std::slice::from_ref(x))
    }

    fn mean(&mut self, x: &Value, axes: &[usize]) -> One {
        let op = ops::ReduceMean { axes: axes.to_vec(), keep_dimensions: true };
        self.one(op, std::slice::from_ref(x))
    }
}

/// `softmax(scale q kᵀ + bias) v`.
pub(super) fn attention<T: Target>(
    walk: &mut Walk<'_, T>,
    op: &ops::ScaledDotProductAttention,
    operands: &[Value],
) -> Values {
    let (query, key, value) = (&operands[0], &operands[1], &operands[2]);
    let query = walk.scaled(query, op.scale)?;
    let last = key.rank() - 1;
    let mut order: Vec<_> = (0..=last).collect();
    order.swap(last, last - 1);
    let key = walk.transposed(key, &order)?;
    let mut scores = walk.one(ops::Matmul {}, &[query, key])?;
    if let Some(bias) = operands.get(3) {
        scores = walk.add(&scores, bias)?;
    }
    let weights = walk.one(ops::Softmax { axis: last }, &[scores])?;
    walk.apply(ops::Matmul {}, &[weights, value.clone()])
}

/// `x W + b`.
pub(super) fn linear<T: Target>(walk: &mut Walk<'_, T>, operands: &[Value]) -> Values {
    let rank = operands[0].rank();
    // A product with one row; programs' matrices have two dimensions at least.
    let input = match rank {
        1 => walk.reshaped(&operands[0], &[Dim::Fixed(1), operands[0].dims()[0]])?,
        _ => operands[0].clone(),
    };
    let mut out = walk.one(ops::Matmul {}, &[input, operands[1].clone()])?;
    if let Some(bias) = operands.get(2) {
        out = walk.add(&out, bias)?;
    }
    if rank == 1 {
        let width = out.dims()[1];
        out = walk.reshaped(&out, &[width])?;
    }
    Ok(vec![out])
}

/// Scale and bias, in place of those left out.
pub(super) fn layer_norm_operands<T: Target>(
    walk: &mut Walk<'_, T>,
    op: &ops::LayerNormalization,
    operands: &[Value],
) -> Result<Vec<Value>, InterchangeError> {
    let dims: Vec<_> = op.axes.iter().map(|&axis| operands[0].dims()[axis]).collect();
    let shape = Shape::new(dims).map_err(|misfit| unsupported::<T>(misfit.to_string()))?;
    let count = shape.sizes().map(|sizes| sizes.iter().product::<usize>());
    let count = count.ok_or_else(|| unsupported::<T>("a norm over the batch".into()))?;
    let mut all = operands.to_vec();
    for value in [1.0, 0.0].into_iter().skip(operands.len() - 1) {
        let r#type = TensorType::new(DType::F32, shape.clone());
        all.push(walk.constant(r#type, vec![value; count]));
    }
    Ok(all)
}

/// Runs an op that wants some axes last, with these axes moved there and back.
pub(super) fn with_axes_last<T: Target>(
    walk: &mut Walk<'_, T>,
    axes: &[usize],
    input: &Value,
    apply: impl FnOnce(&mut Walk<'_, T>, Value) -> Values,
) -> Values {
    let rank = input.rank();
    let others = (0..rank).filter(|axis| !axes.contains(axis));
    let order: Vec<_> = others.chain(axes.iter().copied()).collect();
    if order.is_sorted() {
        return apply(walk, input.clone());
    }
    let mut back = vec![0; rank];
    for (to, &from) in order.iter().enumerate() {
        back[from] = to;
    }
    let input = walk.transposed(input, &order)?;
    let results = apply(walk, input)?;
    results.iter().map(|result| walk.transposed(result, &back)).collect()
}

/// Whether axes are the last of a shape.
pub(super) fn are_last(axes: &[usize], value: &Value) -> bool {
    axes.iter().copied().eq(value.rank() - axes.len()..value.rank())
}

/// LayerNorm over any axes by one over the last.
pub(super) fn layer_norm_last<T: Target>(
    walk: &mut Walk<'_, T>,
    op: &ops::LayerNormalization,
    operands: &[Value],
) -> Values {
    let rank = operands[0].rank();
    let axes: Vec<_> = (rank - op.axes.len()..rank).collect();
    let epsilon = op.epsilon;
    with_axes_last(walk, &op.axes, &operands[0], |walk, input| {
        let operands = [&[input], &operands[1..]].concat();
        walk.apply(ops::LayerNormalization { axes, epsilon }, &operands)
    })
}

/// `(x - mean) / sqrt(variance + epsilon) * scale + bias`, over the last axes.
pub(super) fn layer_norm<T: Target>(
    walk: &mut Walk<'_, T>,
    op: &ops::LayerNormalization,
    operands: &[Value],
) -> Values {
    let mean = walk.mean(&operands[0], &op.axes)?;
    let centred = walk.one(ops::Sub {}, &[operands[0].clone(), mean])?;
    let squares = walk.mul(&centred, &centred)?;
    let variance = walk.mean(&squares, &op.axes)?;
    let epsilon = walk.scalar(DType::F32, op.epsilon);
    let variance = walk.add(&variance, &epsilon)?;
    let deviation = walk.one(ops::Sqrt {}, &[variance])?;
    let mut out = walk.one(ops::Div {}, &[centred, deviation])?;
    if let Some(scale) = operands.get(1) {
        out = walk.mul(&out, scale)?;
    }
    if let Some(bias) = operands.get(2) {
        out = walk.add(&out, bias)?;
    }
    Ok(vec![out])
}

/// `0.5 x (1 + inner)`.
fn half_gated<T: Target>(walk: &mut Walk<'_, T>, x: &Value, inner: &Value) -> Values {
    let one = walk.scalar(DType::F32, 1.0);
    let gate = walk.add(inner, &one)?;
    let half = walk.scaled(x, 0.5)?;
    Ok(vec![walk.mul(&half, &gate)?])
}

/// `0.5 x (1 + erf(x / sqrt(2)))`.
pub(super) fn gelu<T: Target>(walk: &mut Walk<'_, T>, x: &Value) -> Values {
    let inner = walk.scaled(x, std::f64::consts::FRAC_1_SQRT_2)?;
    let inner = walk.one(ops::Erf {}, &[inner])?;
    half_gated(walk, x, &inner)
}

/// `0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`.
pub(super) fn gelu_tanh<T: Target>(walk: &mut Walk<'_, T>, x: &Value) -> Values {
    let square = walk.mul(x, x)?;
    let cube = walk.mul(&square, x)?;
    let cube = walk.scaled(&cube, 0.044_715)?;
    let inner = walk.add(x, &cube)?;
    let inner = walk.scaled(&inner, (2.0 / std::f64::consts::PI).sqrt())?;
    let inner = walk.one(ops::Tanh {}, &[inner])?;
    half_gated(walk, x, &inner)
}

/// `x max(0, min(6, x + 3)) / 6`.
pub(super) fn hard_swish<T: Target>(walk: &mut Walk<'_, T>, x: &Value) -> Values {
    let three = walk.scalar(DType::F32, 3.0);
    let gate = walk.add(x, &three)?;
    let gate = walk.one(ops::Clamp { min_value: 0.0, max_value: 6.0 }, &[gate])?;
    let product = walk.mul(x, &gate)?;
    let six = walk.scalar(DType::F32, 6.0);
    walk.apply(ops::Div {}, &[product, six])
}

/// `x` where it is positive, else `alpha (exp(x) - 1)`.
pub(super) fn elu<T: Target>(walk: &mut Walk<'_, T>, op: &ops::Elu, x: &Value) -> Values {
    let below = ops::Clamp { min_value: f64::NEG_INFINITY, max_value: 0.0 };
    let below = walk.one(below, std::slice::from_ref(x))?;
    let below = walk.one(ops::Exp {}, &[below])?;
    let one = walk.scalar(DType::F32, 1.0);
    let below = walk.one(ops::Sub {}, &[below, one])?;
    let below = walk.scaled(&below, op.alpha)?;
    let zero = walk.scalar(DType::F32, 0.0);
    let positive = walk.one(ops::Greater {}, &[x.clone(), zero])?;
    walk.apply(ops::Where {}, &[positive, x.clone(), below])
}

/// `x` where it is positive, else `alpha x`.
pub(super) fn leaky_relu<T: Target>(
    walk: &mut Walk<'_, T>,
    op: &ops::LeakyRelu,
    x: &Value,
) -> Values {
    let below = walk.scaled(x, op.alpha)?;
    let zero = walk.scalar(DType::F32, 0.0);
    let positive = walk.one(ops::Greater {}, &[x.clone(), zero])?;
    walk.apply(ops::Where {}, &[positive, x.clone(), below])
}

/// The lesser of the greater of each.
pub(super) fn clamp<T: Target>(walk: &mut Walk<'_, T>, op: &ops::Clamp, x: &Value) -> Values {
    let mut x = x.clone();
    let dtype = x.r#type.dtype;
    if op.min_value != f64::NEG_INFINITY {
        let least = walk.scalar(dtype, op.min_value);
        x = walk.one(ops::Max {}, &[x, least])?;
    }
    if op.max_value != f64::INFINITY {
        let most = walk.scalar(dtype, op.max_value);
        x = walk.one(ops::Min {}, &[x, most])?;
    }
    walk.apply(identity(), &[x])
}

/// Integers from numbers, whose cast is only defined where they fit.
pub(super) fn fitting<T: Target>(walk: &mut Walk<'_, T>, x: &Value) -> One {
    // The largest `f32` below 2^31.
    let op = ops::Clamp { min_value: -2_147_483_648.0, max_value: 2_147_483_520.0 };
    walk.one(op, std::slice::from_ref(x))
}

/// One value, expanded, or all of them.
pub(super) fn constant<T: Target>(walk: &mut Walk<'_, T>, op: &ops::Constant) -> Values {
    let elements = op.r#type.shape.elements();
    if op.values.len() == 1 && elements != Dim::Fixed(1) {
        let one = walk.scalar(op.r#type.dtype, op.values[0]);
        return walk.apply(ops::Expand { new_shape: op.r#type.shape.clone() }, &[one]);
    }
    Ok(vec![walk.constant(op.r#type.clone(), op.values.clone())])
}

/// A constant, if the length is known.
pub(super) fn range<T: Target>(walk: &mut Walk<'_, T>, op: &ops::Range) -> Option<Value> {
    let length = walk.target.sizes().fixed(op.length)?;
    let r#type = TensorType::new(op.dtype, Shape::fixed(&[length]).ok()?);
    let values = (0..length).map(|at| op.start + op.delta * at as f64).collect();
    Some(walk.constant(r#type, values))
}

/// One of both where a mask says so.
pub(super) fn triangular<T: Target>(
    walk: &mut Walk<'_, T>,
    op: &ops::Triangular,
    x: &Value,
) -> Values {
    let rank = x.rank();
    let (Some(rows), Some(columns)) = (x.size(rank - 2), x.size(rank - 1)) else {
        return Err(unsupported::<T>("a triangle of the batch".into()));
    };
    let kept = |place: usize| {
        let above = (place % columns) as i64 - (place / columns) as i64 - i64::from(op.diagonal);
        f64::from(if op.upper { above >= 0 } else { above <= 0 })
    };
    let shape =
        Shape::fixed(&[rows, columns]).map_err(|misfit| unsupported::<T>(misfit.to_string()))?;
    let mask = (0..rows * columns).map(kept).collect();
    let mask = walk.constant(TensorType::new(DType::Bool, shape), mask);
    if x.r#type.dtype == DType::Bool {
        return walk.apply(ops::LogicalAnd {}, &[mask, x.clone()]);
    }
    let zero = walk.scalar(x.r#type.dtype, 0.0);
    walk.apply(ops::Where {}, &[mask, x.clone(), zero])
}

/// Indices along a dimension as formats want them: from 0 to its last element.
fn in_range<T: Target>(walk: &mut Walk<'_, T>, indices: &Value, dim: Dim) -> One {
    let Some(size) = dim.fixed() else {
        return Err(unsupported::<T>("elements of the batch by index".into()));
    };
    let fits = |values: &Vec<f64>| values.iter().all(|&at| (0.0..size as f64).contains(&at));
    if indices.known.as_deref().is_some_and(fits) {
        return Ok(indices.clone());
    }
    let [zero, count] = [0.0, size as f64].map(|value| walk.scalar(DType::I32, value));
    let negative = walk.one(ops::Lesser {}, &[indices.clone(), zero])?;
    let from_end = walk.add(indices, &count)?;
    let indices = walk.one(ops::Where {}, &[negative, from_end, indices.clone()])?;
    let op = ops::Clamp { min_value: 0.0, max_value: (size - 1) as f64 };
    walk.one(op, &[indices])
}

/// Images in another layout, and the result in their own.
pub(super) fn in_layout<T: Target>(
    walk: &mut Walk<'_, T>,
    from: Layout,
    to: Layout,
    input: &Value,
    apply: impl FnOnce(&mut Walk<'_, T>, Value) -> Values,
) -> Values {
    let (there, back) = match (from, to) {
        (Layout::Nhwc, Layout::Nchw) => ([0, 3, 1, 2], [0, 2, 3, 1]),
        (Layout::Nchw, Layout::Nhwc) => ([0, 2, 3, 1], [0, 3, 1, 2]),
        _ => return apply(walk, input.clone()),
    };
    let input = walk.transposed(input, &there)?;
    let results = apply(walk, input)?;
    results.iter().map(|result| walk.transposed(result, &back)).collect()
}

/// A reduction of what each element becomes, and what becomes of that.
pub(super) fn reduced<T: Target>(
    walk: &mut Walk<'_, T>,
    x: &Value,
    before: Option<Op>,
    reduce: Op,
    after: Option<Op>,
) -> Values {
    let x = match before {
        Some(Op::Mul(_)) => walk.mul(x, x)?,
        Some(op) => walk.one(op, std::slice::from_ref(x))?,
        None => x.clone(),
    };
    let sum = walk.one(reduce, &[x])?;
    match after {
        Some(op) => walk.apply(op, &[sum]),
        None => Ok(vec![sum]),
    }
}

/// `log(sum(exp(x)))`, with the largest taken out so that nothing overflows.
pub(super) fn log_sum_exp<T: Target>(
    walk: &mut Walk<'_, T>,
    op: &ops::ReduceLogSumExp,
    x: &Value,
) -> Values {
    let axes = op.axes.clone();
    let largest = ops::ReduceMax { axes: axes.clone(), keep_dimensions: true };
    let largest = walk.one(largest, std::slice::from_ref(x))?;
    let rest = walk.one(ops::Sub {}, &[x.clone(), largest.clone()])?;
    let powers = walk.one(ops::Exp {}, &[rest])?;
    let sum = walk.one(ops::ReduceSum { axes, keep_dimensions: true }, &[powers])?;
    let logarithm = walk.one(ops::Log {}, &[sum])?;
    let out = walk.add(&logarithm, &largest)?;
    if op.keep_dimensions {
        return Ok(vec![out]);
    }
    let kept = out.dims().iter().enumerate().filter(|(axis, _)| !op.axes.contains(axis));
    let dims: Vec<_> = kept.map(|(_, &dim)| dim).collect();
    Ok(vec![walk.reshaped(&out, &dims)?])
}

/// `x W + b` as one product of all rows.
pub(super) fn linear_by_rows<T: Target>(
    walk: &mut Walk<'_, T>,
    operands: &[Value],
    results: &[TensorType],
) -> Values {
    let rank = operands[0].rank();
    if rank == 2 {
        return linear(walk, operands);
    }
    let [leading @ .., width] = operands[0].dims() else {
        return Err(unsupported::<T>("a product with a scalar".into()));
    };
    let rows = leading.iter().try_fold(Dim::Fixed(1), |rows, &dim| rows.times(dim));
    let rows = rows.ok_or_else(|| unsupported::<T>("so many rows".into()))?;
    let flat = walk.reshaped(&operands[0], &[rows, *width])?;
    let out = linear(walk, &[&[flat], &operands[1..]].concat())?.remove(0);
    Ok(vec![walk.reshaped(&out, results[0].shape.dims())?])
}
