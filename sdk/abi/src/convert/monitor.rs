//! What monitors hear and ask for.

mod event;

use std::marker::PhantomData;

use super::list::{part, text_of};
use super::{ConvertError, Result};
use crate::c;
use crate::{Action, RateChange};

pub use event::{CEvent, event};

/// An action in C form.
#[derive(Clone, Copy)]
pub struct CAction<'a> {
    action: c::Action,
    borrowed: PhantomData<&'a Action>,
}

impl<'a> CAction<'a> {
    /// Borrows an action.
    pub fn new(action: &'a Action) -> Self {
        let (tag, text, number) = match action {
            Action::Metric { name, value } => (c::METRIC, name, *value),
            Action::Warn(text) => (c::WARN, text, 0.0),
            Action::ScaleLearningRate(RateChange { factor, reason }) => {
                (c::SCALE_LEARNING_RATE, reason, *factor)
            }
            Action::Save(reason) => (c::SAVE, reason, 0.0),
            Action::RollBack(RateChange { factor, reason }) => (c::ROLL_BACK, reason, *factor),
            Action::Stop(reason) => (c::STOP, reason, 0.0),
        };
        let action = c::Action { tag, text: text_of(text), number };
        Self { action, borrowed: PhantomData }
    }

    /// The action, valid as long as this is.
    pub fn as_c(&self) -> &c::Action {
        &self.action
    }
}

/// An action.
///
/// # Errors
/// If there is no such action, or its text makes no sense.
///
/// # Safety
/// As [`items`](super::items) for the text.
pub unsafe fn action(given: &c::Action) -> Result<Action> {
    // SAFETY: the caller vouches for it.
    let text = unsafe { part(given.text, "text") }?;
    let number = given.number;
    Ok(match given.tag {
        c::METRIC => Action::Metric { name: text, value: number },
        c::WARN => Action::Warn(text),
        c::SCALE_LEARNING_RATE => {
            Action::ScaleLearningRate(RateChange { factor: number, reason: text })
        }
        c::SAVE => Action::Save(text),
        c::ROLL_BACK => Action::RollBack(RateChange { factor: number, reason: text }),
        c::STOP => Action::Stop(text),
        tag => return Err(ConvertError::new(format!("there is no action with tag {tag}"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_round_trip() {
        let change = RateChange { factor: 0.5, reason: "the loss jumped".into() };
        for one in [
            Action::Metric { name: "images/s".into(), value: 12.5 },
            Action::Warn("small gradients".into()),
            Action::ScaleLearningRate(change.clone()),
            Action::Save("best".into()),
            Action::RollBack(change),
            Action::Stop("no progress".into()),
        ] {
            // SAFETY: the action borrows from `one`.
            assert_eq!(unsafe { action(CAction::new(&one).as_c()) }, Ok(one.clone()));
        }
    }

    #[test]
    fn unknown_actions_and_bad_text_are_refused() {
        let unknown = c::Action { tag: 6, text: text_of(""), number: 0.0 };
        // SAFETY: the text is a literal.
        let error = unsafe { action(&unknown) }.unwrap_err();
        assert_eq!(error.to_string(), "there is no action with tag 6");
        let null = c::List { data: std::ptr::null(), len: 1 };
        // SAFETY: a null text is refused.
        let error = unsafe { action(&c::Action { tag: c::STOP, text: null, number: 0.0 }) };
        assert_eq!(error.unwrap_err().to_string(), "text: a list of 1 items is at null");
    }
}
