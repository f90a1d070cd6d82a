//! Ops of programs as nodes of ONNX, where they are more than a name.

use vitral_program::{DType, Dim, TensorType, ops};

use super::graph::{FLOAT, INT64, Onnx, code, float, int, ints, text};
use crate::graph::{Builder, Dimensions, Part, Value};

fn names(operands: &[Value]) -> Vec<&str> {
    operands.iter().map(|operand| operand.name.as_str()).collect()
}

fn signed(values: &[usize]) -> Vec<i64> {
    values.iter().map(|&value| value as i64).collect()
}

pub(crate) fn gelu(graph: &mut Onnx, approximate: &str, x: &[Value]) -> Vec<String> {
    vec![graph.node("Gelu", &names(x), vec![text("approximate", approximate)])]
}

pub(crate) fn cast(graph: &mut Onnx, x: &[Value], results: &[TensorType]) -> Vec<String> {
    vec![graph.node("Cast", &names(x), vec![int("to", code(results[0].dtype))])]
}

pub(crate) fn clip(graph: &mut Onnx, op: &ops::Clamp, x: &[Value]) -> Vec<String> {
    let dtype = x[0].r#type.dtype;
    let mut bound = |value: f64| match value.is_finite() {
        true => graph.constant(&TensorType::new(dtype, vitral_program::Shape::scalar()), &[value]),
        // Left out.
        false => String::new(),
    };
    let (least, most) = (bound(op.min_value), bound(op.max_value));
    vec![graph.node("Clip", &[&x[0].name, &least, &most], Vec::new())]
}

pub(crate) fn with_float(
    graph: &mut Onnx,
    kind: &str,
    attribute: &str,
    value: f64,
    x: &[Value],
) -> Vec<String> {
    vec![graph.node(kind, &names(x), vec![float(attribute, value)])]
}

pub(crate) fn with_int(
    graph: &mut Onnx,
    kind: &str,
    attribute: &str,
    value: usize,
    x: &[Value],
) -> Vec<String> {
    vec![graph.node(kind, &names(x), vec![int(attribute, value as i64)])]
}

/// A range whose length is not known.
pub(crate) fn range(graph: &mut Onnx, op: &ops::Range) -> Vec<String> {
    let length = graph.dim(op.length);
    let scalar = graph.ints(&[]);
    let length = graph.node("Reshape", &[&length, &scalar], Vec::new());
    let [zero, one] = [0i64, 1].map(|value| graph.stored(INT64, &[], &value.to_le_bytes()));
    let places = graph.node("Range", &[&zero, &length, &one], Vec::new());
    let places = graph.node("Cast", &[&places], vec![int("to", code(op.dtype))]);
    let r#type = TensorType::new(op.dtype, vitral_program::Shape::scalar());
    let [start, delta] = [op.start, op.delta].map(|value| graph.constant(&r#type, &[value]));
    let places = graph.node("Mul", &[&places, &delta], Vec::new());
    vec![graph.node("Add", &[&places, &start], Vec::new())]
}

pub(crate) fn expand(graph: &mut Onnx, op: &ops::Expand, x: &[Value]) -> Vec<String> {
    let shape = graph.shape(op.new_shape.dims());
    vec![graph.node("Expand", &[&x[0].name, &shape], Vec::new())]
}

pub(crate) fn reshape(graph: &mut Onnx, op: &ops::Reshape, x: &[Value]) -> Vec<String> {
    let (from, to) = (x[0].r#type.shape.dims(), op.new_shape.dims());
    let parts = graph.sizes().reshaping(to, |axis| from.get(axis) == Some(&to[axis]));
    let number = |part: &Part| match part {
        Part::Fixed(size) => Some(*size as i64),
        Part::Kept => Some(0),
        Part::Left => Some(-1),
        Part::Computed(_) => None,
    };
    let numbers: Option<Vec<_>> = parts.iter().map(number).collect();
    let shape = match numbers {
        Some(numbers) => graph.ints(&numbers),
        None => {
            let parts: Vec<_> = parts
                .iter()
                .map(|part| match (part, number(part)) {
                    (Part::Computed(dim), _) => graph.dim(*dim),
                    (_, number) => graph.ints(number.as_slice()),
                })
                .collect();
            graph.beside(&parts)
        }
    };
    vec![graph.node("Reshape", &[&x[0].name, &shape], Vec::new())]
}

pub(crate) fn reverse(graph: &mut Onnx, op: &ops::Reverse, x: &[Value]) -> Vec<String> {
    let count = op.axes.len();
    let starts = graph.ints(&vec![-1; count]);
    let ends = graph.ints(&vec![i64::MIN; count]);
    let axes = graph.ints(&signed(&op.axes));
    let steps = graph.ints(&vec![-1; count]);
    vec![graph.node("Slice", &[&x[0].name, &starts, &ends, &axes, &steps], Vec::new())]
}

pub(crate) fn transpose(graph: &mut Onnx, op: &ops::Transpose, x: &[Value]) -> Vec<String> {
    vec![graph.node("Transpose", &names(x), vec![ints("perm", &signed(&op.permutation))])]
}

pub(crate) fn pad(graph: &mut Onnx, op: &ops::Pad, x: &[Value]) -> Vec<String> {
    let pads = graph.ints(&signed(&[&op.beginning_padding[..], &op.ending_padding].concat()));
    let r#type = TensorType::new(x[0].r#type.dtype, vitral_program::Shape::scalar());
    let value = graph.constant(&r#type, &[op.value]);
    vec![graph.node("Pad", &[&x[0].name, &pads, &value], Vec::new())]
}

pub(crate) fn slice(graph: &mut Onnx, op: &ops::Slice, x: &[Value]) -> Vec<String> {
    // Dimensions that stay whole are left out.
    let dims = x[0].r#type.shape.dims();
    let cut: Vec<_> = (0..dims.len())
        .filter(|&axis| (op.starts[axis], op.sizes[axis], op.strides[axis]) != (0, dims[axis], 1))
        .collect();
    if cut.is_empty() {
        return vec![graph.node("Identity", &names(x), Vec::new())];
    }
    let pick = |values: &[usize]| cut.iter().map(|&axis| values[axis] as i64).collect::<Vec<_>>();
    let ends: Vec<_> = cut
        .iter()
        .map(|&axis| match op.sizes[axis] {
            Dim::Fixed(size) => Dim::Fixed(op.starts[axis] + size),
            batch => batch,
        })
        .collect();
    let starts = graph.ints(&pick(&op.starts));
    let ends = graph.shape(&ends);
    let axes = graph.ints(&signed(&cut));
    let steps = graph.ints(&pick(&op.strides));
    vec![graph.node("Slice", &[&x[0].name, &starts, &ends, &axes, &steps], Vec::new())]
}

pub(crate) fn split(graph: &mut Onnx, op: &ops::Split, x: &[Value]) -> Vec<String> {
    let sizes = graph.shape(&op.splits);
    let attributes = vec![int("axis", op.axis as i64)];
    graph.nodes("Split", &[&x[0].name, &sizes], op.splits.len(), attributes)
}

pub(crate) fn top_k(graph: &mut Onnx, op: &ops::TopK, x: &[Value]) -> Vec<String> {
    let k = graph.dim(op.k);
    let attributes = vec![int("axis", op.axis as i64)];
    let mut results = graph.nodes("TopK", &[&x[0].name, &k], 2, attributes);
    let to = int("to", code(DType::I32));
    results[1] = graph.node("Cast", &[&results[1].clone()], vec![to]);
    results
}

pub(crate) fn cumulative_sum(
    graph: &mut Onnx,
    op: &ops::CumulativeSum,
    x: &[Value],
) -> Vec<String> {
    let axis = graph.stored(INT64, &[], &(op.axis as i64).to_le_bytes());
    let flags = vec![int("exclusive", op.exclusive.into()), int("reverse", op.reversed.into())];
    vec![graph.node("CumSum", &[&x[0].name, &axis], flags)]
}

pub(crate) fn reduce(
    graph: &mut Onnx,
    kind: &str,
    axes: &[usize],
    keep: bool,
    x: &[Value],
) -> Vec<String> {
    let axes = graph.ints(&signed(axes));
    vec![graph.node(kind, &[&x[0].name, &axes], vec![int("keepdims", keep.into())])]
}

pub(crate) fn layer_norm(
    graph: &mut Onnx,
    op: &ops::LayerNormalization,
    x: &[Value],
) -> Vec<String> {
    let first = op.axes.first().map_or(-1, |&axis| axis as i64);
    let attributes =
        vec![int("axis", first), float("epsilon", op.epsilon), int("stash_type", FLOAT)];
    vec![graph.node("LayerNormalization", &names(x), attributes)]
}

pub(crate) fn average_pool(graph: &mut Onnx, op: &ops::AveragePool2d, x: &[Value]) -> Vec<String> {
    let attributes = vec![
        ints("kernel_shape", &signed(&op.window_dimensions)),
        ints("strides", &signed(&op.strides)),
        ints("pads", &pads(op.padding)),
        int("count_include_pad", 0),
    ];
    vec![graph.node("AveragePool", &names(x), attributes)]
}

pub(crate) fn conv(graph: &mut Onnx, op: &ops::Conv2d, x: &[Value]) -> Vec<String> {
    let attributes = vec![
        ints("strides", &signed(&op.strides)),
        ints("dilations", &signed(&op.dilations)),
        ints("pads", &pads(op.padding)),
        int("group", op.groups as i64),
    ];
    vec![graph.node("Conv", &names(x), attributes)]
}

/// Top, left, bottom, right of what is top, bottom, left, right.
fn pads([top, bottom, left, right]: [usize; 4]) -> Vec<i64> {
    signed(&[top, left, bottom, right])
}
