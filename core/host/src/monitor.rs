//! Instances of monitors, and how they live on when one breaks.

use vitral_abi::{Action, Event, Interests};

use crate::{Call, CallError, Cause, words::event_words};

/// An instance of a monitor.
pub trait Monitor: Send {
    /// How often it wants to hear.
    fn interests(&self) -> Interests;

    /// Tells it something, and gives what it asks for.
    ///
    /// # Errors
    /// The plugin fails or takes too much.
    fn observe(&mut self, event: &Event) -> Result<Vec<Action>, CallError>;

    /// What a resumed run needs to go on as if it had never stopped.
    ///
    /// # Errors
    /// The plugin fails or takes too much.
    fn save(&mut self) -> Result<Vec<u8>, CallError>;

    /// Takes up a saved state.
    ///
    /// # Errors
    /// The plugin does not understand the state, fails or takes too much.
    fn restore(&mut self, state: &[u8]) -> Result<(), CallError>;
}

/// What a loader does for [`Recovering`]. An instance is broken after a call that left it in an
/// unknown state.
pub(crate) trait MonitorInstance: Send {
    fn interests(&self) -> Interests;
    fn observe(&mut self, event: &Event) -> Result<Vec<Action>, CallError>;
    fn save(&mut self) -> Result<Vec<u8>, CallError>;
    fn restore(&mut self, state: &[u8]) -> Result<(), CallError>;

    /// Whether the instance must not be used any more.
    fn is_broken(&self) -> bool;
    /// Gives the instance up.
    fn discard(&mut self);
    /// Makes another in its place.
    fn renew(&mut self) -> Result<(), CallError>;
    fn error(&self, call: Call, input: String, cause: Cause) -> CallError;
}

/// A monitor that goes on from the last state that is known when its instance breaks. Without one it
/// fails for good: what it would say from then on could be anything.
pub(crate) struct Recovering<I> {
    instance: I,
    /// The last state that was saved or restored.
    saved: Option<Vec<u8>>,
    /// What broke an instance that had no saved state.
    lost: Option<String>,
}

impl<I: MonitorInstance> Recovering<I> {
    pub(crate) const fn new(instance: I) -> Self {
        Self { instance, saved: None, lost: None }
    }

    /// Makes sure that there is a whole instance, and calls it.
    fn call<R>(
        &mut self,
        call: Call,
        words: &dyn Fn() -> String,
        run: impl FnOnce(&mut I) -> Result<R, CallError>,
    ) -> Result<R, CallError> {
        if let Some(lost) = &self.lost {
            let cause = Cause::Failed(format!("it had saved no state when {lost}"));
            return Err(self.instance.error(call, words(), cause));
        }
        if self.instance.is_broken() {
            self.revive()?;
        }
        let result = run(&mut self.instance);
        if let (Err(error), None, true) = (&result, &self.saved, self.instance.is_broken()) {
            self.lost = Some(error.to_string());
        }
        result
    }

    fn revive(&mut self) -> Result<(), CallError> {
        self.instance.renew()?;
        let Some(state) = &self.saved else { return Ok(()) };
        // A new instance without its state would pass for the old one.
        self.instance.restore(state).inspect_err(|_| self.instance.discard())
    }
}

impl<I: MonitorInstance> Monitor for Recovering<I> {
    fn interests(&self) -> Interests {
        self.instance.interests()
    }

    fn observe(&mut self, event: &Event) -> Result<Vec<Action>, CallError> {
        self.call(Call::Observe, &|| event_words(event), |instance| instance.observe(event))
    }

    fn save(&mut self) -> Result<Vec<u8>, CallError> {
        let state = self.call(Call::Save, &no_input, MonitorInstance::save)?;
        self.saved = Some(state.clone());
        Ok(state)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), CallError> {
        if self.lost.is_some() {
            // Whatever was lost, this takes its place.
            self.instance.renew()?;
            self.instance.restore(state).inspect_err(|_| self.instance.discard())?;
            self.lost = None;
        } else {
            self.call(Call::Restore, &|| state_words(state), |instance| instance.restore(state))?;
        }
        self.saved = Some(state.to_vec());
        Ok(())
    }
}

pub(crate) fn no_input() -> String {
    "no input".into()
}

pub(crate) fn state_words(state: &[u8]) -> String {
    format!("a state of {} bytes", state.len())
}
