//! One instance, and calls to it within their limits.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use vitral_seed::Seed;
use wasmtime::{
    Store, Trap, UpdateDeadline,
    component::{Instance, InstancePre},
};
use wasmtime_wasi::runtime::{in_tokio, poll_noop};

use super::{config::TICK, deadline::Time, options::WasmOptions, state::State, wasi::System};
use crate::{Cause, Interrupt, log::clean, trace::Trace};

/// A component that is ready to be instantiated.
pub(super) struct Module {
    pub(super) pre: InstancePre<State>,
    pub(super) options: WasmOptions,
    pub(super) uses_wasi: bool,
    pub(super) interrupt: Interrupt,
}

/// An instance. After an error it must not be used again.
pub(super) struct Session {
    module: Arc<Module>,
    store: Store<State>,
    instance: Instance,
}

impl Session {
    pub(super) fn new(module: &Arc<Module>, plugin: &Arc<str>) -> Result<Self, Cause> {
        let options = &module.options;
        let system = System::new(&options.permissions).map_err(Cause::Failed)?;
        let interrupt = module.interrupt.clone();
        let state = State::new(Arc::clone(plugin), options.memory, system, interrupt);
        let mut store = Store::new(module.pre.engine(), state);
        store.limiter(|state| &mut state.limits);
        store.set_hostcall_fuel(options.output);
        store.epoch_deadline_callback(|mut store| match store.data_mut().deadline.tick() {
            true => Err(Trap::Interrupt.into()),
            false => Ok(UpdateDeadline::Continue(1)),
        });
        let time = Time::of_setup(options.setup_time);
        let instance = timed(module, &mut store, time, async |store| {
            module.pre.instantiate_async(store).await
        })?;
        Ok(Self { module: Arc::clone(module), store, instance })
    }

    /// The data of the instance.
    pub(super) fn state(&mut self) -> &mut State {
        self.store.data_mut()
    }

    /// Runs a call, with a trace if it is one.
    pub(super) fn run<R>(
        &mut self,
        time: Time,
        seed: Seed,
        trace: Option<Trace>,
        call: impl AsyncFnOnce(&mut Store<State>, &Instance) -> wasmtime::Result<R>,
    ) -> Result<R, Cause> {
        self.store.data_mut().begin(seed, trace);
        let (module, instance) = (&self.module, &self.instance);
        timed(module, &mut self.store, time, async |store| call(store, instance).await)
    }
}

/// Runs something in a store for no longer than a time.
fn timed<R>(
    module: &Module,
    store: &mut Store<State>,
    time: Time,
    work: impl AsyncFnOnce(&mut Store<State>) -> wasmtime::Result<R>,
) -> Result<R, Cause> {
    if time.grace.is_zero() && module.interrupt.is_set() {
        store.data_mut().end();
        return Err(Cause::Interrupted);
    }
    store.data_mut().deadline.begin(time);
    store.set_epoch_deadline(1);
    let result = if module.uses_wasi {
        // WASI can wait for something, which no epoch ends.
        in_tokio(waited(&module.interrupt, time, work(store)))
    } else {
        // Nothing else waits, so that the first poll is the last.
        poll_noop(pin!(work(store))).ok_or_else(|| Cause::Trapped("it waits for nothing".into()))
    };
    store.data_mut().end();
    result?.map_err(|error| cause(&error, module, store.data(), time.limit))
}

/// Waits for something for no longer than a time.
async fn waited<R>(
    interrupt: &Interrupt,
    time: Time,
    work: impl Future<Output = R>,
) -> Result<R, Cause> {
    let mut work = pin!(work);
    let start = Instant::now();
    let mut interrupted = None;
    loop {
        if let Ok(result) = tokio::time::timeout(TICK, &mut work).await {
            return Ok(result);
        }
        if interrupt.is_set() {
            interrupted.get_or_insert_with(Instant::now);
        }
        if start.elapsed() >= time.limit {
            return Err(Cause::TimedOut(time.limit));
        }
        if interrupted.is_some_and(|since| since.elapsed() >= time.grace) {
            return Err(Cause::Interrupted);
        }
    }
}

/// Why a call failed.
fn cause(error: &wasmtime::Error, module: &Module, state: &State, time: Duration) -> Cause {
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) if state.deadline.is_interrupted() => return Cause::Interrupted,
        Some(Trap::Interrupt) => return Cause::TimedOut(time),
        Some(Trap::StackOverflow) => return Cause::StackOverflow,
        _ => {}
    }
    let text = format!("{error:#}");
    // wasmtime has no types for these that others can name; tests hold it to these words.
    if text.contains("mmap failed to") {
        return Cause::NoRoom;
    }
    if text.contains("fuel allocated for hostcalls") {
        let limit = module.options.output;
        return Cause::TooLarge { what: "more than it may".into(), limit };
    }
    match &state.last_error {
        // The SDK logs a panic before it traps.
        Some(message) if message.starts_with("panicked at") => {
            Cause::Panicked(message.trim_start_matches("panicked ").to_owned())
        }
        _ if state.limits.memory_refused() => Cause::OutOfMemory(module.options.memory),
        _ => Cause::Trapped(match state.last_words() {
            Some(words) => format!("{}; it said last:\n{words}", brief(error)),
            None => brief(error),
        }),
    }
}

/// The most bytes of a trap's reason, and of the functions where it happened.
const MAX_REASON: usize = 500;

/// A trap in one line: the reason, and the innermost functions.
fn brief(error: &wasmtime::Error) -> String {
    let text = format!("{error:#}");
    let frames: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter_map(|line| line.split_once(": ")?.1.split_once("!").map(|(_, name)| name))
        .take(3)
        .collect();
    // What the host itself says is under what wasmtime says of where it happened.
    let root = error.root_cause().to_string();
    let reason = root.strip_prefix("wasm trap: ").unwrap_or(&root);
    let reason = clean(reason.lines().next().unwrap_or("an unknown error"), MAX_REASON);
    match frames.is_empty() {
        true => reason,
        false => format!("{reason} (in {})", clean(&frames.join(" < "), MAX_REASON)),
    }
}
