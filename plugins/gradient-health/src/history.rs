//! What the norm of a group's gradient usually is.

use std::collections::{BTreeMap, VecDeque};

use vitral_sdk::prelude::*;

use vitral_sdk::state::{Reader, Writer};

/// Checks before anything is usual.
const LEAST: usize = 3;

/// The last norms of each group.
#[derive(Clone, Debug)]
pub(crate) struct History {
    window: usize,
    norms: BTreeMap<String, VecDeque<f64>>,
}

impl History {
    pub fn new(window: usize) -> Self {
        Self { window, norms: BTreeMap::new() }
    }

    pub fn add(&mut self, group: &str, norm: f64) {
        let norms = self.norms.entry(group.to_owned()).or_default();
        norms.push_back(norm);
        if norms.len() > self.window {
            norms.pop_front();
        }
    }

    /// The median of a group's last norms; none as long as there are few.
    pub fn usual(&self, group: &str) -> Option<f64> {
        let norms = self.norms.get(group).filter(|norms| norms.len() >= LEAST)?;
        let mut norms: Vec<_> = norms.iter().copied().collect();
        norms.sort_by(f64::total_cmp);
        Some(norms[(norms.len() - 1) / 2])
    }

    pub fn save(&self, state: &mut Writer) {
        state.put("groups", self.norms.keys());
        for (group, norms) in &self.norms {
            state.put(&format!("norms/{group}"), norms);
        }
    }

    pub fn restore(window: usize, state: &Reader<'_>) -> Result<Self> {
        let mut history = Self::new(window);
        for group in state.list::<String>("groups")? {
            for norm in state.list(&format!("norms/{group}"))? {
                history.add(&group, norm);
            }
        }
        Ok(history)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_norm_is_the_median_of_the_last() {
        let mut history = History::new(3);
        for (norm, usual) in [(9.0, None), (9.0, None), (1.0, Some(9.0)), (2.0, Some(2.0))] {
            history.add("head", norm);
            assert_eq!(history.usual("head"), usual);
        }
        assert_eq!(history.usual("norm"), None);
    }
}
