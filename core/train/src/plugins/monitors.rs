//! The monitors of a run: who hears what, and what they ask for.

use vitral_config::{OnPluginError, PluginUse};
use vitral_host::{Action, CallError, Event, Interests, Kind, Monitor};

use super::Registry;
use crate::{Error, Experiment};

/// All monitors, in the experiment's order.
#[derive(Default)]
pub(crate) struct Monitors {
    monitors: Vec<Running>,
}

struct Running {
    name: String,
    on_error: OnPluginError,
    monitor: Box<dyn Monitor>,
    interests: Interests,
    disabled: bool,
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
                name: used.name.clone(),
                on_error: used.on_error,
                interests: monitor.interests(),
                monitor,
                disabled: false,
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
        for running in self.monitors.iter_mut().filter(|running| !running.disabled) {
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
                    let asked = actions.into_iter().map(|action| (running.name.clone(), action));
                    heard.requests.extend(asked);
                }
                Err(error) => heard.failures.push(running.failed(error)?),
            }
        }
        Ok(heard)
    }

    /// What a resumed run needs of each monitor.
    pub(crate) fn save(&mut self) -> Result<Vec<Vec<u8>>, Error> {
        let save = |running: &mut Running| {
            if running.disabled {
                return Ok(Vec::new());
            }
            running.monitor.save().map_err(Error::Plugin)
        };
        self.monitors.iter_mut().map(save).collect()
    }

    /// Takes up saved states, one for each monitor.
    pub(crate) fn restore(&mut self, states: &[Vec<u8>]) -> Result<(), Error> {
        for (running, state) in self.monitors.iter_mut().zip(states) {
            running.monitor.restore(state).map_err(Error::Plugin)?;
        }
        Ok(())
    }
}

impl Running {
    /// What the user hears of a failure that the run survives.
    fn failed(&mut self, error: CallError) -> Result<String, Error> {
        match self.on_error {
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
