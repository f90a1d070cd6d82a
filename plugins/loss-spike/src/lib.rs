//! Notices losses that jump, and does something about it.
//!
//! What the loss usually is comes from `history`; here is what happens when it jumps.

mod history;

#[cfg(test)]
mod tests;

use vitral_sdk::Step;
use vitral_sdk::prelude::*;

use history::History;
use vitral_sdk::state::{Reader, Writer};

/// First line of the state.
const HEADER: &str = "loss-spike 1";

/// What counts as a spike, and what happens then.
#[derive(Clone, Debug, Parameters)]
pub struct Settings {
    /// Logged steps that say what the loss usually is.
    #[parameter(default = 50, min = 5, max = 10_000)]
    window: u32,
    /// Deviations above the median from which a loss is a spike.
    #[parameter(default = 8, min = 1)]
    threshold: f64,
    /// What happens at a spike: a warning, a lower learning rate, or a return to the last checkpoint
    /// with a lower learning rate.
    #[parameter(default = Response::Warn)]
    action: Response,
    /// What the learning rate is multiplied by.
    #[parameter(default = 0.5, min = 0.001, max = 1)]
    factor: f64,
    /// Logged steps after an action in which another spike has no consequences, unless the loss is
    /// not finite.
    #[parameter(default = 20, min = 0)]
    cooldown: u32,
    /// Changes of the learning rate after which another spike ends the run. Warnings do not count.
    #[parameter(default = 3, min = 0)]
    max_actions: u32,
}

/// What happens at a spike.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// The user is told.
    Warn,
    /// The learning rate is lowered.
    LowerRate,
    /// The run goes back to the last checkpoint, with a lower learning rate.
    RollBack,
}

/// Notices losses that jump.
#[derive(Debug)]
pub struct LossSpike {
    settings: Settings,
    history: History,
    /// Logged steps until a spike has consequences again.
    quiet: u32,
    /// Changes of the learning rate so far.
    actions: u32,
}

impl Plugin for LossSpike {
    type Parameters = Settings;

    const IDENTITY: Identity = identity!("loss-spike", "Notices losses that jump, and reacts");

    fn new(settings: Settings) -> Result<Self> {
        let history = History::new(settings.window as usize);
        Ok(Self { settings, history, quiet: 0, actions: 0 })
    }

    fn examples() -> Vec<Example> {
        vec![
            Example::new("Back to the last checkpoint with half of the learning rate")
                .set("action", "roll-back"),
            Example::new("A slightly lower learning rate, up to ten times")
                .set("action", "lower-rate")
                .set("factor", 0.8)
                .set("threshold", 6)
                .set("max_actions", 10),
            Example::new("Warnings of anything out of the ordinary")
                .set("threshold", 4)
                .set("window", 20)
                .set("cooldown", 0),
        ]
    }
}

impl Monitor for LossSpike {
    fn interests(&self) -> Interests {
        // Which steps are logged is the experiment's to say; the others have no figures.
        Interests { steps: 1, layers: 0 }
    }

    fn observe(&mut self, event: &Event) -> Result<Vec<Action>> {
        if let Event::RolledBack(back) = event {
            let value = back.from_step.saturating_sub(back.to_step) as f64;
            return Ok(vec![Action::Metric { name: "steps_taken_back".into(), value }]);
        }
        let Event::Stepped(Step { step, figures: Some(figures), .. }) = event else {
            return Ok(Vec::new());
        };
        let (loss, usual) = (figures.loss, self.history.usual());
        let mut actions = Vec::new();
        if let Some(usual) = usual.filter(|_| loss.is_finite()) {
            let value = usual.deviations(loss);
            actions.push(Action::Metric { name: "deviations".into(), value });
        }
        let spike = match usual {
            _ if !loss.is_finite() => Some(format!("the loss at step {step} is {loss}")),
            Some(usual) if usual.deviations(loss) > self.settings.threshold => Some(format!(
                "the loss at step {step} is {loss:.4}, {:.0} deviations above its median of {:.4}",
                usual.deviations(loss),
                usual.median
            )),
            _ => None,
        };
        let is_quiet = self.quiet > 0;
        self.quiet = self.quiet.saturating_sub(1);
        // A model whose loss is not finite is lost: that cannot wait.
        if let Some(spike) = spike.filter(|_| !is_quiet || !loss.is_finite()) {
            self.quiet = self.settings.cooldown;
            actions.push(self.respond(spike));
        }
        self.history.add(loss);
        Ok(actions)
    }

    fn save(&self) -> Vec<u8> {
        let mut state = Writer::new(HEADER);
        state.put("losses", self.history.losses());
        state.put("quiet", [self.quiet]);
        state.put("actions", [self.actions]);
        state.finish()
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        let Some(state) = Reader::new(state, HEADER)? else { return Ok(()) };
        let mut history = History::new(self.settings.window as usize);
        state.list("losses")?.into_iter().for_each(|loss| history.add(loss));
        (self.quiet, self.actions) = (state.one("quiet")?, state.one("actions")?);
        self.history = history;
        Ok(())
    }
}

impl LossSpike {
    /// What to do about a spike.
    fn respond(&mut self, spike: String) -> Action {
        let Settings { action, factor, max_actions, .. } = self.settings;
        if action == Response::Warn {
            return Action::Warn(spike);
        }
        if self.actions >= max_actions {
            let times = if max_actions == 1 { "time" } else { "times" };
            return Action::Stop(format!(
                "{spike}, after the learning rate was lowered {max_actions} {times}"
            ));
        }
        self.actions += 1;
        let change = RateChange { factor, reason: spike };
        match action {
            Response::RollBack => Action::RollBack(change),
            _ => Action::ScaleLearningRate(change),
        }
    }
}

#[cfg(not(feature = "compiled-in"))]
vitral_sdk::export!(LossSpike: monitor);

/// The plugin, for programs that link it in.
pub fn plugin() -> &'static vitral_sdk::abi::c::Plugin {
    vitral_sdk::native::monitor::<LossSpike>()
}
