//! Whether gradients are fit to learn from.
//!
//! Parameters are looked at in `groups`, a transformer block each; `verdicts` says what is wrong
//! with them, `history` what a group's norm usually is, and `told` what the user knows already.

mod groups;
mod history;
mod told;
mod verdicts;

#[cfg(test)]
mod tests;

use vitral_sdk::LayerReport;
use vitral_sdk::prelude::*;

use groups::Group;
use history::History;
use told::Told;
use verdicts::Verdict;
use vitral_sdk::state::{Reader, Writer};

/// First line of the state.
const HEADER: &str = "gradient-health 1";

/// What is looked at, and what counts as wrong.
#[derive(Clone, Debug, Parameters)]
pub struct Settings {
    /// Steps between checks. Each reads all gradients and weights back from the device.
    #[parameter(default = 100, min = 1)]
    every: u32,
    /// How many times its running median a group's gradient norm must be to explode.
    #[parameter(default = 10, min = 1)]
    explode: f64,
    /// Checks that make up the running median.
    #[parameter(default = 20, min = 3, max = 1000)]
    window: u32,
    /// Which part of the last block's gradient norm the first block's must be below to vanish.
    #[parameter(default = 0.001, min = 0, max = 1)]
    vanish: f64,
    /// Share of a group's gradients with magnitudes below 1e-8 from which it vanishes.
    #[parameter(default = 0.9, min = 0, max = 1)]
    tiny: f64,
    /// Checks before the same is said of the same parameters again, but for gradients that are not
    /// finite.
    #[parameter(default = 10, min = 1)]
    repeat: u32,
}

/// Looks at gradients.
#[derive(Debug)]
pub struct GradientHealth {
    settings: Settings,
    history: History,
    told: Told,
}

impl Plugin for GradientHealth {
    type Parameters = Settings;

    const IDENTITY: Identity =
        identity!("gradient-health", "Gradients that explode, vanish or are not finite");

    fn new(settings: Settings) -> Result<Self> {
        let history = History::new(settings.window as usize);
        let told = Told::new(settings.repeat.into());
        Ok(Self { settings, history, told })
    }

    fn examples() -> Vec<Example> {
        vec![
            Example::new("A close look: every 10 steps, each thing said again at once")
                .set("every", 10)
                .set("repeat", 1),
            Example::new("Deep models, whose first blocks must not be left behind")
                .set("vanish", 0.05)
                .set("tiny", 0.5)
                .set("explode", 5),
        ]
    }
}

impl Monitor for GradientHealth {
    fn interests(&self) -> Interests {
        Interests { steps: 0, layers: self.settings.every }
    }

    fn observe(&mut self, event: &Event) -> Result<Vec<Action>> {
        let Event::Layers(report) = event else { return Ok(Vec::new()) };
        let groups = groups::of(&report.parameters);
        let verdicts = verdicts::all(&groups, &self.settings, &self.history);
        let mut actions = figures(&groups, &verdicts);
        actions.extend(self.warnings(report, &verdicts));
        for group in groups.iter().filter(|group| group.non_finite() == 0) {
            self.history.add(&group.name, group.gradient_norm);
        }
        Ok(actions)
    }

    fn save(&self) -> Vec<u8> {
        let mut state = Writer::new(HEADER);
        self.history.save(&mut state);
        self.told.save(&mut state);
        state.finish()
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        let Some(state) = Reader::new(state, HEADER)? else { return Ok(()) };
        let history = History::restore(self.settings.window as usize, &state)?;
        self.told = Told::restore(self.settings.repeat.into(), &state)?;
        self.history = history;
        Ok(())
    }
}

impl GradientHealth {
    /// A warning for each kind of verdict of which the user has not heard lately.
    fn warnings(&mut self, report: &LayerReport, verdicts: &[Verdict<'_>]) -> Vec<Action> {
        self.told.next_check();
        let news: Vec<_> = verdicts
            .iter()
            .filter(|verdict| self.told.is_news(&verdict.subject()) || verdict.is_urgent())
            .collect();
        let texts = verdicts::texts(&news);
        texts.map(|text| Action::Warn(format!("step {}: {text}", report.step))).collect()
    }
}

/// The metrics of a check.
fn figures(groups: &[Group<'_>], verdicts: &[Verdict<'_>]) -> Vec<Action> {
    let metric = |name: String, value: f64| Action::Metric { name, value };
    let of_group = |group: &Group<'_>| {
        let name = &group.name;
        [
            metric(format!("gradient_norm/{name}"), group.gradient_norm),
            metric(format!("weight_norm/{name}"), group.weight_norm),
            metric(format!("update_scale/{name}"), group.update_scale()),
        ]
    };
    let count = |name: &str| {
        let counted = verdicts.iter().filter(|verdict| verdict.counted_as() == name);
        metric(name.to_owned(), counted.count() as f64)
    };
    groups.iter().flat_map(of_group).chain(verdicts::COUNTED.map(count)).collect()
}

#[cfg(not(feature = "compiled-in"))]
vitral_sdk::export!(GradientHealth: monitor);

/// The plugin, for programs that link it in.
pub fn plugin() -> &'static vitral_sdk::abi::c::Plugin {
    vitral_sdk::native::monitor::<GradientHealth>()
}
