//! TEMPLATE_SUMMARY.

use vitral_sdk::prelude::*;

/// Mixes each image with its mirror place in the batch.
#[derive(Clone, Debug, Parameters)]
pub struct TemplateType {
    /// Both parameters of the beta distribution that the weight of a batch is drawn from: the
    /// larger, the more even the mix.
    #[parameter(default = 0.2, min = 0.01, max = 100)]
    alpha: f64,
}

impl Plugin for TemplateType {
    type Parameters = Self;

    const IDENTITY: Identity = identity!("template-name", "TEMPLATE_SUMMARY");

    fn new(parameters: Self) -> Result<Self> {
        Ok(parameters)
    }

    fn examples() -> Vec<Example> {
        vec![Example::new("Every weight is as likely as any other").set("alpha", 1.0)]
    }
}

impl BatchAugmentation for TemplateType {
    fn trace(&self, _: &Batch, images: Tensor, targets: Tensor) -> Result<(Tensor, Tensor)> {
        let beta = Distribution::Beta { alpha: self.alpha, beta: self.alpha };
        let weight = label("weight", || random(shape![1], beta));
        let mix = |batch: Tensor| weight * batch + (1.0 - weight) * batch.reverse([0]);
        Ok((label("images", || mix(images)), label("targets", || mix(targets))))
    }
}

// TEMPLATE_EXPORT

#[cfg(test)]
mod tests {
    use vitral_testkit::{BatchAugmentation as Tested, arrays, check_batch_augmentation};

    use super::*;

    #[test]
    fn it_does_what_any_batch_augmentation_must() {
        check_batch_augmentation::<TemplateType>();
    }

    #[test]
    fn an_image_alone_is_mixed_with_itself() {
        let tested = Tested::of::<TemplateType>();
        let given = tested.noise(1);
        let [images, targets] = tested.run(&given, Some(1));
        arrays::assert_close(images.values(), given[0].values(), 1e-12);
        arrays::assert_close(targets.values(), given[1].values(), 1e-12);
    }

    #[test]
    fn images_and_targets_are_mixed_by_the_same_weight() {
        let tested = Tested::of::<TemplateType>().set("alpha", 1);
        let [images, _] = tested.noise(2);
        let half = images.values().len() / 2;
        let values = (0..2 * half).map(|at| if at < half { 1.0 } else { 0.0 }).collect();
        let given = [arrays::array(images.shape(), values), arrays::one_hot(2, 4)];
        let [images, targets] = tested.run(&given, Some(7));
        let (weight, class) = (images.values()[0], 1);
        assert_eq!(given[1].values()[class], 1.0, "the first image's class");
        arrays::assert_close(&[targets.values()[class]], &[weight], 1e-12);
    }
}
