//! Steps and actions, which have another shape in C.

use super::traits::{FromC, Kept, ToC};
use super::{ConvertError, Result, text_of};
use crate::c;
use crate::{Action, Figures, Memory, RateChange, Step, Timings};

impl ToC for Step {
    fn to_c(&self, kept: &mut Kept) -> c::Step {
        let nothing = Figures { loss: f64::NAN, accuracy: f64::NAN, gradient_norm: f64::NAN };
        let figures = self.figures.unwrap_or(nothing);
        c::Step {
            step: self.step,
            epoch: self.epoch,
            images: self.images,
            has_figures: self.figures.is_some().into(),
            learning_rate: self.learning_rate,
            loss: figures.loss,
            accuracy: figures.accuracy,
            gradient_norm: figures.gradient_norm,
            timings: self.timings.to_c(kept),
            memory: self.memory.to_c(kept),
        }
    }
}

impl FromC for Step {
    unsafe fn from_c(given: &c::Step) -> Result<Self> {
        let &c::Step { loss, accuracy, gradient_norm, .. } = given;
        // SAFETY: the caller vouches for both.
        let (timings, memory) =
            unsafe { (Timings::from_c(&given.timings)?, Memory::from_c(&given.memory)?) };
        Ok(Self {
            step: given.step,
            epoch: given.epoch,
            images: given.images,
            learning_rate: given.learning_rate,
            figures: (given.has_figures != 0).then_some(Figures { loss, accuracy, gradient_norm }),
            timings,
            memory,
        })
    }
}

impl ToC for Action {
    fn to_c(&self, _: &mut Kept) -> c::Action {
        let (tag, text, number) = match self {
            Self::Metric { name, value } => (c::METRIC, name, *value),
            Self::Warn(text) => (c::WARN, text, 0.0),
            Self::ScaleLearningRate(RateChange { factor, reason }) => {
                (c::SCALE_LEARNING_RATE, reason, *factor)
            }
            Self::Save(reason) => (c::SAVE, reason, 0.0),
            Self::RollBack(RateChange { factor, reason }) => (c::ROLL_BACK, reason, *factor),
            Self::Stop(reason) => (c::STOP, reason, 0.0),
        };
        c::Action { tag, text: text_of(text), number }
    }
}

impl FromC for Action {
    unsafe fn from_c(given: &c::Action) -> Result<Self> {
        // SAFETY: the caller vouches for it.
        let text = unsafe { String::part(&given.text, "text") }?;
        let number = given.number;
        Ok(match given.tag {
            c::METRIC => Self::Metric { name: text, value: number },
            c::WARN => Self::Warn(text),
            c::SCALE_LEARNING_RATE => {
                Self::ScaleLearningRate(RateChange { factor: number, reason: text })
            }
            c::SAVE => Self::Save(text),
            c::ROLL_BACK => Self::RollBack(RateChange { factor: number, reason: text }),
            c::STOP => Self::Stop(text),
            tag => return Err(ConvertError::new(format!("there is no action with tag {tag}"))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::InC;
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
            assert_eq!(unsafe { Action::from_c(InC::new(&one).as_c()) }, Ok(one.clone()));
        }
    }

    #[test]
    fn unknown_actions_and_bad_text_are_refused() {
        let unknown = c::Action { tag: 6, text: text_of(""), number: 0.0 };
        // SAFETY: the text is a literal.
        let error = unsafe { Action::from_c(&unknown) }.unwrap_err();
        assert_eq!(error.to_string(), "there is no action with tag 6");
        let null = c::List { data: std::ptr::null(), len: 1 };
        // SAFETY: a null text is refused.
        let error = unsafe { Action::from_c(&c::Action { tag: c::STOP, text: null, number: 0.0 }) };
        assert_eq!(error.unwrap_err().to_string(), "text: a list of 1 items is at null");
    }
}
