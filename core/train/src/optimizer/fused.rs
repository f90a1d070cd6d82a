//! The whole update in one pass over memory, on the CPU. Of the matrices that Muon moves, it comes
//! after the products that make their directions.

use burn::{
    backend::{Flex, flex::FlexTensor},
    tensor::Tensor,
};
use vitral_burn::kernels::covers;
use vitral_kernels::optimizer::{Parameter, Rule, Step};

use super::{Hyper, Optimizer, OptimizerState, muon};
use crate::{
    ema::Ema,
    gradients::{on_cpu, owned},
    groups::ParameterGroup,
};

/// The kernel's rule, if it has this optimizer's and covers these tensors; of Muon that of what is no
/// matrix.
pub(super) fn rule(optimizer: &Optimizer, values: &[Tensor<1>]) -> Option<Rule> {
    optimizer.rule().filter(|_| values.iter().all(covers))
}

/// What `OptimizerState::step` does.
#[allow(clippy::too_many_arguments)]
pub(super) fn step(
    state: &mut OptimizerState,
    rule: Rule,
    values: Vec<Tensor<1>>,
    gradients: Vec<Tensor<1>>,
    clip: Option<&Tensor<1>>,
    groups: &[ParameterGroup],
    hyper: Hyper,
    ema: Option<&mut Ema>,
) -> Vec<Tensor<1>> {
    let clip = clip.map_or(1.0, |factor| factor.clone().into_scalar());
    let ema_decay = ema.as_ref().map_or(0.0, |ema| ema.decay_of(hyper.update));
    let values: Vec<FlexTensor> = values.iter().map(on_cpu).collect();
    let mut gradients: Vec<FlexTensor> = gradients.into_iter().map(owned).collect();
    let mut averages: Vec<Vec<FlexTensor>> = state.slots.iter_mut().map(take).collect();
    let rate = |index: usize| hyper.learning_rate * groups[index].learning_rate_scale;
    let rest_scale = match state.optimizer {
        Optimizer::Muon { momentum, nesterov, iterations, update_scale, adamw_scale, .. } => {
            let rule = muon::Rule { momentum, nesterov, iterations, update_scale };
            let moves = |index| rate(index) != 0.0;
            muon::directions(rule, &state.matrices, &mut gradients, &mut averages, clip, moves);
            adamw_scale
        }
        _ => 1.0,
    };
    let mut ema = ema;
    let mut ema_values = ema.as_mut().map_or_else(Vec::new, |ema| take(&mut ema.values));
    let mut ema_parts = ema_values.iter_mut();
    let (mut rest, mut matrices): (Vec<Parameter<'_>>, Vec<Parameter<'_>>) = Default::default();
    for (index, (averages, gradient)) in averages.iter_mut().zip(&mut gradients).enumerate() {
        let is_matrix = state.matrices[index].is_some();
        // What the momentum of a matrix has to say is in its direction already.
        let kept = if is_matrix { 0 } else { averages.len() };
        let mut averages = averages.iter_mut().take(kept).map(FlexTensor::storage_mut::<f32>);
        let parameter = Parameter {
            value: slice(&values[index]),
            gradient: gradient.storage_mut(),
            averages: [(); 2].map(|()| averages.next().unwrap_or_default()),
            ema: ema_parts.next().map(FlexTensor::storage_mut).unwrap_or_default(),
            learning_rate: rate(index) * if is_matrix { 1.0 } else { rest_scale },
            weight_decay: groups[index].weight_decay.unwrap_or(hyper.weight_decay),
        };
        if is_matrix { matrices.push(parameter) } else { rest.push(parameter) }
    }
    let step = Step { rule, update: hyper.update, gradient_scale: clip, ema_decay };
    step.run(&mut rest);
    // A direction is all that there is to follow; the decay of plain SGD is AdamW's.
    let rule = Rule::Sgd { momentum: 0.0, nesterov: false };
    Step { rule, gradient_scale: 1.0, ..step }.run(&mut matrices);
    for (slots, averages) in state.slots.iter_mut().zip(averages) {
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
