//! Ends a run whose evaluations have stopped improving.

#[cfg(test)]
mod tests;

use vitral_sdk::Evaluation;
use vitral_sdk::prelude::*;

use vitral_sdk::state::{Reader, Writer};

/// First line of the state.
const HEADER: &str = "early-stop 1";

/// What is watched, and for how long.
#[derive(Clone, Debug, Parameters)]
pub struct Settings {
    /// Figure of the evaluations that is watched. Of the loss, less is better; of the others, more.
    #[parameter(default = Metric::Top1)]
    metric: Metric,
    /// Evaluations without an improvement after which the run ends.
    #[parameter(default = 10, min = 1)]
    patience: u32,
    /// By how much a figure must be better than the best before to count as an improvement.
    #[parameter(default = 0, min = 0)]
    min_delta: f64,
    /// Epochs before which the run does not end.
    #[parameter(default = 0, min = 0)]
    min_epochs: f64,
}

/// A figure of evaluations.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Mean loss.
    Loss,
    /// Share of the images whose class got the highest logit.
    Top1,
    /// Share of the images whose class is among the five highest.
    Top5,
}

/// Ends a run that has stopped improving.
#[derive(Debug)]
pub struct EarlyStop {
    settings: Settings,
    best: Option<Best>,
    /// Evaluations since the best.
    waited: u32,
}

/// The best evaluation.
#[derive(Clone, Copy, Debug)]
struct Best {
    value: f64,
    step: u64,
    epoch: f64,
}

impl Metric {
    const fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Top1 => "top1",
            Self::Top5 => "top5",
        }
    }

    const fn of(self, evaluation: &Evaluation) -> f64 {
        match self {
            Self::Loss => evaluation.loss,
            Self::Top1 => evaluation.top1,
            Self::Top5 => evaluation.top5,
        }
    }

    /// By how much a value is better than another.
    fn gain(self, value: f64, before: f64) -> f64 {
        match self {
            Self::Loss => before - value,
            Self::Top1 | Self::Top5 => value - before,
        }
    }
}

impl Plugin for EarlyStop {
    type Parameters = Settings;

    const IDENTITY: Identity = identity!("early-stop", "Ends a run that has stopped improving");

    fn new(settings: Settings) -> Result<Self> {
        Ok(Self { settings, best: None, waited: 0 })
    }

    fn examples() -> Vec<Example> {
        vec![
            Example::new("Five evaluations without a better top-1, but never before epoch 20")
                .set("patience", 5)
                .set("min_epochs", 20),
            Example::new("The loss must fall by 0.01 within three evaluations")
                .set("metric", "loss")
                .set("patience", 3)
                .set("min_delta", 0.01),
        ]
    }
}

impl Monitor for EarlyStop {
    fn interests(&self) -> Interests {
        Interests::default()
    }

    fn observe(&mut self, event: &Event) -> Result<Vec<Action>> {
        let Event::Evaluated(evaluation) = event else { return Ok(Vec::new()) };
        let value = self.settings.metric.of(evaluation);
        if self.improves(value) {
            self.best = Some(Best { value, step: evaluation.step, epoch: evaluation.epoch });
            self.waited = 0;
        } else {
            self.waited = self.waited.saturating_add(1);
        }
        let metric = |name: &str, value| Action::Metric { name: name.to_owned(), value };
        let best = self.best.map(|best| metric("best", best.value));
        let mut actions: Vec<_> = best.into_iter().collect();
        actions.push(metric("evaluations_since_best", self.waited.into()));
        if self.waited >= self.settings.patience && evaluation.epoch >= self.settings.min_epochs {
            actions.push(Action::Stop(self.reason(value)));
        }
        Ok(actions)
    }

    fn save(&self) -> Vec<u8> {
        let mut state = Writer::new(HEADER);
        state.put("metric", [self.settings.metric.name()]);
        state.put("best", self.best.map(|best| best.value));
        state.put("best_step", self.best.map(|best| best.step));
        state.put("best_epoch", self.best.map(|best| best.epoch));
        state.put("waited", [self.waited]);
        state.finish()
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        let Some(state) = Reader::new(state, HEADER)? else { return Ok(()) };
        if state.one::<String>("metric")? != self.settings.metric.name() {
            log::info("another metric was watched before: starting afresh");
            return Ok(());
        }
        let best =
            (state.optional("best")?, state.optional("best_step")?, state.optional("best_epoch")?);
        self.best = match best {
            (Some(value), Some(step), Some(epoch)) => Some(Best { value, step, epoch }),
            (None, None, None) => None,
            _ => bail!("the saved state has a part of the best evaluation only"),
        };
        self.waited = state.one("waited")?;
        Ok(())
    }
}

impl EarlyStop {
    /// Whether a value is better than the best so far. What is not a number never is.
    fn improves(&self, value: f64) -> bool {
        match self.best {
            None => !value.is_nan(),
            Some(best) => self.settings.metric.gain(value, best.value) > self.settings.min_delta,
        }
    }

    /// Why the run ends, at this value.
    fn reason(&self, value: f64) -> String {
        let (name, waited) = (self.settings.metric.name(), self.waited);
        let evaluations = if waited == 1 { "evaluation" } else { "evaluations" };
        match self.best {
            Some(Best { value: best, step, epoch }) => format!(
                "{name} has not improved for {waited} {evaluations}: the best was {best:.4} at step \
                 {step} (epoch {epoch:.1}), now it is {value:.4}"
            ),
            None => format!("{name} has not been a number for {waited} {evaluations}"),
        }
    }
}

#[cfg(not(feature = "compiled-in"))]
vitral_sdk::export!(EarlyStop: monitor);

/// The plugin, for programs that link it in.
pub fn plugin() -> &'static vitral_sdk::abi::c::Plugin {
    vitral_sdk::native::monitor::<EarlyStop>()
}
