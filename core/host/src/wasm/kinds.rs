//! What each kind of plugin is called for.

use std::{sync::Arc, time::Duration};

use vitral_abi::{Action, Event, Interests, Sample};
use vitral_program::Program;
use wasmtime::{Store, component::Instance};

use super::{
    bindings::exports::vitral::plugin::image_augmentations,
    convert,
    instance::{Module, Session},
    open::Exports,
    state::State,
};
use crate::{
    Call, CallError, Cause, Image, ImageAugmentation, Monitor, Settings,
    plugin::{Loaded, MAX_SIDE, Subject, event_words, settings_words},
    trace::Trace,
};

/// An opened component.
pub(super) struct Wasm {
    pub(super) module: Arc<Module>,
    pub(super) exports: Arc<Exports>,
}

impl Loaded for Wasm {
    fn image_augmentation(
        &self,
        plugin: &str,
        settings: &Settings,
    ) -> Result<Box<dyn ImageAugmentation>, CallError> {
        let keeper = Keeper::new(self, plugin, settings)?;
        Ok(Box::new(Augmentation(keeper)))
    }

    fn monitor(&self, plugin: &str, settings: &Settings) -> Result<Box<dyn Monitor>, CallError> {
        let keeper = Keeper::new(self, plugin, settings)?;
        Ok(Box::new(Observer { keeper, saved: None }))
    }

    fn trace(
        &self,
        plugin: &str,
        settings: &Settings,
        subject: &Subject,
        trace: Trace,
    ) -> Result<Program, CallError> {
        let mut keeper = Keeper::new(self, plugin, settings)?;
        let exports = Arc::clone(&self.exports);
        let inputs = trace.inputs().to_vec();
        let time = self.module.options.setup_time;
        let traced = keeper.call(
            Call::Trace,
            &|| subject.words(),
            time,
            Some(trace),
            async |store, instance| {
                let handles = inputs.iter().map(|&input| store.data_mut().hand_out(input));
                let handles: Vec<_> = handles.collect::<wasmtime::Result<_>>()?;
                let lent =
                    |index: usize| wasmtime::component::Resource::new_borrow(handles[index].rep());
                let results = match (&*exports, subject) {
                    (Exports::Attention(indices), Subject::Attention(layer)) => {
                        let guest = indices.load(&mut *store, instance)?;
                        let layer = convert::layer(layer);
                        let result =
                            guest.call_trace(&mut *store, layer, lent(0), lent(1), lent(2));
                        result.await?.map(|output| vec![output])
                    }
                    (Exports::Batch(indices), Subject::Batch(batch)) => {
                        let guest = indices.load(&mut *store, instance)?;
                        let batch = convert::batch(batch);
                        let result = guest.call_trace(&mut *store, batch, lent(0), lent(1));
                        result.await?.map(|changed| vec![changed.images, changed.targets])
                    }
                    _ => return Ok(Err("it is of another kind".to_owned())),
                };
                let Ok(results) = results else { return Ok(results.map(drop)) };
                for result in results {
                    let state = store.data_mut();
                    let tensor = state.take_back(result)?;
                    if let Some(trace) = &mut state.trace {
                        trace.result(tensor);
                    }
                }
                Ok(Ok(()))
            },
        );
        traced?;
        let trace = keeper.session.as_mut().and_then(|session| session.state().trace.take());
        let program = match trace {
            Some(trace) => trace.finish(),
            None => Err(Cause::BadResult("it gave no program".into())),
        };
        program.map_err(|cause| keeper.error(Call::Trace, subject.words(), cause))
    }
}

/// Keeps one instance alive: after a failure that is not the plugin's own word, the next call gets
/// another, configured anew.
struct Keeper {
    module: Arc<Module>,
    exports: Arc<Exports>,
    plugin: String,
    settings: Settings,
    session: Option<Session>,
    interests: Interests,
}

impl Keeper {
    fn new(wasm: &Wasm, plugin: &str, settings: &Settings) -> Result<Self, CallError> {
        let mut keeper = Self {
            module: Arc::clone(&wasm.module),
            exports: Arc::clone(&wasm.exports),
            plugin: plugin.to_owned(),
            settings: settings.clone(),
            session: None,
            interests: Interests::default(),
        };
        keeper.renew()?;
        Ok(keeper)
    }

    /// Makes and configures an instance.
    fn renew(&mut self) -> Result<(), CallError> {
        let words = settings_words(&self.settings);
        let session = Session::new(&self.module, &self.plugin)
            .map_err(|cause| self.error(Call::Configure, words.clone(), cause))?;
        self.session = Some(session);
        let exports = Arc::clone(&self.exports);
        let settings = convert::settings(self.settings.as_slice());
        let time = self.module.options.setup_time;
        let configured =
            self.call(Call::Configure, &|| words.clone(), time, None, async |store, instance| {
                match &*exports {
                    Exports::Image(indices) => {
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
                    Exports::Monitor(indices) => {
                        let guest = indices.load(&mut *store, instance)?;
                        Ok(guest.call_configure(store, &settings).await?.map(Some))
                    }
                }
            });
        match configured {
            Ok(interests) => {
                self.interests = interests.map(convert::interests).unwrap_or_default();
                Ok(())
            }
            Err(error) => {
                self.session = None;
                Err(error)
            }
        }
    }

    /// Runs a call of an instance that there is.
    fn call<R>(
        &mut self,
        call: Call,
        words: &dyn Fn() -> String,
        time: Duration,
        trace: Option<Trace>,
        run: impl AsyncFnOnce(&mut Store<State>, &Instance) -> wasmtime::Result<Result<R, String>>,
    ) -> Result<R, CallError> {
        let Some(session) = &mut self.session else {
            let cause = Cause::Failed("its instance could not be made again".into());
            return Err(self.error(call, words(), cause));
        };
        match session.run(time, trace, run) {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(message)) => {
                let message = message.chars().take(MAX_MESSAGE).collect();
                Err(self.error(call, words(), Cause::Failed(message)))
            }
            Err(cause) => {
                self.session = None;
                Err(self.error(call, words(), cause))
            }
        }
    }

    fn ensure(&mut self) -> Result<bool, CallError> {
        if self.session.is_some() {
            return Ok(false);
        }
        self.renew()?;
        Ok(true)
    }

    fn time(&self) -> Duration {
        self.module.options.time
    }

    fn error(&self, call: Call, input: String, cause: Cause) -> CallError {
        CallError { plugin: self.plugin.clone(), call, input, cause }
    }
}

/// The most characters of a plugin's error message.
const MAX_MESSAGE: usize = 64 << 10;

struct Augmentation(Keeper);

impl ImageAugmentation for Augmentation {
    fn augment(&mut self, image: &mut Image, sample: &Sample) -> Result<(), CallError> {
        self.0.ensure()?;
        let described = image.words(sample);
        let passed = image_augmentations::Image {
            width: image.width,
            height: image.height,
            channels: image.channels,
            pixels: std::mem::take(&mut image.pixels),
        };
        let exports = Arc::clone(&self.0.exports);
        let words = || described.clone();
        let result =
            self.0.call(Call::Augment, &words, self.0.time(), None, async |store, instance| {
                let Exports::Image(indices) = &*exports else {
                    return Ok(Err("it is no image augmentation".to_owned()));
                };
                let guest = indices.load(&mut *store, instance)?;
                guest.call_augment(store, &passed, convert::sample(sample)).await
            })?;
        let made = match result {
            None => {
                image.pixels = passed.pixels;
                return Ok(());
            }
            Some(made) => made,
        };
        check(&made, image.channels)
            .map_err(|problem| self.0.error(Call::Augment, described, Cause::BadResult(problem)))?;
        (image.width, image.height, image.pixels) = (made.width, made.height, made.pixels);
        Ok(())
    }
}

/// Checks that an image is one, with the channels of the one that was given.
fn check(image: &image_augmentations::Image, channels: u32) -> Result<(), String> {
    let sides = 1..=MAX_SIDE;
    let (width, height) = (image.width, image.height);
    if image.channels != channels {
        return Err(format!(
            "it gave an image of {} channels for one of {channels}",
            image.channels
        ));
    }
    if !sides.contains(&width) || !sides.contains(&height) {
        return Err(format!("it gave an image of {width}x{height}; sides may be 1 to {MAX_SIDE}"));
    }
    // At most 16384 * 16384 * 3, which 64 bits can count.
    let wanted = u64::from(width) * u64::from(height) * u64::from(channels);
    if image.pixels.len() as u64 != wanted {
        return Err(format!(
            "it gave {} bytes for an image of {width}x{height}x{channels}, which has {wanted}",
            image.pixels.len()
        ));
    }
    Ok(())
}

struct Observer {
    keeper: Keeper,
    /// The last state that was saved or restored, for an instance that must be made again.
    saved: Option<Vec<u8>>,
}

impl Observer {
    /// Makes sure that there is an instance, with the last state that is known.
    fn ensure(&mut self) -> Result<(), CallError> {
        if self.keeper.ensure()?
            && let Some(state) = self.saved.clone()
        {
            self.load(&state)?;
        }
        Ok(())
    }

    fn load(&mut self, state: &[u8]) -> Result<(), CallError> {
        let exports = Arc::clone(&self.keeper.exports);
        let words = || format!("a state of {} bytes", state.len());
        let time = self.keeper.time();
        self.keeper.call(Call::Restore, &words, time, None, async |store, instance| {
            let Exports::Monitor(indices) = &*exports else {
                return Ok(Err("it is no monitor".to_owned()));
            };
            let guest = indices.load(&mut *store, instance)?;
            guest.call_restore(store, state).await
        })
    }
}

impl Monitor for Observer {
    fn interests(&self) -> Interests {
        self.keeper.interests
    }

    fn observe(&mut self, event: &Event) -> Result<Vec<Action>, CallError> {
        self.ensure()?;
        let Some(passed) = convert::event(event) else { return Ok(Vec::new()) };
        let exports = Arc::clone(&self.keeper.exports);
        let time = self.keeper.time();
        let words = || event_words(event);
        let actions =
            self.keeper.call(Call::Observe, &words, time, None, async |store, instance| {
                let Exports::Monitor(indices) = &*exports else {
                    return Ok(Err("it is no monitor".to_owned()));
                };
                let guest = indices.load(&mut *store, instance)?;
                guest.call_observe(store, &passed).await
            })?;
        Ok(actions.into_iter().map(convert::action).collect())
    }

    fn save(&mut self) -> Result<Vec<u8>, CallError> {
        self.ensure()?;
        let exports = Arc::clone(&self.keeper.exports);
        let time = self.keeper.time();
        let words = || "no input".to_owned();
        let state = self.keeper.call(Call::Save, &words, time, None, async |store, instance| {
            let Exports::Monitor(indices) = &*exports else {
                return Ok(Err("it is no monitor".to_owned()));
            };
            let guest = indices.load(&mut *store, instance)?;
            Ok(Ok(guest.call_save(store).await?))
        })?;
        self.saved = Some(state.clone());
        Ok(state)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), CallError> {
        self.ensure()?;
        self.load(state)?;
        self.saved = Some(state.to_vec());
        Ok(())
    }
}
