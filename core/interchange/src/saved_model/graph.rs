//! A TensorFlow graph under construction.

use vitral_program::{DType, Dim, TensorType};

use crate::{
    graph::{Arithmetic, Builder, Dimensions, Ledger, Sizes, Value, Weight, bytes_of},
    protobuf::Message,
};

/// TensorFlow's numbers for element types.
pub(super) const FLOAT: i64 = 1;
pub(super) const INT32: i64 = 3;
pub(super) const UINT8: i64 = 4;
pub(super) const STRING: i64 = 7;
pub(super) const BOOL: i64 = 10;
pub(super) const HALF: i64 = 19;

/// A TensorFlow graph under construction. Its values are known as `node` or `node:1`.
pub(crate) struct TensorFlow {
    pub(super) nodes: Vec<Message>,
    pub(super) variables: Vec<Weight>,
    pub(super) input: Option<(String, i64, TensorType)>,
    pub(super) output: Option<(String, String, TensorType)>,
    ledger: Ledger,
    pub(super) f16: bool,
}

impl Builder for TensorFlow {
    const FORMAT: &'static str = "TensorFlow";

    fn input(&mut self, name: &str, r#type: &TensorType, pixels: bool) -> String {
        let code = if pixels { UINT8 } else { code(r#type.dtype) };
        let node = "serving_default_images";
        let shape = Message::new().message(7, &self.dims_of(r#type));
        self.add(node, "Placeholder", &[], &[("dtype", of_type(code)), ("shape", shape)]);
        self.input = Some((name.to_owned(), code, r#type.clone()));
        if !pixels {
            return node.to_owned();
        }
        self.ledger.move_to("normalize");
        self.node("Cast", &[node], &[("SrcT", of_type(code)), ("DstT", of_type(FLOAT))])
    }

    fn parameter(&mut self, name: &str, r#type: &TensorType) -> String {
        let weight = Weight::of(name, r#type, self.f16);
        let stored = if self.f16 { HALF } else { FLOAT };
        self.variable(name, &weight.sizes, stored);
        self.variables.push(weight);
        let value = format!("{name}/Read");
        self.add(&value, "ReadVariableOp", &[name], &[("dtype", of_type(stored))]);
        if !self.f16 {
            return value;
        }
        self.ledger.move_to(name);
        self.node("Cast", &[&value], &[("SrcT", of_type(HALF)), ("DstT", of_type(FLOAT))])
    }

    fn constant(&mut self, r#type: &TensorType, values: &[f64]) -> String {
        let sizes = r#type.shape.sizes().unwrap_or_default();
        self.stored(code(r#type.dtype), &sizes, &bytes_of(r#type.dtype, values))
    }

    fn plain(&mut self, kind: &'static str, operands: &[Value], _: &TensorType) -> String {
        let names: Vec<_> = operands.iter().map(|operand| operand.name.as_str()).collect();
        // The type of the values; the condition of a choice comes before them.
        let values = operands.last().map_or(DType::F32, |operand| operand.r#type.dtype);
        match kind {
            "LogicalNot" | "LogicalAnd" | "LogicalOr" => self.node(kind, &names, &[]),
            _ => self.node(kind, &names, &[("T", of_type(code(values)))]),
        }
    }

    fn output(&mut self, name: &str, value: &Value) {
        let r#type = &value.r#type;
        self.add(name, "Identity", &[&value.name], &[("T", of_type(code(r#type.dtype)))]);
        self.output = Some((name.to_owned(), name.to_owned(), r#type.clone()));
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn ledger_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }
}

/// Each size is a scalar.
impl Dimensions for TensorFlow {
    fn input_size(&mut self, axis: usize) -> String {
        let (input, code) = match &self.input {
            Some((_, code, _)) => ("serving_default_images", *code),
            None => ("", FLOAT),
        };
        let sizes =
            self.node("Shape", &[input], &[("T", of_type(code)), ("out_type", of_type(INT32))]);
        let [start, end, one] = [axis as i32, axis as i32 + 1, 1].map(|value| self.ints(&[value]));
        let attributes =
            [("T", of_type(INT32)), ("Index", of_type(INT32)), ("shrink_axis_mask", of_int(1))];
        self.node("StridedSlice", &[&sizes, &start, &end, &one], &attributes)
    }

    fn size(&mut self, value: usize) -> String {
        self.int(value as i32)
    }

    fn listed(&mut self, values: &[usize]) -> String {
        self.ints(&values.iter().map(|&value| value as i32).collect::<Vec<_>>())
    }

    fn computed(&mut self, operation: Arithmetic, operands: [&str; 2]) -> String {
        let kind = match operation {
            Arithmetic::Sum => "AddV2",
            Arithmetic::Product => "Mul",
            Arithmetic::Quotient => "FloorDiv",
        };
        self.node(kind, &operands, &[("T", of_type(INT32))])
    }

    fn beside(&mut self, parts: &[String]) -> String {
        let parts: Vec<_> = parts.iter().map(String::as_str).collect();
        let attributes =
            [("N", of_int(parts.len() as i64)), ("T", of_type(INT32)), ("axis", of_int(0))];
        self.node("Pack", &parts, &attributes)
    }
}

/// An attribute by its name.
pub(super) type Attribute<'a> = (&'a str, Message);

impl TensorFlow {
    pub(super) fn new(f16: bool, sizes: Sizes) -> Self {
        Self {
            nodes: Vec::new(),
            variables: Vec::new(),
            input: None,
            output: None,
            ledger: Ledger::new(sizes),
            f16,
        }
    }

    /// A node of a new name in the present place; gives the name.
    pub(super) fn node(
        &mut self,
        kind: &str,
        inputs: &[&str],
        attributes: &[Attribute<'_>],
    ) -> String {
        let name = self.ledger.name(kind);
        self.add(&name, kind, inputs, attributes);
        name
    }

    pub(super) fn add(
        &mut self,
        name: &str,
        kind: &str,
        inputs: &[&str],
        attributes: &[Attribute<'_>],
    ) {
        let node = Message::new().text(1, name).text(2, kind);
        let node = inputs.iter().fold(node, |node, input| node.text(3, input));
        let attributes = attributes.iter();
        self.nodes.push(attributes.fold(node, |node, (name, value)| node.entry(5, name, value)));
    }

    /// A constant; equal ones are kept once.
    pub(super) fn stored(&mut self, code: i64, sizes: &[usize], bytes: &[u8]) -> String {
        let (name, is_new) = self.ledger.constant(code, sizes, bytes);
        if is_new {
            let value = Message::new().int(1, code).message(2, &sizes_of(sizes)).bytes(4, bytes);
            let value = Message::new().message(8, &value);
            self.add(&name, "Const", &[], &[("dtype", of_type(code)), ("value", value)]);
        }
        name
    }

    /// Integers, as shapes and axes are given.
    pub(super) fn ints(&mut self, values: &[i32]) -> String {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.stored(INT32, &[values.len()], &bytes)
    }

    pub(super) fn int(&mut self, value: i32) -> String {
        self.stored(INT32, &[], &value.to_le_bytes())
    }

    /// A variable's handle, and what would initialise it if it were not restored.
    fn variable(&mut self, name: &str, sizes: &[usize], stored: i64) {
        let shape = Message::new().message(7, &sizes_of(sizes));
        let attributes = [
            ("dtype", of_type(stored)),
            ("shape", shape),
            ("container", of_text("")),
            ("shared_name", of_text(name)),
        ];
        self.add(name, "VarHandleOp", &[], &attributes);
        let dims: Vec<_> = sizes.iter().map(|&size| size as i32).collect();
        let dims = self.ints(&dims);
        let zero = match stored {
            HALF => vec![0; 2],
            _ => vec![0; 4],
        };
        let zero = self.stored(stored, &[], &zero);
        let zeros = format!("{name}/zeros");
        let attributes = [("T", of_type(stored)), ("index_type", of_type(INT32))];
        self.add(&zeros, "Fill", &[&dims, &zero], &attributes);
        let assign = format!("{name}/Assign");
        self.add(&assign, "AssignVariableOp", &[name, &zeros], &[("dtype", of_type(stored))]);
    }

    /// Whether another graph is the same.
    pub(super) fn same(&self, other: &Self) -> bool {
        let nodes = self.nodes.iter().map(Message::as_bytes);
        nodes.eq(other.nodes.iter().map(Message::as_bytes))
    }

    /// A shape with what the input decides unknown.
    pub(super) fn dims_of(&self, r#type: &TensorType) -> Message {
        let dims = r#type.shape.dims().iter();
        let size = |&dim: &Dim| self.sizes().fixed(dim).map_or(-1, |size| size as i64);
        shape_message(&dims.map(size).collect::<Vec<_>>())
    }
}

/// TensorFlow's number for an element type.
pub(super) const fn code(dtype: DType) -> i64 {
    match dtype {
        DType::F32 => FLOAT,
        DType::I32 => INT32,
        DType::Bool => BOOL,
    }
}

/// Values of attributes.
pub(super) fn of_type(code: i64) -> Message {
    Message::new().int(6, code)
}

pub(super) fn of_int(value: i64) -> Message {
    Message::new().int(3, value)
}

/// A list attribute's length.
pub(super) fn count(values: usize) -> Message {
    of_int(values as i64)
}

pub(super) fn of_bool(value: bool) -> Message {
    Message::new().int(5, value.into())
}

pub(super) fn of_text(value: &str) -> Message {
    Message::new().text(2, value)
}

pub(super) fn of_ints(values: &[i64]) -> Message {
    Message::new().message(1, &Message::new().packed(3, values))
}

pub(super) fn of_types(codes: &[i64]) -> Message {
    Message::new().message(1, &Message::new().packed(6, codes))
}

pub(super) fn sizes_of(sizes: &[usize]) -> Message {
    shape_message(&sizes.iter().map(|&size| size as i64).collect::<Vec<_>>())
}

fn shape_message(sizes: &[i64]) -> Message {
    let dims: Vec<_> = sizes.iter().map(|&size| Message::new().int(1, size)).collect();
    Message::new().messages(2, &dims)
}
