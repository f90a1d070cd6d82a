//! What a run does next. Every decision is a function of values alone, so that of several machines one
//! can decide, and tell the others what.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use vitral_host::{Action, RateChange};

use super::asked::{Asked, RollBack};
use crate::{
    event::Said,
    experiment::Every,
    monitor_use::{Left, MonitorUse, scaled},
    plan::Plan,
};

/// About how long a figure's line is without the names in it.
const OTHER_BYTES: u64 = 64;

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Next {
    /// Back to the last checkpoint.
    RollBack,
    /// An evaluation.
    Evaluate,
    /// One that was made before the run was resumed, as its figures are wanted.
    EvaluateAgain,
    /// A checkpoint.
    Save,
    /// Another step.
    Step,
    /// Nothing more.
    End,
}

/// Where a run is between two steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Situation {
    /// Steps made.
    pub(super) step: u64,
    /// Steps in all.
    pub(super) total: u64,
    /// Whether a monitor has ended the run.
    pub(super) is_stopped: bool,
    /// Whether a signal came, or whoever runs it wants it to end in another way.
    pub(super) is_interrupted: bool,
    /// What is due after the last step.
    pub(super) due: Due,
    /// Whether the weights have been evaluated as they are.
    pub(super) is_evaluated: bool,
    /// Whether the metrics have an evaluation of them that was made before the run was resumed.
    pub(super) is_noted: bool,
    /// Whether they are the best so far.
    pub(super) is_best: bool,
    /// Whether there is a checkpoint of them, and of what is known of them.
    pub(super) is_saved: bool,
}

/// What an experiment has done every so often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) evaluation: bool,
    pub(super) checkpoint: bool,
}

impl Due {
    /// What is due after so many steps: of each, how often, and how long ago it was last done.
    pub(super) fn after(
        step: u64,
        plan: &Plan,
        evaluation: (Every, Duration),
        checkpoint: (Every, Duration),
    ) -> Self {
        let is_due = |(every, since)| plan.is_due(every, step, since);
        Self { evaluation: is_due(evaluation), checkpoint: is_due(checkpoint) }
    }
}

/// What comes next. Nothing is evaluated or saved of a step that is taken back.
pub(super) fn next(now: &Situation, asked: &Asked) -> Next {
    let is_last = is_last(now.step, now.total, now.is_stopped);
    let is_wanted =
        now.is_interrupted || asked.save || now.due.checkpoint || now.is_best || is_last;
    if asked.roll_back.is_some() {
        Next::RollBack
    } else if !now.is_evaluated && (now.due.evaluation || is_last) {
        if now.is_noted { Next::EvaluateAgain } else { Next::Evaluate }
    } else if !now.is_saved && is_wanted {
        Next::Save
    } else if is_last || now.is_interrupted {
        Next::End
    } else {
        Next::Step
    }
}

/// Whether no step follows on so many.
pub(super) fn is_last(step: u64, total: u64, is_stopped: bool) -> bool {
    step >= total || is_stopped
}

/// Why a run has ended, in a word or in the monitor's.
pub(super) fn why_ended(stopped: Option<&str>, is_interrupted: bool) -> String {
    match (stopped, is_interrupted) {
        (Some(reason), _) => reason.to_owned(),
        (None, true) => "interrupted".into(),
        (None, false) => "done".into(),
    }
}

/// Whether a score is better than the best so far. No model is the best for one that is no number.
pub(super) fn is_best(score: f64, best: Option<(f64, u64)>) -> bool {
    !score.is_nan() && best.is_none_or(|(best, _)| score > best)
}

/// Whether a loss ends the run: one that is no number, unless its step was skipped, which did no harm, or is
/// taken back.
pub(super) fn has_diverged(loss: f32, is_skipped: bool, is_taken_back: bool) -> bool {
    !loss.is_finite() && !is_skipped && !is_taken_back
}

/// What becomes of a monitor's request.
#[derive(Debug, PartialEq)]
pub(super) enum Granted {
    /// A figure is noted.
    Figure { name: String, value: f64 },
    /// It was the first figure too many, in words.
    LastFigure(String),
    /// What is said is told, and what is asked for done.
    Said(Said),
    /// The run goes back.
    RollBack(RollBack),
    /// Nothing.
    Nothing,
}

/// The learning rate, as far as monitors may change it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// What it is of the schedule's.
    pub(super) scale: f64,
    /// The highest of the schedule.
    pub(super) peak: f64,
}

/// What a monitor is given of what it asks for, `asked` being what has been granted before.
pub(super) fn grant(
    monitor: &str,
    action: Action,
    rate: Rate,
    asked: &Asked,
    used: &mut MonitorUse,
) -> Granted {
    let refused = |why, RateChange { reason, .. }| Granted::Said(Said::Refused { why, reason });
    match action {
        Action::Metric { name, value } => {
            match used.figure(OTHER_BYTES + (monitor.len() + name.len()) as u64) {
                Left::Some => Granted::Figure { name, value },
                Left::NoLonger => Granted::LastFigure(MonitorUse::last_figure()),
                Left::None => Granted::Nothing,
            }
        }
        Action::Warn(message) => Granted::Said(Said::Warning(message)),
        Action::ScaleLearningRate(change) => match scaled(rate.scale, change.factor, rate.peak) {
            Ok(scale) => Granted::Said(Said::RateChanged { scale, reason: change.reason }),
            Err(why) => refused(why, change),
        },
        Action::Save(reason) => Granted::Said(Said::Saves(reason)),
        // Before anything relies on it.
        Action::RollBack(change) if asked.roll_back.is_none() => {
            let scaled = scaled(rate.scale, change.factor, rate.peak);
            match scaled.and_then(|_| used.roll_back()) {
                Ok(()) => Granted::RollBack(RollBack { monitor: monitor.to_owned(), change }),
                Err(why) => refused(why, change),
            }
        }
        Action::RollBack(_) => Granted::Nothing,
        Action::Stop(reason) => Granted::Said(Said::Stops(reason)),
        // A newer contract's; a monitor that needs it says so in its version.
        _ => Granted::Nothing,
    }
}

/// What the learning rate becomes of the schedule's when the run goes back. It could be had when it was
/// asked for; other monitors may have changed the rate since.
pub(super) fn rate_after_roll_back(rate: Rate, factor: f64) -> f64 {
    scaled(rate.scale, factor, rate.peak).unwrap_or(rate.scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUE: Due = Due { evaluation: true, checkpoint: true };

    /// After the 5th of 9 steps, with nothing to do.
    const FIFTH: Situation = Situation {
        step: 5,
        total: 9,
        is_stopped: false,
        is_interrupted: false,
        due: Due { evaluation: false, checkpoint: false },
        is_evaluated: false,
        is_noted: false,
        is_best: false,
        is_saved: false,
    };

    fn change(factor: f64) -> RateChange {
        RateChange { factor, reason: "a spike".into() }
    }

    fn roll_back() -> Option<RollBack> {
        Some(RollBack { monitor: "m".into(), change: change(0.5) })
    }

    /// All that is done until the next step or the end, if monitors say nothing more.
    fn done(mut now: Situation, mut asked: Asked, is_best: bool) -> Vec<Next> {
        let mut done = Vec::new();
        loop {
            done.push(next(&now, &asked));
            match done[done.len() - 1] {
                // As if there were no checkpoint.
                Next::RollBack => asked.roll_back = None,
                Next::Evaluate => {
                    (now.is_evaluated, now.is_best, now.is_saved) = (true, is_best, false)
                }
                Next::EvaluateAgain => now.is_evaluated = true,
                Next::Save => now.is_saved = true,
                Next::Step | Next::End => return done,
            }
        }
    }

    #[test]
    fn what_is_due_comes_before_the_next_step() {
        use Next::{Evaluate, Save, Step};
        let after = |due| done(Situation { due, ..FIFTH }, Asked::default(), false);
        assert_eq!(after(Due::default()), [Step]);
        assert_eq!(after(Due { evaluation: true, checkpoint: false }), [Evaluate, Step]);
        assert_eq!(after(Due { evaluation: false, checkpoint: true }), [Save, Step]);
        assert_eq!(after(DUE), [Evaluate, Save, Step]);
        let evaluated = Situation { due: Due { evaluation: true, checkpoint: false }, ..FIFTH };
        assert_eq!(done(evaluated, Asked::default(), true), [Evaluate, Save, Step], "the best");
        let asked = Asked { save: true, roll_back: None };
        assert_eq!(done(FIFTH, asked, false), [Save, Step]);
    }

    #[test]
    fn a_run_ends_evaluated_and_saved() {
        use Next::{End, Evaluate, EvaluateAgain, Save};
        let ends = |now| done(now, Asked::default(), false);
        assert_eq!(ends(Situation { step: 9, ..FIFTH }), [Evaluate, Save, End]);
        assert_eq!(ends(Situation { is_stopped: true, ..FIFTH }), [Evaluate, Save, End]);
        // A signal is followed at once.
        assert_eq!(ends(Situation { is_interrupted: true, ..FIFTH }), [Save, End]);
        let saved = Situation { is_interrupted: true, is_saved: true, ..FIFTH };
        assert_eq!(ends(saved), [End]);
        // Resumed at its end, with its evaluation in the metrics or without.
        let at_end = Situation { step: 9, is_saved: true, ..FIFTH };
        assert_eq!(ends(Situation { is_noted: true, ..at_end }), [EvaluateAgain, End]);
        assert_eq!(ends(at_end), [Evaluate, Save, End]);
        // A monitor ends the run because of what the evaluation found.
        let found = Situation { is_evaluated: true, is_stopped: true, ..FIFTH };
        assert_eq!(ends(found), [Save, End]);
    }

    #[test]
    fn nothing_of_a_step_that_is_taken_back_is_kept() {
        let asked = Asked { save: true, roll_back: roll_back() };
        for now in [
            Situation { due: DUE, ..FIFTH },
            Situation { step: 9, ..FIFTH },
            Situation { is_interrupted: true, ..FIFTH },
            // Asked for because of what the evaluation found.
            Situation { due: DUE, is_evaluated: true, is_best: true, ..FIFTH },
        ] {
            assert_eq!(next(&now, &asked), Next::RollBack);
        }
        // Where it cannot be taken back, it counts.
        let all = [Next::RollBack, Next::Evaluate, Next::Save, Next::End];
        assert_eq!(done(Situation { step: 9, ..FIFTH }, asked, false), all);
    }

    #[test]
    fn the_end_has_the_monitors_reason_first() {
        assert_eq!(why_ended(Some("m: flat"), true), "m: flat");
        assert_eq!(why_ended(None, true), "interrupted");
        assert_eq!(why_ended(None, false), "done");
    }

    #[test]
    fn the_best_is_better_than_all_before() {
        assert!(is_best(0.1, None) && is_best(0.2, Some((0.1, 3))));
        assert!(!is_best(0.1, Some((0.1, 3))) && !is_best(f64::NAN, None));
    }

    #[test]
    fn a_loss_that_is_no_number_ends_the_run_unless_it_did_no_harm() {
        assert!(has_diverged(f32::NAN, false, false) && has_diverged(f32::INFINITY, false, false));
        assert!(!has_diverged(f32::NAN, true, false) && !has_diverged(f32::NAN, false, true));
        assert!(!has_diverged(1.0, false, false));
    }

    fn granted(action: Action, asked: &Asked) -> Granted {
        grant("m", action, Rate { scale: 0.5, peak: 1e-3 }, asked, &mut MonitorUse::default())
    }

    #[test]
    fn monitors_are_given_what_they_may_have() {
        let none = Asked::default();
        let figure = granted(Action::Metric { name: "x".into(), value: 2.0 }, &none);
        assert_eq!(figure, Granted::Figure { name: "x".into(), value: 2.0 });
        let Granted::Said(Said::RateChanged { scale, .. }) =
            granted(Action::ScaleLearningRate(change(0.5)), &none)
        else {
            panic!("the rate stays")
        };
        assert_eq!(scale, 0.25);
        for action in [Action::ScaleLearningRate(change(-1.0)), Action::RollBack(change(-1.0))] {
            let refused = granted(action, &none);
            assert!(
                matches!(&refused, Granted::Said(Said::Refused { reason, .. }) if reason == "a spike"),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn the_first_roll_back_that_is_asked_for_counts() {
        let mut used = MonitorUse::default();
        let rate = Rate { scale: 1.0, peak: 1e-3 };
        let mut ask =
            |asked: &Asked| grant("n", Action::RollBack(change(0.1)), rate, asked, &mut used);
        let Granted::RollBack(first) = ask(&Asked::default()) else { panic!("none is granted") };
        assert_eq!((first.monitor.as_str(), first.change.factor), ("n", 0.1));
        let asked = Asked { save: false, roll_back: roll_back() };
        assert_eq!(ask(&asked), Granted::Nothing);
        let mut once = MonitorUse::default();
        once.roll_back().unwrap();
        assert_eq!(used, once, "what is not granted is not counted");
    }

    #[test]
    fn a_rate_that_can_no_longer_be_had_stays() {
        assert_eq!(rate_after_roll_back(Rate { scale: 0.5, peak: 1e-3 }, 0.5), 0.25);
        assert_eq!(rate_after_roll_back(Rate { scale: 1e-12, peak: 1e-3 }, 0.5), 1e-12);
    }
}
