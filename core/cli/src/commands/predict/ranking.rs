//! Which classes an image is given.

/// A class of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranked<'a> {
    pub name: &'a str,
    /// Its position among the model's classes.
    pub index: usize,
    pub probability: f32,
}

/// How many classes an image is given at most, and how probable each is at least.
pub struct Ranking {
    names: Vec<String>,
    top: usize,
    threshold: f32,
}

impl Ranking {
    /// Of a model with so many classes, of which the first have these names.
    pub fn new(names: Vec<String>, classes: usize, top: usize, threshold: f32) -> Self {
        let numbers = (names.len()..classes).map(|number| number.to_string());
        let names: Vec<String> = names.iter().cloned().chain(numbers).collect();
        Self { top: top.min(names.len()), names, threshold }
    }

    /// How many classes the model has.
    pub fn classes(&self) -> usize {
        self.names.len()
    }

    /// The names of all of them.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// How many an image is given at most.
    pub fn shown(&self) -> usize {
        self.top
    }

    /// The classes of an image by their probability, of equal ones the first.
    pub fn of(&self, probabilities: &[f32]) -> Vec<Ranked<'_>> {
        let mut order: Vec<usize> = (0..probabilities.len())
            .filter(|&index| probabilities[index] >= self.threshold)
            .collect();
        let by_rank = |&one: &usize, &other: &usize| {
            probabilities[other].total_cmp(&probabilities[one]).then(one.cmp(&other))
        };
        if order.len() > self.top {
            order.select_nth_unstable_by(self.top - 1, by_rank);
            order.truncate(self.top);
        }
        order.sort_unstable_by(by_rank);
        let ranked = |index: usize| Ranked {
            name: &self.names[index],
            index,
            probability: probabilities[index],
        };
        order.into_iter().map(ranked).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranked(top: usize, threshold: f32, probabilities: &[f32]) -> Vec<(String, usize)> {
        let names = vec!["cat".to_owned(), "dog".into()];
        let ranking = Ranking::new(names, probabilities.len(), top, threshold);
        let found = ranking.of(probabilities);
        found.iter().map(|class| (class.name.to_owned(), class.index)).collect()
    }

    #[test]
    fn the_most_probable_come_first_and_equal_ones_in_their_order() {
        let of = |top, threshold| ranked(top, threshold, &[0.1, 0.3, 0.3, 0.2, 0.1]);
        let named = |names: &[(&str, usize)]| -> Vec<(String, usize)> {
            names.iter().map(|(name, index)| ((*name).to_owned(), *index)).collect()
        };
        assert_eq!(of(3, 0.0), named(&[("dog", 1), ("2", 2), ("3", 3)]));
        assert_eq!(of(9, 0.15), named(&[("dog", 1), ("2", 2), ("3", 3)]));
        assert_eq!(of(1, 0.3), named(&[("dog", 1)]));
        assert_eq!(of(4, 0.31), named(&[]));
        assert_eq!(of(9, 0.0).last(), Some(&("4".to_owned(), 4)));
    }
}
