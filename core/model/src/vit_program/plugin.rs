//! A plugin's attention, taken over into the model's program.

use vitral_program::{DType, Dim, Op, Program, Tensor, TensorType, ops, reference};
use vitral_seed::Seed;

use super::trace::Trace;

impl Trace {
    /// Records a program's ops, as they run in evaluation, on queries, keys and values.
    ///
    /// # Errors
    /// The plugin's name, if it draws random numbers for each sample of the batch.
    pub(super) fn inlined(
        &mut self,
        program: &Program,
        inputs: [Tensor; 3],
    ) -> Result<Tensor, String> {
        let mut values = inputs.to_vec();
        for parameter in program.parameters() {
            let sizes: Vec<_> = parameter.shape.dims().iter().map(|dim| dim.per_item()).collect();
            values.push(self.parameter_of_shape(&parameter.name, &sizes));
        }
        for (index, node) in program.nodes().iter().enumerate() {
            let operands: Vec<_> = node.operands().iter().map(|id| values[id.index()]).collect();
            match node.op() {
                Op::Dropout(_) => values.push(operands[0]),
                Op::Random(random) => {
                    let Dim::Fixed(count) = random.shape.elements() else {
                        return Err(program.name().to_owned());
                    };
                    // Evaluation draws the same numbers each time.
                    let drawn = random.draw(reference::stream(Seed::new(0), index), count);
                    let r#type = TensorType::new(DType::F32, random.shape.clone());
                    let drawn = drawn.into_iter().map(f64::from).collect();
                    values.push(self.apply(ops::Constant { r#type, values: drawn }, &[]));
                }
                op => values.extend(self.apply_all(op.clone(), &operands)),
            }
        }
        // A program has an output; the layer has checked that it is one.
        Ok(values[program.outputs()[0].value.index()])
    }
}
