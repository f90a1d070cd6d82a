//! What a program takes of memory and time, as its types tell before anything of it runs.

use std::ops::AddAssign;

use crate::ops::Op;
use crate::program::{Program, ValueId};
use crate::types::TensorType;

/// Bytes of an element. Truth values are counted alike: not every device has smaller ones.
const ELEMENT: u64 = 4;

/// What an op or a program takes for each item of a batch. What does not depend on the batch counts as
/// if it did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Bytes of all results, which is what training keeps.
    pub bytes: u64,
    /// Floating-point operations: two for each multiplication and addition of matrix products, and one
    /// for each element that anything else reads or writes.
    pub flops: u64,
}

impl Cost {
    /// What an op takes, whose operands and results are of these types.
    pub fn of(op: &Op, operands: &[TensorType], results: &[TensorType]) -> Self {
        let written = results.iter().map(TensorType::elements).fold(0, u64::saturating_add);
        let read = operands.iter().map(TensorType::elements).fold(written, u64::saturating_add);
        Self {
            bytes: written.saturating_mul(ELEMENT),
            flops: op.products(operands, results).saturating_add(read),
        }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.flops = self.flops.saturating_add(other.flops);
    }
}

impl Program {
    /// What all of its ops take for each item of a batch.
    pub fn cost(&self) -> Cost {
        let mut cost = Cost::default();
        self.nodes.iter().for_each(|node| cost += self.cost_of(node));
        cost
    }

    /// Floating-point operations of its matrix products for each item of a batch, which is where nearly
    /// all of those are that a usual attention takes.
    pub fn products(&self) -> u64 {
        let of = |node: &crate::Node| {
            let (operands, results) = self.types_of(node);
            node.op().products(&operands, &results)
        };
        self.nodes.iter().map(of).fold(0, u64::saturating_add)
    }

    /// The most bytes of values at the same time for each item of a batch, inputs included and parameters
    /// not, where each value goes after its last use; and the node that then runs. This is what evaluation
    /// takes.
    pub fn peak(&self) -> (u64, Option<usize>) {
        let mut last = vec![None; self.types.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            node.operands.iter().for_each(|operand| last[operand.index()] = Some(index));
        }
        for output in &self.outputs {
            last[output.value.index()] = Some(self.nodes.len());
        }
        let bytes = |value: ValueId| self.types[value.index()].elements().saturating_mul(ELEMENT);
        let inputs = (0..self.inputs.len()).map(|input| bytes(ValueId(input as u32)));
        let mut now = inputs.fold(0, u64::saturating_add);
        let (mut peak, mut place) = (now, None);
        // A parameter is there in any case.
        let given = self.inputs.len()..self.inputs.len() + self.parameters.len();
        for (index, node) in self.nodes.iter().enumerate() {
            now = node.results().map(bytes).fold(now, u64::saturating_add);
            if now > peak {
                (peak, place) = (now, Some(index));
            }
            let mut gone: Vec<_> =
                node.operands.iter().chain(&node.results().collect::<Vec<_>>()).copied().collect();
            gone.sort_unstable();
            gone.dedup();
            for value in gone {
                let is_over = last[value.index()].is_none_or(|last| last == index);
                if is_over && !given.contains(&value.index()) {
                    now = now.saturating_sub(bytes(value));
                }
            }
        }
        (peak, place)
    }

    fn cost_of(&self, node: &crate::Node) -> Cost {
        let (operands, results) = self.types_of(node);
        Cost::of(node.op(), &operands, &results)
    }

    fn types_of(&self, node: &crate::Node) -> (Vec<TensorType>, Vec<TensorType>) {
        let r#type = |id: ValueId| self.types[id.index()].clone();
        let operands = node.operands.iter().map(|&id| r#type(id)).collect();
        (operands, node.results().map(r#type).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, Tracer, ops};

    fn r#type(text: &str) -> TensorType {
        text.parse().unwrap()
    }

    #[test]
    fn matrix_products_count_multiplications_and_additions() {
        let cost = |op: Op, operands: &[&str]| {
            let operands: Vec<_> = operands.iter().map(|text| r#type(text)).collect();
            let results = op.infer(&operands).unwrap();
            (Cost::of(&op, &operands, &results), op.products(&operands, &results))
        };
        let (matmul, products) = cost(ops::Matmul {}.into(), &["f32[B,3,5]", "f32[5,7]"]);
        assert_eq!((matmul.bytes, products), (4 * 21, 2 * 3 * 5 * 7));
        assert_eq!(matmul.flops, products + 15 + 35 + 21);
        let (_, linear) = cost(ops::Linear {}.into(), &["f32[B,3,5]", "f32[5,7]", "f32[7]"]);
        assert_eq!(linear, 2 * 3 * 5 * 7);
        let qkv = ["f32[B,2,3,4]", "f32[B,2,5,4]", "f32[B,2,5,6]"];
        let (_, attention) = cost(ops::ScaledDotProductAttention { scale: 1.0 }.into(), &qkv);
        assert_eq!(attention, 2 * 2 * 3 * 5 * (4 + 6));
        let conv = ops::Conv2d {
            padding: [0; 4],
            strides: [1; 2],
            dilations: [1; 2],
            groups: 1,
            input_layout: ops::Layout::Nhwc,
        };
        let (_, conv) = cost(conv.into(), &["f32[B,4,4,3]", "f32[8,3,2,2]"]);
        assert_eq!(conv, 2 * (3 * 3 * 8) * (3 * 2 * 2));
        let pool = ops::AveragePool2d {
            window_dimensions: [2, 2],
            padding: [0; 4],
            strides: [1; 2],
            layout: ops::Layout::Nhwc,
        };
        let (_, pool) = cost(pool.into(), &["f32[B,4,4,3]"]);
        assert_eq!(pool, 2 * (3 * 3 * 3) * (2 * 2));
    }

    #[test]
    fn the_peak_is_what_lives_at_the_same_time() {
        let mut trace = Tracer::new("chain", Limits::default());
        let x = trace.input("x", r#type("f32[B,10]"));
        let mut y = x;
        for _ in 0..5 {
            y = trace.apply(ops::Exp {}, &[y], "again");
        }
        let program = trace.finish(&[("y", y)]).unwrap();
        // In a chain, an operand and its result.
        assert_eq!(program.peak(), (2 * 40, Some(0)));
        assert_eq!(program.cost(), Cost { bytes: 5 * 40, flops: 5 * 20 });

        let mut trace = Tracer::new("fan", Limits::default());
        let x = trace.input("x", r#type("f32[B,10]"));
        let parts: Vec<_> = (0..4).map(|_| trace.apply(ops::Exp {}, &[x], "part")).collect();
        let y = trace.apply(ops::Concat { axis: 1 }, &parts, "joined");
        let program = trace.finish(&[("y", y)]).unwrap();
        assert_eq!(program.peak(), (4 * 40 + 4 * 40, Some(4)), "the input has gone by then");
    }
}
