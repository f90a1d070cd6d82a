// The ops of tensor programs. Made from vitral-program by the tests of vitral-author; do not edit.

let apply;

/** Says what applies an op; the module of tensors does, which imports this one. */
export function appliedBy(function_) {
  apply = function_;
}

function there(operands) {
  return operands.filter((operand) => operand !== undefined);
}

function several(op, operands, attributes, count) {
  const results = apply(op, operands, attributes);
  // Where an op does not fit there may be fewer, each of which is an error.
  while (results.length < count) results.push(results[0]);
  return results;
}

function one(op, operands, attributes) {
  return several(op, operands, attributes, 1)[0];
}

/** Ops whose first operand is a tensor. */
export class Ops {
  /**
   * The absolute value of each element, `f32` or `i32` of any shape to the same.
   */
  abs() {
    return one("abs", there([this]), []);
  }

  /**
   * `a + b`, `f32` or `i32` (which wraps around), of shapes that broadcast.
   */
  add(b) {
    return one("add", there([this, b]), []);
  }

  /**
   * The mean over each window, in every channel by itself, `f32` images to images. Padding does not count: a
   * window at the border averages what it has of the image.
   * `windowDimensions`: Height and width of a window.
   * `padding`: What is added around the image: at the top, bottom, left and right, less than a window.
   * `strides`: Steps from window to window along height and width.
   * `layout`: Where the channels stand.
   */
  averagePool2d(windowDimensions, { padding, strides, layout } = {}) {
    return one("averagePool2d", there([this]), [["windowDimensions", "integers", windowDimensions], ["padding", "integers", padding], ["strides", "integers", strides], ["layout", "text", layout]]);
  }

  /**
   * Each element as another type, any type and shape to the same shape. `f32` to `i32` cuts the fraction off
   * and stops at the smallest and largest integer; anything but zero is true.
   * `to`: The type to turn into.
   */
  cast(to) {
    return one("cast", there([this]), [["to", "text", to]]);
  }

  /**
   * The least integer that is not below each element, `f32` of any shape to the same.
   */
  ceil() {
    return one("ceil", there([this]), []);
  }

  /**
   * Each element, no less than a minimum and no more than a maximum, `f32` or `i32` of any shape to the same.
   * `minValue`: The least result.
   * `maxValue`: The greatest result, which is not below the least.
   */
  clamp({ minValue, maxValue } = {}) {
    return one("clamp", there([this]), [["minValue", "number", minValue], ["maxValue", "number", maxValue]]);
  }

  /**
   * A convolution (as everywhere, the filter is not mirrored): `f32` images, a filter `[out, in / groups,
   * height, width]` and a bias `[out]` to images with `out` channels.
   * `padding`: Zeros added around the image: at the top, bottom, left and right.
   * `strides`: Steps from window to window along height and width.
   * `dilations`: Steps from place to place within a window along height and width.
   * `groups`: Into how many groups the channels fall, each seeing only itself.
   * `inputLayout`: Where the channels stand in input and result.
   */
  conv2d(filter, { bias, padding, strides, dilations, groups, inputLayout } = {}) {
    return one("conv2d", there([this, filter, bias]), [["padding", "integers", padding], ["strides", "integers", strides], ["dilations", "integers", dilations], ["groups", "integer", groups], ["inputLayout", "text", inputLayout]]);
  }

  /**
   * The cosine of each element in radians, `f32` of any shape to the same.
   */
  cos() {
    return one("cos", there([this]), []);
  }

  /**
   * Each element replaced by the sum of all up to it along an axis, `f32` or `i32` (which wraps around) of any
   * shape to the same.
   * `axis`: The axis to sum along.
   * `exclusive`: Whether an element is left out of its own sum.
   * `reversed`: Whether to sum from the end.
   */
  cumulativeSum(axis, { exclusive, reversed } = {}) {
    return one("cumulativeSum", there([this]), [["axis", "integer", axis], ["exclusive", "boolean", exclusive], ["reversed", "boolean", reversed]]);
  }

  /**
   * `a / b`, `f32` of shapes that broadcast.
   */
  div(b) {
    return one("div", there([this, b]), []);
  }

  /**
   * In training, sets each element to zero with probability `rate` and divides the others by `1 - rate`; in
   * evaluation, leaves all as they are. `f32` of any shape to the same.
   * `rate`: How likely an element is dropped, from 0 to below 1.
   */
  dropout(rate) {
    return one("dropout", there([this]), [["rate", "number", rate]]);
  }

  /**
   * `x` where it is positive, else `alpha (exp(x) - 1)`, for each element, `f32` of any shape to the same.
   * `alpha`: Minus the limit for negative elements.
   */
  elu({ alpha } = {}) {
    return one("elu", there([this]), [["alpha", "number", alpha]]);
  }

  /**
   * Whether `a = b`, two of one type and of shapes that broadcast, to `bool`.
   */
  equal(b) {
    return one("equal", there([this, b]), []);
  }

  /**
   * The Gauss error function of each element, `f32` of any shape to the same.
   */
  erf() {
    return one("erf", there([this]), []);
  }

  /**
   * `e` to the power of each element, `f32` of any shape to the same.
   */
  exp() {
    return one("exp", there([this]), []);
  }

  /**
   * The operand repeated along dimensions of size 1 and along new ones in front, any type and a shape that
   * broadcasts to the new one, to the new one.
   * `newShape`: The result's shape.
   */
  expand(newShape) {
    return one("expand", there([this]), [["newShape", "text", newShape]]);
  }

  /**
   * The greatest integer that is not above each element, `f32` of any shape to the same.
   */
  floor() {
    return one("floor", there([this]), []);
  }

  /**
   * Slices of the input by index along an axis: any type `[a.., n, b..]` and `i32` indices `[i..]` to `[a..,
   * i.., b..]`. Indices are from `-n` to `n - 1`, negative ones counted from the end; others are taken as the
   * nearest of these.
   * `axis`: The input's axis that the indices are for.
   */
  gather(indices, { axis } = {}) {
    return one("gather", there([this, indices]), [["axis", "integer", axis]]);
  }

  /**
   * Elements of the input by index along an axis: any type and `i32` indices of the same rank, to the indices'
   * shape. Except along the axis, both have equal dimensions. The result at `[a.., i, b..]` is the input at
   * `[a.., indices[a.., i, b..], b..]`; indices are as in `gather`.
   * `axis`: The input's axis that the indices are for.
   */
  gatherElements(indices, { axis } = {}) {
    return one("gatherElements", there([this, indices]), [["axis", "integer", axis]]);
  }

  /**
   * `0.5 x (1 + erf(x / sqrt(2)))` for each element, the exact GELU, `f32` of any shape to the same.
   */
  gelu() {
    return one("gelu", there([this]), []);
  }

  /**
   * `0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))` for each element, the GELU approximated with tanh, `f32`
   * of any shape to the same.
   */
  geluTanh() {
    return one("geluTanh", there([this]), []);
  }

  /**
   * Whether `a > b`, both `f32` or both `i32`, of shapes that broadcast, to `bool`.
   */
  greater(b) {
    return one("greater", there([this, b]), []);
  }

  /**
   * Whether `a >= b`, both `f32` or both `i32`, of shapes that broadcast, to `bool`.
   */
  greaterOrEqual(b) {
    return one("greaterOrEqual", there([this, b]), []);
  }

  /**
   * `x max(0, min(6, x + 3)) / 6` for each element, `f32` of any shape to the same.
   */
  hardSwish() {
    return one("hardSwish", there([this]), []);
  }

  /**
   * Each element as it is, of any type and shape.
   */
  identity() {
    return one("identity", there([this]), []);
  }

  /**
   * `(x - mean) / sqrt(variance + epsilon) * scale + bias`, with mean and (biased) variance over some axes:
   * `f32` of any shape to the same. Scale and bias have the shape of the input along the axes alone: `[64]`
   * for `[B, 49, 64]` and axis 2.
   * `axes`: The axes to normalise over, in ascending order.
   * `epsilon`: Added to the variance, more than 0.
   */
  layerNormalization(axes, { scale, bias, epsilon } = {}) {
    return one("layerNormalization", there([this, scale, bias]), [["axes", "integers", axes], ["epsilon", "number", epsilon]]);
  }

  /**
   * `x` where it is positive, else `alpha x`, for each element, `f32` of any shape to the same.
   * `alpha`: Slope for negative elements.
   */
  leakyRelu({ alpha } = {}) {
    return one("leakyRelu", there([this]), [["alpha", "number", alpha]]);
  }

  /**
   * Whether `a < b`, both `f32` or both `i32`, of shapes that broadcast, to `bool`.
   */
  lesser(b) {
    return one("lesser", there([this, b]), []);
  }

  /**
   * Whether `a <= b`, both `f32` or both `i32`, of shapes that broadcast, to `bool`.
   */
  lesserOrEqual(b) {
    return one("lesserOrEqual", there([this, b]), []);
  }

  /**
   * A linear layer, `input @ weight + bias`: `f32` `[.., in]`, weight `[in, out]` and bias `[out]` to `[..,
   * out]`.
   */
  linear(weight, { bias } = {}) {
    return one("linear", there([this, weight, bias]), []);
  }

  /**
   * The natural logarithm of each element, `f32` of any shape to the same.
   */
  log() {
    return one("log", there([this]), []);
  }

  /**
   * Whether both are true, `bool` of shapes that broadcast.
   */
  logicalAnd(b) {
    return one("logicalAnd", there([this, b]), []);
  }

  /**
   * Whether each element is false, `bool` of any shape to the same.
   */
  logicalNot() {
    return one("logicalNot", there([this]), []);
  }

  /**
   * Whether at least one is true, `bool` of shapes that broadcast.
   */
  logicalOr(b) {
    return one("logicalOr", there([this, b]), []);
  }

  /**
   * Whether exactly one is true, `bool` of shapes that broadcast.
   */
  logicalXor(b) {
    return one("logicalXor", there([this, b]), []);
  }

  /**
   * The matrix product, `f32` `[.., n, k]` and `[.., k, m]` to `[.., n, m]`. The leading dimensions broadcast.
   */
  matmul(b) {
    return one("matmul", there([this, b]), []);
  }

  /**
   * The greater of both, `f32` or `i32` of shapes that broadcast.
   */
  max(b) {
    return one("max", there([this, b]), []);
  }

  /**
   * The lesser of both, `f32` or `i32` of shapes that broadcast.
   */
  min(b) {
    return one("min", there([this, b]), []);
  }

  /**
   * `a b`, `f32` or `i32` (which wraps around), of shapes that broadcast.
   */
  mul(b) {
    return one("mul", there([this, b]), []);
  }

  /**
   * Each element with the other sign, `f32` or `i32` of any shape to the same.
   */
  neg() {
    return one("neg", there([this]), []);
  }

  /**
   * Whether `a` and `b` differ, two of one type and of shapes that broadcast, to `bool`.
   */
  notEqual(b) {
    return one("notEqual", there([this, b]), []);
  }

  /**
   * The operand with elements of one value added around it, any type; each dimension grows by what is added
   * before and after. The batch cannot be padded.
   * `beginningPadding`: How many to add before each dimension.
   * `endingPadding`: How many to add after each dimension.
   * `value`: The value of what is added.
   */
  pad(beginningPadding, endingPadding, { value } = {}) {
    return one("pad", there([this]), [["beginningPadding", "integers", beginningPadding], ["endingPadding", "integers", endingPadding], ["value", "number", value]]);
  }

  /**
   * `a` to the power of `b`, `f32` of shapes that broadcast.
   */
  pow(b) {
    return one("pow", there([this, b]), []);
  }

  /**
   * One divided by each element, `f32` of any shape to the same.
   */
  reciprocal() {
    return one("reciprocal", there([this]), []);
  }

  /**
   * The sum of absolute values along axes, `f32`, whose dimensions vanish or become 1.
   * `axes`: The axes to reduce, in ascending order.
   * `keepDimensions`: Whether reduced dimensions stay, with size 1.
   */
  reduceL1(axes, { keepDimensions } = {}) {
    return one("reduceL1", there([this]), [["axes", "integers", axes], ["keepDimensions", "boolean", keepDimensions]]);
  }

  /**
   * The Euclidean norm along axes, `f32`, whose dimensions vanish or become 1.
   * `axes`: The axes to reduce, in ascending order.
   * `keepDimensions`: Whether reduced dimensions stay, with size 1.
   */
  reduceL2(axes, { keepDimensions } = {}) {
    return one("reduceL2", there([this]), [["axes", "integers", axes], ["keepDimensions", "boolean", keepDimensions]]);
  }

  /**
   * The logarithm of the sum along axes, `f32`, whose dimensions vanish or become 1.
   * `axes`: The axes to reduce, in ascending order.
   * `keepDimensions`: Whether reduced dimensions stay, with size 1.
   */
  reduceLogSum(axes, { keepDimensions } = {}) {
    return one("reduceLogSum", there([this]), [["axes", "integers", axes], ["keepDimensions", "boolean", keepDimensions]]);
  }

  /**
   * The logarithm of the sum of exponentials along axes, `f32`, whose dimensions vanish or become 1. Large
   * elements do not overflow.
   * `axes`: The axes to reduce, in ascending order.
   * `keepDimensions`: Whether reduced dimensions stay, with size 1.
   */
  reduceLogSumExp(axes, { keepDimensions } = {}) {
    return one("reduceLogSumExp", there([this]), [["axes", "integers", axes], ["keepDimensions", "boolean", keepDimensions]]);
  }

  /**
   * The largest along axes, `f32` or `i32`, whose dimensions vanish or become 1.
   * `axes`: The axes to reduce, in ascending order.
   * `keepDimensions`: Whether reduced dimensions stay, with size 1.
   */
  reduceMax(axes, { keepDimensions } = {}) {
    return one("reduceMax", there([this]), [["axes", "integers", axes], ["keepDimensions", "boolean", keepDimensions]]);
  }

  /**
   * The mean along axes, `f32`, whose dimensions vanish or become 1.
   * `axes`: The axes to reduce, in ascending order.
   * `keepDimensions`: Whether reduced dimensions stay, with size 1.
   */
  reduceMean(axes, { keepDimensions } = {}) {
    return one("reduceMean", there([this]), [["axes", "integers", axes], ["keepDimensions", "boolean", keepDimensions]]);
  }

  /**
   * The smallest along axes, `f32` or `i32`, whose dimensions vanish or become 1.
   * `axes`: The axes to reduce, in ascending order.
   * `keepDimensions`: Whether reduced dimensions stay, with size 1.
   */
  reduceMin(axes, { keepDimensions } = {}) {
    return one("reduceMin", there([this]), [["axes", "integers", axes], ["keepDimensions", "boolean", keepDimensions]]);
  }

  /**
   * The product along axes, `f32`, whose dimensions vanish or become 1.
   * `axes`: The axes to reduce, in ascending order.
   * `keepDimensions`: Whether reduced dimensions stay, with size 1.
   */
  reduceProduct(axes, { keepDimensions } = {}) {
    return one("reduceProduct", there([this]), [["axes", "integers", axes], ["keepDimensions", "boolean", keepDimensions]]);
  }

  /**
   * The sum along axes, `f32` or `i32` (which wraps around), whose dimensions vanish or become 1.
   * `axes`: The axes to reduce, in ascending order.
   * `keepDimensions`: Whether reduced dimensions stay, with size 1.
   */
  reduceSum(axes, { keepDimensions } = {}) {
    return one("reduceSum", there([this]), [["axes", "integers", axes], ["keepDimensions", "boolean", keepDimensions]]);
  }

  /**
   * The sum of squares along axes, `f32`, whose dimensions vanish or become 1.
   * `axes`: The axes to reduce, in ascending order.
   * `keepDimensions`: Whether reduced dimensions stay, with size 1.
   */
  reduceSumSquare(axes, { keepDimensions } = {}) {
    return one("reduceSumSquare", there([this]), [["axes", "integers", axes], ["keepDimensions", "boolean", keepDimensions]]);
  }

  /**
   * Each element, or zero if it is negative, `f32` or `i32` of any shape to the same.
   */
  relu() {
    return one("relu", there([this]), []);
  }

  /**
   * The same elements, row-major, in another shape with as many, any type. The batch may be folded with other
   * dimensions or unfolded: `[B, 4, 49]` to `[4B, 49]` and back.
   * `newShape`: The result's shape.
   */
  reshape(newShape) {
    return one("reshape", there([this]), [["newShape", "text", newShape]]);
  }

  /**
   * The elements in the opposite order along some axes, any type and shape to the same.
   * `axes`: The axes to reverse, in ascending order.
   */
  reverse(axes) {
    return one("reverse", there([this]), [["axes", "integers", axes]]);
  }

  /**
   * The integer nearest to each element, halves going to the even one, `f32` of any shape to the same.
   */
  roundEven() {
    return one("roundEven", there([this]), []);
  }

  /**
   * `softmax(scale q kT + bias) v`: `f32` queries `[.., n, d]`, keys `[.., m, d]` and values `[.., m, e]` to
   * `[.., n, e]`, with equal leading dimensions. The bias (or mask, of zeros and minus infinities) broadcasts
   * to `[.., n, m]`.
   * `scale`: What the scores are multiplied with, usually `1 / sqrt(d)`.
   */
  scaledDotProductAttention(key, value, scale, { bias } = {}) {
    return one("scaledDotProductAttention", there([this, key, value, bias]), [["scale", "number", scale]]);
  }

  /**
   * `1 / (1 + exp(-x))` for each element, `f32` of any shape to the same.
   */
  sigmoid() {
    return one("sigmoid", there([this]), []);
  }

  /**
   * -1, 0 or 1 by the sign of each element, `f32` or `i32` of any shape to the same.
   */
  sign() {
    return one("sign", there([this]), []);
  }

  /**
   * The sine of each element in radians, `f32` of any shape to the same.
   */
  sin() {
    return one("sin", there([this]), []);
  }

  /**
   * A window of the operand, any type: along each dimension, `sizes` elements from `starts` on, of which every
   * `strides`-th is kept. A multiple of the batch can be cut only from its start, into a multiple of the
   * batch, with stride 1.
   * `starts`: Where the window starts along each dimension.
   * `sizes`: The window's size along each dimension, as dimensions: `[B, 49]`.
   * `strides`: Every how many elements of the window one is kept, along each dimension.
   */
  slice(starts, sizes, strides) {
    return one("slice", there([this]), [["starts", "integers", starts], ["sizes", "text", sizes], ["strides", "integers", strides]]);
  }

  /**
   * `exp(x) / sum(exp(x))` along an axis, `f32` of any shape to the same. Large elements do not overflow.
   * `axis`: The axis along which the result sums to 1.
   */
  softmax(axis) {
    return one("softmax", there([this]), [["axis", "integer", axis]]);
  }

  /**
   * `log(1 + exp(x))` for each element, `f32` of any shape to the same.
   */
  softplus() {
    return one("softplus", there([this]), []);
  }

  /**
   * `x / (1 + |x|)` for each element, `f32` of any shape to the same.
   */
  softsign() {
    return one("softsign", there([this]), []);
  }

  /**
   * The operand cut into parts along an axis, any type: as many results as there are sizes, each like the
   * operand but of its size along the axis. The sizes add up to the dimension.
   * `splits`: The size of each part along the axis, as dimensions: `[B, B]` or `[16, 16, 16]`.
   * `axis`: The axis to cut.
   */
  split(splits, axis) {
    return several("split", there([this]), [["splits", "text", splits], ["axis", "integer", axis]], splits.length);
  }

  /**
   * The square root of each element, `f32` of any shape to the same.
   */
  sqrt() {
    return one("sqrt", there([this]), []);
  }

  /**
   * `a - b`, `f32` or `i32` (which wraps around), of shapes that broadcast.
   */
  sub(b) {
    return one("sub", there([this, b]), []);
  }

  /**
   * The tangent of each element in radians, `f32` of any shape to the same.
   */
  tan() {
    return one("tan", there([this]), []);
  }

  /**
   * The hyperbolic tangent of each element, `f32` of any shape to the same.
   */
  tanh() {
    return one("tanh", there([this]), []);
  }

  /**
   * The `k` largest elements along an axis, in descending order: `f32` or `i32`, to two results with `k`
   * elements along the axis, the values and their `i32` indices. Of equal elements, the first comes first.
   * Along a multiple of the batch, `k` is one as well: with `k` the whole dimension this sorts, and sorting
   * random numbers gives a random order.
   * `k`: How many elements to keep, as a dimension: `8` or `B`.
   * `axis`: The axis to look along.
   */
  topK(k, axis) {
    return several("topK", there([this]), [["k", "text", k], ["axis", "integer", axis]], 2);
  }

  /**
   * The axes in another order, any type: the result's axis `i` is the operand's axis `permutation[i]`.
   * `permutation`: Each of the operand's axes once.
   */
  transpose(permutation) {
    return one("transpose", there([this]), [["permutation", "integers", permutation]]);
  }

  /**
   * One triangle of each matrix of the last two dimensions, the rest set to zero or false, any type of shape
   * `[.., rows, columns]` to the same. The upper triangle has the elements whose column is at least `row +
   * diagonal`, the lower those whose column is at most that.
   * `upper`: Whether to keep the upper triangle, rather than the lower.
   * `diagonal`: The diagonal where it ends: 0 is the main one, 1 the one above it, -1 the one below.
   */
  triangular({ upper, diagonal } = {}) {
    return one("triangular", there([this]), [["upper", "boolean", upper], ["diagonal", "integer", diagonal]]);
  }

  /**
   * `trueValue` where the condition holds, else `falseValue`: a `bool` and two of one type, of shapes that
   * broadcast, to that type.
   */
  where(true_value, false_value) {
    return one("where", there([this, true_value, false_value]), []);
  }
}

/**
 * The operands one after the other along an axis, all of one type and equal in every other dimension. Along
 * the axis, either all or none are multiples of the batch.
 * `axis`: The axis to join along.
 */
export function concat(inputs, axis) {
  return one("concat", inputs, [["axis", "integer", axis]]);
}

/**
 * Values known in advance: no operands to the given type. Either one value for every element, and the shape
 * may have the batch in it, or all values row-major.
 * `type`: The result's type.
 * `values`: One value, or as many as there are elements.
 */
export function constant(type, values) {
  return one("constant", there([]), [["type", "text", type], ["values", "numbers", values]]);
}

/**
 * Random numbers, drawn anew in each step of training and the same in each evaluation: no operands to `f32` of
 * the given shape, which may have the batch in it.
 * `shape`: The result's shape.
 * `distribution`: What to draw from: `uniform` (from 0 to below 1), `normal` (mean 0, deviation 1) or `beta`.
 * `alpha`: First parameter of `beta`, from 0.01 to 1000.
 * `beta`: Second parameter of `beta`, from 0.01 to 1000.
 */
export function random(shape, { distribution, alpha, beta } = {}) {
  return one("random", there([]), [["shape", "text", shape], ["distribution", "text", distribution], ["alpha", "number", alpha], ["beta", "number", beta]]);
}

/**
 * `start, start + delta, start + 2 delta, ...`: no operands to `f32` or `i32` `[length]`, where the length may
 * be a multiple of the batch.
 * `dtype`: The elements' type, `f32` or `i32`.
 * `length`: How many elements there are.
 * `start`: The first element.
 * `delta`: The difference between neighbours.
 */
export function range(length, { dtype, start, delta } = {}) {
  return one("range", there([]), [["dtype", "text", dtype], ["length", "text", length], ["start", "number", start], ["delta", "number", delta]]);
}
