//! Computes forward passes in Burn: on any device, in any precision, with automatic differentiation
//! where tensors have a history.

use std::borrow::Cow;

use burn::{
    backend::DispatchTensor,
    module::{Module as _, ModuleMapper, Param},
    tensor::{Device, FloatDType, IntDType, Tensor},
};
use vitral_burn::{
    Composite, Compute, compute,
    kernels::{self, Taker, taken},
    program::{self, Call, RANK, Value},
    recording::Drawn,
};
use vitral_program::{DType, Dim, Op, Shape, TensorType};
use vitral_seed::Seed;

use crate::{
    Mode, block::Block, drop, ops::Ops, program_attention::ProgramAttention, tables::Tables,
};

/// Computes the ops of one forward pass as they come.
#[derive(Clone, Debug)]
pub(crate) struct Eager {
    batch: usize,
    device: Device,
    compute: Compute,
    /// Whether everything is `f32` now.
    exact: bool,
    tables: Tables,
    /// The attention of each layer and of pooling, where somebody wants to know.
    attention: Option<Vec<KeptAttention>>,
    /// What takes the gradients of blocks' parameters, where somebody waits for them.
    taker: Option<Taker>,
}

/// What values were weighted with.
#[derive(Clone, Debug)]
pub(crate) struct KeptAttention {
    /// `[B, heads, queries, keys]`.
    pub(crate) weights: EagerTensor,
    /// Of a plugin's attention, what it gave, and what the weights give.
    pub(crate) given: Option<[EagerTensor; 2]>,
}

/// A tensor with the shape that its ops know it by. What is a float there may have any of the
/// precisions that a model computes in.
#[derive(Clone, Debug)]
pub(crate) struct EagerTensor {
    held: Held,
    shape: Shape,
}

#[derive(Clone, Debug)]
enum Held {
    Value(Value),
    /// A parameter as the model has it: kernels take it so, which spares automatic differentiation the
    /// change of its rank.
    Parameter(DispatchTensor),
}

impl EagerTensor {
    /// The element type.
    const fn dtype(&self) -> DType {
        match &self.held {
            Held::Value(value) => value.dtype(),
            Held::Parameter(_) => DType::F32,
        }
    }

    /// As ops take it.
    fn value(self) -> Value {
        match (self.held, self.shape.rank()) {
            (Held::Value(value), _) => value,
            (Held::Parameter(parameter), 1) => Tensor::<1>::from_dispatch(parameter).into(),
            (Held::Parameter(parameter), 2) => Tensor::<2>::from_dispatch(parameter).into(),
            (Held::Parameter(parameter), 3) => Tensor::<3>::from_dispatch(parameter).into(),
            (Held::Parameter(parameter), 4) => Tensor::<4>::from_dispatch(parameter).into(),
            (Held::Parameter(_), rank) => unreachable!("no parameter has {rank} dimensions"),
        }
    }

    /// The floats.
    ///
    /// # Panics
    /// If it has another element type, which the ops' rules exclude.
    fn float(self) -> Tensor<RANK> {
        self.value().float().expect("a tensor of floats")
    }

    /// The floats as kernels take them.
    fn operand(self) -> DispatchTensor {
        match self.held {
            Held::Parameter(parameter) => parameter,
            Held::Value(_) => self.float().into_dispatch(),
        }
    }

    fn map(self, function: impl FnOnce(Tensor<RANK>) -> Tensor<RANK>) -> Self {
        let shape = self.shape.clone();
        Self { held: Held::Value(Value::Float(function(self.float()))), shape }
    }

    /// The same without its history.
    pub(crate) fn without_autodiff(self) -> Self {
        self.map(Tensor::without_autodiff)
    }
}

impl Eager {
    /// For a batch of so many images on a device.
    pub(crate) fn new(batch: usize, device: &Device, compute: Compute) -> Self {
        let device = device.clone().without_autodiff();
        Self {
            batch,
            device,
            compute,
            exact: false,
            tables: Tables::default(),
            attention: None,
            taker: None,
        }
    }

    /// The same, which keeps the attention of each layer. Kernels of whole branches, which never have it in
    /// one piece, are not used then.
    pub(crate) fn keeping_attention(self) -> Self {
        Self { attention: Some(Vec::new()), ..self }
    }

    /// What was kept, in the order of the layers.
    pub(crate) fn kept_attention(self) -> Vec<KeptAttention> {
        self.attention.unwrap_or_default()
    }

    /// The same, with constants of a model that are kept.
    pub(crate) fn with_tables(self, tables: &Tables) -> Self {
        Self { tables: tables.clone(), ..self }
    }

    /// The same, which hands the gradients of blocks' parameters over.
    pub(crate) fn handing_over(self, taker: Option<&Taker>) -> Self {
        Self { taker: taker.cloned(), ..self }
    }

    /// A block as it is used of these tokens: the same, or one whose parameters hand over their gradients.
    pub(crate) fn taken<'b>(&self, block: &'b Block, tokens: &EagerTensor) -> Cow<'b, Block> {
        // Without a branch, nothing of a block has a history.
        let Some(taker) = self.taker.as_ref().filter(|_| !block.is_empty()) else {
            return Cow::Borrowed(block);
        };
        let before = tokens.clone().float();
        Cow::Owned(block.clone().map(&mut Taken { taker, before }))
    }

    /// A tensor whose first dimension is the batch.
    pub(crate) fn batched<const D: usize>(&self, tensor: Tensor<D>) -> EagerTensor {
        let dims = tensor.dims().into_iter().map(Dim::from);
        let dims: Vec<Dim> = [Dim::BATCH].into_iter().chain(dims.skip(1)).collect();
        self.tensor(Value::from(tensor), Shape::new(dims).expect("the shape of a tensor"))
    }

    /// The values of a tensor of `D` dimensions.
    ///
    /// # Panics
    /// If it has another number of dimensions.
    pub(crate) fn values<const D: usize>(tensor: EagerTensor) -> Tensor<D> {
        assert_eq!(tensor.shape.rank(), D, "a tensor of {D} dimensions");
        let values = tensor.float();
        let dims = values.dims();
        values.reshape::<D, _>(std::array::from_fn::<usize, D, _>(|axis| dims[RANK - D + axis]))
    }

    /// The type of the residual stream: `f32` where kernels add to it whatever they multiply in.
    fn stream(&self) -> FloatDType {
        let compute = self.compute.dtype();
        match kernels::of_type(compute.into(), &self.device) {
            Some(_) => FloatDType::F32,
            None => compute,
        }
    }

    fn tensor(&self, value: Value, shape: Shape) -> EagerTensor {
        EagerTensor { held: Held::Value(value), shape }
    }

    /// A tensor of the last dimensions of a value, of which the first is the batch.
    fn of_batch(&self, value: Value, rank: usize) -> EagerTensor {
        let padded = value.padded();
        let dims = padded[RANK - rank + 1..].iter().map(|&size| Dim::from(size));
        let dims: Vec<Dim> = [Dim::BATCH].into_iter().chain(dims).collect();
        self.tensor(value, Shape::new(dims).expect("the shape of a tensor"))
    }

    /// What is drawn for each sample: its values in a row.
    fn by_sample(
        &self,
        tensor: EagerTensor,
        draw: impl FnOnce(Tensor<2>) -> Tensor<2>,
    ) -> EagerTensor {
        let batch = self.batch;
        tensor.map(|values| {
            let dims = values.dims();
            let rest = dims.iter().product::<usize>() / batch;
            draw(values.reshape([batch, rest])).reshape(dims)
        })
    }
}

/// Has every parameter hand over its gradient, once backward has passed what was computed of `before`.
struct Taken<'a> {
    taker: &'a Taker,
    before: Tensor<RANK>,
}

impl ModuleMapper for Taken<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, value, mapper) = param.consume();
        let value = taken((id, value), &self.before, self.taker);
        Param::from_mapped_value(id, value, mapper)
    }
}

impl Ops for Eager {
    type Tensor = EagerTensor;

    fn apply_all(&mut self, op: Op, operands: Vec<EagerTensor>) -> Vec<EagerTensor> {
        let types: Vec<TensorType> = operands
            .iter()
            .map(|operand| TensorType::new(operand.dtype(), operand.shape.clone()))
            .collect();
        // `ViTConfig::check` has seen to it that layers fit.
        let results = op.infer(&types).unwrap_or_else(|misfit| panic!("{}: {misfit}", op.name()));
        let at = |r#type: &TensorType| {
            r#type.shape.at(self.batch).unwrap_or_else(|misfit| panic!("{}: {misfit}", op.name()))
        };
        let shapes: Vec<Vec<usize>> = types.iter().map(at).collect();
        let sizes: Vec<Vec<usize>> = results.iter().map(at).collect();
        let operands: Vec<Value> = operands.into_iter().map(EagerTensor::value).collect();
        let operands = with_one_history(operands);
        let (operands, rounded) = match self.exact {
            true => (compute::cast(operands, FloatDType::F32), None),
            false => compute::prepared(&op, operands, self.compute.dtype()),
        };
        let constant = match &op {
            Op::Constant(op) => Some(self.tables.constant(op, &self.device)),
            _ => None,
        };
        let call = Call {
            operands: operands.into_iter(),
            shapes: shapes.iter().map(Vec::as_slice).collect(),
            results: sizes.iter().map(Vec::as_slice).collect(),
            constant: constant.as_ref(),
            device: &self.device,
            stream: Seed::new(0),
            training: false,
            skipped: 0,
        };
        let values = program::run(&op, call).into_iter().map(|value| match (value, rounded) {
            (Value::Float(values), Some(dtype)) => Value::Float(values.cast(dtype)),
            (value, _) => value,
        });
        let shapes = results.into_iter().map(|r#type| r#type.shape);
        values.zip(shapes).map(|(value, shape)| self.tensor(value, shape)).collect()
    }

    fn dims(&self, tensor: &EagerTensor) -> Vec<Dim> {
        tensor.shape.dims().to_vec()
    }

    fn parameter<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) -> EagerTensor {
        let values = parameter.val();
        let shape = Shape::fixed(&values.dims()).expect("the shape of a parameter");
        EagerTensor { held: Held::Parameter(values.into_dispatch()), shape }
    }

    fn program(
        &mut self,
        program: &ProgramAttention,
        inputs: [EagerTensor; 3],
        _: usize,
        mode: Mode,
    ) -> EagerTensor {
        let batch = self.batch;
        self.in_f32(inputs, |ops, inputs| {
            let shape = inputs[0].shape.clone();
            let value = program.forward(inputs.map(EagerTensor::value), batch, mode);
            ops.tensor(value, shape)
        })
    }

    fn composite(
        &mut self,
        composite: Composite,
        input: &EagerTensor,
        others: impl FnOnce(&mut Self) -> Vec<Option<EagerTensor>>,
    ) -> Option<EagerTensor> {
        if self.keeps_attention() && composite.has_attention() {
            return None;
        }
        let input = input.clone().float();
        let kernel = kernels::find(&composite, &input, self.compute.dtype().into())?;
        let others = others(self).into_iter().map(|other| other.map(EagerTensor::operand));
        let (value, rank) = kernels::run(composite, kernel, input, others.collect());
        Some(self.of_batch(value, rank))
    }

    fn keeps_attention(&self) -> bool {
        self.attention.is_some()
    }

    fn keep_attention(&mut self, weights: EagerTensor, given: Option<[EagerTensor; 2]>) {
        if let Some(kept) = &mut self.attention {
            kept.push(KeptAttention { weights, given });
        }
    }

    fn table(
        &mut self,
        name: String,
        dtype: DType,
        sizes: &[usize],
        values: impl FnOnce() -> Vec<f64>,
    ) -> EagerTensor {
        let shape = Shape::fixed(sizes).expect("the shape of a constant");
        let value = self.tables.named(name, dtype, sizes, &self.device, values);
        self.tensor(value, shape)
    }

    fn detached(&mut self, tensor: EagerTensor) -> EagerTensor {
        tensor.without_autodiff()
    }

    fn in_f32<const N: usize>(
        &mut self,
        inputs: [EagerTensor; N],
        function: impl FnOnce(&mut Self, [EagerTensor; N]) -> EagerTensor,
    ) -> EagerTensor {
        let dtype = inputs.first().map_or(FloatDType::F32, stored);
        let inputs = inputs.map(|input| self.unrounded(input));
        let around = std::mem::replace(&mut self.exact, true);
        let result = function(self, inputs);
        self.exact = around;
        cast(result, dtype)
    }

    fn rounded(&mut self, tensor: EagerTensor) -> EagerTensor {
        cast(tensor, self.compute.dtype())
    }

    fn streamed(&mut self, tensor: EagerTensor) -> EagerTensor {
        cast(tensor, self.stream())
    }

    fn unrounded(&mut self, tensor: EagerTensor) -> EagerTensor {
        cast(tensor, FloatDType::F32)
    }

    fn dropout(&mut self, tensor: EagerTensor, rate: f64, mode: Mode) -> EagerTensor {
        if mode.noise(rate).is_none() {
            return tensor;
        }
        let dtype = stored(&tensor);
        let tensor = self.unrounded(tensor);
        let dropped = self.by_sample(tensor, |values| drop::dropout(values, rate, mode));
        cast(dropped, dtype)
    }

    fn drop_path(&mut self, branch: EagerTensor, rate: f64, mode: Mode) -> EagerTensor {
        let Some(factors) = self.drop_path_factors(rate, mode) else { return branch };
        let factors = factors.on(&self.device).reshape([self.batch, 1]);
        self.in_f32([branch], |ops, [branch]| ops.by_sample(branch, |values| values * factors))
    }

    fn drop_path_factors(&self, rate: f64, mode: Mode) -> Option<Drawn> {
        drop::drop_path_factors(self.batch, rate, mode)
    }

    fn kept_patches(&mut self, patches: usize, rate: f64, mode: Mode) -> Option<EagerTensor> {
        let drawn = drop::kept_patches(self.batch, patches, rate, mode)?;
        let kept = drawn.values.len() / self.batch;
        let shape = Shape::new([Dim::BATCH, kept.into()]).expect("the shape of a tensor");
        let kept = drawn.on(&self.device).cast(IntDType::I32).reshape([self.batch, kept]);
        Some(self.tensor(Value::from(kept), shape))
    }

    fn kept_by_kernel(
        &mut self,
        tokens: &EagerTensor,
        prefix: usize,
        kept: &EagerTensor,
    ) -> Option<EagerTensor> {
        let (Held::Value(Value::Float(tokens)), Held::Value(Value::Int(kept))) =
            (&tokens.held, &kept.held)
        else {
            return None;
        };
        let left = kernels::kept_tokens(tokens, prefix, kept)?;
        Some(self.of_batch(left.into(), 3))
    }
}

/// What the floats of a tensor are stored as.
fn stored(tensor: &EagerTensor) -> FloatDType {
    match &tensor.held {
        Held::Value(Value::Float(values)) => FloatDType::from(values.dtype()),
        Held::Value(_) | Held::Parameter(_) => FloatDType::F32,
    }
}

fn cast(tensor: EagerTensor, dtype: FloatDType) -> EagerTensor {
    match stored(&tensor) == dtype {
        true => tensor,
        false => tensor.map(|values| values.cast(dtype)),
    }
}

/// Operands as automatic differentiation knows them, if it knows one of them.
fn with_one_history(operands: Vec<Value>) -> Vec<Value> {
    let tracked = |value: &Value| matches!(value, Value::Float(values) if values.is_autodiff());
    if operands.len() < 2 || !operands.iter().any(tracked) {
        return operands;
    }
    let known = operands.into_iter().map(|operand| match operand {
        Value::Float(values) if !values.is_autodiff() => Value::Float(values.autodiff()),
        operand => operand,
    });
    known.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ones(batch: usize, first: usize) -> Vec<f32> {
        let mut ops = Eager::new(batch, &Device::flex(), Compute::F32);
        let ones = ops.batched(Tensor::<3>::ones([batch, 3, 2], &Device::flex()));
        let mode = Mode::TrainPart { seed: Seed::new(0), first };
        let dropped = ops.drop_path(ones, 0.5, mode);
        Eager::values::<3>(dropped).try_into_vec_as().unwrap()
    }

    #[test]
    fn drop_path_drops_whole_samples_the_same_in_any_part() {
        let dropped = ones(64, 0);
        let samples: Vec<&[f32]> = dropped.chunks(6).collect();
        assert!(samples.iter().all(|s| s.iter().all(|v| v == &s[0])));
        let kept = samples.iter().filter(|s| s[0] == 2.0).count();
        assert!((16..=48).contains(&kept), "{kept}");
        assert_eq!([ones(10, 0), ones(54, 10)].concat(), dropped);
    }

    /// Next to 256, `bf16` has no numbers below 258: each sum would be lost if it were rounded.
    #[test]
    fn what_is_computed_in_f32_is_rounded_once() {
        let device = Device::flex();
        let mut ops = Eager::new(1, &device, Compute::BF16);
        let images = ops.batched(Tensor::<2>::full([1, 4], 256.0, &device));
        let large = ops.rounded(images);
        let one = ops.scalar(1.0);
        let one = ops.rounded(one);
        let sum = |ops: &mut Eager, mut value: EagerTensor| {
            for _ in 0..4 {
                value = ops.add(value, one.clone());
            }
            value
        };
        let once = ops.in_f32([large.clone()], |ops, [large]| sum(ops, large));
        let each = sum(&mut ops, large);
        let read = |tensor: EagerTensor| -> Vec<f32> {
            Eager::values::<2>(tensor).cast(FloatDType::F32).try_into_vec_as().unwrap()
        };
        assert_eq!(read(once), [260.0; 4]);
        assert_eq!(read(each), [256.0; 4]);
    }
}
