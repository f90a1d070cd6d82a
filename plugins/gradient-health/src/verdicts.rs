//! What is wrong with gradients, and how that is said.

use vitral_sdk::ParameterStatistics;

use crate::Settings;
use crate::groups::{Group, is_dead, tiny_share};
use crate::history::History;

/// How many parameters a warning names.
const NAMED: usize = 3;

/// Something that is wrong.
#[derive(Clone, Debug)]
pub(crate) enum Verdict<'r> {
    /// A parameter has gradients that are NaN or infinite.
    NonFinite(&'r ParameterStatistics),
    /// A group's gradient is far larger than it usually is.
    Exploding { group: &'r Group<'r>, usual: f64 },
    /// Most of a group's gradients are next to nothing.
    Tiny(&'r Group<'r>),
    /// The first block gets far less than the last.
    Fading { first: &'r Group<'r>, last: &'r Group<'r> },
    /// A parameter has no gradient.
    Dead(&'r ParameterStatistics),
}

/// The metrics that count verdicts.
pub(crate) const COUNTED: [&str; 4] = ["non_finite", "exploding", "vanishing", "dead"];

/// All that is wrong at a check.
pub(crate) fn all<'r>(
    groups: &'r [Group<'r>],
    settings: &Settings,
    history: &History,
) -> Vec<Verdict<'r>> {
    let parameters = || groups.iter().flat_map(|group| &group.parameters).copied();
    let non_finite = parameters().filter(|parameter| parameter.gradient.non_finite > 0);
    let exploding = groups.iter().filter_map(|group| {
        let usual = history.usual(&group.name)?;
        (group.gradient_norm > settings.explode * usual && usual > 0.0)
            .then_some(Verdict::Exploding { group, usual })
    });
    let tiny = groups.iter().filter(|group| {
        let share = group.tiny_share();
        share > 0.0 && share >= settings.tiny
    });
    let dead = parameters().filter(|parameter| is_dead(parameter));
    non_finite
        .map(Verdict::NonFinite)
        .chain(exploding)
        .chain(tiny.map(Verdict::Tiny))
        .chain(fading(groups, settings.vanish))
        .chain(dead.map(Verdict::Dead))
        .collect()
}

/// Whether the first block's gradient is far smaller than the last's. Blocks without any gradient
/// are dead, and others whose gradient is not finite are no measure.
fn fading<'r>(groups: &'r [Group<'r>], vanish: f64) -> Option<Verdict<'r>> {
    let mut blocks = groups.iter().filter(|group| group.is_block());
    let (first, last) = (blocks.next()?, blocks.next_back()?);
    let is_measure = |group: &Group<'_>| group.gradient_norm > 0.0 && group.non_finite() == 0;
    let fades =
        is_measure(first) && is_measure(last) && first.gradient_norm < vanish * last.gradient_norm;
    fades.then_some(Verdict::Fading { first, last })
}

impl Verdict<'_> {
    /// Which of the metrics counts it.
    pub fn counted_as(&self) -> &'static str {
        match self {
            Self::NonFinite(_) => "non_finite",
            Self::Exploding { .. } => "exploding",
            Self::Tiny(_) | Self::Fading { .. } => "vanishing",
            Self::Dead(_) => "dead",
        }
    }

    /// Of what it is the verdict: the same thing is not said again at once.
    pub fn subject(&self) -> String {
        match self {
            Self::NonFinite(parameter) => format!("non_finite/{}", parameter.name),
            Self::Exploding { group, .. } => format!("exploding/{}", group.name),
            Self::Tiny(group) => format!("tiny/{}", group.name),
            Self::Fading { .. } => "fading".to_owned(),
            Self::Dead(parameter) => format!("dead/{}", parameter.name),
        }
    }

    /// Whether it is said each time.
    pub fn is_urgent(&self) -> bool {
        matches!(self, Self::NonFinite(_))
    }
}

/// What is said of verdicts. Those of single parameters are said together.
pub(crate) fn texts(verdicts: &[&Verdict<'_>]) -> impl Iterator<Item = String> {
    let non_finite = together(verdicts, |verdict| match verdict {
        Verdict::NonFinite(parameter) => Some(parameter),
        _ => None,
    });
    let dead = together(verdicts, |verdict| match verdict {
        Verdict::Dead(parameter) => Some(parameter),
        _ => None,
    });
    let non_finite = non_finite.map(|(parameters, names)| {
        let values: u64 = parameters.iter().map(|parameter| parameter.gradient.non_finite).sum();
        format!("{values} gradients are NaN or infinite, in {names}")
    });
    let dead =
        dead.map(|(_, names)| format!("no gradient at all (every value is zero) in {names}"));
    non_finite
        .into_iter()
        .chain(verdicts.iter().filter_map(|verdict| of_group(verdict)))
        .chain(dead)
}

/// The parameters that are picked, and their names in words; none if there are none.
fn together<'r>(
    verdicts: &[&Verdict<'r>],
    pick: impl Fn(&Verdict<'r>) -> Option<&'r ParameterStatistics>,
) -> Option<(Vec<&'r ParameterStatistics>, String)> {
    let parameters: Vec<_> = verdicts.iter().filter_map(|verdict| pick(verdict)).collect();
    let names: Vec<_> = parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    let words = named(&names);
    (!parameters.is_empty()).then_some((parameters, words))
}

/// What is said of a verdict on a group.
fn of_group(verdict: &Verdict<'_>) -> Option<String> {
    match verdict {
        Verdict::Exploding { group, usual } => Some(format!(
            "gradients explode in {}: their norm is {:.3e}, {:.0} times the usual {usual:.3e}; most \
             of it in {}",
            group.name,
            group.gradient_norm,
            group.gradient_norm / usual,
            named(&by(group, |parameter| parameter.gradient.norm))
        )),
        Verdict::Tiny(group) => Some(format!(
            "gradients vanish in {}: {:.0}% of them are below 1e-8; most of all in {}",
            group.name,
            100.0 * group.tiny_share(),
            named(&by(group, |parameter| {
                if is_dead(parameter) { -1.0 } else { tiny_share(parameter) }
            }))
        )),
        Verdict::Fading { first, last } => Some(format!(
            "gradients vanish on their way back: their norm is {:.3e} in {} and {:.3e} in {}; least \
             of all in {}",
            first.gradient_norm,
            first.name,
            last.gradient_norm,
            last.name,
            named(&by(first, |parameter| -parameter.gradient.norm))
        )),
        Verdict::NonFinite(_) | Verdict::Dead(_) => None,
    }
}

/// The names of a group's parameters, those first of which there is most.
fn by<'r>(group: &Group<'r>, amount: impl Fn(&ParameterStatistics) -> f64) -> Vec<&'r str> {
    let mut parameters = group.parameters.clone();
    parameters.sort_by(|a, b| amount(b).total_cmp(&amount(a)));
    parameters.into_iter().map(|parameter| parameter.name.as_str()).take(NAMED).collect()
}

/// Names in words: the first few, and how many there are besides.
fn named(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().take(NAMED).map(|name| format!("`{name}`")).collect();
    let list = quoted.join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => list,
        more => format!("{list} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_listed_up_to_a_point() {
        assert_eq!(named(&["a"]), "`a`");
        assert_eq!(named(&["a", "b", "c"]), "`a`, `b`, `c`");
        assert_eq!(named(&["a", "b", "c", "d", "e"]), "`a`, `b`, `c` and 2 more");
    }
}
