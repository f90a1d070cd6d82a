//! Kernels of any number of tensors, for which `backend_extension` has no words: in Burn's fusion as one operation.

use burn::{
    backend::{
        fusion::custom::{
            CustomOpIr, HandleContainer, OperationFn, OperationIr, StreamId, TensorId, TensorIr,
            TensorSpec,
        },
        tensor::FloatTensor,
    },
    tensor::DType,
};
use burn_cubecl::{Cube, CubeBackend, fusion::CubeFusionHandle, tensor::CubeTensor};

use crate::optimizer::{self, Pace, Step};

/// A tensor in Burn's fusion.
pub(crate) type Values = FloatTensor<Cube>;

/// Has fusion run a function, in its order among what else it runs. The results are as `specs` says.
///
/// # Panics
/// If there are no inputs.
pub(crate) fn register(
    name: &str,
    inputs: Vec<Values>,
    specs: Vec<TensorSpec>,
    function: impl Fn(Vec<CubeTensor>) -> Vec<CubeTensor> + Send + Sync + 'static,
) -> Vec<Values> {
    let client = inputs[0].client.clone();
    let inputs: Vec<TensorIr> = inputs.into_iter().map(Values::into_ir).collect();
    let output =
        |spec: TensorSpec| TensorIr::uninit(client.create_empty_handle(), spec.shape, spec.dtype);
    let outputs: Vec<TensorIr> = specs.into_iter().map(output).collect();
    let ids: Vec<TensorId> = outputs.iter().map(|output| output.id).collect();
    let description =
        CustomOpIr { id: name.into(), inputs: inputs.clone(), outputs, scalars: Vec::new() };
    let run = OperationFn(move |handles: &mut HandleContainer<CubeFusionHandle>| {
        let inputs = inputs.iter().map(|input| handles.get_float_tensor::<CubeBackend>(input));
        let results = function(inputs.collect());
        for (id, result) in ids.iter().zip(results) {
            handles.register_float_tensor::<CubeBackend>(id, result);
        }
        Ok(())
    });
    client.register(StreamId::current(), OperationIr::Custom(description), run)
}

pub(crate) fn spec(tensor: &Values) -> TensorSpec {
    TensorSpec::new(tensor.shape.clone(), tensor.dtype)
}

/// The sum of the squares of all values of these `f32` tensors, `[1]`.
///
/// # Panics
/// If there are none.
pub fn squared_norm(tensors: Vec<Values>) -> Values {
    let spec = TensorSpec::new([1].into(), DType::F32);
    let squared_norm = |tensors| vec![optimizer::squared_norm(tensors)];
    register("squared_norm", tensors, vec![spec], squared_norm).swap_remove(0)
}

/// These `f32` tensors times a factor, to which others are added, as many and as long; or none.
///
/// # Panics
/// If there are no tensors.
pub fn combined(tensors: Vec<Values>, factor: f64, others: Vec<Values>) -> Vec<Values> {
    let specs = tensors.iter().map(spec).collect();
    let count = tensors.len();
    let combined = move |mut tensors: Vec<CubeTensor>| {
        let others = tensors.split_off(count);
        optimizer::combined(tensors, factor, others)
    };
    register("combined", tensors.into_iter().chain(others).collect(), specs, combined)
}

/// One parameter, flat, in `f32`, and what an optimizer knows of it.
pub struct Parameter {
    /// Its values.
    pub value: Values,
    /// Their gradients.
    pub gradient: Values,
    /// As many averages as the rule keeps.
    pub averages: Vec<Values>,
    /// The moving average of the values: one of each parameter, or of none.
    pub ema: Option<Values>,
    /// How far it moves.
    pub pace: Pace,
}

/// What becomes of a [`Parameter`].
pub struct Stepped {
    /// Its new values.
    pub value: Values,
    /// Its averages.
    pub averages: Vec<Values>,
    /// The moving average of the values.
    pub ema: Option<Values>,
}

/// One step of all parameters, whose gradients count `clip` times, `[1]`, if it is given.
pub fn stepped(parameters: Vec<Parameter>, clip: Option<Values>, step: Step) -> Vec<Stepped> {
    let Some(first) = parameters.first() else { return Vec::new() };
    let (averages, has_ema) = (first.averages.len(), first.ema.is_some());
    let count = parameters.len();
    let paces: Vec<Pace> = parameters.iter().map(|parameter| parameter.pace).collect();
    let is_clipped = clip.is_some();
    let mut inputs: Vec<Values> = clip.into_iter().collect();
    let mut specs = Vec::new();
    for Parameter { value, gradient, averages, ema, .. } in parameters {
        specs.push(spec(&value));
        specs.extend(averages.iter().chain(&ema).map(spec));
        inputs.extend([value, gradient].into_iter().chain(averages).chain(ema));
    }
    let run = move |inputs: Vec<CubeTensor>| {
        let mut inputs = inputs.into_iter();
        let mut next = || inputs.next().unwrap_or_else(|| unreachable!("as many as were given"));
        let clip = is_clipped.then(&mut next);
        let parameter = |&pace: &Pace| optimizer::Parameter {
            value: next(),
            gradient: next(),
            averages: (0..averages).map(|_| next()).collect(),
            ema: has_ema.then(&mut next),
            pace,
        };
        let parameters = paces.iter().map(parameter).collect();
        let moved = optimizer::stepped(parameters, clip, step).into_iter();
        let results =
            moved.flat_map(|of| std::iter::once(of.value).chain(of.averages).chain(of.ema));
        results.collect()
    };
    let mut results = register("optimizer_step", inputs, specs, run).into_iter();
    let mut next = || results.next().unwrap_or_else(|| unreachable!("as many as were described"));
    let stepped = |_| Stepped {
        value: next(),
        averages: (0..averages).map(|_| next()).collect(),
        ema: has_ema.then(&mut next),
    };
    (0..count).map(stepped).collect()
}
