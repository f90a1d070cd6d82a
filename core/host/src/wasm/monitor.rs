//! Components that hear of what happens in a run.

use std::sync::Arc;

use vitral_abi::{Action, DataReport, Event, Interests};
use wasmtime::{Store, component::Instance};

use super::{
    bindings::exports::vitral::plugin::monitors::{self, Guest},
    convert,
    keeper::{Keeper, Request},
    open::Exports,
    state::State,
};
use crate::{
    Call, CallError, Cause,
    monitor::{MonitorInstance, no_input, state_words},
    words::event_words,
};

/// The most that a monitor may ask for at once.
const MAX_ACTIONS: usize = 10_000;

pub(super) struct Observer(pub(super) Keeper);

impl Observer {
    fn call<R>(
        &mut self,
        call: Call,
        words: &dyn Fn() -> String,
        run: impl AsyncFnOnce(&mut Store<State>, Guest) -> wasmtime::Result<Result<R, String>>,
    ) -> Result<R, CallError> {
        let exports = Arc::clone(self.0.exports());
        let request = Request { call, words, time: self.0.time(), seed: None, trace: None };
        self.0.call(request, async |store: &mut Store<State>, instance: &Instance| {
            let Exports::Monitor(indices, _) = &*exports else {
                return Ok(Err("it is no monitor".to_owned()));
            };
            let guest = indices.load(&mut *store, instance)?;
            run(store, guest).await
        })
    }
}

impl Observer {
    /// Tells what the data path did, to those who know of it.
    fn observe_data(
        &mut self,
        report: &DataReport,
        words: &dyn Fn() -> String,
    ) -> Result<Vec<monitors::Action>, CallError> {
        let exports = Arc::clone(self.0.exports());
        let Exports::Monitor(_, Some(indices)) = &*exports else { return Ok(Vec::new()) };
        let passed = convert::data_report(report);
        let (call, time) = (Call::Observe, self.0.time());
        let request = Request { call, words, time, seed: None, trace: None };
        self.0.call(request, async |store: &mut Store<State>, instance: &Instance| {
            let guest = indices.load(&mut *store, instance)?;
            guest.call_observe_data(store, &passed).await
        })
    }
}

impl MonitorInstance for Observer {
    fn interests(&self) -> Interests {
        self.0.interests()
    }

    fn observe(&mut self, event: &Event) -> Result<Vec<Action>, CallError> {
        let words = || event_words(event);
        let actions = if let Event::Data(report) = event {
            self.observe_data(report, &words)?
        } else {
            let Some(passed) = convert::event(event) else { return Ok(Vec::new()) };
            self.call(Call::Observe, &words, async |store, guest| {
                guest.call_observe(store, &passed).await
            })?
        };
        if actions.len() > MAX_ACTIONS {
            let what = format!("{} actions at once", actions.len());
            let cause = Cause::BadResult(format!("it asked for {what}, but may for {MAX_ACTIONS}"));
            return Err(self.error(Call::Observe, words(), cause));
        }
        Ok(actions.into_iter().map(convert::action).collect())
    }

    fn save(&mut self) -> Result<Vec<u8>, CallError> {
        self.call(Call::Save, &no_input, async |store, guest| {
            Ok(Ok(guest.call_save(store).await?))
        })
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), CallError> {
        self.call(Call::Restore, &|| state_words(state), async |store, guest| {
            guest.call_restore(store, state).await
        })
    }

    fn is_broken(&self) -> bool {
        self.0.is_broken()
    }

    fn discard(&mut self) {
        self.0.discard();
    }

    fn renew(&mut self) -> Result<(), CallError> {
        self.0.renew()
    }

    fn error(&self, call: Call, input: String, cause: Cause) -> CallError {
        self.0.error(call, input, cause)
    }
}
