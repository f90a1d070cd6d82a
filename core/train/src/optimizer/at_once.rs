//! The update of all parameters in a few launches, on a GPU.

use std::mem::take;

use burn::tensor::Tensor;
use vitral_burn::kernels::{Parameter, Update, stepped, steps_at_once};
use vitral_kernels::optimizer::Rule;

use super::{Hyper, Optimizer, OptimizerState};
use crate::{ema::Ema, groups::ParameterGroup};

/// The kernels' rule, if they have this optimizer's and take these tensors.
pub(super) fn rule(optimizer: &Optimizer, values: &[Tensor<1>]) -> Option<Rule> {
    optimizer.rule().filter(|_| optimizer.is_elementwise() && steps_at_once(values))
}

/// What `OptimizerState::step` does, for values that [`rule`] takes.
#[allow(clippy::too_many_arguments)]
pub(super) fn step(
    state: &mut OptimizerState,
    rule: Rule,
    values: Vec<Tensor<1>>,
    gradients: Vec<Tensor<1>>,
    clip: Option<&Tensor<1>>,
    groups: &[ParameterGroup],
    hyper: Hyper,
    mut ema: Option<&mut Ema>,
) -> Vec<Tensor<1>> {
    let ema_decay = ema.as_ref().map_or(0.0, |ema| ema.decay_of(hyper.update));
    let update = Update { rule, number: hyper.update, ema_decay };
    // Taken away, so that nothing else holds what then changes in place.
    let mut averages = take(&mut state.slots).into_iter();
    let mut emas = ema.as_mut().map_or_else(Vec::new, |ema| take(&mut ema.values)).into_iter();
    let parameter = |((value, gradient), group): ((_, _), &ParameterGroup)| Parameter {
        value,
        gradient,
        averages: averages.next().unwrap_or_default(),
        ema: emas.next(),
        learning_rate: hyper.learning_rate * group.learning_rate_scale,
        weight_decay: group.weight_decay.unwrap_or(hyper.weight_decay),
    };
    let parameters = values.into_iter().zip(gradients).zip(groups).map(parameter).collect();
    let stepped = stepped(parameters, clip, update)
        .unwrap_or_else(|| unreachable!("`rule` has found that kernels take them"));
    let mut values = Vec::with_capacity(stepped.len());
    for of in stepped {
        values.push(of.value);
        state.slots.push(of.averages);
        if let (Some(ema), Some(average)) = (&mut ema, of.ema) {
            ema.values.push(average);
        }
    }
    values
}
