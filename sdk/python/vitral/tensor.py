"""Symbolic tensors: ops on them are recorded, not computed.

Ops have the names and meanings of the W3C WebNN operators, in snake case; `vitral plugin contract ops` lists them.
An op that does not fit is reported when the trace ends, with its label and all shapes.
"""

from contextlib import contextmanager
from dataclasses import dataclass

from .ops import Ops


class Dim:
    """A multiple of the batch, as a dimension of a shape: `B`, `4 * B`."""

    __slots__ = ("count",)

    def __init__(self, count):
        self.count = count

    def __mul__(self, factor):
        return Dim(self.count * factor)

    __rmul__ = __mul__

    def __floordiv__(self, divisor):
        count, rest = divmod(self.count, divisor)
        if rest:
            raise ValueError(f"{self} cannot be divided by {divisor}")
        return Dim(count)

    def __eq__(self, other):
        return isinstance(other, Dim) and self.count == other.count

    def __hash__(self):
        return hash(("B", self.count))

    def __repr__(self):
        return "B" if self.count == 1 else f"{self.count}B"


#: The batch.
B = Dim(1)


def _dim(text):
    return Dim(int(text[:-1] or 1)) if text.endswith("B") else int(text)


class Tensor(Ops):
    """A symbolic tensor of the trace that is going on; of use only during the call that gave it."""

    __slots__ = ("_handle", "_is_own")

    def __init__(self, handle, is_own=True):
        self._handle = handle
        self._is_own = is_own

    @property
    def shape(self):
        """The dimensions: integers, and multiples of the batch. None if the tensor follows from an error."""
        found = self._handle.type()
        if found is None:
            return None
        inside = found[found.index("[") + 1 : -1]
        return tuple(_dim(text) for text in inside.split(",")) if inside else ()

    @property
    def dtype(self):
        """`f32`, `i32` or `bool`; None if the tensor follows from an error."""
        found = self._handle.type()
        return found and found[: found.index("[")]

    def __neg__(self):
        return self.neg()

    def __abs__(self):
        return self.abs()

    def __add__(self, other):
        return self.add(other)

    def __radd__(self, other):
        return _number(other, self).add(self)

    def __sub__(self, other):
        return self.sub(other)

    def __rsub__(self, other):
        return _number(other, self).sub(self)

    def __mul__(self, other):
        return self.mul(other)

    def __rmul__(self, other):
        return _number(other, self).mul(self)

    def __truediv__(self, other):
        return self.div(other)

    def __rtruediv__(self, other):
        return _number(other, self).div(self)

    def __pow__(self, other):
        return self.pow(other)

    def __rpow__(self, other):
        return _number(other, self).pow(self)

    def __matmul__(self, other):
        return self.matmul(other)

    def __lt__(self, other):
        return self.lesser(other)

    def __le__(self, other):
        return self.lesser_or_equal(other)

    def __gt__(self, other):
        return self.greater(other)

    def __ge__(self, other):
        return self.greater_or_equal(other)

    def __bool__(self):
        raise TypeError("a trace sees shapes, not values: use `where` to choose between tensors")

    def __repr__(self):
        return f"Tensor({self._handle.type() or 'of an error'})"


def _number(value, like):
    """A number as a tensor of the same type as another."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"an op takes tensors and numbers, not {type(value).__name__}")
    dtype = (like.dtype if like is not None else None) or "f32"
    return apply("constant", [], [("type", "text", f"{dtype}[]"), ("values", "numbers", [value])])[0]


def _operands(op, given):
    """Tensors, with numbers among them as constants of the others' type."""
    # A condition has a type of its own.
    typed = given[1:] if op == "where" else given
    like = next((operand for operand in typed if isinstance(operand, Tensor)), None)
    return [_number(operand, like) for operand in given]


def _text(value):
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(str(item) for item in value) + "]"
    return str(value)


def _value(kind, value):
    from wit_world.imports import tensors as wit

    if kind == "boolean":
        return wit.AttributeValue_Boolean(bool(value))
    if kind == "integer":
        return wit.AttributeValue_Integer(int(value))
    if kind == "number":
        return wit.AttributeValue_Number(float(value))
    if kind == "integers":
        return wit.AttributeValue_Integers([int(item) for item in value])
    if kind == "numbers":
        values = value if isinstance(value, (list, tuple)) else [value]
        return wit.AttributeValue_Numbers([float(item) for item in values])
    return wit.AttributeValue_Text(_text(value))


_labels = []


@contextmanager
def label(name):
    """Names the ops inside, for errors and for people who read the program. Labels nest: `outer/inner`."""
    _labels.append(name)
    try:
        yield
    finally:
        _labels.pop()


def apply(op, operands, attributes):
    """Applies an op by name, with attributes as (name, kind, value); gives its results."""
    from wit_world.imports import tensors as wit

    passed = [wit.Attribute(name, _value(kind, value)) for name, kind, value in attributes if value is not None]
    handles = [operand._handle for operand in _operands(op, operands)]
    return [Tensor(handle) for handle in wit.apply(op, passed, handles, "/".join(_labels))]


@dataclass
class Constant:
    """A parameter that starts with this value everywhere."""

    value: float


@dataclass
class Normal:
    """Normal around zero."""

    deviation: float


@dataclass
class TruncatedNormal:
    """Normal cut at two deviations and rescaled to this deviation."""

    deviation: float


@dataclass
class Uniform:
    """Uniform between plus and minus this."""

    limit: float


@dataclass
class XavierUniform:
    """Uniform with limit `sqrt(6 / (inputs + outputs))`."""

    inputs: int
    outputs: int


def parameter(name, shape, start, decay=False):
    """Declares a trainable `f32` parameter, which the trainer owns, optimises and saves.

    `start` is a number or an initialiser; `decay` says whether weight decay applies.
    """
    from wit_world.imports import tensors as wit

    if isinstance(start, Normal):
        initializer = wit.Initializer_Normal(start.deviation)
    elif isinstance(start, TruncatedNormal):
        initializer = wit.Initializer_TruncatedNormal(start.deviation)
    elif isinstance(start, Uniform):
        initializer = wit.Initializer_Uniform(start.limit)
    elif isinstance(start, XavierUniform):
        initializer = wit.Initializer_XavierUniform(wit.Fans(start.inputs, start.outputs))
    else:
        value = start.value if isinstance(start, Constant) else start
        initializer = wit.Initializer_Constant(float(value))
    if any(isinstance(side, Dim) for side in shape):
        raise ValueError(f"parameter `{name}` has the batch in its shape")
    return Tensor(wit.parameter(name, [int(side) for side in shape], initializer, decay))


def lent(handle):
    """A tensor that the host lends for the call."""
    return Tensor(handle, is_own=False)


def given(tensors):
    """The handles of results, each a tensor of its own: neither lent nor given twice."""
    handles = []
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"a trace gives tensors, not {type(tensor).__name__}")
        if not tensor._is_own:
            tensor = tensor.identity()
        tensor._is_own = False
        handles.append(tensor._handle)
    return handles
