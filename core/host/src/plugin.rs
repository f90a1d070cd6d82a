//! An opened plugin, whatever it is.

use std::{path::Path, sync::Arc};

use vitral_abi::{Action, Batch, Description, Event, Interests, Kind, Layer, Sample, c};
use vitral_program::{Limits, Program};

use crate::{Call, CallError, Cause, OpenError, Settings, describe, native, trace::Trace};

/// The longest side of an image that a plugin may give, in pixels.
pub(crate) const MAX_SIDE: u32 = 16_384;

/// An image of 8-bit values: rows from the top, pixels from the left, channels innermost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Pixels of a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Values of a pixel, 1 or 3.
    pub channels: u32,
    /// `width * height * channels` values.
    pub pixels: Vec<u8>,
}

impl Image {
    /// The image in words, for errors.
    pub(crate) fn words(&self, sample: &Sample) -> String {
        let Self { width, height, channels, .. } = self;
        format!(
            "image {width}x{height}x{channels}, epoch {}, seed {:#x}",
            sample.epoch, sample.seed
        )
    }
}

/// An instance of an image augmentation. It recovers from its failures by itself.
pub trait ImageAugmentation: Send {
    /// Changes an image. After an error, what it contains is unspecified.
    ///
    /// # Errors
    /// The plugin fails, takes too much, or gives what is no image.
    fn augment(&mut self, image: &mut Image, sample: &Sample) -> Result<(), CallError>;
}

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

/// What a loader does for each kind of plugin.
pub(crate) trait Loaded: Send + Sync {
    fn image_augmentation(
        &self,
        plugin: &str,
        settings: &Settings,
    ) -> Result<Box<dyn ImageAugmentation>, CallError>;

    fn monitor(&self, plugin: &str, settings: &Settings) -> Result<Box<dyn Monitor>, CallError>;

    /// Traces a plugin's program; the subject is of the plugin's kind.
    fn trace(
        &self,
        plugin: &str,
        settings: &Settings,
        subject: &Subject,
        trace: Trace,
    ) -> Result<Program, CallError>;
}

/// What a program is traced for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Subject {
    Attention(Layer),
    Batch(Batch),
}

impl Subject {
    /// The subject in words, for errors.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Attention(layer) => format!(
                "layer {} of {}, {} heads of width {}, {} prefix tokens and {}x{} patches",
                layer.index,
                layer.depth,
                layer.heads,
                layer.head_width,
                layer.prefix_tokens,
                layer.grid_height,
                layer.grid_width
            ),
            Self::Batch(batch) => format!(
                "batches of {}x{}x{} images and {} classes",
                batch.height, batch.width, batch.channels, batch.classes
            ),
        }
    }
}

/// Where a plugin comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is a part of this program.
    CompiledIn,
    /// It is a native library, which is trusted.
    Native,
    /// It is a sandboxed WebAssembly component.
    Wasm,
}

/// What a bundle's manifest says of its plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct Declared {
    /// What it does.
    pub kind: Kind,
    /// What it says of itself.
    pub description: Description,
}

/// An opened plugin; a clone is the same plugin.
#[derive(Clone)]
pub struct Plugin {
    inner: Arc<Inner>,
}

struct Inner {
    declared: Declared,
    origin: Origin,
    loaded: Box<dyn Loaded>,
}

impl Plugin {
    /// A plugin that is linked into the program.
    ///
    /// # Errors
    /// Its table or its description is not what the contract says.
    pub fn compiled_in(table: &'static c::Plugin) -> Result<Self, OpenError> {
        let (declared, loaded) = native::open("a plugin that is compiled in", table)?;
        Self::new(declared, Origin::CompiledIn, loaded)
    }

    /// A plugin that is a native library. Its code may do whatever the user may. The library stays
    /// open until the program ends.
    ///
    /// # Errors
    /// It is no library, not a plugin, of a contract that this host does not speak, or not what the
    /// manifest has declared.
    pub fn native(path: &Path, declared: &Declared) -> Result<Self, OpenError> {
        let table = native::library(path)?;
        let (found, loaded) = native::open(&path.display().to_string(), table)?;
        agree(&path.display().to_string(), declared, &found)?;
        Self::new(found, Origin::Native, loaded)
    }

    /// A plugin that is a WebAssembly component, which gets nothing but what the options say.
    ///
    /// # Errors
    /// It is no component, not a plugin, of a contract that this host does not speak, or not what
    /// the manifest has declared.
    #[cfg(feature = "wasm")]
    pub fn wasm(
        engine: &crate::WasmEngine,
        component: &[u8],
        declared: Option<&Declared>,
        options: crate::WasmOptions,
    ) -> Result<Self, OpenError> {
        let name = declared.map_or("the component", |declared| &declared.description.name);
        let (found, loaded) = crate::wasm::open(engine, name, component, options)?;
        if let Some(declared) = declared {
            agree(name, declared, &found)?;
        }
        Self::new(found, Origin::Wasm, loaded)
    }

    pub(crate) fn new(
        declared: Declared,
        origin: Origin,
        loaded: Box<dyn Loaded>,
    ) -> Result<Self, OpenError> {
        describe::check(&declared.description)
            .map_err(|problem| OpenError::new(&declared.description.name, problem))?;
        Ok(Self { inner: Arc::new(Inner { declared, origin, loaded }) })
    }

    /// What the plugin does.
    pub fn kind(&self) -> Kind {
        self.inner.declared.kind
    }

    /// What the plugin says of itself.
    pub fn description(&self) -> &Description {
        &self.inner.declared.description
    }

    /// Where the plugin comes from.
    pub fn origin(&self) -> Origin {
        self.inner.origin
    }

    /// An instance of an image augmentation, for one worker.
    ///
    /// # Errors
    /// The plugin is of another kind, or refuses the settings.
    pub fn image_augmentation(
        &self,
        settings: &Settings,
    ) -> Result<Box<dyn ImageAugmentation>, CallError> {
        self.expect(Kind::ImageAugmentation, Call::Configure)?;
        self.inner.loaded.image_augmentation(self.name(), settings)
    }

    /// The program of a layer's attention: `query`, `key`, `value` to `output`, each
    /// `f32[B,heads,tokens,head_width]`.
    ///
    /// # Errors
    /// The plugin is of another kind, refuses settings or layer, or makes a wrong program.
    pub fn trace_attention(
        &self,
        settings: &Settings,
        layer: &Layer,
        limits: &Limits,
    ) -> Result<Program, CallError> {
        self.expect(Kind::Attention, Call::Trace)?;
        let trace = Trace::attention(self.name(), layer, limits);
        self.inner.loaded.trace(self.name(), settings, &Subject::Attention(*layer), trace)
    }

    /// The program of a batch augmentation: `images`, `f32[B,height,width,channels]`, and
    /// `targets`, `f32[B,classes]`, to the same.
    ///
    /// # Errors
    /// As [`trace_attention`](Self::trace_attention).
    pub fn trace_batch(
        &self,
        settings: &Settings,
        batch: &Batch,
        limits: &Limits,
    ) -> Result<Program, CallError> {
        self.expect(Kind::BatchAugmentation, Call::Trace)?;
        let trace = Trace::batch(self.name(), batch, limits);
        self.inner.loaded.trace(self.name(), settings, &Subject::Batch(*batch), trace)
    }

    /// An instance of a monitor.
    ///
    /// # Errors
    /// The plugin is of another kind, or refuses the settings.
    pub fn monitor(&self, settings: &Settings) -> Result<Box<dyn Monitor>, CallError> {
        self.expect(Kind::Monitor, Call::Configure)?;
        self.inner.loaded.monitor(self.name(), settings)
    }

    fn name(&self) -> &str {
        &self.description().name
    }

    fn expect(&self, wanted: Kind, call: Call) -> Result<(), CallError> {
        let kind = self.kind();
        if kind == wanted {
            return Ok(());
        }
        Err(CallError {
            plugin: self.name().to_owned(),
            call,
            input: format!("as {wanted}"),
            cause: Cause::Failed(format!("it is of kind {kind}")),
        })
    }
}

/// Checks that a plugin is what its manifest has declared.
pub(crate) fn agree(plugin: &str, declared: &Declared, found: &Declared) -> Result<(), OpenError> {
    let (said, says) = (&declared.description, &found.description);
    let differs = |what: &str, said: String, says: String| {
        let problem = format!("its manifest declares {what} {said}, but the plugin says {says}");
        Err(OpenError::new(plugin, problem))
    };
    if declared.kind != found.kind {
        return differs("kind", declared.kind.to_string(), found.kind.to_string());
    }
    if said.name != says.name {
        return differs("name", said.name.clone(), says.name.clone());
    }
    if said.version != says.version {
        return differs("version", said.version.clone(), says.version.clone());
    }
    if said != says {
        return Err(OpenError::new(
            plugin,
            "its manifest declares other parameters, texts or examples than the plugin has: pack it again",
        ));
    }
    Ok(())
}

/// Settings in words, for errors.
pub(crate) fn settings_words(settings: &Settings) -> String {
    let settings = settings.as_slice().iter();
    let words: Vec<_> =
        settings.map(|setting| format!("{}: {}", setting.name, setting.value)).collect();
    if words.is_empty() { "without settings".into() } else { words.join(", ") }
}

/// An event in words, for errors.
pub(crate) fn event_words(event: &Event) -> String {
    match event {
        Event::Started(run) => format!("started at step {}", run.start_step),
        Event::Stepped(step) => format!("step {}", step.step),
        Event::Layers(layers) => format!("statistics of step {}", layers.step),
        Event::Evaluated(evaluation) => format!("evaluation at step {}", evaluation.step),
        Event::Saved(checkpoint) => format!("checkpoint {}", checkpoint.name),
        Event::Ended(reason) => format!("end of the run: {reason}"),
        _ => "an event".into(),
    }
}
