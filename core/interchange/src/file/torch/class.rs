//! What a pickle may name. Nothing is imported or called: a name stands for one of these few rules.

use crate::file::element::Element;

/// What a name in a pickle stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// A dictionary, from nothing or from pairs.
    Dict,
    /// `torch.Size`: a tuple.
    Size,
    /// Something of Python's, NumPy's or PyTorch's that holds no weights, whatever it is made of.
    Plain,
    /// A type of storage.
    Storage(Kind),
    /// A tensor from a storage, an offset, a shape and strides.
    Tensor,
    /// A parameter from a tensor.
    Parameter,
    /// A tensor that has attributes: what makes it, its type, and what that takes.
    FromType,
}

/// What a storage has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Numbers(Element),
    /// Integers or truth values, in PyTorch's words.
    Integers(&'static str),
}

impl Class {
    /// What a name stands for; none if it is not one of those that are known to do no harm.
    pub(super) fn named(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict" | "Counter") | ("builtins" | "__builtin__", "dict") => {
                Self::Dict
            }
            ("builtins" | "__builtin__", "set" | "frozenset" | "bytearray")
            | ("argparse", "Namespace")
            | ("_codecs", "encode")
            | ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar")
            | ("numpy", "dtype")
            | ("torch", "device") => Self::Plain,
            ("numpy.dtypes", name) if name.ends_with("DType") => Self::Plain,
            ("torch", "Size") => Self::Size,
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Self::Tensor,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state")
            | ("torch.nn.parameter", "Parameter")
            | ("torch", "Tensor") => Self::Parameter,
            ("torch._tensor", "_rebuild_from_type_v2") => Self::FromType,
            ("torch", name) if is_dtype(name) => Self::Plain,
            ("torch", name) => Self::Storage(storage(name)?),
            _ => return None,
        })
    }
}

fn storage(name: &str) -> Option<Kind> {
    Some(match name {
        "FloatStorage" => Kind::Numbers(Element::F32),
        "HalfStorage" => Kind::Numbers(Element::F16),
        "BFloat16Storage" => Kind::Numbers(Element::BF16),
        "DoubleStorage" => Kind::Numbers(Element::F64),
        "LongStorage" => Kind::Integers("int64"),
        "IntStorage" => Kind::Integers("int32"),
        "ShortStorage" => Kind::Integers("int16"),
        "CharStorage" => Kind::Integers("int8"),
        "ByteStorage" => Kind::Integers("uint8"),
        "BoolStorage" => Kind::Integers("bool"),
        _ => return None,
    })
}

fn is_dtype(name: &str) -> bool {
    matches!(
        name,
        "float32"
            | "float16"
            | "bfloat16"
            | "float64"
            | "int64"
            | "int32"
            | "int16"
            | "int8"
            | "uint8"
            | "bool"
            | "complex64"
            | "complex128"
    )
}
