//! Instances of native plugins, and the calls to them.

use std::{ffi::c_void, ptr};

use vitral_abi::{
    Action, Event, Interests, Kind, Sample, c,
    convert::{CEvent, CSettings},
};
use vitral_program::Program;

use super::calls::{Context, bytes};
use crate::{
    Call, CallError, Cause, Image, ImageAugmentation, Monitor, Settings,
    plugin::{Loaded, Subject, event_words, settings_words},
    trace::Trace,
};

type Table = &'static c::Plugin;

/// A native plugin whose functions are all there.
pub(super) struct Native {
    table: Table,
}

impl Native {
    /// Checks that the table has the functions of its kind.
    pub(super) fn new(table: Table, kind: Kind) -> Result<Self, String> {
        let monitor = [
            ("observe", table.observe.is_some()),
            ("save", table.save.is_some()),
            ("restore", table.restore.is_some()),
        ];
        let of_kind: &[(&str, bool)] = match kind {
            Kind::ImageAugmentation => &[("augment", table.augment.is_some())],
            Kind::BatchAugmentation => &[("trace_batch", table.trace_batch.is_some())],
            Kind::Attention => &[("trace_attention", table.trace_attention.is_some())],
            Kind::Monitor => &monitor,
        };
        let always = [("create", table.create.is_some()), ("destroy", table.destroy.is_some())];
        match always.iter().chain(of_kind).find(|(_, exists)| !exists) {
            None => Ok(Self { table }),
            Some((name, _)) => Err(format!("it is of kind {kind} and has no function `{name}`")),
        }
    }
}

impl Loaded for Native {
    fn image_augmentation(
        &self,
        plugin: &str,
        settings: &Settings,
    ) -> Result<Box<dyn ImageAugmentation>, CallError> {
        Ok(Box::new(Augmentation(Keeper::new(self.table, plugin, settings)?)))
    }

    fn monitor(&self, plugin: &str, settings: &Settings) -> Result<Box<dyn Monitor>, CallError> {
        Ok(Box::new(Observer(Keeper::new(self.table, plugin, settings)?)))
    }

    fn trace(
        &self,
        plugin: &str,
        settings: &Settings,
        subject: &Subject,
        trace: Trace,
    ) -> Result<Program, CallError> {
        let mut keeper = Keeper::new(self.table, plugin, settings)?;
        let inputs: Vec<_> = trace.inputs().iter().map(|tensor| tensor.to_raw()).collect();
        let words = || subject.words();
        let table = self.table;
        let context = keeper.call(
            Call::Trace,
            &words,
            |context| context.trace = Some(trace),
            |instance, host| match subject {
                Subject::Attention(layer) => {
                    let layer = c::Layer::from(*layer);
                    table.trace_attention.map(|function| {
                        // SAFETY: the instance is this table's, and everything that is pointed to
                        // lives until the call returns.
                        unsafe {
                            function(
                                instance,
                                host,
                                &raw const layer,
                                inputs[0],
                                inputs[1],
                                inputs[2],
                            )
                        }
                    })
                }
                Subject::Batch(batch) => {
                    let batch = c::Batch::from(*batch);
                    table.trace_batch.map(|function| {
                        // SAFETY: as above.
                        unsafe { function(instance, host, &raw const batch, inputs[0], inputs[1]) }
                    })
                }
            },
        )?;
        let program = match context.trace {
            Some(trace) => trace.finish(),
            None => Err(Cause::BadResult("it gave no program".into())),
        };
        program.map_err(|cause| keeper.error(Call::Trace, words(), cause))
    }
}

/// Keeps one instance alive: after a panic, the next call gets another.
struct Keeper {
    table: Table,
    plugin: String,
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
    fn new(table: Table, plugin: &str, settings: &Settings) -> Result<Self, CallError> {
        let mut keeper = Self {
            table,
            plugin: plugin.to_owned(),
            settings: settings.clone(),
            instance: None,
            interests: Interests::default(),
        };
        keeper.create()?;
        Ok(keeper)
    }

    fn create(&mut self) -> Result<(), CallError> {
        let words = || settings_words(&self.settings);
        let error = |cause| CallError {
            plugin: self.plugin.clone(),
            call: Call::Configure,
            input: words(),
            cause,
        };
        let mut context = Context::new(&self.plugin);
        let host = context.host();
        let settings = CSettings::new(self.settings.as_slice());
        let mut at = ptr::null_mut();
        let mut interests = c::Interests::default();
        let status = self.table.create.map_or(c::FAILED, |create| {
            // SAFETY: everything that is pointed to lives until the call returns.
            unsafe { create(&raw const host, settings.list(), &raw mut at, &raw mut interests) }
        });
        // Taken charge of also where the call has failed, if there is one.
        let instance = (!at.is_null()).then_some(Instance { table: self.table, at });
        outcome(status, &mut context).map_err(error)?;
        let missing = || error(Cause::BadResult("it made no instance".into()));
        self.instance = Some(instance.ok_or_else(missing)?);
        self.interests = interests.into();
        Ok(())
    }

    /// Calls a function of the instance; gives what the call has collected.
    fn call<'k>(
        &'k mut self,
        call: Call,
        words: &dyn Fn() -> String,
        prepare: impl FnOnce(&mut Context<'k>),
        function: impl FnOnce(*mut c_void, *const c::Host) -> Option<u32>,
    ) -> Result<Context<'k>, CallError> {
        if self.instance.is_none() {
            self.create()?;
        }
        let at = self.instance.as_ref().map_or(ptr::null_mut(), |instance| instance.at);
        let mut context = Context::new(&self.plugin);
        prepare(&mut context);
        let host = context.host();
        // That the function is there has been checked with the table.
        let status = function(at, &raw const host).unwrap_or(c::FAILED);
        if status == c::PANICKED {
            self.instance = None;
        }
        match outcome(status, &mut context) {
            Ok(()) => Ok(context),
            Err(cause) => {
                Err(CallError { plugin: self.plugin.clone(), call, input: words(), cause })
            }
        }
    }

    fn error(&self, call: Call, input: String, cause: Cause) -> CallError {
        CallError { plugin: self.plugin.clone(), call, input, cause }
    }
}

/// What a call's status and what it has collected come to.
fn outcome(status: u32, context: &mut Context<'_>) -> Result<(), Cause> {
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
        (status, _) => Err(Cause::BadResult(format!("it returned status {status}, which is none"))),
    }
}

struct Augmentation(Keeper);

impl ImageAugmentation for Augmentation {
    fn augment(&mut self, image: &mut Image, sample: &Sample) -> Result<(), CallError> {
        let table = self.0.table;
        let given = c::Image {
            width: image.width,
            height: image.height,
            channels: image.channels,
            pixels: image.pixels.as_mut_ptr(),
        };
        let described = image.words(sample);
        let passed = c::Sample::from(*sample);
        let context = self.0.call(
            Call::Augment,
            &|| described.clone(),
            |_| (),
            |at, host| {
                table.augment.map(|augment| {
                    // SAFETY: the instance is this table's, and everything that is pointed to lives
                    // until the call returns.
                    unsafe { augment(at, host, &raw const given, &raw const passed) }
                })
            },
        )?;
        if let Some(made) = context.image {
            if made.channels != image.channels {
                let cause = Cause::BadResult(format!(
                    "it gave an image of {} channels for one of {}",
                    made.channels, image.channels
                ));
                return Err(self.0.error(Call::Augment, described, cause));
            }
            *image = made;
        }
        Ok(())
    }
}

struct Observer(Keeper);

impl Monitor for Observer {
    fn interests(&self) -> Interests {
        self.0.interests
    }

    fn observe(&mut self, event: &Event) -> Result<Vec<Action>, CallError> {
        let table = self.0.table;
        let passed = CEvent::new(event);
        let words = || event_words(event);
        let context = self.0.call(
            Call::Observe,
            &words,
            |_| (),
            |at, host| {
                table.observe.map(|observe| {
                    // SAFETY: as in `augment`.
                    unsafe { observe(at, host, passed.as_c()) }
                })
            },
        )?;
        Ok(context.actions)
    }

    fn save(&mut self) -> Result<Vec<u8>, CallError> {
        let table = self.0.table;
        let words = || "no input".to_owned();
        let context = self.0.call(
            Call::Save,
            &words,
            |_| (),
            |at, host| {
                // SAFETY: as in `augment`.
                table.save.map(|save| unsafe { save(at, host) })
            },
        )?;
        Ok(context.state)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), CallError> {
        let table = self.0.table;
        let words = || format!("a state of {} bytes", state.len());
        self.0.call(
            Call::Restore,
            &words,
            |_| (),
            |at, host| {
                // SAFETY: as in `augment`.
                table.restore.map(|restore| unsafe { restore(at, host, bytes(state)) })
            },
        )?;
        Ok(())
    }
}
