//! One configured instance, and calls to it.

use std::{sync::Arc, time::Duration};

use vitral_abi::{
    Interests,
    wit::{FromWit, ToWit},
};
use vitral_seed::Seed;
use wasmtime::{Store, component::Instance};

use super::{
    bindings::exports::vitral::plugin::description,
    deadline::Time,
    exports::Exports,
    instance::{Module, Session},
    state::State,
};
use crate::{Call, CallError, Cause, Settings, log::clean, trace::Trace, words::settings_words};

/// The most bytes of a plugin's error message.
const MAX_MESSAGE: usize = 64 << 10;

/// An opened component.
pub(super) struct Wasm {
    pub(super) module: Arc<Module>,
    pub(super) exports: Arc<Exports>,
}

/// A call that is to be made.
pub(super) struct Request<'r> {
    pub(super) call: Call,
    /// What it is called with, for errors.
    pub(super) words: &'r dyn Fn() -> String,
    pub(super) time: Duration,
    /// What WASI's random numbers follow from; none if it is what the call is called with.
    pub(super) seed: Option<Seed>,
    pub(super) trace: Option<Trace>,
}

/// Keeps one instance alive: after a failure that is not the plugin's own word, the next call gets
/// another, configured anew.
pub(super) struct Keeper {
    module: Arc<Module>,
    exports: Arc<Exports>,
    plugin: Arc<str>,
    settings: Settings,
    session: Option<Session>,
    /// Calls that the instance has made and ended well.
    calls: u64,
    /// Whether the last call of an instance that had made others wanted more memory than it may have.
    is_exhausted: bool,
    interests: Interests,
}

impl Keeper {
    pub(super) fn new(wasm: &Wasm, plugin: &str, settings: &Settings) -> Result<Self, CallError> {
        let mut keeper = Self {
            module: Arc::clone(&wasm.module),
            exports: Arc::clone(&wasm.exports),
            plugin: plugin.into(),
            settings: settings.clone(),
            session: None,
            calls: 0,
            is_exhausted: false,
            interests: Interests::default(),
        };
        keeper.renew()?;
        Ok(keeper)
    }

    /// Makes and configures an instance in place of the one that there may be.
    pub(super) fn renew(&mut self) -> Result<(), CallError> {
        self.discard();
        let words = || settings_words(&self.settings);
        let session = Session::new(&self.module, &self.plugin)
            .map_err(|cause| self.error(Call::Configure, words(), cause))?;
        let (words, exports) = (words(), Arc::clone(&self.exports));
        self.session = Some(session);
        let settings: Vec<description::Setting> = self.settings.as_slice().to_wit();
        let request = Request {
            call: Call::Configure,
            words: &|| words.clone(),
            time: self.setup_time(),
            seed: None,
            trace: None,
        };
        let configured = self.call_existing(request, async |store, instance| match &*exports {
            Exports::Image(indices, _) => {
                let guest = indices.load(&mut *store, instance)?;
                Ok(guest.call_configure(store, &settings).await?.map(|()| None))
            }
            Exports::Batch(indices) => {
                let guest = indices.load(&mut *store, instance)?;
                Ok(guest.call_configure(store, &settings).await?.map(|()| None))
            }
            Exports::Attention(indices) => {
                let guest = indices.load(&mut *store, instance)?;
                Ok(guest.call_configure(store, &settings).await?.map(|()| None))
            }
            Exports::Monitor(indices, _) => {
                let guest = indices.load(&mut *store, instance)?;
                Ok(guest.call_configure(store, &settings).await?.map(Some))
            }
        });
        match configured {
            Ok(interests) => {
                self.interests = interests.map(FromWit::from_wit).unwrap_or_default();
                Ok(())
            }
            Err(error) => {
                self.discard();
                Err(error)
            }
        }
    }

    /// Calls the instance, or a new one if there is none.
    pub(super) fn call<R>(
        &mut self,
        request: Request<'_>,
        run: impl AsyncFnOnce(&mut Store<State>, &Instance) -> wasmtime::Result<Result<R, String>>,
    ) -> Result<R, CallError> {
        if self.is_broken() {
            self.renew()?;
        }
        self.call_existing(request, run)
    }

    fn call_existing<R>(
        &mut self,
        request: Request<'_>,
        run: impl AsyncFnOnce(&mut Store<State>, &Instance) -> wasmtime::Result<Result<R, String>>,
    ) -> Result<R, CallError> {
        let Request { call, words, time, seed, trace } = request;
        let Some(session) = &mut self.session else {
            let cause = Cause::Failed("it has no instance".into());
            return Err(self.error(call, words(), cause));
        };
        let seed = seed.unwrap_or_else(|| Seed::new(0).named(call.name()).named(&words()));
        let result = session.run(Time::of(call, time), seed, trace, run);
        let has_failed = !matches!(result, Ok(Ok(_)));
        self.is_exhausted = has_failed && self.calls > 0 && session.state().limits.memory_refused();
        match result {
            Ok(Ok(result)) => {
                self.calls += u64::from(call != Call::Configure);
                Ok(result)
            }
            Ok(Err(message)) => {
                let cause = Cause::Failed(clean(&message, MAX_MESSAGE));
                Err(self.error(call, words(), cause))
            }
            Err(cause) => {
                self.discard();
                Err(self.error(call, words(), cause))
            }
        }
    }

    /// Whether there is no instance.
    pub(super) const fn is_broken(&self) -> bool {
        self.session.is_none()
    }

    /// Drops the instance.
    pub(super) fn discard(&mut self) {
        self.session = None;
        self.calls = 0;
    }

    /// Whether the last call failed because earlier ones had left the instance no memory. Some languages keep
    /// some of it at each call; another instance has all of it.
    pub(super) const fn is_exhausted(&self) -> bool {
        self.is_exhausted
    }

    /// What was traced by the last call.
    pub(super) fn take_trace(&mut self) -> Option<Trace> {
        self.session.as_mut().and_then(|session| session.state().trace.take())
    }

    pub(super) fn plugin(&self) -> &str {
        &self.plugin
    }

    pub(super) const fn exports(&self) -> &Arc<Exports> {
        &self.exports
    }

    pub(super) const fn interests(&self) -> Interests {
        self.interests
    }

    pub(super) fn setup_time(&self) -> Duration {
        self.module.options.setup_time
    }

    pub(super) fn time(&self) -> Duration {
        self.module.options.time
    }

    pub(super) fn error(&self, call: Call, input: String, cause: Cause) -> CallError {
        CallError { plugin: self.plugin.to_string(), call, input, cause }
    }
}
