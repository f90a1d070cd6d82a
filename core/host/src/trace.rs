//! A trace that goes on: what both loaders record a plugin's ops with.

use vitral_abi::{Attribute, AttributeValue, Batch, Initializer, Layer};
use vitral_program::{DType, Dim, Limits, Program, Shape, Tensor, TensorType, Tracer};

use crate::Cause;

/// The symbolic inputs and the recorder of one trace.
pub(crate) struct Trace {
    tracer: Tracer,
    inputs: Vec<Tensor>,
    outputs: &'static [&'static str],
    wanted: Vec<TensorType>,
    results: Vec<Tensor>,
    /// What is wrong that the tracer does not know of.
    problem: Option<String>,
}

impl Trace {
    /// The attention of a layer.
    pub(crate) fn attention(plugin: &str, layer: &Layer, limits: &Limits) -> Self {
        let dims = [layer.heads, layer.tokens(), layer.head_width];
        let r#type = float(dims);
        let inputs = ["query", "key", "value"].map(|name| (name, r#type.clone()));
        Self::new(plugin, limits, &inputs, &["output"], vec![r#type])
    }

    /// A batch augmentation.
    pub(crate) fn batch(plugin: &str, batch: &Batch, limits: &Limits) -> Self {
        let images = float([batch.height, batch.width, batch.channels]);
        let targets = float([batch.classes]);
        let inputs = [("images", images.clone()), ("targets", targets.clone())];
        Self::new(plugin, limits, &inputs, &["images", "targets"], vec![images, targets])
    }

    fn new(
        plugin: &str,
        limits: &Limits,
        inputs: &[(&str, TensorType)],
        outputs: &'static [&'static str],
        wanted: Vec<TensorType>,
    ) -> Self {
        let mut tracer = Tracer::new(plugin, limits.clone());
        let inputs =
            inputs.iter().map(|(name, r#type)| tracer.input(name, r#type.clone())).collect();
        Self { tracer, inputs, outputs, wanted, results: Vec::new(), problem: None }
    }

    /// The tensors that the plugin is given.
    pub(crate) fn inputs(&self) -> &[Tensor] {
        &self.inputs
    }

    /// Applies an op.
    pub(crate) fn apply(
        &mut self,
        op: &str,
        attributes: Vec<Attribute>,
        operands: &[Tensor],
        label: &str,
    ) -> Vec<Tensor> {
        let attributes = attributes.into_iter().map(attribute).collect();
        self.tracer.apply_named(op, attributes, operands, label)
    }

    /// Declares a parameter.
    pub(crate) fn parameter(
        &mut self,
        name: &str,
        shape: &[u32],
        initializer: Initializer,
        decay: bool,
    ) -> Tensor {
        let dims: Vec<Dim> = shape.iter().map(|&dim| Dim::Fixed(dim as usize)).collect();
        let shape = Shape::new(dims).unwrap_or_else(|misfit| {
            self.problem.get_or_insert(format!("its parameter `{name}`: {misfit}"));
            Shape::scalar()
        });
        self.tracer.parameter(name, shape, self::initializer(initializer), decay)
    }

    /// The type of a tensor, as text; none if it follows from an error.
    pub(crate) fn type_of(&self, tensor: Tensor) -> Option<String> {
        self.tracer.type_of(tensor).map(ToString::to_string)
    }

    /// Names the next result.
    pub(crate) fn result(&mut self, tensor: Tensor) {
        self.results.push(tensor);
    }

    /// The program.
    pub(crate) fn finish(self) -> Result<Program, Cause> {
        let Self { tracer, outputs, wanted, results, problem, .. } = self;
        if let Some(problem) = problem {
            return Err(Cause::BadResult(problem));
        }
        if results.len() != outputs.len() {
            return Err(Cause::BadResult(format!(
                "it gave {} results, but must give {}",
                results.len(),
                outputs.len()
            )));
        }
        let found: Vec<_> = results.iter().map(|&result| tracer.type_of(result).cloned()).collect();
        let named: Vec<_> = outputs.iter().copied().zip(results.iter().copied()).collect();
        let program = tracer.finish(&named).map_err(Cause::Trace)?;
        for ((name, found), wanted) in outputs.iter().zip(found).zip(wanted) {
            if found.as_ref() != Some(&wanted) {
                let found = found.map_or_else(|| "nothing".to_owned(), |found| found.to_string());
                return Err(Cause::BadResult(format!(
                    "its `{name}` is {found}, but must be {wanted}"
                )));
            }
        }
        Ok(program)
    }
}

fn float<const N: usize>(dims: [u32; N]) -> TensorType {
    let dims = dims.into_iter().map(|dim| Dim::Fixed(dim as usize));
    let dims: Vec<Dim> = std::iter::once(Dim::Batch(1)).chain(dims).collect();
    // At most four dimensions, which is fewer than a shape may have.
    TensorType::new(DType::F32, Shape::new(dims).expect("a shape of few dimensions"))
}

fn attribute(attribute: Attribute) -> vitral_program::Attribute {
    use vitral_program::AttributeValue as To;
    let value = match attribute.value {
        AttributeValue::Boolean(value) => To::Bool(value),
        AttributeValue::Integer(value) => To::Int(value),
        AttributeValue::Number(value) => To::Float(value),
        AttributeValue::Integers(values) => To::Ints(values),
        AttributeValue::Numbers(values) => To::Floats(values),
        AttributeValue::Text(text) => To::Text(text),
    };
    vitral_program::Attribute { name: attribute.name, value }
}

fn initializer(initializer: Initializer) -> vitral_program::Initializer {
    use vitral_program::Initializer as To;
    match initializer {
        Initializer::Constant(value) => To::Constant(value),
        Initializer::Normal(std) => To::Normal { std },
        Initializer::TruncatedNormal(std) => To::TruncatedNormal { std },
        Initializer::Uniform(limit) => To::Uniform { limit },
        Initializer::XavierUniform { inputs, outputs } => {
            To::XavierUniform { fan_in: inputs as usize, fan_out: outputs as usize }
        }
    }
}
