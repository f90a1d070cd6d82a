//! TEMPLATE_SUMMARY.

use vitral_sdk::prelude::*;

/// What users set.
#[derive(Clone, Debug, Parameters)]
pub struct Settings {
    /// Steps in a row whose loss may be no number before the run is stopped.
    #[parameter(default = 3, min = 1, max = 1000)]
    patience: u32,
}

/// Stops a run whose loss stays no number.
#[derive(Clone, Debug)]
pub struct TemplateType {
    settings: Settings,
    /// Steps in a row whose loss was no number.
    bad_steps: u32,
}

impl Plugin for TemplateType {
    type Parameters = Settings;

    const IDENTITY: Identity = identity!("template-name", "TEMPLATE_SUMMARY");

    fn new(settings: Settings) -> Result<Self> {
        Ok(Self { settings, bad_steps: 0 })
    }

    fn examples() -> Vec<Example> {
        vec![Example::new("Stop at once").set("patience", 1)]
    }
}

impl Monitor for TemplateType {
    fn interests(&self) -> Interests {
        Interests { steps: 1, layers: 0 }
    }

    fn observe(&mut self, event: &Event) -> Result<Vec<Action>> {
        let Event::Stepped(step) = event else { return Ok(vec![]) };
        // Steps that are not logged have no loss.
        let Some(figures) = step.figures else { return Ok(vec![]) };
        self.bad_steps =
            if figures.loss.is_finite() { 0 } else { self.bad_steps.saturating_add(1) };
        Ok(match self.bad_steps {
            0 => vec![],
            bad if bad >= self.settings.patience => {
                vec![Action::Stop(format!("the loss was not a number for {bad} steps"))]
            }
            _ => vec![Action::Warn(format!("the loss of step {} is {}", step.step, figures.loss))],
        })
    }

    fn save(&self) -> Vec<u8> {
        self.bad_steps.to_le_bytes().to_vec()
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        if !state.is_empty() {
            let Ok(bytes) = state.try_into() else {
                bail!("its state has {} bytes, but must have 4", state.len());
            };
            self.bad_steps = u32::from_le_bytes(bytes);
        }
        Ok(())
    }
}

// TEMPLATE_EXPORT

#[cfg(test)]
mod tests {
    use vitral_testkit::{Monitor as Tested, check_monitor, events};

    use super::*;

    #[test]
    fn it_does_what_any_monitor_must() {
        check_monitor::<TemplateType>();
    }

    #[test]
    fn a_run_stops_when_patience_is_over() {
        let mut monitor = Tested::of::<TemplateType>().set("patience", 2).start();
        let bad = |step| events::step(step).loss(f64::NAN);
        assert_eq!(monitor.observe(bad(1)).warnings().len(), 1);
        assert!(monitor.observe(events::step(2).loss(1.0)).is_empty());
        assert_eq!(monitor.observe(bad(3)).stop(), None);
        assert!(monitor.observe(bad(4)).stop().is_some());
    }

    #[test]
    fn a_resumed_run_goes_on_counting() {
        let bad = (1..=4).map(|step| events::step(step).loss(f64::INFINITY));
        Tested::of::<TemplateType>().assert_resumes(bad);
    }
}
