//! A trace that goes on: what both loaders record a plugin's ops with.

use vitral_abi::{Attribute, AttributeValue, Batch, Initializer, Layer};
use vitral_program::{DType, Dim, Limits, Program, Shape, Tensor, TensorType, Tracer};

use crate::Cause;

/// What a program is traced for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Subject {
    Attention(Layer),
    Batch(Batch),
}

impl Subject {
    /// The subject in words, for errors.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Attention(layer) => format!(
                "layer {} of {}, {} heads of width {}, {} prefix tokens and {}x{} patches",
                layer.index,
                layer.depth,
                layer.heads,
                layer.head_width,
                layer.prefix_tokens,
                layer.grid_height,
                layer.grid_width
            ),
            Self::Batch(batch) => format!(
                "batches of {}x{}x{} images and {} classes",
                batch.height, batch.width, batch.channels, batch.classes
            ),
        }
    }
}

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
    /// Begins a trace, within the limits and within those that follow from its subject.
    ///
    /// # Errors
    /// The subject has a side of no length.
    pub(crate) fn new(plugin: &str, subject: Subject, limits: &Limits) -> Result<Self, Cause> {
        let (limits, inputs, outputs, wanted) = match subject {
            Subject::Attention(layer) => {
                let patches = u64::from(layer.grid_height) * u64::from(layer.grid_width);
                let tokens = u64::from(layer.prefix_tokens) + patches;
                let r#type = float(&[layer.heads.into(), tokens, layer.head_width.into()])?;
                let inputs = ["query", "key", "value"].map(|name| (name, r#type.clone()));
                let limits = limits.clone().for_attention(&r#type);
                (limits, inputs.to_vec(), &["output"][..], vec![r#type])
            }
            Subject::Batch(batch) => {
                let Batch { height, width, channels, classes } = batch;
                let images = float(&[height.into(), width.into(), channels.into()])?;
                let targets = float(&[classes.into()])?;
                let inputs = vec![("images", images.clone()), ("targets", targets.clone())];
                let limits = limits.clone().for_batch(&images, &targets);
                (limits, inputs, &["images", "targets"][..], vec![images, targets])
            }
        };
        let mut tracer = Tracer::new(plugin, limits);
        let inputs = inputs.into_iter().map(|(name, r#type)| tracer.input(name, r#type)).collect();
        Ok(Self { tracer, inputs, outputs, wanted, results: Vec::new(), problem: None })
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
        // One too many is enough to be noticed.
        if self.results.len() <= self.outputs.len() {
            self.results.push(tensor);
        }
    }

    /// The program.
    pub(crate) fn finish(self) -> Result<Program, Cause> {
        let Self { tracer, outputs, wanted, results, problem, .. } = self;
        if let Some(problem) = problem {
            return Err(Cause::BadResult(problem));
        }
        if results.len() != outputs.len() {
            return Err(Cause::BadResult(format!(
                "it returned {}, but must return {}",
                count(results.len(), outputs.len()),
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

/// How many results there are, of which no more than one too many are counted.
fn count(found: usize, wanted: usize) -> String {
    if found > wanted { "more results".into() } else { format!("{found} results") }
}

/// The type of a batch of numbers of these sides.
fn float(sides: &[u64]) -> Result<TensorType, Cause> {
    let side = |&side| usize::try_from(side).map(Dim::Fixed);
    let sides: Result<Vec<Dim>, _> = sides.iter().map(side).collect();
    let mut dims = sides.map_err(|error| Cause::Failed(error.to_string()))?;
    dims.insert(0, Dim::BATCH);
    let shape = Shape::new(dims).map_err(|misfit| Cause::Failed(misfit.to_string()))?;
    Ok(TensorType::new(DType::F32, shape))
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
