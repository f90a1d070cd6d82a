//! Ops of programs as nodes of TensorFlow, where they are more than a name.

use vitral_program::{DType, Dim, Shape, TensorType, ops};

use super::graph::{INT32, TensorFlow, code, count, of_bool, of_int, of_ints, of_text, of_type};
use crate::{
    InterchangeError,
    graph::{Builder, Dimensions, Part, Value, Values, Walk, direct, unsupported},
    protobuf::Message,
};

fn names(operands: &[Value]) -> Vec<&str> {
    operands.iter().map(|operand| operand.name.as_str()).collect()
}

fn of(value: &Value) -> Message {
    of_type(code(value.r#type.dtype))
}

fn short(values: &[usize]) -> Vec<i32> {
    values.iter().map(|&value| value as i32).collect()
}

pub(crate) fn cast(graph: &mut TensorFlow, x: &[Value], results: &[TensorType]) -> Vec<String> {
    let to = of_type(code(results[0].dtype));
    vec![graph.node("Cast", &names(x), &[("SrcT", of(&x[0])), ("DstT", to)])]
}

/// A range whose length is not known.
pub(crate) fn range(graph: &mut TensorFlow, op: &ops::Range) -> Vec<String> {
    let (length, zero, one) = (graph.dim(op.length), graph.int(0), graph.int(1));
    let places = graph.node("Range", &[&zero, &length, &one], &[("Tidx", of_type(INT32))]);
    let to = of_type(code(op.dtype));
    let places = graph.node("Cast", &[&places], &[("SrcT", of_type(INT32)), ("DstT", to.clone())]);
    let r#type = TensorType::new(op.dtype, Shape::scalar());
    let [start, delta] = [op.start, op.delta].map(|value| graph.constant(&r#type, &[value]));
    let places = graph.node("Mul", &[&places, &delta], &[("T", to.clone())]);
    vec![graph.node("AddV2", &[&places, &start], &[("T", to)])]
}

pub(crate) fn expand(graph: &mut TensorFlow, op: &ops::Expand, x: &[Value]) -> Vec<String> {
    let shape = graph.shape(op.new_shape.dims());
    let attributes = [("T", of(&x[0])), ("Tidx", of_type(INT32))];
    vec![graph.node("BroadcastTo", &[&x[0].name, &shape], &attributes)]
}

pub(crate) fn reshape(graph: &mut TensorFlow, op: &ops::Reshape, x: &[Value]) -> Vec<String> {
    let parts = graph.sizes().reshaping(op.new_shape.dims(), |_| false);
    let number = |part: &Part| match part {
        Part::Fixed(size) => Some(*size as i32),
        Part::Left => Some(-1),
        Part::Kept | Part::Computed(_) => None,
    };
    let numbers: Option<Vec<_>> = parts.iter().map(number).collect();
    let shape = match numbers {
        Some(numbers) => graph.ints(&numbers),
        None => {
            let parts: Vec<_> = parts
                .iter()
                .map(|part| match (part, number(part)) {
                    (Part::Computed(dim), _) => graph.dim(*dim),
                    (_, number) => graph.int(number.unwrap_or(-1)),
                })
                .collect();
            graph.beside(&parts)
        }
    };
    let attributes = [("T", of(&x[0])), ("Tshape", of_type(INT32))];
    vec![graph.node("Reshape", &[&x[0].name, &shape], &attributes)]
}

pub(crate) fn reverse(graph: &mut TensorFlow, op: &ops::Reverse, x: &[Value]) -> Vec<String> {
    let axes = graph.ints(&short(&op.axes));
    let attributes = [("T", of(&x[0])), ("Tidx", of_type(INT32))];
    vec![graph.node("ReverseV2", &[&x[0].name, &axes], &attributes)]
}

pub(crate) fn transpose(graph: &mut TensorFlow, op: &ops::Transpose, x: &[Value]) -> Vec<String> {
    let order = graph.ints(&short(&op.permutation));
    let attributes = [("T", of(&x[0])), ("Tperm", of_type(INT32))];
    vec![graph.node("Transpose", &[&x[0].name, &order], &attributes)]
}

pub(crate) fn concat(graph: &mut TensorFlow, op: &ops::Concat, x: &[Value]) -> Vec<String> {
    let axis = graph.int(op.axis as i32);
    if let [one] = x {
        return vec![graph.node("Identity", &[&one.name], &[("T", of(one))])];
    }
    let attributes = [("N", count(x.len())), ("T", of(&x[0])), ("Tidx", of_type(INT32))];
    let inputs: Vec<_> = names(x).into_iter().chain([axis.as_str()]).collect();
    vec![graph.node("ConcatV2", &inputs, &attributes)]
}

pub(crate) fn pad(graph: &mut TensorFlow, op: &ops::Pad, x: &[Value]) -> Vec<String> {
    let both = op.beginning_padding.iter().zip(&op.ending_padding);
    let both: Vec<_> = both.flat_map(|(&before, &after)| [before as i32, after as i32]).collect();
    let bytes: Vec<u8> = both.iter().flat_map(|value| value.to_le_bytes()).collect();
    let padding = graph.stored(INT32, &[both.len() / 2, 2], &bytes);
    let r#type = TensorType::new(x[0].r#type.dtype, Shape::scalar());
    let value = graph.constant(&r#type, &[op.value]);
    let attributes = [("T", of(&x[0])), ("Tpaddings", of_type(INT32))];
    vec![graph.node("PadV2", &[&x[0].name, &padding, &value], &attributes)]
}

pub(crate) fn slice(graph: &mut TensorFlow, op: &ops::Slice, x: &[Value]) -> Vec<String> {
    let dims = x[0].r#type.shape.dims();
    // A whole dimension ends where it ends, whatever the batch.
    let whole = |axis: usize| op.starts[axis] == 0 && op.sizes[axis] == dims[axis];
    let mask = (0..dims.len()).filter(|&axis| whole(axis)).fold(0, |mask, axis| mask | 1 << axis);
    let ends: Vec<_> = (0..dims.len())
        .map(|axis| match op.sizes[axis] {
            _ if whole(axis) => Dim::Fixed(0),
            Dim::Fixed(size) => Dim::Fixed(op.starts[axis] + size),
            batch => batch,
        })
        .collect();
    let starts = graph.ints(&short(&op.starts));
    let ends = graph.shape(&ends);
    let strides = graph.ints(&short(&op.strides));
    let attributes = [("T", of(&x[0])), ("Index", of_type(INT32)), ("end_mask", of_int(mask))];
    vec![graph.node("StridedSlice", &[&x[0].name, &starts, &ends, &strides], &attributes)]
}

pub(crate) fn split(graph: &mut TensorFlow, op: &ops::Split, x: &[Value]) -> Vec<String> {
    let (sizes, axis) = (graph.shape(&op.splits), graph.int(op.axis as i32));
    let parts = op.splits.len();
    let attributes = [("num_split", count(parts)), ("T", of(&x[0])), ("Tlen", of_type(INT32))];
    let name = graph.node("SplitV", &[&x[0].name, &sizes, &axis], &attributes);
    (0..parts).map(|part| format!("{name}:{part}")).collect()
}

pub(crate) fn gather(
    graph: &mut TensorFlow,
    axis: usize,
    batch_dims: i64,
    x: &[Value],
) -> Vec<String> {
    let axis = graph.int(axis as i32);
    let attributes = [
        ("Tparams", of(&x[0])),
        ("Tindices", of(&x[1])),
        ("Taxis", of_type(INT32)),
        ("batch_dims", of_int(batch_dims)),
    ];
    vec![graph.node("GatherV2", &[&x[0].name, &x[1].name, &axis], &attributes)]
}

/// By rows: TensorFlow gathers along the last axis of as many rows.
pub(crate) fn gather_elements(
    walk: &mut Walk<'_, TensorFlow>,
    op: &ops::GatherElements,
    x: &[Value],
    results: &[TensorType],
) -> Values {
    let rank = x[0].r#type.shape.rank();
    let mut order: Vec<_> = (0..rank).filter(|&axis| axis != op.axis).collect();
    order.push(op.axis);
    let mut back = vec![0; rank];
    for (to, &from) in order.iter().enumerate() {
        back[from] = to;
    }
    let rows = |walk: &mut Walk<'_, TensorFlow>, x: &Value| -> Result<Value, InterchangeError> {
        let x = walk.one(ops::Transpose { permutation: order.clone() }, std::slice::from_ref(x))?;
        let dims = x.r#type.shape.dims().to_vec();
        let (leading, last) = (&dims[..rank - 1], dims[rank - 1]);
        let rows = leading.iter().try_fold(Dim::Fixed(1), |rows, &dim| rows.times(dim));
        let shape = rows.and_then(|rows| Shape::new([rows, last]).ok());
        let new_shape = shape.ok_or_else(|| unsupported::<TensorFlow>("so many rows".into()))?;
        walk.one(ops::Reshape { new_shape }, &[x])
    };
    let (values, indices) = (rows(walk, &x[0])?, rows(walk, &x[1])?);
    let dim = values.r#type.shape.dims()[1];
    let indices = walk.in_range(&indices, dim)?;
    let types = [TensorType::new(results[0].dtype, indices.r#type.shape.clone())];
    let picked = direct(walk, &[values, indices], &types, |g, x, _| gather(g, 1, 1, x))?.remove(0);
    let dims: Vec<_> = order.iter().map(|&axis| results[0].shape.dims()[axis]).collect();
    let new_shape =
        Shape::new(dims).map_err(|misfit| unsupported::<TensorFlow>(misfit.to_string()))?;
    let picked = walk.one(ops::Reshape { new_shape }, &[picked])?;
    walk.apply(ops::Transpose { permutation: back }, &[picked])
}

/// Along the last axis.
pub(crate) fn top_k(graph: &mut TensorFlow, op: &ops::TopK, x: &[Value]) -> Vec<String> {
    let k = graph.dim(op.k);
    let name = graph.node("TopKV2", &[&x[0].name, &k], &[("T", of(&x[0]))]);
    vec![format!("{name}:0"), format!("{name}:1")]
}

pub(crate) fn cumulative_sum(
    graph: &mut TensorFlow,
    op: &ops::CumulativeSum,
    x: &[Value],
) -> Vec<String> {
    let axis = graph.int(op.axis as i32);
    let attributes = [
        ("T", of(&x[0])),
        ("Tidx", of_type(INT32)),
        ("exclusive", of_bool(op.exclusive)),
        ("reverse", of_bool(op.reversed)),
    ];
    vec![graph.node("Cumsum", &[&x[0].name, &axis], &attributes)]
}

pub(crate) fn reduce(
    graph: &mut TensorFlow,
    kind: &str,
    axes: &[usize],
    keep: bool,
    x: &[Value],
) -> Vec<String> {
    let axes = graph.ints(&short(axes));
    let attributes = [("T", of(&x[0])), ("Tidx", of_type(INT32)), ("keep_dims", of_bool(keep))];
    vec![graph.node(kind, &[&x[0].name, &axes], &attributes)]
}

pub(crate) fn matmul(graph: &mut TensorFlow, x: &[Value], _: &[TensorType]) -> Vec<String> {
    let plain = x.iter().all(|x| x.r#type.shape.rank() == 2);
    let kind = if plain { "MatMul" } else { "BatchMatMulV2" };
    vec![graph.node(kind, &names(x), &[("T", of(&x[0]))])]
}

/// Images of an input that is padded by zeros, channels last.
fn padded(
    walk: &mut Walk<'_, TensorFlow>,
    [top, bottom, left, right]: [usize; 4],
    x: &Value,
) -> Result<Value, InterchangeError> {
    if [top, bottom, left, right] == [0; 4] {
        return Ok(x.clone());
    }
    let op = ops::Pad {
        beginning_padding: vec![0, top, left, 0],
        ending_padding: vec![0, bottom, right, 0],
        value: 0.0,
    };
    walk.one(op, std::slice::from_ref(x))
}

/// Channels last. What padding takes away from a mean is put back.
pub(crate) fn average_pool(
    walk: &mut Walk<'_, TensorFlow>,
    op: &ops::AveragePool2d,
    x: &[Value],
    results: &[TensorType],
) -> Values {
    let input = padded(walk, op.padding, &x[0])?;
    let [height, width] = op.window_dimensions.map(|size| size as i64);
    let strides = op.strides.map(|stride| stride as i64);
    let mean = direct(walk, &[input], results, |graph, x, _| {
        let attributes = [
            ("T", of(&x[0])),
            ("ksize", of_ints(&[1, height, width, 1])),
            ("strides", of_ints(&[1, strides[0], strides[1], 1])),
            ("padding", of_text("VALID")),
            ("data_format", of_text("NHWC")),
        ];
        vec![graph.node("AvgPool", &names(x), &attributes)]
    })?;
    if op.padding == [0; 4] {
        return Ok(mean);
    }
    let inside = |side: usize, axis: usize| -> Option<Vec<f64>> {
        let length = x[0].r#type.shape.dims()[axis].fixed()?;
        let count = results[0].shape.dims()[axis].fixed()?;
        let (before, size) = (op.padding[2 * side], op.window_dimensions[side]);
        let share = |window: usize| {
            let start = window * op.strides[side];
            let places = (start..start + size).filter(|at| (before..before + length).contains(at));
            size as f64 / places.count() as f64
        };
        Some((0..count).map(share).collect())
    };
    let (Some(rows), Some(columns)) = (inside(0, 1), inside(1, 2)) else {
        return Err(unsupported::<TensorFlow>("images of unknown size".into()));
    };
    let factors = rows.iter().flat_map(|row| columns.iter().map(move |column| row * column));
    let factors = factors.collect();
    let shape = Shape::fixed(&[rows.len(), columns.len(), 1])
        .map_err(|misfit| unsupported::<TensorFlow>(misfit.to_string()))?;
    let factors = walk.constant(TensorType::new(DType::F32, shape), factors);
    walk.apply(ops::Mul {}, &[mean[0].clone(), factors])
}

/// Channels last, group by group.
pub(crate) fn conv(
    walk: &mut Walk<'_, TensorFlow>,
    op: &ops::Conv2d,
    x: &[Value],
    results: &[TensorType],
) -> Values {
    let input = padded(walk, op.padding, &x[0])?;
    let mut parts = vec![(input.clone(), x[1].clone())];
    if op.groups > 1 {
        let along = |x: &Value, axis: usize| {
            let part = x.r#type.shape.dims()[axis].per_item() / op.groups;
            ops::Split { splits: vec![part.into(); op.groups], axis }
        };
        let inputs = walk.apply(along(&input, 3), std::slice::from_ref(&input))?;
        let filters = walk.apply(along(&x[1], 0), std::slice::from_ref(&x[1]))?;
        parts = inputs.into_iter().zip(filters).collect();
    }
    let [strides, dilations] =
        [op.strides, op.dilations].map(|sides| of_ints(&[1, sides[0] as i64, sides[1] as i64, 1]));
    let mut outs = Vec::with_capacity(parts.len());
    for (input, filter) in parts {
        let out = filter.r#type.shape.dims()[0];
        let mut dims = results[0].shape.dims().to_vec();
        dims[3] = out;
        let shape =
            Shape::new(dims).map_err(|misfit| unsupported::<TensorFlow>(misfit.to_string()))?;
        let filter = walk.one(ops::Transpose { permutation: vec![2, 3, 1, 0] }, &[filter])?;
        let types = [TensorType::new(DType::F32, shape)];
        outs.extend(direct(walk, &[input, filter], &types, |graph, x, _| {
            let attributes = [
                ("T", of(&x[0])),
                ("strides", strides.clone()),
                ("dilations", dilations.clone()),
                ("padding", of_text("VALID")),
                ("data_format", of_text("NHWC")),
            ];
            vec![graph.node("Conv2D", &names(x), &attributes)]
        })?);
    }
    let out = walk.one(ops::Concat { axis: 3 }, &outs)?;
    match x.get(2) {
        Some(bias) => walk.apply(ops::Add {}, &[out, bias.clone()]),
        None => Ok(vec![out]),
    }
}
