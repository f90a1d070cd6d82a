//! The monitors of a run: who hears what, and what they ask for.

use vitral_config::{OnPluginError, PluginUse};
use vitral_host::{Action, CallError, Cause, Event, Interests, Kind, Monitor};

use super::Registry;
use crate::{Error, Experiment};

/// All monitors, in the experiment's order.
#[derive(Default)]
pub(crate) struct Monitors {
    monitors: Vec<Running>,
}

struct Running {
    used: PluginUse,
    monitor: Box<dyn Monitor>,
    interests: Interests,
    disabled: bool,
    /// Whether a call was interrupted, since the run is to stop; it is not told any more then.
    interrupted: bool,
}

/// What monitors said of an event.
#[derive(Default)]
pub(crate) struct Heard {
    /// Who asks for what.
    pub(crate) requests: Vec<(String, Action)>,
    /// Monitors that failed, where the run goes on.
    pub(crate) failures: Vec<String>,
}

impl Monitors {
    /// Opens the monitors of an experiment.
    pub(crate) fn open(experiment: &Experiment, registry: &Registry) -> Result<Self, Error> {
        let open = |(index, used): (usize, &PluginUse)| {
            let field = format!("monitors[{index}]");
            let opened = registry.open(experiment, used, Kind::Monitor, &field)?;
            let monitor = opened.plugin.monitor(&opened.settings).map_err(Error::Plugin)?;
            Ok(Running {
                used: used.clone(),
                interests: monitor.interests(),
                monitor,
                disabled: false,
                interrupted: false,
            })
        };
        let monitors = experiment.monitors.iter().enumerate().map(open);
        Ok(Self { monitors: monitors.collect::<Result<_, Error>>()? })
    }

    /// Whether one wants to hear of this step (counted from 1).
    pub(crate) fn want_step(&self, step: u64) -> bool {
        self.any(|interests| is_due(interests.steps, step))
    }

    /// Whether one wants the statistics of this step's gradients.
    pub(crate) fn want_layers(&self, step: u64) -> bool {
        self.any(|interests| is_due(interests.layers, step))
    }

    fn any(&self, wants: impl Fn(&Interests) -> bool) -> bool {
        self.monitors.iter().any(|running| !running.disabled && wants(&running.interests))
    }

    /// Tells an event to all who want it.
    ///
    /// # Errors
    /// A monitor fails whose policy is to stop the run.
    pub(crate) fn observe(&mut self, event: &Event) -> Result<Heard, Error> {
        let mut heard = Heard::default();
        let told = |running: &&mut Running| !running.disabled && !running.interrupted;
        for running in self.monitors.iter_mut().filter(told) {
            let wanted = match event {
                Event::Stepped(step) => is_due(running.interests.steps, step.step),
                Event::Layers(layers) => is_due(running.interests.layers, layers.step),
                _ => true,
            };
            if !wanted {
                continue;
            }
            match running.monitor.observe(event) {
                Ok(actions) => {
                    let asked =
                        actions.into_iter().map(|action| (running.used.name.clone(), action));
                    heard.requests.extend(asked);
                }
                Err(error) => heard.failures.push(running.failed(error)?),
            }
        }
        Ok(heard)
    }

    /// Tells all who hear of anything that the run has failed. Nothing that they ask for can be done any more.
    pub(crate) fn fail(&mut self, error: &Error) {
        let event = Event::Ended(format!("failed: {error}"));
        let told = |running: &&mut Running| !running.disabled && !running.interrupted;
        for running in self.monitors.iter_mut().filter(told) {
            let name = &running.used.name;
            for action in running.monitor.observe(&event).unwrap_or_default() {
                if let Action::Warn(message) = action {
                    tracing::warn!("monitor `{name}`: {message}");
                }
            }
        }
    }

    /// What a resumed run needs of each monitor. One that is interrupted while it is asked has nothing,
    /// and starts anew: no plugin can keep a run from its last checkpoint.
    pub(crate) fn save(&mut self) -> Result<Vec<Vec<u8>>, Error> {
        let save = |running: &mut Running| {
            if running.disabled {
                return Ok(Vec::new());
            }
            match running.monitor.save() {
                Err(error) if running.interrupted || error.cause == Cause::Interrupted => {
                    running.interrupted = true;
                    tracing::warn!("{error}; it starts afresh when the run is resumed");
                    Ok(Vec::new())
                }
                saved => saved.map_err(Error::Plugin),
            }
        };
        self.monitors.iter_mut().map(save).collect()
    }

    /// Takes up saved states, `states` being those of `saved` in its order: each monitor the one of its
    /// name, and of several of a name the one with its settings. Returns which monitors have none, and
    /// which states nobody takes up, in sentences.
    ///
    /// # Errors
    /// A monitor refuses the state of its name.
    pub(crate) fn restore(
        &mut self,
        saved: &[PluginUse],
        states: &[Vec<u8>],
    ) -> Result<Vec<String>, Error> {
        let mut left: Vec<_> = saved.iter().zip(states).collect();
        let mut waiting: Vec<&mut Running> = self.monitors.iter_mut().collect();
        for same_settings in [true, false] {
            let mut without = Vec::new();
            for running in waiting {
                let (name, settings) = (&running.used.name, &running.used.settings);
                let is_its = |(saved, _): &(&PluginUse, &Vec<u8>)| {
                    saved.name == *name && (!same_settings || saved.settings == *settings)
                };
                let Some(at) = left.iter().position(is_its) else {
                    without.push(running);
                    continue;
                };
                let (_, state) = left.remove(at);
                // One that was disabled or interrupted has none.
                if !state.is_empty() {
                    running.monitor.restore(state).map_err(Error::Plugin)?;
                }
            }
            waiting = without;
        }
        let new = waiting.into_iter().map(|running| {
            format!(
                "monitor `{}` starts afresh, as the checkpoint has no state of it",
                running.used.name
            )
        });
        let gone = left.into_iter().map(|(saved, _)| {
            format!("monitor `{}` is no longer in use, and its saved state is dropped", saved.name)
        });
        Ok(new.chain(gone).collect())
    }
}

impl Running {
    /// What the user hears of a failure that the run survives.
    fn failed(&mut self, error: CallError) -> Result<String, Error> {
        if error.cause == Cause::Interrupted {
            self.interrupted = true;
            return Ok(format!("{error}; when the run is resumed, it knows what it last saved"));
        }
        match self.used.on_error {
            OnPluginError::Stop => Err(Error::Plugin(error)),
            OnPluginError::Skip => Ok(error.to_string()),
            OnPluginError::Disable => {
                self.disabled = true;
                Ok(format!("{error}; the run goes on without it"))
            }
        }
    }
}

fn is_due(every: u32, step: u64) -> bool {
    every > 0 && step.is_multiple_of(u64::from(every))
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use vitral_host::{Call, Checkpoint};

    use super::*;

    /// Each of its calls is interrupted.
    struct Hanging(Arc<AtomicUsize>);

    impl Hanging {
        fn call<R>(&self, call: Call) -> Result<R, CallError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            let (plugin, input, cause) = ("x".into(), "no input".into(), Cause::Interrupted);
            Err(CallError { plugin, call, input, cause })
        }
    }

    impl Monitor for Hanging {
        fn interests(&self) -> Interests {
            Interests::default()
        }

        fn observe(&mut self, _: &Event) -> Result<Vec<Action>, CallError> {
            self.call(Call::Observe)
        }

        fn save(&mut self) -> Result<Vec<u8>, CallError> {
            self.call(Call::Save)
        }

        fn restore(&mut self, _: &[u8]) -> Result<(), CallError> {
            self.call(Call::Restore)
        }
    }

    #[test]
    fn no_interrupted_monitor_keeps_a_run_from_its_checkpoint() {
        let calls = Arc::new(AtomicUsize::new(0));
        let used = PluginUse { on_error: OnPluginError::Stop, ..PluginUse::new("x") };
        let mut monitors = Monitors {
            monitors: vec![Running {
                used: used.clone(),
                monitor: Box::new(Hanging(Arc::clone(&calls))),
                interests: Interests::default(),
                disabled: false,
                interrupted: false,
            }],
        };
        let event = Event::Saved(Checkpoint { step: 1, name: "step-1".into() });
        let heard = monitors.observe(&event).unwrap();
        assert!(heard.failures[0].contains("interrupted"), "{:?}", heard.failures);
        assert!(monitors.observe(&event).unwrap().failures.is_empty());
        assert_eq!(calls.load(Ordering::Relaxed), 1, "it is told no more");
        let states = monitors.save().unwrap();
        assert_eq!(states, [Vec::<u8>::new()]);
        // Nothing is taken up of it when the run goes on.
        assert!(monitors.restore(&[used], &states).unwrap().is_empty());
        assert_eq!(calls.load(Ordering::Relaxed), 2);
    }
}
