//! Every op that a program may use, each declared once: documentation, operands, attributes, shape
//! rule and reference implementation stand together in a file per family.
//!
//! Names and semantics are those of [W3C WebNN](https://www.w3.org/TR/webnn/) where it has the op.
//! Where a default of WebNN's depends on an operand's shape (`axes`, `permutation`, `strides` of a
//! slice), a program says it explicitly. `linear` is the layer, not WebNN's `alpha * x + beta`.
//! Names of ops and attributes are part of the serialised format.
//!
//! To add an op, declare it in its family's file with the next [`VERSION`] behind `@`, and name it in the list below.
//! The same goes for an attribute, which has a default where its op was there before.

mod arrange;
mod binary;
pub(crate) mod call;
mod compare;
mod create;
mod cut;
pub(crate) mod declare;
mod index;
mod noise;
mod normalize;
mod parametric;
mod product;
mod reduce;
#[cfg(test)]
pub(crate) mod testing;
mod unary;
mod window;

use crate::array::Array;
use crate::attribute::{Attribute, Attributes};
use crate::misfit::Misfit;
use crate::types::TensorType;
use call::Call;
use declare::{Declared, Rule, op_list};

pub use declare::{Arity, AttributeInfo, OpInfo, OperandInfo};

op_list! {
    unary {
        Abs, Ceil, Cos, Erf, Exp, Floor, Gelu, GeluTanh, HardSwish, Identity, Log, LogicalNot,
        Neg, Reciprocal, Relu, RoundEven, Sigmoid, Sign, Sin, Softplus, Softsign, Sqrt, Tan, Tanh,
    }
    parametric { Cast, Clamp, Elu, LeakyRelu }
    binary { Add, Div, LogicalAnd, LogicalOr, LogicalXor, Max, Min, Mul, Pow, Sub }
    compare { Equal, Greater, GreaterOrEqual, Lesser, LesserOrEqual, NotEqual, Where }
    create { Constant, Range }
    noise { Dropout, Random }
    arrange { Expand, Reshape, Reverse, Transpose, Triangular }
    cut { Concat, Pad, Slice, Split }
    index { Gather, GatherElements, TopK }
    reduce {
        CumulativeSum, ReduceL1, ReduceL2, ReduceLogSum, ReduceLogSumExp, ReduceMax, ReduceMean,
        ReduceMin, ReduceProduct, ReduceSum, ReduceSumSquare,
    }
    normalize { LayerNormalization, Softmax }
    product { Linear, Matmul, ScaledDotProductAttention }
    window { AveragePool2d, Conv2d }
}

pub use noise::Distribution;
pub use window::Layout;

/// The version of the op set: the largest `since` of an op or an attribute. It grows with what programs of before do
/// without, once for each release that brings any; what is there never goes and never changes its meaning.
pub const VERSION: u32 = {
    let (mut newest, mut at) = (1, 0);
    while at < ALL.len() {
        if ALL[at].newest() > newest {
            newest = ALL[at].newest();
        }
        at += 1;
    }
    newest
};

/// What is known about every op, in no particular order.
pub const fn all() -> &'static [OpInfo] {
    ALL
}

impl Op {
    /// The op's name in files and text.
    pub const fn name(&self) -> &'static str {
        self.info().name
    }

    /// An op from its name and attributes, as files and plugins give them.
    ///
    /// # Errors
    /// If there is no such op, or an attribute is missing, unknown or of the wrong kind.
    pub fn from_attributes(name: &str, attributes: Vec<Attribute>) -> Result<Self, Misfit> {
        let mut attributes = Attributes::new(attributes);
        let op = Self::read(name, &mut attributes);
        let op = op.ok_or_else(|| {
            let name = name.escape_debug();
            Misfit::new(format!(
                "there is no op `{name}` in op set {VERSION}, which this build has"
            ))
        })??;
        attributes.finish(op.info().attributes.iter().map(|attribute| attribute.name))?;
        Ok(op)
    }

    /// How many results there are.
    pub fn results(&self) -> usize {
        self.rule().results()
    }

    /// The types of the results.
    ///
    /// # Errors
    /// If operands or attributes do not fit; the message says what would.
    pub fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        self.check_count(operands.len())?;
        self.rule().infer(operands)
    }

    /// Floating-point operations of the matrix products in it for each item of a batch: two for each
    /// multiplication and addition, for types that [`infer`](Self::infer) takes and gives.
    pub fn products(&self, operands: &[TensorType], results: &[TensorType]) -> u64 {
        self.rule().products(operands, results)
    }

    pub(crate) fn run(&self, call: &Call<'_>) -> Vec<Array> {
        self.rule().run(call)
    }

    fn check_count(&self, count: usize) -> Result<(), Misfit> {
        let declared = self.info().operands;
        let optional = declared.iter().filter(|operand| operand.arity == Arity::Optional).count();
        let repeated = declared.iter().any(|operand| operand.arity == Arity::Repeated);
        let (least, most) = (declared.len() - optional, declared.len());
        if count >= least && (count <= most || repeated) {
            return Ok(());
        }
        let names: Vec<_> = declared.iter().map(|operand| operand.name).collect();
        let wanted = match (repeated, optional) {
            (true, _) => "at least 1".to_owned(),
            (_, 0) => most.to_string(),
            _ => format!("{least} to {most}"),
        };
        let names =
            if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
        Err(Misfit::new(format!("takes {wanted} operands{names}, not {count}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_op_has_its_own_name_and_documentation() {
        let mut names = HashSet::new();
        for info in all() {
            assert!(names.insert(info.name), "{} is declared twice", info.name);
            assert!(
                info.doc().len() > 20 && info.doc().ends_with('.'),
                "{}: {}",
                info.name,
                info.doc()
            );
            for attribute in info.attributes {
                let (name, doc) = (attribute.name, attribute.doc());
                assert!(doc.ends_with('.'), "{} {name}: {doc}", info.name);
                assert!(!name.contains('_'), "{name} is not in WebNN's style");
            }
        }
    }

    #[test]
    fn operands_are_counted() {
        let infer = |op: Op, count: usize| {
            let operands = vec!["f32[2,2]".parse().unwrap(); count];
            op.infer(&operands).unwrap_err().to_string()
        };
        assert_eq!(infer(Matmul {}.into(), 3), "takes 2 operands (a, b), not 3");
        assert_eq!(
            infer(Linear {}.into(), 1),
            "takes 2 to 3 operands (input, weight, bias), not 1"
        );
        assert_eq!(
            infer(Concat { axis: 0 }.into(), 0),
            "takes at least 1 operands (inputs), not 0"
        );
    }

    #[test]
    fn attributes_are_checked_by_name_kind_and_range() {
        use crate::attribute::AttributeValue as Value;
        let read = |name: &str, attributes: &[(&str, Value)]| {
            let attributes = attributes
                .iter()
                .map(|(name, value)| Attribute { name: (*name).to_owned(), value: value.clone() });
            Op::from_attributes(name, attributes.collect())
        };
        assert_eq!(read("softmax", &[("axis", Value::Int(2))]), Ok(Softmax { axis: 2 }.into()));
        assert_eq!(read("elu", &[]), Ok(Elu { alpha: 1.0 }.into()));
        assert_eq!(read("elu", &[("alpha", Value::Int(2))]), Ok(Elu { alpha: 2.0 }.into()));
        for (name, attributes, message) in [
            ("softmaxx", vec![], "there is no op `softmaxx`"),
            ("softmax", vec![], "attribute `axis` is missing"),
            ("softmax", vec![("axis", Value::Float(1.0))], "attribute `axis`: 1 is not an integer"),
            ("softmax", vec![("axis", Value::Int(-1))], "-1 is not an integer, not negative"),
            ("softmax", vec![("axis", Value::Int(1 << 40))], "of 32 bits"),
            (
                "abs",
                vec![("axis", Value::Int(1))],
                "unknown or repeated attribute `axis`: it takes none",
            ),
            (
                "softmax",
                vec![("axis", Value::Int(1)), ("axis", Value::Int(1))],
                "unknown or repeated attribute `axis`: it takes axis, each once",
            ),
            (
                "cast",
                vec![("to", Value::Text("f64".into()))],
                "attribute `to`: `f64` is not an element type",
            ),
            (
                "reshape",
                vec![("newShape", Value::Text("[B, B]".into()))],
                "the batch in two dimensions",
            ),
        ] {
            let error = read(name, &attributes).unwrap_err().to_string();
            assert!(error.contains(message), "{name}: {error}");
        }
    }
}
