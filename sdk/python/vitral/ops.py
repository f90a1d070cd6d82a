"""The ops of tensor programs. Made from vitral-program by the tests of vitral-author; do not edit."""


def _there(*operands):
    return [operand for operand in operands if operand is not None]


def _several(op, operands, attributes, count):
    from .tensor import apply

    results = apply(op, operands, attributes)
    # Where an op does not fit there may be fewer, each of which is an error.
    return results + results[:1] * (count - len(results))


def _one(op, operands, attributes):
    return _several(op, operands, attributes, 1)[0]


class Ops:
    """Ops whose first operand is a tensor."""

    __slots__ = ()

    def abs(self):
        """The absolute value of each element, `f32` or `i32` of any shape to the same."""
        return _one("abs", _there(self), [])

    def add(self, b):
        """`a + b`, `f32` or `i32` (which wraps around), of shapes that broadcast."""
        return _one("add", _there(self, b), [])

    def average_pool2d(self, window_dimensions, padding=None, strides=None, layout=None):
        """The mean over each window, in every channel by itself, `f32` images to images. Padding does not count:
        a window at the border averages what it has of the image.
        `window_dimensions`: Height and width of a window.
        `padding`: What is added around the image: at the top, bottom, left and right, less than a window.
        `strides`: Steps from window to window along height and width.
        `layout`: Where the channels stand.
        """
        return _one("averagePool2d", _there(self), [("windowDimensions", "integers", window_dimensions), ("padding", "integers", padding), ("strides", "integers", strides), ("layout", "text", layout)])

    def cast(self, to):
        """Each element as another type, any type and shape to the same shape. `f32` to `i32` cuts the fraction
        off and stops at the smallest and largest integer; anything but zero is true.
        `to`: The type to turn into.
        """
        return _one("cast", _there(self), [("to", "text", to)])

    def ceil(self):
        """The least integer that is not below each element, `f32` of any shape to the same."""
        return _one("ceil", _there(self), [])

    def clamp(self, min_value=None, max_value=None):
        """Each element, no less than a minimum and no more than a maximum, `f32` or `i32` of any shape to the
        same.
        `min_value`: The least result.
        `max_value`: The greatest result, which is not below the least.
        """
        return _one("clamp", _there(self), [("minValue", "number", min_value), ("maxValue", "number", max_value)])

    def conv2d(self, filter, bias=None, padding=None, strides=None, dilations=None, groups=None, input_layout=None):
        """A convolution (as everywhere, the filter is not mirrored): `f32` images, a filter `[out, in / groups,
        height, width]` and a bias `[out]` to images with `out` channels.
        `padding`: Zeros added around the image: at the top, bottom, left and right.
        `strides`: Steps from window to window along height and width.
        `dilations`: Steps from place to place within a window along height and width.
        `groups`: Into how many groups the channels fall, each seeing only itself.
        `input_layout`: Where the channels stand in input and result.
        """
        return _one("conv2d", _there(self, filter, bias), [("padding", "integers", padding), ("strides", "integers", strides), ("dilations", "integers", dilations), ("groups", "integer", groups), ("inputLayout", "text", input_layout)])

    def cos(self):
        """The cosine of each element in radians, `f32` of any shape to the same."""
        return _one("cos", _there(self), [])

    def cumulative_sum(self, axis, exclusive=None, reversed=None):
        """Each element replaced by the sum of all up to it along an axis, `f32` or `i32` (which wraps around) of
        any shape to the same.
        `axis`: The axis to sum along.
        `exclusive`: Whether an element is left out of its own sum.
        `reversed`: Whether to sum from the end.
        """
        return _one("cumulativeSum", _there(self), [("axis", "integer", axis), ("exclusive", "boolean", exclusive), ("reversed", "boolean", reversed)])

    def div(self, b):
        """`a / b`, `f32` of shapes that broadcast."""
        return _one("div", _there(self, b), [])

    def dropout(self, rate):
        """In training, sets each element to zero with probability `rate` and divides the others by `1 - rate`; in
        evaluation, leaves all as they are. `f32` of any shape to the same.
        `rate`: How likely an element is dropped, from 0 to below 1.
        """
        return _one("dropout", _there(self), [("rate", "number", rate)])

    def elu(self, alpha=None):
        """`x` where it is positive, else `alpha (exp(x) - 1)`, for each element, `f32` of any shape to the same.
        `alpha`: Minus the limit for negative elements.
        """
        return _one("elu", _there(self), [("alpha", "number", alpha)])

    def equal(self, b):
        """Whether `a = b`, two of one type and of shapes that broadcast, to `bool`."""
        return _one("equal", _there(self, b), [])

    def erf(self):
        """The Gauss error function of each element, `f32` of any shape to the same."""
        return _one("erf", _there(self), [])

    def exp(self):
        """`e` to the power of each element, `f32` of any shape to the same."""
        return _one("exp", _there(self), [])

    def expand(self, new_shape):
        """The operand repeated along dimensions of size 1 and along new ones in front, any type and a shape that
        broadcasts to the new one, to the new one.
        `new_shape`: The result's shape.
        """
        return _one("expand", _there(self), [("newShape", "text", new_shape)])

    def floor(self):
        """The greatest integer that is not above each element, `f32` of any shape to the same."""
        return _one("floor", _there(self), [])

    def gather(self, indices, axis=None):
        """Slices of the input by index along an axis: any type `[a.., n, b..]` and `i32` indices `[i..]` to
        `[a.., i.., b..]`. Indices are from `-n` to `n - 1`, negative ones counted from the end; others are
        taken as the nearest of these.
        `axis`: The input's axis that the indices are for.
        """
        return _one("gather", _there(self, indices), [("axis", "integer", axis)])

    def gather_elements(self, indices, axis=None):
        """Elements of the input by index along an axis: any type and `i32` indices of the same rank, to the
        indices' shape. Except along the axis, both have equal dimensions. The result at `[a.., i, b..]` is the
        input at `[a.., indices[a.., i, b..], b..]`; indices are as in `gather`.
        `axis`: The input's axis that the indices are for.
        """
        return _one("gatherElements", _there(self, indices), [("axis", "integer", axis)])

    def gelu(self):
        """`0.5 x (1 + erf(x / sqrt(2)))` for each element, the exact GELU, `f32` of any shape to the same."""
        return _one("gelu", _there(self), [])

    def gelu_tanh(self):
        """`0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))` for each element, the GELU approximated with tanh,
        `f32` of any shape to the same.
        """
        return _one("geluTanh", _there(self), [])

    def greater(self, b):
        """Whether `a > b`, both `f32` or both `i32`, of shapes that broadcast, to `bool`."""
        return _one("greater", _there(self, b), [])

    def greater_or_equal(self, b):
        """Whether `a >= b`, both `f32` or both `i32`, of shapes that broadcast, to `bool`."""
        return _one("greaterOrEqual", _there(self, b), [])

    def hard_swish(self):
        """`x max(0, min(6, x + 3)) / 6` for each element, `f32` of any shape to the same."""
        return _one("hardSwish", _there(self), [])

    def identity(self):
        """Each element as it is, of any type and shape."""
        return _one("identity", _there(self), [])

    def layer_normalization(self, axes, scale=None, bias=None, epsilon=None):
        """`(x - mean) / sqrt(variance + epsilon) * scale + bias`, with mean and (biased) variance over some axes:
        `f32` of any shape to the same. Scale and bias have the shape of the input along the axes alone: `[64]`
        for `[B, 49, 64]` and axis 2.
        `axes`: The axes to normalise over, in ascending order.
        `epsilon`: Added to the variance, more than 0.
        """
        return _one("layerNormalization", _there(self, scale, bias), [("axes", "integers", axes), ("epsilon", "number", epsilon)])

    def leaky_relu(self, alpha=None):
        """`x` where it is positive, else `alpha x`, for each element, `f32` of any shape to the same.
        `alpha`: Slope for negative elements.
        """
        return _one("leakyRelu", _there(self), [("alpha", "number", alpha)])

    def lesser(self, b):
        """Whether `a < b`, both `f32` or both `i32`, of shapes that broadcast, to `bool`."""
        return _one("lesser", _there(self, b), [])

    def lesser_or_equal(self, b):
        """Whether `a <= b`, both `f32` or both `i32`, of shapes that broadcast, to `bool`."""
        return _one("lesserOrEqual", _there(self, b), [])

    def linear(self, weight, bias=None):
        """A linear layer, `input @ weight + bias`: `f32` `[.., in]`, weight `[in, out]` and bias `[out]` to `[..,
        out]`.
        """
        return _one("linear", _there(self, weight, bias), [])

    def log(self):
        """The natural logarithm of each element, `f32` of any shape to the same."""
        return _one("log", _there(self), [])

    def logical_and(self, b):
        """Whether both are true, `bool` of shapes that broadcast."""
        return _one("logicalAnd", _there(self, b), [])

    def logical_not(self):
        """Whether each element is false, `bool` of any shape to the same."""
        return _one("logicalNot", _there(self), [])

    def logical_or(self, b):
        """Whether at least one is true, `bool` of shapes that broadcast."""
        return _one("logicalOr", _there(self, b), [])

    def logical_xor(self, b):
        """Whether exactly one is true, `bool` of shapes that broadcast."""
        return _one("logicalXor", _there(self, b), [])

    def matmul(self, b):
        """The matrix product, `f32` `[.., n, k]` and `[.., k, m]` to `[.., n, m]`. The leading dimensions
        broadcast.
        """
        return _one("matmul", _there(self, b), [])

    def max(self, b):
        """The greater of both, `f32` or `i32` of shapes that broadcast."""
        return _one("max", _there(self, b), [])

    def min(self, b):
        """The lesser of both, `f32` or `i32` of shapes that broadcast."""
        return _one("min", _there(self, b), [])

    def mul(self, b):
        """`a b`, `f32` or `i32` (which wraps around), of shapes that broadcast."""
        return _one("mul", _there(self, b), [])

    def neg(self):
        """Each element with the other sign, `f32` or `i32` of any shape to the same."""
        return _one("neg", _there(self), [])

    def not_equal(self, b):
        """Whether `a` and `b` differ, two of one type and of shapes that broadcast, to `bool`."""
        return _one("notEqual", _there(self, b), [])

    def pad(self, beginning_padding, ending_padding, value=None):
        """The operand with elements of one value added around it, any type; each dimension grows by what is added
        before and after. The batch cannot be padded.
        `beginning_padding`: How many to add before each dimension.
        `ending_padding`: How many to add after each dimension.
        `value`: The value of what is added.
        """
        return _one("pad", _there(self), [("beginningPadding", "integers", beginning_padding), ("endingPadding", "integers", ending_padding), ("value", "number", value)])

    def pow(self, b):
        """`a` to the power of `b`, `f32` of shapes that broadcast."""
        return _one("pow", _there(self, b), [])

    def reciprocal(self):
        """One divided by each element, `f32` of any shape to the same."""
        return _one("reciprocal", _there(self), [])

    def reduce_l1(self, axes, keep_dimensions=None):
        """The sum of absolute values along axes, `f32`, whose dimensions vanish or become 1.
        `axes`: The axes to reduce, in ascending order.
        `keep_dimensions`: Whether reduced dimensions stay, with size 1.
        """
        return _one("reduceL1", _there(self), [("axes", "integers", axes), ("keepDimensions", "boolean", keep_dimensions)])

    def reduce_l2(self, axes, keep_dimensions=None):
        """The Euclidean norm along axes, `f32`, whose dimensions vanish or become 1.
        `axes`: The axes to reduce, in ascending order.
        `keep_dimensions`: Whether reduced dimensions stay, with size 1.
        """
        return _one("reduceL2", _there(self), [("axes", "integers", axes), ("keepDimensions", "boolean", keep_dimensions)])

    def reduce_log_sum(self, axes, keep_dimensions=None):
        """The logarithm of the sum along axes, `f32`, whose dimensions vanish or become 1.
        `axes`: The axes to reduce, in ascending order.
        `keep_dimensions`: Whether reduced dimensions stay, with size 1.
        """
        return _one("reduceLogSum", _there(self), [("axes", "integers", axes), ("keepDimensions", "boolean", keep_dimensions)])

    def reduce_log_sum_exp(self, axes, keep_dimensions=None):
        """The logarithm of the sum of exponentials along axes, `f32`, whose dimensions vanish or become 1. Large
        elements do not overflow.
        `axes`: The axes to reduce, in ascending order.
        `keep_dimensions`: Whether reduced dimensions stay, with size 1.
        """
        return _one("reduceLogSumExp", _there(self), [("axes", "integers", axes), ("keepDimensions", "boolean", keep_dimensions)])

    def reduce_max(self, axes, keep_dimensions=None):
        """The largest along axes, `f32` or `i32`, whose dimensions vanish or become 1.
        `axes`: The axes to reduce, in ascending order.
        `keep_dimensions`: Whether reduced dimensions stay, with size 1.
        """
        return _one("reduceMax", _there(self), [("axes", "integers", axes), ("keepDimensions", "boolean", keep_dimensions)])

    def reduce_mean(self, axes, keep_dimensions=None):
        """The mean along axes, `f32`, whose dimensions vanish or become 1.
        `axes`: The axes to reduce, in ascending order.
        `keep_dimensions`: Whether reduced dimensions stay, with size 1.
        """
        return _one("reduceMean", _there(self), [("axes", "integers", axes), ("keepDimensions", "boolean", keep_dimensions)])

    def reduce_min(self, axes, keep_dimensions=None):
        """The smallest along axes, `f32` or `i32`, whose dimensions vanish or become 1.
        `axes`: The axes to reduce, in ascending order.
        `keep_dimensions`: Whether reduced dimensions stay, with size 1.
        """
        return _one("reduceMin", _there(self), [("axes", "integers", axes), ("keepDimensions", "boolean", keep_dimensions)])

    def reduce_product(self, axes, keep_dimensions=None):
        """The product along axes, `f32`, whose dimensions vanish or become 1.
        `axes`: The axes to reduce, in ascending order.
        `keep_dimensions`: Whether reduced dimensions stay, with size 1.
        """
        return _one("reduceProduct", _there(self), [("axes", "integers", axes), ("keepDimensions", "boolean", keep_dimensions)])

    def reduce_sum(self, axes, keep_dimensions=None):
        """The sum along axes, `f32` or `i32` (which wraps around), whose dimensions vanish or become 1.
        `axes`: The axes to reduce, in ascending order.
        `keep_dimensions`: Whether reduced dimensions stay, with size 1.
        """
        return _one("reduceSum", _there(self), [("axes", "integers", axes), ("keepDimensions", "boolean", keep_dimensions)])

    def reduce_sum_square(self, axes, keep_dimensions=None):
        """The sum of squares along axes, `f32`, whose dimensions vanish or become 1.
        `axes`: The axes to reduce, in ascending order.
        `keep_dimensions`: Whether reduced dimensions stay, with size 1.
        """
        return _one("reduceSumSquare", _there(self), [("axes", "integers", axes), ("keepDimensions", "boolean", keep_dimensions)])

    def relu(self):
        """Each element, or zero if it is negative, `f32` or `i32` of any shape to the same."""
        return _one("relu", _there(self), [])

    def reshape(self, new_shape):
        """The same elements, row-major, in another shape with as many, any type. The batch may be folded with
        other dimensions or unfolded: `[B, 4, 49]` to `[4B, 49]` and back.
        `new_shape`: The result's shape.
        """
        return _one("reshape", _there(self), [("newShape", "text", new_shape)])

    def reverse(self, axes):
        """The elements in the opposite order along some axes, any type and shape to the same.
        `axes`: The axes to reverse, in ascending order.
        """
        return _one("reverse", _there(self), [("axes", "integers", axes)])

    def round_even(self):
        """The integer nearest to each element, halves going to the even one, `f32` of any shape to the same."""
        return _one("roundEven", _there(self), [])

    def scaled_dot_product_attention(self, key, value, scale, bias=None):
        """`softmax(scale q kT + bias) v`: `f32` queries `[.., n, d]`, keys `[.., m, d]` and values `[.., m, e]`
        to `[.., n, e]`, with equal leading dimensions. The bias (or mask, of zeros and minus infinities)
        broadcasts to `[.., n, m]`.
        `scale`: What the scores are multiplied with, usually `1 / sqrt(d)`.
        """
        return _one("scaledDotProductAttention", _there(self, key, value, bias), [("scale", "number", scale)])

    def sigmoid(self):
        """`1 / (1 + exp(-x))` for each element, `f32` of any shape to the same."""
        return _one("sigmoid", _there(self), [])

    def sign(self):
        """-1, 0 or 1 by the sign of each element, `f32` or `i32` of any shape to the same."""
        return _one("sign", _there(self), [])

    def sin(self):
        """The sine of each element in radians, `f32` of any shape to the same."""
        return _one("sin", _there(self), [])

    def slice(self, starts, sizes, strides):
        """A window of the operand, any type: along each dimension, `sizes` elements from `starts` on, of which
        every `strides`-th is kept. A multiple of the batch can be cut only from its start, into a multiple of
        the batch, with stride 1.
        `starts`: Where the window starts along each dimension.
        `sizes`: The window's size along each dimension, as dimensions: `[B, 49]`.
        `strides`: Every how many elements of the window one is kept, along each dimension.
        """
        return _one("slice", _there(self), [("starts", "integers", starts), ("sizes", "text", sizes), ("strides", "integers", strides)])

    def softmax(self, axis):
        """`exp(x) / sum(exp(x))` along an axis, `f32` of any shape to the same. Large elements do not overflow.
        `axis`: The axis along which the result sums to 1.
        """
        return _one("softmax", _there(self), [("axis", "integer", axis)])

    def softplus(self):
        """`log(1 + exp(x))` for each element, `f32` of any shape to the same."""
        return _one("softplus", _there(self), [])

    def softsign(self):
        """`x / (1 + |x|)` for each element, `f32` of any shape to the same."""
        return _one("softsign", _there(self), [])

    def split(self, splits, axis):
        """The operand cut into parts along an axis, any type: as many results as there are sizes, each like the
        operand but of its size along the axis. The sizes add up to the dimension.
        `splits`: The size of each part along the axis, as dimensions: `[B, B]` or `[16, 16, 16]`.
        `axis`: The axis to cut.
        """
        return _several("split", _there(self), [("splits", "text", splits), ("axis", "integer", axis)], len(splits))

    def sqrt(self):
        """The square root of each element, `f32` of any shape to the same."""
        return _one("sqrt", _there(self), [])

    def sub(self, b):
        """`a - b`, `f32` or `i32` (which wraps around), of shapes that broadcast."""
        return _one("sub", _there(self, b), [])

    def tan(self):
        """The tangent of each element in radians, `f32` of any shape to the same."""
        return _one("tan", _there(self), [])

    def tanh(self):
        """The hyperbolic tangent of each element, `f32` of any shape to the same."""
        return _one("tanh", _there(self), [])

    def top_k(self, k, axis):
        """The `k` largest elements along an axis, in descending order: `f32` or `i32`, to two results with `k`
        elements along the axis, the values and their `i32` indices. Of equal elements, the first comes first.
        Along a multiple of the batch, `k` is one as well: with `k` the whole dimension this sorts, and sorting
        random numbers gives a random order.
        `k`: How many elements to keep, as a dimension: `8` or `B`.
        `axis`: The axis to look along.
        """
        return _several("topK", _there(self), [("k", "text", k), ("axis", "integer", axis)], 2)

    def transpose(self, permutation):
        """The axes in another order, any type: the result's axis `i` is the operand's axis `permutation[i]`.
        `permutation`: Each of the operand's axes once.
        """
        return _one("transpose", _there(self), [("permutation", "integers", permutation)])

    def triangular(self, upper=None, diagonal=None):
        """One triangle of each matrix of the last two dimensions, the rest set to zero or false, any type of
        shape `[.., rows, columns]` to the same. The upper triangle has the elements whose column is at least
        `row + diagonal`, the lower those whose column is at most that.
        `upper`: Whether to keep the upper triangle, rather than the lower.
        `diagonal`: The diagonal where it ends: 0 is the main one, 1 the one above it, -1 the one below.
        """
        return _one("triangular", _there(self), [("upper", "boolean", upper), ("diagonal", "integer", diagonal)])

    def where(self, true_value, false_value):
        """`trueValue` where the condition holds, else `falseValue`: a `bool` and two of one type, of shapes that
        broadcast, to that type.
        """
        return _one("where", _there(self, true_value, false_value), [])


def concat(inputs, axis):
    """The operands one after the other along an axis, all of one type and equal in every other dimension. Along
    the axis, either all or none are multiples of the batch.
    `axis`: The axis to join along.
    """
    return _one("concat", list(inputs), [("axis", "integer", axis)])


def constant(type_, values):
    """Values known in advance: no operands to the given type. Either one value for every element, and the shape
    may have the batch in it, or all values row-major.
    `type_`: The result's type.
    `values`: One value, or as many as there are elements.
    """
    return _one("constant", _there(), [("type", "text", type_), ("values", "numbers", values)])


def random(shape, distribution=None, alpha=None, beta=None):
    """Random numbers, drawn anew in each step of training and the same in each evaluation: no operands to `f32`
    of the given shape, which may have the batch in it.
    `shape`: The result's shape.
    `distribution`: What to draw from: `uniform` (from 0 to below 1), `normal` (mean 0, deviation 1) or `beta`.
    `alpha`: First parameter of `beta`, from 0.01 to 1000.
    `beta`: Second parameter of `beta`, from 0.01 to 1000.
    """
    return _one("random", _there(), [("shape", "text", shape), ("distribution", "text", distribution), ("alpha", "number", alpha), ("beta", "number", beta)])


def range_(length, dtype=None, start=None, delta=None):
    """`start, start + delta, start + 2 delta, ...`: no operands to `f32` or `i32` `[length]`, where the length
    may be a multiple of the batch.
    `dtype`: The elements' type, `f32` or `i32`.
    `length`: How many elements there are.
    `start`: The first element.
    `delta`: The difference between neighbours.
    """
    return _one("range", _there(), [("dtype", "text", dtype), ("length", "text", length), ("start", "number", start), ("delta", "number", delta)])
