//! What heads and hidden neurons matter.

use burn::tensor::Tensor;
use vitral_model::{ViTConfig, parameters::ParameterInfo};

use super::select::Scores;
use crate::{Error, checkpoint::NamedTensor};

/// How much of an average stays at a step: it is one over some 50 steps.
const DECAY: f64 = 0.98;

/// A branch of a layer whose heads or neurons can be pruned.
struct Branch {
    layer: usize,
    is_heads: bool,
    /// Heads or neurons.
    units: usize,
    /// The parameter by which they join the residual stream, by its place in the model: their rows.
    outgoing: usize,
}

/// Heads of a plugin's attention are not pruned, and so not among them.
fn branches(model: &ViTConfig, infos: &[ParameterInfo]) -> Vec<Branch> {
    let outgoing = |name: &str| infos.iter().position(|info| info.name == name);
    let of_layer = |layer: usize| {
        let heads = model.attention_of(layer).plugin().is_none();
        let heads = heads.then(|| (true, model.heads_of(layer), "attn.proj"));
        let neurons = Some((false, model.hidden_of(layer), "mlp.fc2"));
        [heads, neurons].into_iter().flatten().filter_map(move |(is_heads, units, part)| {
            let outgoing = outgoing(&format!("blocks.{layer}.{part}.weight"))?;
            Some(Branch { layer, is_heads, units, outgoing })
        })
    };
    (0..model.depth()).flat_map(of_layer).collect()
}

/// Names of branches, and how many heads or neurons each has, as checkpoints keep what these matter.
pub(crate) fn branch_units(model: &ViTConfig) -> Vec<(String, usize)> {
    let of_layer = |layer: usize| {
        let is_plugins = model.attention_of(layer).plugin().is_some();
        let heads = if is_plugins { 0 } else { model.heads_of(layer) };
        let both = [(true, heads), (false, model.hidden_of(layer))];
        both.map(|(is_heads, units)| (name_of(layer, is_heads), units))
    };
    (0..model.depth()).flat_map(of_layer).filter(|(_, units)| *units > 0).collect()
}

fn name_of(layer: usize, is_heads: bool) -> String {
    format!("blocks.{layer}.{}", if is_heads { "attn" } else { "mlp" })
}

/// Puts what was found of each branch where it belongs.
fn scores(
    model: &ViTConfig,
    branches: &[Branch],
    found: impl Iterator<Item = Tensor<1>>,
) -> Result<Scores, Error> {
    let none = || vec![Vec::new(); model.depth()];
    let mut scores = Scores { heads: none(), neurons: none() };
    for (branch, found) in branches.iter().zip(found) {
        let values = found.try_into_vec_as::<f32>();
        let values = values.map_err(|error| Error::Device(error.to_string()))?;
        let kind = if branch.is_heads { &mut scores.heads } else { &mut scores.neurons };
        kind[branch.layer] = values;
    }
    Ok(scores)
}

/// Sums of each unit's values, of a flat parameter whose rows are the units'.
fn sums(values: Tensor<1>, units: usize) -> Tensor<1> {
    let count = values.dims()[0];
    values.reshape([units, count / units]).sum_dim(1).reshape([units])
}

/// The mean magnitude of the weights by which each head and neuron joins the residual stream.
pub(crate) fn magnitudes(
    model: &ViTConfig,
    infos: &[ParameterInfo],
    values: &[Tensor<1>],
) -> Result<Scores, Error> {
    let branches = branches(model, infos);
    let found = branches.iter().map(|branch| {
        let magnitudes = values[branch.outgoing].clone().abs();
        sums(magnitudes, branch.units)
    });
    scores(model, &branches, found)
}

/// Averages over steps of what the loss would change to first order without a head or neuron: the gradient of
/// a gate behind it, which is the sum of its outgoing weights times their gradients.
pub(crate) struct Tracker {
    model: ViTConfig,
    branches: Vec<Branch>,
    averages: Vec<Tensor<1>>,
}

impl Tracker {
    /// Of a model of which nothing is known.
    pub(crate) fn new(
        model: &ViTConfig,
        infos: &[ParameterInfo],
        device: &burn::tensor::Device,
    ) -> Self {
        let branches = branches(model, infos);
        let device = device.clone().without_autodiff();
        let averages = branches.iter().map(|branch| Tensor::zeros([branch.units], &device));
        Self { model: model.clone(), averages: averages.collect(), branches }
    }

    /// Takes in a step's gradients of the weights that they are of.
    pub(crate) fn see(&mut self, values: &[Tensor<1>], gradients: &[Tensor<1>]) {
        for (branch, average) in self.branches.iter().zip(&mut self.averages) {
            let products = values[branch.outgoing].clone() * gradients[branch.outgoing].clone();
            let change = sums(products, branch.units).abs();
            average.inplace(|average| average * DECAY + change * (1.0 - DECAY));
        }
    }

    pub(crate) fn scores(&self) -> Result<Scores, Error> {
        scores(&self.model, &self.branches, self.averages.iter().cloned())
    }

    /// Reads the averages back, for a checkpoint.
    pub(crate) fn export(&self) -> Result<Vec<NamedTensor>, Error> {
        let named = self.branches.iter().zip(&self.averages).map(|(branch, average)| {
            let name = name_of(branch.layer, branch.is_heads);
            NamedTensor::from_device(name, &[branch.units], average)
        });
        named.collect()
    }

    /// Names and shapes of what [`Tracker::export`] gives, in its order.
    pub(crate) fn infos(&self) -> Vec<ParameterInfo> {
        let info = |branch: &Branch| ParameterInfo {
            name: name_of(branch.layer, branch.is_heads),
            shape: vec![branch.units],
            decay: None,
        };
        self.branches.iter().map(info).collect()
    }

    /// Goes on with averages that were exported.
    pub(crate) fn import(&mut self, averages: Vec<Tensor<1>>) {
        self.averages = averages;
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use vitral_model::{ViT, parameters};
    use vitral_seed::Seed;

    use super::*;

    fn model() -> (ViTConfig, Vec<ParameterInfo>) {
        let config = ViTConfig {
            image_size: 8,
            patch_size: Some(4),
            width: Some(4),
            depth: Some(1),
            heads: Some(2),
            mlp_ratio: 0.75,
            classes: 2,
            ..ViTConfig::default()
        };
        let model = ViT::new(&config, Seed::new(0), &Device::flex()).unwrap();
        (config, parameters::infos(&model))
    }

    /// All ones but for some rows.
    fn values(infos: &[ParameterInfo], name: &str, value: impl Fn(usize) -> f32) -> Vec<Tensor<1>> {
        let of = |info: &ParameterInfo| {
            let count = info.elements();
            let values: Vec<f32> = match info.name == name {
                true => (0..count).map(|index| value(index / 4)).collect(),
                false => vec![1.0; count],
            };
            Tensor::from_floats(&values[..], &Device::flex())
        };
        infos.iter().map(of).collect()
    }

    #[test]
    fn a_unit_matters_as_much_as_its_weights_times_their_gradients() {
        let (config, infos) = model();
        let mut tracker = Tracker::new(&config, &infos, &Device::flex());
        assert!(tracker.scores().unwrap().are_unknown());
        let weights = values(&infos, "blocks.0.attn.proj.weight", |_| 1.0);
        // Gradients that cancel out within a row would change nothing; their sign does not matter.
        let gradients = values(&infos, "blocks.0.attn.proj.weight", |row| row as f32 - 3.0);
        tracker.see(&weights, &gradients);
        tracker.see(&weights, &gradients);
        let scores = tracker.scores().unwrap();
        let factor = 1.0 - 0.98f32 * 0.98;
        // Rows 0 and 1 are the first head's: 4 columns of -3 and -2; then -1 and 0.
        for (found, exact) in scores.heads[0].iter().zip([20.0, 4.0]) {
            assert!((found - factor * exact).abs() < 1e-5, "{found}");
        }
        for found in &scores.neurons[0] {
            assert!((found - factor * 4.0).abs() < 1e-5, "{found}");
        }
        let exported = tracker.export().unwrap();
        let shapes: Vec<_> = exported.iter().map(|one| (one.name.clone(), one.shape[0])).collect();
        assert_eq!(shapes, branch_units(&config));
    }

    #[test]
    fn magnitudes_are_those_of_outgoing_weights() {
        let (config, infos) = model();
        let weights = values(&infos, "blocks.0.mlp.fc2.weight", |row| -(row as f32));
        let scores = magnitudes(&config, &infos, &weights).unwrap();
        assert_eq!(scores.neurons, [vec![0.0, 4.0, 8.0]]);
        assert_eq!(scores.heads, [vec![8.0, 8.0]]);
    }
}
