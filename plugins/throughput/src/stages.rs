//! What the data path spends its time on, since the last report.

use vitral_sdk::DataReport;
use vitral_sdk::prelude::*;
use vitral_sdk::state::{Reader, Writer};

/// Seconds of all data workers, by stage and in the stages' order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stages {
    names: Vec<String>,
    seconds: Vec<f64>,
}

impl Stages {
    pub fn add(&mut self, report: &DataReport) {
        for stage in &report.stages {
            let seconds = if stage.seconds.is_finite() { stage.seconds.max(0.0) } else { 0.0 };
            // A saved state's values have no spaces, and something in them.
            let name = if stage.name.is_empty() { "-" } else { &stage.name };
            let name = name.replace(char::is_whitespace, "-");
            match self.names.iter().position(|known| *known == name) {
                Some(at) => self.seconds[at] += seconds,
                None => {
                    self.names.push(name);
                    self.seconds.push(seconds);
                }
            }
        }
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Each stage's share of all, from 0 to 1; nothing where no time was taken.
    pub fn shares(&self) -> impl Iterator<Item = (&str, f64)> {
        let total: f64 = self.seconds.iter().sum();
        let stages = self.names.iter().map(String::as_str).zip(&self.seconds);
        stages.filter(move |_| total > 0.0).map(move |(name, seconds)| (name, seconds / total))
    }

    /// The stage that takes longest, of equals the first, and its share.
    pub fn bottleneck(&self) -> Option<(&str, f64)> {
        self.shares().reduce(|most, stage| if stage.1 > most.1 { stage } else { most })
    }

    pub fn save(&self, state: &mut Writer) {
        state.put("stages", &self.names);
        state.put("stage_seconds", &self.seconds);
    }

    /// Nothing, of a state from before there were stages.
    pub fn restore(state: &Reader<'_>) -> Result<Self> {
        let Ok(names) = state.list::<String>("stages") else { return Ok(Self::default()) };
        let seconds: Vec<f64> = state.list("stage_seconds")?;
        if names.len() != seconds.len() {
            bail!("the saved state has times for some stages only");
        }
        Ok(Self { names, seconds })
    }
}

#[cfg(test)]
mod tests {
    use vitral_sdk::Event;
    use vitral_testkit::events::data;

    use super::*;

    #[test]
    fn shares_add_up_over_reports_and_stages_of_one_name() {
        let mut stages = Stages::default();
        for event in [
            data(1).stage("read", 1.0).stage("a stage", 1.0),
            data(2).stage("read", 1.0).stage("a stage", 4.0).stage("a stage", 1.0),
            data(3).stage("read", f64::NAN).stage("a stage", -1.0),
        ] {
            let Event::Data(report) = event.into() else { unreachable!() };
            stages.add(&report);
        }
        assert_eq!(stages.shares().collect::<Vec<_>>(), [("read", 0.25), ("a-stage", 0.75)]);
        assert_eq!(stages.bottleneck(), Some(("a-stage", 0.75)));
        stages.clear();
        assert_eq!(stages.bottleneck(), None);
    }
}
