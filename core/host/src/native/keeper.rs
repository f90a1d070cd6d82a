//! One instance, and calls to it.

use std::{ffi::c_void, ptr, sync::Arc};

use vitral_abi::{
    Interests, c,
    convert::{FromC, InC},
};

use super::calls::{self, Context};
use crate::{Call, CallError, Cause, Settings, words::settings_words};

pub(super) type Table = &'static c::Plugin;

/// Keeps one instance alive: after a panic, the next call gets another.
pub(super) struct Keeper {
    table: Table,
    plugin: Arc<str>,
    settings: Settings,
    instance: Option<Instance>,
    interests: Interests,
}

/// An instance, which is freed when it is dropped.
struct Instance {
    table: Table,
    at: *mut c_void,
}

// SAFETY: by contract an instance may be used by one thread after the other.
unsafe impl Send for Instance {}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(destroy) = self.table.destroy {
            // SAFETY: `create` of this table made the instance, and nobody uses it any more.
            unsafe { destroy(self.at) }
        }
    }
}

impl Keeper {
    pub(super) fn new(table: Table, plugin: &str, settings: &Settings) -> Result<Self, CallError> {
        let mut keeper = Self {
            table,
            plugin: plugin.into(),
            settings: settings.clone(),
            instance: None,
            interests: Interests::default(),
        };
        keeper.renew()?;
        Ok(keeper)
    }

    pub(super) const fn table(&self) -> Table {
        self.table
    }

    pub(super) const fn interests(&self) -> Interests {
        self.interests
    }

    /// Whether there is no instance.
    pub(super) const fn is_broken(&self) -> bool {
        self.instance.is_none()
    }

    /// Frees the instance.
    pub(super) fn discard(&mut self) {
        self.instance = None;
    }

    /// Makes an instance in place of the one that there may be.
    pub(super) fn renew(&mut self) -> Result<(), CallError> {
        self.discard();
        let words = || settings_words(&self.settings);
        let settings = InC::new(self.settings.as_slice());
        let mut at = ptr::null_mut();
        let mut interests = *InC::new(&Interests::default()).as_c();
        let create = self.table.create;
        let (status, mut context) = calls::call(Context::new(&self.plugin), |host| {
            create.map_or(c::FAILED, |create| {
                // SAFETY: everything that is pointed to lives until the call returns.
                unsafe { create(host, *settings.as_c(), &raw mut at, &raw mut interests) }
            })
        });
        // Taken charge of also where the call has failed, if there is one.
        let instance = (!at.is_null()).then_some(Instance { table: self.table, at });
        outcome(status, &mut context)
            .map_err(|cause| self.error(Call::Configure, words(), cause))?;
        let missing = || {
            let cause = Cause::BadResult("it made no instance".into());
            self.error(Call::Configure, words(), cause)
        };
        self.instance = Some(instance.ok_or_else(missing)?);
        // SAFETY: two numbers, which point nowhere.
        let interests = unsafe { Interests::from_c(&interests) };
        self.interests = interests.unwrap_or_default();
        Ok(())
    }

    /// Calls a function of the instance; gives what the call has collected.
    pub(super) fn call(
        &mut self,
        call: Call,
        words: &dyn Fn() -> String,
        prepare: impl FnOnce(&mut Context),
        function: impl FnOnce(*mut c_void, *const c::Host) -> Option<u32>,
    ) -> Result<Context, CallError> {
        if self.is_broken() {
            self.renew()?;
        }
        let at = self.instance.as_ref().map_or(ptr::null_mut(), |instance| instance.at);
        let mut context = Context::new(&self.plugin);
        prepare(&mut context);
        // That the function is there has been checked with the table.
        let (status, mut context) =
            calls::call(context, |host| function(at, host).unwrap_or(c::FAILED));
        if status == c::PANICKED {
            self.discard();
        }
        match outcome(status, &mut context) {
            Ok(()) => Ok(context),
            Err(cause) => Err(self.error(call, words(), cause)),
        }
    }

    pub(super) fn error(&self, call: Call, input: String, cause: Cause) -> CallError {
        CallError { plugin: self.plugin.to_string(), call, input, cause }
    }
}

/// What a call's status and what it has collected come to.
fn outcome(status: u32, context: &mut Context) -> Result<(), Cause> {
    let said = context.failure.take();
    match (status, context.misuse.take()) {
        (c::OK, None) => Ok(()),
        (c::OK, Some(misuse)) => Err(Cause::BadResult(misuse)),
        (c::FAILED, misuse) => {
            Err(Cause::Failed(said.or(misuse).unwrap_or_else(|| "it did not say why".into())))
        }
        (c::PANICKED, _) => {
            Err(Cause::Panicked(said.unwrap_or_else(|| "it gave no reason".into())))
        }
        (status, _) => Err(Cause::BadResult(format!("it returned the unknown status {status}"))),
    }
}
