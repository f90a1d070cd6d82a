//! Mixup (Zhang et al. 2018) and CutMix (Yun et al. 2019) as a batch program: each image of a batch
//! is blended with, or gets a rectangle from, its partner in the reversed batch; targets are mixed
//! in the same measure. Settings are timm's.

use vitral_sdk::prelude::*;

/// Mixup and CutMix.
#[derive(Clone, Debug, Parameters)]
pub struct MixupCutmix {
    /// Mixup's alpha, the parameter of its Beta distribution; 0 turns Mixup off.
    #[parameter(default = 0.8, min = 0.0, max = 100.0)]
    mixup_alpha: f64,
    /// CutMix's alpha; 0 turns CutMix off.
    #[parameter(default = 1.0, min = 0.0, max = 100.0)]
    cutmix_alpha: f64,
    /// Probability of mixing at all.
    #[parameter(default = 1.0, min = 0.0, max = 1.0)]
    probability: f64,
    /// Probability of CutMix where both are on.
    #[parameter(default = 0.5, min = 0.0, max = 1.0)]
    switch_probability: f64,
    /// What has a draw of its own: the batch as a whole, or each element.
    #[parameter(default = Mode::Batch)]
    mode: Mode,
}

/// What has a draw of its own.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The batch as a whole.
    Batch,
    /// Each element.
    Element,
}

impl Plugin for MixupCutmix {
    type Parameters = Self;

    const IDENTITY: Identity = identity!("mixup-cutmix", "Mixup and CutMix on whole batches");

    fn new(parameters: Self) -> Result<Self> {
        for (name, alpha) in
            [("mixup_alpha", parameters.mixup_alpha), ("cutmix_alpha", parameters.cutmix_alpha)]
        {
            if alpha > 0.0 && alpha < 0.01 {
                bail!("{name} is {alpha}, but must be 0 (off) or at least 0.01");
            }
        }
        Ok(parameters)
    }

    fn examples() -> Vec<Example> {
        vec![
            Example::new("DeiT's").set("mixup_alpha", 0.8).set("cutmix_alpha", 1.0),
            Example::new("CutMix alone, drawn for each image")
                .set("mixup_alpha", 0)
                .set("mode", "element"),
            Example::new("Mixup alone, on half of the batches")
                .set("cutmix_alpha", 0)
                .set("mixup_alpha", 0.2)
                .set("probability", 0.5),
        ]
    }
}

/// What a batch or an element draws: all are `[n, 1, 1, 1]`.
struct Draws {
    count: Dim,
}

impl Draws {
    fn uniform(&self) -> Tensor {
        random(shape![self.count, 1, 1, 1], Distribution::Uniform)
    }

    fn beta(&self, alpha: f64) -> Tensor {
        random(shape![self.count, 1, 1, 1], Distribution::Beta { alpha, beta: alpha })
    }
}

impl BatchAugmentation for MixupCutmix {
    fn trace(&self, batch: &Batch, images: Tensor, targets: Tensor) -> Result<(Tensor, Tensor)> {
        let (mixup, cutmix) = (self.mixup_alpha > 0.0, self.cutmix_alpha > 0.0);
        if !mixup && !cutmix || self.probability == 0.0 {
            return Ok((images, targets));
        }
        let draws = Draws {
            count: match self.mode {
                Mode::Batch => Dim::from(1_u32),
                Mode::Element => B,
            },
        };
        let partner = label("partner", || images.reverse([0]));
        let mixed = mixup.then(|| label("mixup", || self.mixup(&draws, images, partner)));
        let cut = cutmix.then(|| label("cutmix", || self.cutmix(&draws, batch, images, partner)));
        let (mut changed, mut own) = match (mixed, cut) {
            (Some(mixed), Some(cut)) => {
                let is_cut = draws.uniform().lesser(self.switch_probability);
                (is_cut.where_(cut.0, mixed.0), is_cut.where_(cut.1, mixed.1))
            }
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => return Ok((images, targets)),
        };
        if self.probability < 1.0 {
            let applies = draws.uniform().lesser(self.probability);
            changed = applies.where_(changed, images);
            own = applies.where_(own, 1.0);
        }
        let own = own.reshape(shape![draws.count, 1]);
        let others = label("partner", || targets.reverse([0]));
        Ok((changed, others + own * (targets - others)))
    }
}

impl MixupCutmix {
    /// Blended images, and the share of the image itself.
    fn mixup(&self, draws: &Draws, images: Tensor, partner: Tensor) -> (Tensor, Tensor) {
        let own = draws.beta(self.mixup_alpha);
        (partner + own * (images - partner), own)
    }

    /// Images with a rectangle of their partner's, and the share that is left of the image itself.
    fn cutmix(
        &self,
        draws: &Draws,
        batch: &Batch,
        images: Tensor,
        partner: Tensor,
    ) -> (Tensor, Tensor) {
        let side = (draws.beta(self.cutmix_alpha) * -1.0 + 1.0).sqrt();
        let rows = self.span(draws, side, batch.height);
        let columns = self.span(draws, side, batch.width);
        let inside = |(from, to): (Tensor, Tensor), count: u32, shape: Vec<Dim>| {
            let at = range(DType::F32, count, 0.0, 1.0).reshape(shape);
            at.greater_or_equal(from).logical_and(at.lesser(to))
        };
        let in_rows = inside(rows, batch.height, shape![1, batch.height, 1, 1]);
        let in_columns = inside(columns, batch.width, shape![1, 1, batch.width, 1]);
        let cut = in_rows.logical_and(in_columns).where_(partner, images);
        // The rectangle may end at the image's border, so that its real area counts.
        let area = (rows.1 - rows.0) * (columns.1 - columns.0);
        let whole = f64::from(batch.height) * f64::from(batch.width);
        (cut, area * (-1.0 / whole) + 1.0)
    }

    /// From where to where a rectangle of a relative side reaches, in whole pixels.
    fn span(&self, draws: &Draws, side: Tensor, count: u32) -> (Tensor, Tensor) {
        let count = f64::from(count);
        let middle = (draws.uniform() * count).floor();
        let half = ((side * count).floor() * 0.5).floor();
        ((middle - half).clamp(0.0, count), (middle + half).clamp(0.0, count))
    }
}

/// The plugin's functions, for programs that link it in.
pub fn plugin() -> &'static vitral_sdk::abi::c::Plugin {
    vitral_sdk::native::batch_augmentation::<MixupCutmix>()
}

#[cfg(not(feature = "compiled-in"))]
vitral_sdk::export!(MixupCutmix: batch_augmentation);
