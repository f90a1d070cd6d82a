//! Losses on logits and soft targets.

use burn::tensor::{Device, Tensor, TensorData, activation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitral_burn::kernels::cross_entropy;

/// What is minimised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Loss {
    /// Cross-entropy of the softmax.
    #[default]
    Softmax,
    /// Binary cross-entropy of each class, summed over the classes (Beyer et al. 2020, DeiT-III);
    /// goes well with Mixup and CutMix.
    Sigmoid,
    /// The same, averaged over the classes (DeiT III, timm).
    SigmoidMean,
}

impl Loss {
    /// The mean loss of a batch, `[1]`, from logits and targets `[batch, classes]`.
    pub fn forward(self, logits: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
        let batch = logits.dims()[0];
        self.per_image(logits, targets).sum().div_scalar(batch as f64)
    }

    /// The same where each image counts as much as its weight, `[batch, 1]`, says.
    pub(crate) fn weighted(
        self,
        logits: Tensor<2>,
        targets: Tensor<2>,
        weights: Tensor<2>,
    ) -> Tensor<1> {
        let batch = logits.dims()[0];
        (self.per_image(logits, targets) * weights).sum().div_scalar(batch as f64)
    }

    /// The loss of each image, `[batch, 1]`.
    pub(crate) fn per_image(self, logits: Tensor<2>, targets: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Softmax => cross_entropy(logits, targets),
            Self::SigmoidMean => {
                let classes = logits.dims()[1];
                Self::Sigmoid.per_image(logits, targets).div_scalar(classes as f64)
            }
            Self::Sigmoid => {
                let positive = activation::log_sigmoid(logits.clone()) * targets.clone();
                let negative = activation::log_sigmoid(logits.neg()) * (targets.neg() + 1.0);
                (positive + negative).sum_dim(1).neg()
            }
        }
    }
}

/// One-hot targets `[batch, classes]`, smoothed: `smoothing` of each is spread over all classes
/// (Szegedy et al. 2016).
pub fn targets(labels: &[u32], classes: usize, smoothing: f64, device: &Device) -> Tensor<2> {
    let spread = (smoothing / classes as f64) as f32;
    let mut values = vec![spread; labels.len() * classes];
    for (row, &label) in values.chunks_mut(classes).zip(labels) {
        row[label as usize] = (1.0 - smoothing) as f32 + spread;
    }
    Tensor::from_data(TensorData::new(values, [labels.len(), classes]), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalar(tensor: Tensor<1>) -> f64 {
        f64::from(tensor.into_scalar::<f32>())
    }

    #[test]
    fn losses_equal_their_formulas() {
        let device = Device::flex();
        let logits = [[1.0f64, -2.0, 0.5], [0.0, 3.0, -1.0]];
        let targets = [[0.7f64, 0.2, 0.1], [0.0, 1.0, 0.0]];
        let tensor = |rows: [[f64; 3]; 2]| {
            Tensor::<2>::from_data(TensorData::from(rows.map(|row| row.map(|v| v as f32))), &device)
        };
        let (mut softmax, mut sigmoid) = (0.0, 0.0);
        for (row, target) in logits.iter().zip(targets) {
            let sum: f64 = row.iter().map(|v| v.exp()).sum();
            for (logit, target) in row.iter().zip(target) {
                softmax -= target * (logit.exp() / sum).ln() / 2.0;
                let p = 1.0 / (1.0 + (-logit).exp());
                sigmoid -= (target * p.ln() + (1.0 - target) * (1.0 - p).ln()) / 2.0;
            }
        }
        assert!(
            (scalar(Loss::Softmax.forward(tensor(logits), tensor(targets))) - softmax).abs() < 1e-6
        );
        assert!(
            (scalar(Loss::Sigmoid.forward(tensor(logits), tensor(targets))) - sigmoid).abs() < 1e-6
        );
        let mean = scalar(Loss::SigmoidMean.forward(tensor(logits), tensor(targets)));
        assert!((mean - sigmoid / 3.0).abs() < 1e-6);
    }

    #[test]
    fn a_weighted_loss_is_the_mean_of_each_image_times_its_weight() {
        let device = Device::flex();
        let tensor = |rows: [[f32; 3]; 2]| Tensor::<2>::from_data(TensorData::from(rows), &device);
        let logits = tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]]);
        let targets = tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]);
        let weights = Tensor::<2>::from_data(TensorData::from([[0.5_f32], [3.0]]), &device);
        for loss in [Loss::Softmax, Loss::Sigmoid, Loss::SigmoidMean] {
            let of = |row: usize| {
                let row = row..row + 1;
                let part = |tensor: &Tensor<2>| tensor.clone().slice([row.clone(), 0..3]);
                scalar(loss.forward(part(&logits), part(&targets)))
            };
            let expected = (0.5 * of(0) + 3.0 * of(1)) / 2.0;
            let found = scalar(loss.weighted(logits.clone(), targets.clone(), weights.clone()));
            assert!((found - expected).abs() < 1e-6, "{loss:?}: {found} and {expected}");
        }
    }

    #[test]
    fn smoothed_targets_sum_to_one() {
        let values: Vec<f32> = targets(&[2], 4, 0.1, &Device::flex()).try_into_vec_as().unwrap();
        for (found, expected) in values.iter().zip([0.025, 0.025, 0.925, 0.025]) {
            assert!((found - expected).abs() < 1e-6, "{values:?}");
        }
    }
}
