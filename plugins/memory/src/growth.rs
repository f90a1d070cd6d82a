//! Whether memory only ever grows.

use std::collections::VecDeque;

/// The last reports of memory in use, in bytes, none smaller than the one before.
#[derive(Clone, Debug)]
pub(crate) struct Growth {
    window: usize,
    reports: VecDeque<u64>,
}

impl Growth {
    pub fn new(window: usize) -> Self {
        Self { window, reports: VecDeque::new() }
    }

    /// From saved reports, as if they had been added.
    pub fn of(window: usize, reports: Vec<u64>) -> Self {
        let mut growth = Self::new(window);
        reports.into_iter().for_each(|bytes| growth.push(bytes));
        growth
    }

    pub fn forget(&mut self) {
        self.reports.clear();
    }

    /// From the oldest on.
    pub fn reports(&self) -> impl Iterator<Item = u64> {
        self.reports.iter().copied()
    }

    /// Adds a report. By how much memory has grown over the window, if that is this much at least;
    /// then the window starts again.
    pub fn add(&mut self, bytes: u64, least: u64) -> Option<u64> {
        self.push(bytes);
        let first = *self.reports.front()?;
        let grown = bytes.saturating_sub(first);
        if self.reports.len() < self.window || grown < least {
            return None;
        }
        self.forget();
        Some(grown)
    }

    fn push(&mut self, bytes: u64) {
        if self.reports.back().is_some_and(|&before| bytes < before) {
            self.forget();
        }
        self.reports.push_back(bytes);
        if self.reports.len() > self.window {
            self.reports.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(reports: &[u64]) -> Vec<Option<u64>> {
        let mut growth = Growth::new(3);
        reports.iter().map(|&bytes| growth.add(bytes, 10)).collect()
    }

    #[test]
    fn growth_over_a_window_is_found_and_starts_again() {
        assert_eq!(found(&[0, 5, 10, 15, 20, 25]), [None, None, Some(10), None, None, Some(10)]);
    }

    #[test]
    fn a_report_that_is_smaller_ends_growth() {
        assert_eq!(found(&[0, 20, 19, 30, 40]), [None, None, None, None, Some(21)]);
    }

    #[test]
    fn little_growth_is_none() {
        assert_eq!(found(&[0, 4, 8, 12, 16]), [None; 5]);
    }

    #[test]
    fn standing_still_between_jumps_is_growth() {
        assert_eq!(found(&[0, 0, 10]), [None, None, Some(10)]);
    }
}
