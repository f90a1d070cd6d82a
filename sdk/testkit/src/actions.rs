//! What a monitor asked for.

use std::ops::Deref;

use vitral_host::{Action, RateChange};

/// What a monitor asked for, with ways to look something up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Actions(pub Vec<Action>);

impl Actions {
    /// What the user is warned of.
    pub fn warnings(&self) -> Vec<&str> {
        self.pick(|action| if let Action::Warn(text) = action { Some(&**text) } else { None })
    }

    /// The last metric of this name.
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.metrics().into_iter().rfind(|(own, _)| *own == name).map(|(_, value)| value)
    }

    /// All metrics, in order.
    pub fn metrics(&self) -> Vec<(&str, f64)> {
        self.pick(|action| match action {
            Action::Metric { name, value } => Some((&**name, *value)),
            _ => None,
        })
    }

    /// Changes of the learning rate alone.
    pub fn rate_changes(&self) -> Vec<&RateChange> {
        self.pick(|action| match action {
            Action::ScaleLearningRate(change) => Some(change),
            _ => None,
        })
    }

    /// Returns to the last checkpoint.
    pub fn roll_backs(&self) -> Vec<&RateChange> {
        self.pick(|action| if let Action::RollBack(change) = action { Some(change) } else { None })
    }

    /// Why checkpoints are asked for.
    pub fn saves(&self) -> Vec<&str> {
        self.pick(|action| if let Action::Save(reason) = action { Some(&**reason) } else { None })
    }

    /// Why the run is to end, if it is.
    pub fn stop(&self) -> Option<&str> {
        self.0.iter().find_map(|action| match action {
            Action::Stop(reason) => Some(&**reason),
            _ => None,
        })
    }

    fn pick<'a, T>(&'a self, pick: impl FnMut(&'a Action) -> Option<T>) -> Vec<T> {
        self.0.iter().filter_map(pick).collect()
    }
}

impl Deref for Actions {
    type Target = [Action];

    fn deref(&self) -> &[Action] {
        &self.0
    }
}

impl FromIterator<Actions> for Actions {
    fn from_iter<I: IntoIterator<Item = Actions>>(actions: I) -> Self {
        Self(actions.into_iter().flat_map(|actions| actions.0).collect())
    }
}
