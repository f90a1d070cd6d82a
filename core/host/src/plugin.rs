//! An opened plugin, whatever it is.

use std::{path::Path, sync::Arc};

use vitral_abi::{Batch, Description, Kind, Layer, c};
use vitral_program::{Limits, Program};

use crate::{
    Call, CallError, Cause, Declared, ImageAugmentation, Monitor, OpenError, Settings, describe,
    loaded::Loaded,
    native,
    trace::{Subject, Trace},
};

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

/// An opened plugin; a clone is the same plugin.
#[derive(Clone)]
pub struct Plugin {
    inner: Arc<Inner>,
}

struct Inner {
    declared: Declared,
    origin: Origin,
    needs_system: bool,
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
    /// open until the program ends. Only for its author it may be opened without a manifest that
    /// has declared before what it is.
    ///
    /// # Errors
    /// It is no library, not a plugin, of a contract that this host does not speak, or not what the
    /// manifest has declared.
    pub fn native(path: &Path, declared: Option<&Declared>) -> Result<Self, OpenError> {
        let name = path.display().to_string();
        let (found, loaded) = native::open(&name, native::library(path)?)?;
        if let Some(declared) = declared {
            declared.agrees(&name, &found)?;
        }
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
        let needs_system = options.permissions.need_system();
        let (found, loaded) = crate::wasm::open(engine, name, component, options)?;
        if let Some(declared) = declared {
            declared.agrees(name, &found)?;
        }
        Self::with(found, Origin::Wasm, needs_system, loaded)
    }

    pub(crate) fn new(
        declared: Declared,
        origin: Origin,
        loaded: Box<dyn Loaded>,
    ) -> Result<Self, OpenError> {
        Self::with(declared, origin, origin == Origin::Native, loaded)
    }

    fn with(
        declared: Declared,
        origin: Origin,
        needs_system: bool,
        loaded: Box<dyn Loaded>,
    ) -> Result<Self, OpenError> {
        describe::check(&declared.description)
            .map_err(|problem| OpenError::new(&declared.description.name, problem))?;
        Ok(Self { inner: Arc::new(Inner { declared, origin, needs_system, loaded }) })
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

    /// Whether its calls may lead to calls of the system that computing does not need: it is native, or has been
    /// granted a folder or the network.
    pub fn needs_system(&self) -> bool {
        self.inner.needs_system
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
        self.trace(Kind::Attention, settings, Subject::Attention(*layer), limits)
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
        self.trace(Kind::BatchAugmentation, settings, Subject::Batch(*batch), limits)
    }

    fn trace(
        &self,
        kind: Kind,
        settings: &Settings,
        subject: Subject,
        limits: &Limits,
    ) -> Result<Program, CallError> {
        self.expect(kind, Call::Trace)?;
        let trace = Trace::new(self.name(), subject, limits).map_err(|cause| CallError {
            plugin: self.name().to_owned(),
            call: Call::Trace,
            input: subject.words(),
            cause,
        })?;
        self.inner.loaded.trace(self.name(), settings, subject, trace)
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
