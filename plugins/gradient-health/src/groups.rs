//! Parameters in groups: each block is one, and so is each part of the model beside the blocks.

use vitral_sdk::ParameterStatistics;
use vitral_sdk::abi::Distribution;

/// How many magnitudes are counted below 1e-8: below 1e-12, and the four decades above.
const TINY: usize = 5;

/// Weight norms are no smaller than this in ratios: some parameters start at zero.
const SMALLEST_NORM: f64 = 1e-12;

/// The parameters of a block, or of a part of the model beside the blocks.
#[derive(Clone, Debug)]
pub(crate) struct Group<'r> {
    /// `blocks.3`, `patch_embed`, `head`.
    pub name: String,
    /// L2 norm of the finite gradients.
    pub gradient_norm: f64,
    /// L2 norm of the values.
    pub weight_norm: f64,
    /// In the model's order.
    pub parameters: Vec<&'r ParameterStatistics>,
}

/// The groups of a report, in the model's order.
pub(crate) fn of(parameters: &[ParameterStatistics]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for parameter in parameters {
        let name = group_name(&parameter.name);
        match groups.iter_mut().find(|group| group.name == name) {
            Some(group) => group.parameters.push(parameter),
            None => groups.push(Group {
                name: name.to_owned(),
                gradient_norm: 0.0,
                weight_norm: 0.0,
                parameters: vec![parameter],
            }),
        }
    }
    for group in &mut groups {
        group.gradient_norm = norm(group.parameters.iter().map(|parameter| &parameter.gradient));
        group.weight_norm = norm(group.parameters.iter().map(|parameter| &parameter.weight));
    }
    groups
}

/// `blocks.3` of `blocks.3.attn.qkv.weight`, `head` of `head.weight`.
fn group_name(parameter: &str) -> &str {
    let parts = if parameter.starts_with("blocks.") { 2 } else { 1 };
    let end = parameter.match_indices('.').nth(parts - 1).map_or(parameter.len(), |(at, _)| at);
    &parameter[..end]
}

/// The norm of all values together.
fn norm<'d>(parts: impl Iterator<Item = &'d Distribution> + Clone) -> f64 {
    // Scaled by the largest, so that squares neither overflow nor become zero.
    let largest = parts.clone().map(|part| part.norm).fold(0.0, f64::max);
    if largest == 0.0 || !largest.is_finite() {
        return largest;
    }
    largest * parts.map(|part| (part.norm / largest) * (part.norm / largest)).sum::<f64>().sqrt()
}

impl Group<'_> {
    pub fn is_block(&self) -> bool {
        self.name.starts_with("blocks.")
    }

    /// The gradient's norm in units of the weights': how far plain gradient descent would move them
    /// at a learning rate of 1.
    pub fn update_scale(&self) -> f64 {
        self.gradient_norm / self.weight_norm.max(SMALLEST_NORM)
    }

    /// How many gradients are NaN or infinite.
    pub fn non_finite(&self) -> u64 {
        self.parameters.iter().map(|parameter| parameter.gradient.non_finite).sum()
    }

    /// The share of the gradients whose magnitudes are below 1e-8, without parameters that have none
    /// at all. 0 if no parameter has one.
    pub fn tiny_share(&self) -> f64 {
        let learning = || self.parameters.iter().filter(|parameter| !is_dead(parameter));
        let tiny: u64 = learning().map(|parameter| tiny(&parameter.gradient)).sum();
        let all: u64 = learning().map(|parameter| parameter.elements).sum();
        if all == 0 { 0.0 } else { tiny as f64 / all as f64 }
    }
}

/// Whether every gradient of a parameter is exactly zero.
pub(crate) fn is_dead(parameter: &ParameterStatistics) -> bool {
    parameter.elements > 0 && parameter.gradient.zeros == parameter.elements
}

/// The share of a parameter's gradients whose magnitudes are below 1e-8.
pub(crate) fn tiny_share(parameter: &ParameterStatistics) -> f64 {
    tiny(&parameter.gradient) as f64 / parameter.elements.max(1) as f64
}

fn tiny(gradient: &Distribution) -> u64 {
    gradient.zeros + gradient.magnitudes[..TINY].iter().sum::<u64>()
}

#[cfg(test)]
mod tests {
    use vitral_sdk::Event;
    use vitral_testkit::events::{layers, parameter};

    use super::*;

    #[test]
    fn blocks_are_groups_and_so_is_what_stands_beside_them() {
        let names = [
            ("blocks.3.attn.qkv.weight", "blocks.3"),
            ("blocks.11.ls1", "blocks.11"),
            ("blocks.2", "blocks.2"),
            ("patch_embed.proj.bias", "patch_embed"),
            ("cls_token", "cls_token"),
            ("", ""),
        ];
        for (name, group) in names {
            assert_eq!(group_name(name), group);
        }
    }

    #[test]
    fn norms_add_up_by_their_squares() {
        let weights =
            |name, gradient, weight| parameter(name).gradient_norm(gradient).weight_norm(weight);
        let report = layers(1)
            .with(weights("blocks.0.a", 3.0, 1.0))
            .with(weights("head.weight", 1e200, 0.0))
            .with(weights("blocks.0.b", 4.0, 1.0));
        let Event::Layers(report) = report.into() else { unreachable!() };
        let groups = of(&report.parameters);
        let names: Vec<_> = groups.iter().map(|group| group.name.as_str()).collect();
        assert_eq!(names, ["blocks.0", "head"]);
        assert_eq!((groups[0].gradient_norm, groups[1].gradient_norm), (5.0, 1e200));
        assert!((groups[0].update_scale() - 5.0 / 2f64.sqrt()).abs() < 1e-12);
        assert!(groups[1].update_scale().is_finite());
    }

    #[test]
    fn shares_of_tiny_gradients_leave_out_what_is_dead() {
        let report = layers(1)
            .with(parameter("blocks.0.a").tiny(60))
            .with(parameter("blocks.0.b").gradient_norm(0.0))
            .with(parameter("blocks.0.c").gradient_norm(1e-6));
        let Event::Layers(report) = report.into() else { unreachable!() };
        // Gradients of 1e-7 are not tiny.
        assert_eq!(of(&report.parameters)[0].tiny_share(), 0.3);
        let shares: Vec<_> = report.parameters.iter().map(tiny_share).collect();
        assert_eq!(shares, [0.6, 1.0, 0.0]);
    }
}
