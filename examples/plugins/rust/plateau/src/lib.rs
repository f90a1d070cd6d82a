//! Lowers the learning rate where the validation loss stays.

use vitral_sdk::{
    prelude::*,
    state::{Reader, Writer},
};

/// First line of the state.
const HEADER: &str = "plateau 1";

/// What users set.
#[derive(Debug, Parameters)]
pub struct Settings {
    /// What the learning rate is multiplied by.
    #[parameter(default = 0.5, min = 0.01, max = 1)]
    factor: f64,
    /// Evaluations without a better loss after which that is done.
    #[parameter(default = 2, min = 1, max = 1000)]
    patience: u32,
    /// By how much a loss must be below the best before.
    #[parameter(default = 0, min = 0, max = 1000)]
    min_delta: f64,
}

/// Counts the evaluations since the best.
#[derive(Debug)]
pub struct Plateau {
    settings: Settings,
    best: f64,
    waited: u32,
}

impl Plugin for Plateau {
    type Parameters = Settings;
    const IDENTITY: Identity =
        identity!("plateau", "Lowers the learning rate when the validation loss stops improving");

    fn new(settings: Settings) -> Result<Self> {
        Ok(Self { settings, best: f64::INFINITY, waited: 0 })
    }

    fn examples() -> Vec<Example> {
        vec![Example::new("A tenth, at once").set("factor", 0.1).set("patience", 1)]
    }
}

impl Monitor for Plateau {
    fn interests(&self) -> Interests {
        Interests::default()
    }

    fn observe(&mut self, event: &Event) -> Result<Vec<Action>> {
        let Event::Evaluated(evaluation) = event else { return Ok(Vec::new()) };
        let Settings { factor, patience, min_delta } = self.settings;
        if evaluation.loss < self.best - min_delta {
            (self.best, self.waited) = (evaluation.loss, 0);
            return Ok(Vec::new());
        }
        self.waited = (self.waited + 1) % patience;
        if self.waited > 0 {
            return Ok(Vec::new());
        }
        let reason = format!("evaluations without a better loss: {patience}");
        Ok(vec![Action::ScaleLearningRate(RateChange { factor, reason })])
    }

    fn save(&self) -> Vec<u8> {
        let mut state = Writer::new(HEADER);
        state.put("best", [self.best]);
        state.put("waited", [self.waited]);
        state.finish()
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        let Some(state) = Reader::new(state, HEADER)? else { return Ok(()) };
        (self.best, self.waited) = (state.one("best")?, state.one("waited")?);
        Ok(())
    }
}

vitral_sdk::export!(Plateau: monitor);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_passes_its_checks() {
        vitral_testkit::check_monitor::<Plateau>();
    }
}
