//! What the user has been told, so as not to say it again and again.

use std::collections::BTreeMap;

use vitral_sdk::prelude::*;

use vitral_sdk::state::{Reader, Writer};

/// When what was last said.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// Checks before something is said again.
    repeat: u64,
    /// Checks so far.
    checks: u64,
    /// The check at which something was said.
    last: BTreeMap<String, u64>,
}

impl Told {
    pub fn new(repeat: u64) -> Self {
        Self { repeat, checks: 0, last: BTreeMap::new() }
    }

    /// Forgets what was said long ago.
    pub fn next_check(&mut self) {
        self.checks = self.checks.saturating_add(1);
        let Self { repeat, checks, .. } = *self;
        self.last.retain(|_, said| checks.saturating_sub(*said) < repeat);
    }

    /// Whether something was not said lately; now it is.
    pub fn is_news(&mut self, subject: &str) -> bool {
        let is_news = !self.last.contains_key(subject);
        if is_news {
            self.last.insert(subject.to_owned(), self.checks);
        }
        is_news
    }

    pub fn save(&self, state: &mut Writer) {
        state.put("checks", [self.checks]);
        state.put("told", self.last.keys());
        state.put("told_at", self.last.values());
    }

    pub fn restore(repeat: u64, state: &Reader<'_>) -> Result<Self> {
        let (told, at): (Vec<String>, Vec<u64>) = (state.list("told")?, state.list("told_at")?);
        if told.len() != at.len() {
            bail!("the saved state has {} warnings at {} times", told.len(), at.len());
        }
        let last = told.into_iter().zip(at).collect();
        Ok(Self { repeat, checks: state.one("checks")?, last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_is_news_again_after_a_while() {
        let mut told = Told::new(3);
        let mut news = Vec::new();
        for _ in 0..7 {
            told.next_check();
            news.push(told.is_news("a"));
        }
        assert_eq!(news, [true, false, false, true, false, false, true]);
        assert!(told.is_news("b"));
    }

    #[test]
    fn with_one_everything_is_always_news() {
        let mut told = Told::new(1);
        for _ in 0..3 {
            told.next_check();
            assert!(told.is_news("a"));
        }
    }
}
