//! Monitors under test.

use vitral_host::{Event, Interests, Plugin, Value};

use crate::actions::Actions;
use crate::opened::{Failure, Opened, compiled_in, expect, expect_error};

/// A monitor under test: its settings.
#[derive(Clone)]
pub struct Monitor {
    opened: Opened,
}

impl Monitor {
    /// The plugin with its defaults.
    ///
    /// # Panics
    /// If the host refuses the plugin.
    #[track_caller]
    pub fn of<P: vitral_sdk::Monitor>() -> Self {
        Self::opened(compiled_in(vitral_sdk::native::monitor::<P>()))
    }

    /// The same, of a plugin that was opened otherwise.
    pub fn opened(plugin: Plugin) -> Self {
        Self { opened: Opened::new(plugin) }
    }

    pub(crate) fn with(opened: Opened) -> Self {
        Self { opened }
    }

    /// Sets a parameter.
    #[must_use]
    pub fn set(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.opened.set(name, value);
        self
    }

    /// An instance.
    ///
    /// # Errors
    /// What the user would read.
    pub fn try_start(&self) -> Result<Running, Failure> {
        let settings = self.opened.settings()?;
        let monitor = self.opened.plugin.monitor(&settings)?;
        Ok(Running { interests: monitor.interests(), monitor })
    }

    /// An instance.
    ///
    /// # Panics
    /// If the settings or the plugin do not allow it.
    #[track_caller]
    pub fn start(&self) -> Running {
        expect(self.try_start())
    }

    /// Why there is no instance.
    ///
    /// # Panics
    /// If there is one.
    #[track_caller]
    pub fn error(&self) -> String {
        expect_error(self.try_start())
    }

    /// What a new instance asks for over a sequence of events.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn observe<E: Into<Event>>(&self, events: impl IntoIterator<Item = E>) -> Actions {
        self.start().observe_all(events)
    }

    /// Checks that an instance that is saved and restored at any point of a sequence of events asks
    /// for the same afterwards as one that was never stopped.
    ///
    /// # Panics
    /// If it does not.
    #[track_caller]
    pub fn assert_resumes<E: Into<Event>>(&self, events: impl IntoIterator<Item = E>) {
        let events: Vec<_> = events.into_iter().map(E::into).collect();
        expect(self.resumes(&events));
    }

    pub(crate) fn resumes(&self, events: &[Event]) -> Result<(), String> {
        let (heard, states) = self.recorded(events).map_err(|error| error.to_string())?;
        for (stopped, state) in states.iter().enumerate() {
            let rest = events.iter().zip(&heard).skip(stopped);
            self.resumed(state, rest)
                .map_err(|problem| format!("restored after {stopped} events, {problem}"))?;
        }
        Ok(())
    }

    /// What an instance asks for at each event, and what it saves before the first and after each.
    fn recorded(&self, events: &[Event]) -> Result<(Vec<Actions>, Vec<Vec<u8>>), Failure> {
        let mut running = self.try_start()?;
        let mut heard = Vec::new();
        let mut states = vec![running.try_save()?];
        for event in events {
            heard.push(running.try_observe(event)?);
            states.push(running.try_save()?);
        }
        Ok((heard, states))
    }

    /// Takes up a state, and goes through the events that follow and what must be asked for.
    fn resumed<'e>(
        &self,
        state: &[u8],
        rest: impl Iterator<Item = (&'e Event, &'e Actions)>,
    ) -> Result<(), String> {
        let fails = |error: Failure| format!("it fails: {error}");
        let mut running = self.try_start().map_err(fails)?;
        running.try_restore(state).map_err(fails)?;
        if running.try_save().map_err(fails)? != *state {
            return Err("it saves another state than it was given".into());
        }
        for (event, expected) in rest {
            let found = running.try_observe(event).map_err(fails)?;
            if !same(&found, expected) {
                let (found, expected) = (&found.0, &expected.0);
                return Err(format!(
                    "it asks for {found:?}, but without a stop for {expected:?}, at {event:?}"
                ));
            }
        }
        Ok(())
    }
}

/// Whether actions are the same; NaN counts as the same as NaN.
fn same(a: &Actions, b: &Actions) -> bool {
    a == b || format!("{a:?}") == format!("{b:?}")
}

/// An instance of a monitor.
pub struct Running {
    interests: Interests,
    monitor: Box<dyn vitral_host::Monitor>,
}

impl Running {
    /// How often it wants to hear.
    pub fn interests(&self) -> Interests {
        self.interests
    }

    /// What it asks for when something happens. As in a run, it does not hear of steps in which it
    /// has no interest.
    ///
    /// # Errors
    /// What the user would read.
    pub fn try_observe(&mut self, event: &Event) -> Result<Actions, Failure> {
        let due = |every: u32, step: u64| every > 0 && step.is_multiple_of(every.into());
        let heard = match event {
            Event::Stepped(step) => due(self.interests.steps, step.step),
            Event::Layers(layers) => due(self.interests.layers, layers.step),
            _ => true,
        };
        if !heard {
            return Ok(Actions::default());
        }
        Ok(Actions(self.monitor.observe(event)?))
    }

    /// What it asks for when something happens: see [`Running::try_observe`].
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn observe(&mut self, event: impl Into<Event>) -> Actions {
        expect(self.try_observe(&event.into()))
    }

    /// What it asks for over a sequence of events.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn observe_all<E: Into<Event>>(&mut self, events: impl IntoIterator<Item = E>) -> Actions {
        events.into_iter().map(|event| self.observe(event)).collect()
    }

    /// What a resumed run needs of it.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn save(&mut self) -> Vec<u8> {
        expect(self.try_save())
    }

    /// Takes up a saved state.
    ///
    /// # Errors
    /// What the user would read.
    pub fn try_restore(&mut self, state: &[u8]) -> Result<(), Failure> {
        Ok(self.monitor.restore(state)?)
    }

    /// Takes up a saved state.
    ///
    /// # Panics
    /// If it makes no sense.
    #[track_caller]
    pub fn restore(&mut self, state: &[u8]) {
        expect(self.try_restore(state));
    }

    pub(crate) fn try_save(&mut self) -> Result<Vec<u8>, Failure> {
        Ok(self.monitor.save()?)
    }
}
