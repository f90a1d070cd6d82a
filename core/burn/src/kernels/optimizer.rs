//! What is done to all parameters at once: sums of their gradients, the norm of these, and a step of an optimizer. On a
//! GPU each is a few launches; the CPU's are `vitral-kernels`' own, which change memory in place.

use burn::tensor::Tensor;
use vitral_kernels::optimizer::Rule;

/// One parameter, flat, and what an optimizer knows of it.
pub struct Parameter {
    /// Its values.
    pub value: Tensor<1>,
    /// Their gradients.
    pub gradient: Tensor<1>,
    /// The averages that the rule keeps, in its order.
    pub averages: Vec<Tensor<1>>,
    /// The moving average of the values; of each parameter, or of none.
    pub ema: Option<Tensor<1>>,
    /// Learning rate.
    pub learning_rate: f64,
    /// Weight decay.
    pub weight_decay: f64,
}

/// What becomes of a [`Parameter`].
pub struct Stepped {
    /// Its new values.
    pub value: Tensor<1>,
    /// Its averages.
    pub averages: Vec<Tensor<1>>,
    /// The moving average of the values.
    pub ema: Option<Tensor<1>>,
}

/// What an update goes by, the same for all parameters.
#[derive(Clone, Copy, Debug)]
pub struct Update {
    /// How gradients become updates.
    pub rule: Rule,
    /// Updates made, this one included.
    pub number: u64,
    /// What stays of the moving average of the values.
    pub ema_decay: f64,
}

/// Whether [`stepped`] takes these values: `f32` on a GPU.
pub fn steps_at_once(values: &[Tensor<1>]) -> bool {
    #[cfg(feature = "gpu")]
    if super::gpu::steps_at_once(values) {
        return true;
    }
    let _ = values;
    false
}

/// All parameters after one step; gradients count `clip` times, `[1]`, where it is given. None where
/// [`steps_at_once`] is false of their values.
pub fn stepped(
    parameters: Vec<Parameter>,
    clip: Option<&Tensor<1>>,
    update: Update,
) -> Option<Vec<Stepped>> {
    #[cfg(feature = "gpu")]
    if parameters.iter().all(|of| super::gpu::steps_at_once(std::slice::from_ref(&of.value))) {
        return Some(super::gpu::stepped(parameters, clip, update));
    }
    let _ = (parameters, clip, update);
    None
}

/// The sum of the squares of all values of all tensors, `[1]`, in a few launches; none where [`steps_at_once`] is
/// false of them.
pub fn squared_norm(tensors: &[Tensor<1>]) -> Option<Tensor<1>> {
    #[cfg(feature = "gpu")]
    if super::gpu::steps_at_once(tensors) {
        return Some(super::gpu::squared_norm(tensors));
    }
    let _ = tensors;
    None
}

/// All tensors times a factor: on a GPU in a few launches.
pub fn scaled(tensors: Vec<Tensor<1>>, factor: f64) -> Vec<Tensor<1>> {
    #[cfg(feature = "gpu")]
    if super::gpu::steps_at_once(&tensors) {
        return super::gpu::combined(tensors, factor, Vec::new());
    }
    tensors.into_iter().map(|tensor| tensor * factor).collect()
}

/// The sums of tensors with others, as many and as long: on a GPU in a few launches.
pub fn added(tensors: Vec<Tensor<1>>, others: Vec<Tensor<1>>) -> Vec<Tensor<1>> {
    #[cfg(feature = "gpu")]
    if super::gpu::steps_at_once(&tensors) && super::gpu::steps_at_once(&others) {
        return super::gpu::combined(tensors, 1.0, others);
    }
    tensors.into_iter().zip(others).map(|(tensor, other)| tensor + other).collect()
}
