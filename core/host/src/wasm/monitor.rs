//! Components that hear of what happens in a run.

use std::sync::Arc;

use vitral_abi::{Action, Event, Interests, wit::FromWit};
use wasmtime::{Store, component::Instance};

use super::{
    bindings::exports::vitral::plugin::monitors,
    exports::{Exports, Later, first},
    keeper::{Keeper, Request},
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
        run: impl AsyncFnOnce(
            &mut Store<State>,
            &Instance,
            &monitors::GuestIndices,
            &Later,
        ) -> wasmtime::Result<Result<R, String>>,
    ) -> Result<R, CallError> {
        let exports = Arc::clone(self.0.exports());
        let request = Request { call, words, time: self.0.time(), seed: None, trace: None };
        self.0.call(request, async |store: &mut Store<State>, instance: &Instance| {
            let Exports::Monitor(indices, later) = &*exports else {
                return Ok(Err("it is not a monitor".to_owned()));
            };
            run(store, instance, indices, later).await
        })
    }
}

impl MonitorInstance for Observer {
    fn interests(&self) -> Interests {
        self.0.interests()
    }

    fn observe(&mut self, event: &Event) -> Result<Vec<Action>, CallError> {
        let words = || event_words(event);
        let passed = first(event);
        let actions = self.call(
            Call::Observe,
            &words,
            async |store, instance, indices, later| match &passed {
                Some(passed) => {
                    let guest = indices.load(&mut *store, instance)?;
                    guest.call_observe(store, passed).await
                }
                None => later.observe(store, instance, event).await,
            },
        )?;
        if actions.len() > MAX_ACTIONS {
            let what = format!("{} actions at once", actions.len());
            let cause =
                Cause::BadResult(format!("it asked for {what}, but may ask for {MAX_ACTIONS}"));
            return Err(self.error(Call::Observe, words(), cause));
        }
        Ok(FromWit::from_wit(actions))
    }

    fn save(&mut self) -> Result<Vec<u8>, CallError> {
        self.call(Call::Save, &no_input, async |store, instance, indices, _| {
            let guest = indices.load(&mut *store, instance)?;
            Ok(Ok(guest.call_save(store).await?))
        })
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), CallError> {
        self.call(Call::Restore, &|| state_words(state), async |store, instance, indices, _| {
            indices.load(&mut *store, instance)?.call_restore(store, state).await
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
