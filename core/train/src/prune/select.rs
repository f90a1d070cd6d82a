//! Which heads and hidden neurons stay: what matters least of all layers goes first.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use vitral_model::{ViT, ViTConfig, config::LayerSize, device::Device, summary::layers};

/// What a model is to have left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    /// In all layers together, and as many as there are if that is fewer.
    Units { heads: usize, neurons: usize },
    /// At most so many operations of an image's forward pass.
    Flops(f64),
}

impl Target {
    /// A model without shares of its heads and of its hidden neurons.
    pub(crate) fn without(heads: f64, neurons: f64, model: &ViTConfig) -> Self {
        let (all_heads, all_neurons) = super::Pruned::totals(&model.layer_sizes());
        let left = |all: usize, share: f64| all - (all as f64 * share).round() as usize;
        Self::Units { heads: left(all_heads, heads), neurons: left(all_neurons, neurons) }
    }
}

/// What each head and hidden neuron matters, by layer; none of what is not there or cannot be pruned.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Scores {
    pub(crate) heads: Vec<Vec<f32>>,
    pub(crate) neurons: Vec<Vec<f32>>,
}

impl Scores {
    /// Whether nothing is known of anything.
    pub(crate) fn are_unknown(&self) -> bool {
        self.heads.iter().chain(&self.neurons).flatten().all(|&score| score == 0.0)
    }

    /// With nothing known of any head or neuron of a model.
    pub(crate) fn unknown(model: &ViTConfig) -> Self {
        let sizes = model.layer_sizes();
        let heads = (0..model.depth()).map(|layer| match model.attention_of(layer).plugin() {
            Some(_) => Vec::new(),
            None => vec![0.0; sizes[layer].heads],
        });
        let neurons = sizes.iter().map(|size| vec![0.0; size.hidden]);
        Self { heads: heads.collect(), neurons: neurons.collect() }
    }
}

/// Operations of an image's forward pass.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BranchCosts {
    pub(crate) all: f64,
    /// Of a head of each layer, and of a hidden neuron.
    of_unit: Vec<[f64; 2]>,
}

impl BranchCosts {
    /// Those of a model: products of a branch are in proportion to its heads or neurons.
    pub(crate) fn of(model: &ViT, device: &Device) -> Self {
        let (config, layers) = (model.config(), layers(model, device));
        let of_part = |layer: usize, part: &str, units: usize| {
            let name = format!("blocks.{layer}");
            let block = layers.iter().find(|layer| layer.name == name);
            let part = block.and_then(|block| block.parts.iter().find(|found| found.name == part));
            part.map_or(0.0, |part| part.forward_flops / units.max(1) as f64)
        };
        let of_layer = |layer| {
            let heads = of_part(layer, "attn", config.heads_of(layer));
            [heads, of_part(layer, "mlp", config.hidden_of(layer))]
        };
        Self {
            all: layers.iter().fold(0.0, |sum, layer| sum + layer.forward_flops),
            of_unit: (0..config.depth()).map(of_layer).collect(),
        }
    }
}

/// What each layer keeps, by number and ascending.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) heads: Vec<Vec<usize>>,
    pub(crate) neurons: Vec<Vec<usize>>,
}

impl Kept {
    /// How many they are.
    pub(crate) fn sizes(&self) -> Vec<LayerSize> {
        let sizes = self.heads.iter().zip(&self.neurons);
        sizes
            .map(|(heads, neurons)| LayerSize { heads: heads.len(), hidden: neurons.len() })
            .collect()
    }
}

/// What layers keep, whatever is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Least share of what a layer had whole.
    pub(crate) keep: f64,
    /// Hidden neurons go in groups, so that so many times a number are left, or all.
    pub(crate) round_to: usize,
}

impl Bounds {
    /// How many hidden neurons of the whole model's layers go at once: one by one where groups would be more than
    /// an eighth of them.
    fn group(self, model: &ViTConfig) -> usize {
        if model.mlp_dim() >= 8 * self.round_to { self.round_to.max(1) } else { 1 }
    }
}

/// A head, or hidden neurons of a layer that go together.
struct Units {
    /// What each of them matters in proportion to the others of its branch, on average.
    relative: f32,
    layer: usize,
    /// 0 of heads, 1 of hidden neurons.
    kind: usize,
    indices: Vec<usize>,
}

/// Chooses what stays of a model, within bounds. A layer keeps a head where its tokens become fewer.
///
/// # Errors
/// Where the target cannot be met: the operations that are left when nothing more can go.
pub(crate) fn select(
    model: &ViTConfig,
    costs: &BranchCosts,
    scores: &Scores,
    target: Target,
    bounds: Bounds,
) -> Result<Kept, f64> {
    let mut sizes: Vec<[usize; 2]> =
        model.layer_sizes().iter().map(|size| [size.heads, size.hidden]).collect();
    let least = |layer: usize| {
        let share = |whole: usize| (bounds.keep * whole as f64).ceil() as usize;
        let heads = share(model.whole_heads_of(layer));
        [heads.max(usize::from(model.needs_heads(layer))), share(model.mlp_dim())]
    };
    let least: Vec<[usize; 2]> = (0..model.depth()).map(least).collect();
    let mut removed: Vec<Units> = Vec::new();
    let totals =
        |sizes: &[[usize; 2]], kind: usize| sizes.iter().map(|size| size[kind]).sum::<usize>();
    let mut left: [usize; 2] = [totals(&sizes, 0), totals(&sizes, 1)];
    let mut flops = costs.all;
    for units in ranked(scores, bounds.group(model)) {
        let Units { layer, kind, .. } = units;
        let count = units.indices.len();
        let is_wanted = match target {
            Target::Units { heads, neurons } => left[kind] > [heads, neurons][kind],
            Target::Flops(most) => flops > most,
        };
        if is_wanted && sizes[layer][kind] >= least[layer][kind] + count {
            sizes[layer][kind] -= count;
            left[kind] -= count;
            flops -= costs.of_unit[layer][kind] * count as f64;
            removed.push(units);
        }
    }
    if let Target::Flops(most) = target {
        // The last one may have been far more than was wanted: a head, where some neurons would have done.
        let mut cut = HashSet::new();
        let mut restored = |units: &Units| {
            let cost = costs.of_unit[units.layer][units.kind] * units.indices.len() as f64;
            // A smaller group would not leave a multiple.
            let fits = flops + cost <= most && !cut.contains(&(units.layer, units.kind));
            if fits {
                flops += cost;
            } else {
                cut.insert((units.layer, units.kind));
            }
            fits
        };
        // Those first that matter most.
        removed.reverse();
        removed.retain(|units| !restored(units));
    }
    match target {
        // Sums of so many are exact to far more digits than anybody gives.
        Target::Flops(most) if flops > most * (1.0 + 1e-9) => return Err(flops),
        _ => {}
    }
    let before = model.layer_sizes();
    let gone = removed
        .iter()
        .flat_map(|units| units.indices.iter().map(|&index| (units.layer, units.kind, index)));
    let gone: HashSet<_> = gone.collect();
    let kept = |kind: usize| -> Vec<Vec<usize>> {
        let of_layer = |layer: usize| {
            let all = 0..[before[layer].heads, before[layer].hidden][kind];
            all.filter(|&index| !gone.contains(&(layer, kind, index))).collect()
        };
        (0..model.depth()).map(of_layer).collect()
    };
    Ok(Kept { heads: kept(0), neurons: kept(1) })
}

/// All heads and groups of so many hidden neurons, those first that matter least. If the neurons of a layer are not
/// a multiple, its first group is smaller.
fn ranked(scores: &Scores, group: usize) -> Vec<Units> {
    let mut all = Vec::new();
    for (kind, layers) in [&scores.heads, &scores.neurons].into_iter().enumerate() {
        for (layer, branch) in layers.iter().enumerate() {
            let mean = branch.iter().sum::<f32>() / branch.len().max(1) as f32;
            let relative = |score: f32| if mean > 0.0 { score / mean } else { 0.0 };
            let mut order: Vec<usize> = (0..branch.len()).collect();
            order.sort_by(|&a, &b| branch[a].total_cmp(&branch[b]));
            let group = if kind == 1 { group } else { 1 };
            let (first, rest) = order.split_at(branch.len() % group);
            let groups = Some(first).filter(|first| !first.is_empty()).into_iter();
            all.extend(groups.chain(rest.chunks(group)).map(|indices| {
                let sum: f32 = indices.iter().map(|&index| relative(branch[index])).sum();
                Units {
                    relative: sum / indices.len() as f32,
                    layer,
                    kind,
                    indices: indices.to_vec(),
                }
            }));
        }
    }
    // Of equal ones in the order of the model.
    all.sort_by(|a, b| a.relative.total_cmp(&b.relative));
    all
}

#[cfg(test)]
mod tests {
    use vitral_model::{token_merging::TokenMerging, token_reorganization::TokenReorganization};

    use super::*;

    /// Two layers of two heads and four hidden neurons.
    fn model() -> ViTConfig {
        ViTConfig {
            width: Some(8),
            depth: Some(2),
            heads: Some(2),
            mlp_ratio: 0.5,
            ..ViTConfig::default()
        }
    }

    fn one_by_one(keep: f64) -> Bounds {
        Bounds { keep, round_to: 1 }
    }

    fn costs() -> BranchCosts {
        BranchCosts { all: 100.0, of_unit: vec![[10.0, 2.0]; 2] }
    }

    /// Of the second layer all are larger, which does not matter.
    fn scores() -> Scores {
        Scores {
            heads: vec![vec![1.0, 3.0], vec![50.0, 40.0]],
            neurons: vec![vec![4.0, 1.0, 2.0, 3.0], vec![900.0, 100.0, 1000.0, 1000.0]],
        }
    }

    #[test]
    fn what_matters_least_beside_others_of_its_branch_goes_first() {
        let select =
            |target, keep| select(&model(), &costs(), &scores(), target, one_by_one(keep)).unwrap();
        let kept = select(Target::Units { heads: 3, neurons: 5 }, 0.0);
        assert_eq!(kept.heads, [vec![1], vec![0, 1]]);
        // Relative to their means 0.13, 0.4 and 0.8.
        assert_eq!(kept.neurons, [vec![0, 3], vec![0, 2, 3]]);
        // 0.13 and 0.4 of neurons, 0.5 of a head, and 0.8 of a neuron.
        let kept = select(Target::Flops(84.0), 0.0);
        assert_eq!(
            (kept.heads, kept.neurons),
            (vec![vec![1], vec![0, 1]], vec![vec![0, 3], vec![0, 2, 3]])
        );
        // That is 14 less. Where 5 less would do, the head leaves room for both neurons to stay.
        let kept = select(Target::Flops(95.0), 0.0);
        assert_eq!(kept.heads, [vec![1], vec![0, 1]]);
        assert_eq!(kept.neurons, [vec![0, 1, 2, 3], vec![0, 1, 2, 3]]);
        let kept = select(Target::Units { heads: 9, neurons: 9 }, 0.0);
        assert_eq!(kept.sizes(), model().layer_sizes(), "nothing comes back");
    }

    #[test]
    fn layers_keep_their_least_and_may_lose_a_branch_otherwise() {
        let of = |model: &ViTConfig, heads, neurons, keep| {
            let target = Target::Units { heads, neurons };
            select(model, &costs(), &scores(), target, one_by_one(keep)).unwrap().sizes()
        };
        let size = |heads, hidden| LayerSize { heads, hidden };
        assert_eq!(of(&model(), 0, 0, 0.0), [size(0, 0), size(0, 0)]);
        assert_eq!(of(&model(), 0, 0, 0.5), [size(1, 2), size(1, 2)]);
        let merging = ViTConfig { token_merging: Some(TokenMerging::constant(1)), ..model() };
        assert_eq!(of(&merging, 0, 8, 0.0), [size(1, 4), size(1, 4)]);
        let token_reorganization = Some(TokenReorganization {
            layers: Some(vec![1]),
            ..TokenReorganization::keeping(0.7)
        });
        let keeping = ViTConfig { token_reorganization, ..model() };
        assert_eq!(of(&keeping, 0, 8, 0.0), [size(0, 4), size(1, 4)]);
        // Shares are of the whole layer, whatever it has left.
        let pruned = ViTConfig { layers: vec![size(1, 2), size(2, 4)], ..model() };
        let fewer = Scores {
            heads: vec![vec![1.0], vec![2.0, 1.0]],
            neurons: vec![vec![1.0; 2], vec![1.0; 4]],
        };
        let target = Target::Units { heads: 0, neurons: 0 };
        let kept = select(&pruned, &costs(), &fewer, target, one_by_one(0.5)).unwrap();
        assert_eq!(kept.sizes(), [size(1, 2), size(1, 2)]);
    }

    #[test]
    fn what_cannot_be_reached_is_told() {
        let target = Target::Flops(50.0);
        // 4 heads of 10 and 8 neurons of 2 are 56 of the 100, half of which may go.
        assert_eq!(select(&model(), &costs(), &scores(), target, one_by_one(0.5)), Err(72.0));
        assert!(select(&model(), &costs(), &scores(), target, one_by_one(0.0)).is_ok());
    }

    /// Two layers of 16 and 15 hidden neurons, of which later ones matter more, in groups of two.
    #[test]
    fn hidden_neurons_go_in_groups_so_that_multiples_are_left() {
        let model = ViTConfig { width: Some(16), mlp_ratio: 1.0, ..model() };
        let layers = vec![LayerSize { heads: 2, hidden: 16 }, LayerSize { heads: 2, hidden: 15 }];
        let model = ViTConfig { layers, ..model };
        let rising = |count: usize| (1..=count).map(|score| score as f32).collect::<Vec<_>>();
        let scores = Scores { heads: vec![vec![9.0; 2]; 2], neurons: vec![rising(16), rising(15)] };
        let left = |target, keep, round_to| {
            let bounds = Bounds { keep, round_to };
            let kept = select(&model, &costs(), &scores, target, bounds).unwrap();
            // The largest of them.
            for (layer, kept) in kept.neurons.iter().enumerate() {
                let all = model.hidden_of(layer);
                assert_eq!(*kept, (all - kept.len()..all).collect::<Vec<_>>());
            }
            kept.neurons.iter().map(Vec::len).collect::<Vec<_>>()
        };
        let neurons = |neurons| Target::Units { heads: 4, neurons };
        // The odd one of the second layer goes first.
        assert_eq!(left(neurons(30), 0.0, 2), [16, 14]);
        // 0.13 of 14 of the first, 0.25 of the second's: one more than was asked to go.
        assert_eq!(left(neurons(25), 0.0, 2), [12, 12]);
        assert_eq!(left(neurons(25), 0.0, 1), [13, 12]);
        // 14 operations less are seven neurons; of 12, the odd one could come back, but not to a multiple.
        assert_eq!(left(Target::Flops(86.0), 0.0, 2), [12, 12]);
        assert_eq!(left(Target::Flops(88.0), 0.0, 2), [12, 12]);
        // Nine of 16 are kept, and five pairs have that.
        assert_eq!(left(neurons(0), 0.55, 2), [10, 10]);
        // Groups of four were more than an eighth of 16.
        assert_eq!(left(neurons(25), 0.0, 4), [13, 12]);
    }

    /// What costs are said to be is what a model costs that was built so.
    #[test]
    fn costs_are_those_of_the_model_that_is_left() {
        use vitral_model::Costs;
        use vitral_seed::Seed;

        let device = Device::flex();
        let build = |config: &ViTConfig| ViT::new(config, Seed::new(0), &device).unwrap();
        let whole = ViTConfig { classes: 3, image_size: 32, ..model() };
        let costs = BranchCosts::of(&build(&whole), &device);
        let layers = vec![LayerSize { heads: 1, hidden: 3 }, LayerSize { heads: 0, hidden: 4 }];
        let pruned = Costs::of(&build(&ViTConfig { layers, ..whole }), &device).forward_flops;
        let removed = costs.of_unit[0][0] + costs.of_unit[0][1] + 2.0 * costs.of_unit[1][0];
        assert!((costs.all - removed - pruned).abs() < 1e-6 * pruned);
    }
}
