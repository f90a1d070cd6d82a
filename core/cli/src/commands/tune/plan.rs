//! Which trials a search makes, and in which order. More trials only add to fewer.

use vitral_seed::Seed;

use super::over::{Over, Values};

/// Trials where a range leaves their number open.
const TRIALS: usize = 12;
/// Combinations of listed values, at most.
const MOST: usize = 10_000;

/// The trials of a search: for each, the value of each field.
///
/// Of lists, every combination comes once before any comes again. Of ranges, each trial takes the next point of
/// an additive sequence (Roberts 2018), which spreads over all ranges evenly, however many points there are, and
/// also among the trials of one combination.
///
/// # Errors
/// A field that is there twice, or too many combinations, in a sentence.
pub fn plan(over: &[Over], trials: Option<usize>, seed: u64) -> Result<Vec<Vec<String>>, String> {
    if let Some(twice) =
        over.iter().enumerate().find(|(at, one)| over[..*at].iter().any(|o| o.field == one.field))
    {
        return Err(format!(
            "--over {} is given twice: give all of its values at once",
            twice.1.field
        ));
    }
    let seed = Seed::new(seed).named("tune");
    let combinations = over.iter().try_fold(1_usize, |all, one| {
        let own = if let Values::List(values) = &one.values { values.len() } else { 1 };
        all.checked_mul(own).filter(|&all| all <= MOST)
    });
    let Some(combinations) = combinations else {
        return Err(format!("the lists have more than {MOST} combinations"));
    };
    let ranges = over.iter().filter(|one| matches!(one.values, Values::Range(_))).count();
    let count = match ranges {
        0 => trials.unwrap_or(combinations).min(combinations),
        _ => trials.unwrap_or(TRIALS),
    };
    let order = shuffled(combinations, seed.named("order"));
    let steps = steps(ranges);
    let mut planned: Vec<Vec<String>> = Vec::new();
    for trial in 0..count {
        let mut combination = order[trial % combinations];
        let mut range = 0;
        let mut value = |one: &Over| match &one.values {
            Values::List(values) => {
                let at = combination % values.len();
                combination /= values.len();
                values[at].clone()
            }
            Values::Range(values) => {
                let start = unit(seed.named("start").indexed(range as u64));
                let place = (start + (trial + 1) as f64 * steps[range]).fract();
                range += 1;
                values.at(place)
            }
        };
        let values: Vec<String> = over.iter().map(&mut value).collect();
        // Whole numbers come again.
        if !planned.contains(&values) {
            planned.push(values);
        }
    }
    Ok(planned)
}

/// How far the sequence goes from one point to the next, in each dimension: powers of 1/g, where g is the root
/// above 1 of g^(d + 1) = g + 1, the golden ratio in one dimension.
fn steps(dimensions: usize) -> Vec<f64> {
    let power = 1.0 / (dimensions as f64 + 1.0);
    let root = (0..64).fold(2.0_f64, |root, _| (1.0 + root).powf(power));
    (1..=dimensions).map(|dimension| root.powi(-(dimension as i32))).collect()
}

/// A number from 0 to 1 that follows from a seed.
fn unit(seed: Seed) -> f64 {
    (seed.value() >> 11) as f64 / (1_u64 << 53) as f64
}

/// The numbers below `count` in an order that follows from a seed (Fisher and Yates).
fn shuffled(count: usize, seed: Seed) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        let chosen = seed.indexed(last as u64).value() % (last as u64 + 1);
        order.swap(last, chosen as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn planned(over: &[&str], trials: Option<usize>, seed: u64) -> Vec<Vec<String>> {
        let over: Vec<Over> = over.iter().map(|text| text.parse().unwrap()).collect();
        plan(&over, trials, seed).unwrap()
    }

    #[test]
    fn lists_are_a_grid_in_an_order_of_the_seed() {
        let all = planned(&["a=1,2,3", "b=x,y"], None, 0);
        let distinct: BTreeSet<_> = all.iter().cloned().collect();
        assert_eq!((all.len(), distinct.len()), (6, 6));
        assert_eq!(planned(&["a=1,2,3", "b=x,y"], Some(99), 0), all);
        assert_eq!(planned(&["a=1,2,3", "b=x,y"], Some(4), 0), all[..4]);
        assert!((1..9).any(|seed| planned(&["a=1,2,3", "b=x,y"], None, seed) != all));
    }

    #[test]
    fn points_of_ranges_are_spread_evenly_and_more_add_to_fewer() {
        let over = ["a=0.0..1.0", "b=0.0..1.0"];
        let all = planned(&over, Some(64), 3);
        assert_eq!(planned(&over, Some(12), 3), all[..12]);
        assert_eq!(planned(&over, None, 3).len(), TRIALS);
        assert_ne!(planned(&over, Some(12), 4), all[..12]);
        let place = |text: &String| (text.parse::<f64>().unwrap() * 4.0).min(3.0) as usize;
        let mut cells = [0; 16];
        all.iter().for_each(|point| cells[place(&point[0]) * 4 + place(&point[1])] += 1);
        assert!(cells.iter().all(|&count| (2..=6).contains(&count)), "{cells:?}");
    }

    #[test]
    fn points_are_spread_within_each_combination_of_lists() {
        let all = planned(&["a=x,y", "b=0.0..1.0"], Some(32), 0);
        for name in ["x", "y"] {
            let own = all.iter().filter(|values| values[0] == name);
            let mut quarters = [0; 4];
            own.for_each(|values| {
                quarters[(values[1].parse::<f64>().unwrap() * 4.0).min(3.0) as usize] += 1;
            });
            assert!(quarters.iter().all(|&count| (2..=6).contains(&count)), "{quarters:?}");
        }
    }

    #[test]
    fn nothing_is_tried_twice() {
        let all = planned(&["a=2..4"], Some(20), 0);
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        assert_eq!(all.len(), 3);
        let over: Vec<Over> = ["a=1,2", "a=3,4"].map(|text| text.parse().unwrap()).into();
        assert!(plan(&over, None, 0).unwrap_err().contains("--over a is given twice"));
        let many = ["1,2,3,4,5,6,7,8,9,10,11"; 4];
        let many: Vec<Over> = many
            .iter()
            .enumerate()
            .map(|(at, list)| format!("f{at}={list}").parse().unwrap())
            .collect();
        assert!(plan(&many, None, 0).unwrap_err().contains("more than 10000"));
    }
}
