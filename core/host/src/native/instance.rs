//! Instances of native plugins, and the calls to them.

use vitral_abi::{
    Action, Event, Interests, Kind, Sample, c,
    convert::{InC, list_of},
};
use vitral_program::Program;

use super::keeper::{Keeper, Table};
use crate::{
    Call, CallError, Cause, Image, ImageAugmentation, ImageMut, Monitor, Settings,
    image::check_made,
    loaded::Loaded,
    monitor::{MonitorInstance, Recovering, no_input, state_words},
    trace::{Subject, Trace},
    words::event_words,
};

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
        Ok(Box::new(Recovering::new(Observer(Keeper::new(self.table, plugin, settings)?))))
    }

    fn trace(
        &self,
        plugin: &str,
        settings: &Settings,
        subject: Subject,
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
                    let layer = InC::new(&layer);
                    table.trace_attention.map(|function| {
                        // SAFETY: the instance is this table's, and everything that is pointed to
                        // lives until the call returns.
                        unsafe {
                            function(instance, host, layer.as_c(), inputs[0], inputs[1], inputs[2])
                        }
                    })
                }
                Subject::Batch(batch) => {
                    let batch = InC::new(&batch);
                    table.trace_batch.map(|function| {
                        // SAFETY: as above.
                        unsafe { function(instance, host, batch.as_c(), inputs[0], inputs[1]) }
                    })
                }
            },
        )?;
        let program = match context.trace {
            Some(trace) => trace.finish(),
            None => Err(Cause::BadResult("it returned no program".into())),
        };
        program.map_err(|cause| keeper.error(Call::Trace, words(), cause))
    }
}

struct Augmentation(Keeper);

impl ImageAugmentation for Augmentation {
    fn augment_in_place(
        &mut self,
        image: ImageMut<'_>,
        sample: &Sample,
    ) -> Result<Option<Image>, CallError> {
        let described = image.words(sample);
        image.check().map_err(|cause| self.0.error(Call::Augment, described.clone(), cause))?;
        let table = self.0.table();
        let given = c::Image {
            width: image.width,
            height: image.height,
            channels: image.channels,
            pixels: image.pixels.as_mut_ptr(),
        };
        let passed = InC::new(sample);
        let mut context = self.0.call(
            Call::Augment,
            &|| described.clone(),
            |_| (),
            |at, host| {
                table.augment.map(|augment| {
                    // SAFETY: the instance is this table's, and everything that is pointed to lives
                    // until the call returns.
                    unsafe { augment(at, host, &raw const given, passed.as_c()) }
                })
            },
        )?;
        let made = context.images.pop();
        if let Some(made) = &made {
            let size = (made.width, made.height, made.channels);
            check_made(size, made.pixels.len(), image.channels)
                .map_err(|cause| self.0.error(Call::Augment, described, cause))?;
        }
        Ok(made)
    }
}

struct Observer(Keeper);

impl MonitorInstance for Observer {
    fn interests(&self) -> Interests {
        self.0.interests()
    }

    fn observe(&mut self, event: &Event) -> Result<Vec<Action>, CallError> {
        let table = self.0.table();
        let passed = InC::new(event);
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
        let table = self.0.table();
        let context = self.0.call(
            Call::Save,
            &no_input,
            |_| (),
            |at, host| {
                // SAFETY: as in `augment`.
                table.save.map(|save| unsafe { save(at, host) })
            },
        )?;
        Ok(context.state)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), CallError> {
        let table = self.0.table();
        self.0.call(
            Call::Restore,
            &|| state_words(state),
            |_| (),
            |at, host| {
                // SAFETY: as in `augment`.
                table.restore.map(|restore| unsafe { restore(at, host, list_of(state)) })
            },
        )?;
        Ok(())
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
