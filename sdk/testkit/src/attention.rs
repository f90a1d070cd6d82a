//! Attention variants under test.

use vitral_host::{Layer, Plugin, Value};
use vitral_program::{Array, Limits, Program};

use crate::arrays;
use crate::opened::{Failure, Opened, compiled_in, expect, expect_error};

/// A small layer: the second of 4, with 2 heads of width 8, a class token and 4 x 4 patches.
pub fn layer() -> Layer {
    Layer {
        index: 1,
        depth: 4,
        heads: 2,
        head_width: 8,
        prefix_tokens: 1,
        grid_height: 4,
        grid_width: 4,
        dropout: 0.0,
    }
}

/// An attention variant under test: its settings, and the layer that it is for.
#[derive(Clone)]
pub struct Attention {
    opened: Opened,
    layer: Layer,
}

impl Attention {
    /// The plugin with its defaults, for the small [`layer`].
    ///
    /// # Panics
    /// If the host refuses the plugin.
    #[track_caller]
    pub fn of<P: vitral_sdk::Attention>() -> Self {
        Self::opened(compiled_in(vitral_sdk::native::attention::<P>()))
    }

    /// The same, of a plugin that was opened otherwise.
    pub fn opened(plugin: Plugin) -> Self {
        Self::with(Opened::new(plugin))
    }

    pub(crate) fn with(opened: Opened) -> Self {
        Self { opened, layer: layer() }
    }

    /// Sets a parameter.
    #[must_use]
    pub fn set(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.opened.set(name, value);
        self
    }

    /// Takes another layer.
    #[must_use]
    pub fn layer(self, layer: Layer) -> Self {
        Self { layer, ..self }
    }

    /// The program for the layer.
    ///
    /// # Errors
    /// What the user would read.
    pub fn try_program(&self) -> Result<Program, Failure> {
        let settings = self.opened.settings()?;
        Ok(self.opened.plugin.trace_attention(&settings, &self.layer, &Limits::default())?)
    }

    /// The program for the layer.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn program(&self) -> Program {
        expect(self.try_program())
    }

    /// Why there is no program.
    ///
    /// # Panics
    /// If there is one.
    #[track_caller]
    pub fn error(&self) -> String {
        expect_error(self.try_program())
    }

    /// Queries, keys and values for a batch, between -1 and 1.
    pub fn noise(&self, batch: usize) -> [Array; 3] {
        noise(&self.layer, batch)
    }

    /// What comes of queries, keys and values, with parameters as they start; with a seed as in
    /// training. Other parameters can be given to the [program](Self::program) with
    /// [`arrays::run`].
    ///
    /// # Panics
    /// If there is no program, or the arrays do not fit it.
    #[track_caller]
    pub fn run(&self, inputs: &[Array; 3], seed: Option<u64>) -> Array {
        let program = self.program();
        let outputs = arrays::run(&program, inputs, &arrays::parameters(&program, 0), seed);
        // The host gives a program one output.
        outputs[0].clone()
    }
}

/// Queries, keys and values for a layer.
pub(crate) fn noise(layer: &Layer, batch: usize) -> [Array; 3] {
    let [heads, tokens, width] =
        [layer.heads, layer.tokens(), layer.head_width].map(|size| size as usize);
    [1, 2, 3].map(|seed| arrays::noise(&[batch, heads, tokens, width], seed))
}
