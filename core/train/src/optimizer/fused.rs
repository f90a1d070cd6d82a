//! The whole update in one pass over memory, on the CPU.

use burn::{
    backend::{Flex, flex::FlexTensor},
    tensor::Tensor,
};
use vitral_kernels::optimizer::{Parameter, Rule, Step};
use vitral_model::kernels::covers;

use super::{Hyper, Optimizer};
use crate::{
    ema::Ema,
    gradients::{on_cpu, owned},
    groups::ParameterGroup,
};

/// The kernel's rule, if it has this optimizer's and covers these tensors.
pub(super) fn rule(optimizer: &Optimizer, values: &[Tensor<1>]) -> Option<Rule> {
    if !values.iter().all(covers) {
        return None;
    }
    match *optimizer {
        Optimizer::AdamW { beta1, beta2, eps } => Some(Rule::AdamW { beta1, beta2, eps }),
        Optimizer::Sgd { momentum, nesterov } => Some(Rule::Sgd { momentum, nesterov }),
        Optimizer::Lion { beta1, beta2 } => Some(Rule::Lion { beta1, beta2 }),
        // It needs norms of a parameter's whole update.
        Optimizer::Lamb { .. } => None,
    }
}

/// What `OptimizerState::step` does.
#[allow(clippy::too_many_arguments)]
pub(super) fn step(
    rule: Rule,
    values: Vec<Tensor<1>>,
    gradients: Vec<Tensor<1>>,
    clip: Option<&Tensor<1>>,
    slots: &mut [Vec<Tensor<1>>],
    groups: &[ParameterGroup],
    hyper: Hyper,
    ema: Option<&mut Ema>,
) -> Vec<Tensor<1>> {
    let clip = clip.map_or(1.0, |factor| factor.clone().into_scalar());
    let ema_decay = ema.as_ref().map_or(0.0, |ema| ema.decay_of(hyper.update));
    let values: Vec<FlexTensor> = values.iter().map(on_cpu).collect();
    let mut gradients: Vec<FlexTensor> = gradients.into_iter().map(owned).collect();
    let mut averages: Vec<Vec<FlexTensor>> = slots.iter_mut().map(take).collect();
    let mut ema = ema;
    let mut ema_values = ema.as_mut().map_or_else(Vec::new, |ema| take(&mut ema.values));
    let mut ema_parts = ema_values.iter_mut();
    let mut parameters: Vec<Parameter<'_>> = Vec::with_capacity(values.len());
    for (index, (averages, gradient)) in averages.iter_mut().zip(&mut gradients).enumerate() {
        let mut averages = averages.iter_mut().map(FlexTensor::storage_mut::<f32>);
        parameters.push(Parameter {
            value: slice(&values[index]),
            gradient: gradient.storage_mut(),
            averages: [(); 2].map(|()| averages.next().unwrap_or_default()),
            ema: ema_parts.next().map(FlexTensor::storage_mut).unwrap_or_default(),
            learning_rate: hyper.learning_rate * groups[index].learning_rate_scale,
            weight_decay: groups[index].weight_decay.unwrap_or(hyper.weight_decay),
        });
    }
    Step { rule, update: hyper.update, gradient_scale: clip, ema_decay }.run(&mut parameters);
    for (slots, averages) in slots.iter_mut().zip(averages) {
        *slots = averages.into_iter().map(Tensor::from_primitive::<Flex>).collect();
    }
    if let Some(ema) = ema {
        ema.values = ema_values.into_iter().map(Tensor::from_primitive::<Flex>).collect();
    }
    gradients.into_iter().map(Tensor::from_primitive::<Flex>).collect()
}

/// Takes tensors away to change them in place.
fn take(tensors: &mut Vec<Tensor<1>>) -> Vec<FlexTensor> {
    std::mem::take(tensors).into_iter().map(owned).collect()
}

fn slice(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().unwrap_or_else(|| unreachable!("made contiguous"))
}
