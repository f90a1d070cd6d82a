//! Tests of Vitral plugins, run as the host runs them.
//!
//! A plugin's documented examples are its first tests. One call tries the defaults and every example
//! on several inputs, and panics with a list of what is wrong: [`check_attention`],
//! [`check_batch_augmentation`], [`check_image_augmentation`] and [`check_monitor`]. What only the
//! author can know is tested with [`Attention`], [`BatchAugmentation`], [`ImageAugmentation`] and
//! [`Monitor`], each of which opens the plugin through `vitral-host`, with settings checked and
//! defaults filled in as in a run.
//!
//! ```
//! use vitral_sdk::prelude::*;
//! use vitral_testkit::{Attention as Tested, arrays, check_attention};
//!
//! /// What every token says, on average.
//! #[derive(Parameters)]
//! struct Mean {
//!     /// What the mean is multiplied by.
//!     #[parameter(default = 1, min = 0)]
//!     gain: f64,
//! }
//!
//! impl Plugin for Mean {
//!     type Parameters = Self;
//!     const IDENTITY: Identity = identity!("mean", "The mean of all values");
//!
//!     fn new(parameters: Self) -> Result<Self> {
//!         Ok(parameters)
//!     }
//!
//!     fn examples() -> Vec<Example> {
//!         vec![Example::new("Twice the mean").set("gain", 2)]
//!     }
//! }
//!
//! impl Attention for Mean {
//!     fn trace(&self, _: &Layer, query: Tensor, _: Tensor, value: Tensor) -> Result<Tensor> {
//!         Ok(query * 0.0 + value.reduce_mean([2], true) * self.gain)
//!     }
//! }
//!
//! check_attention::<Mean>();
//!
//! let tested = Tested::of::<Mean>().set("gain", 3);
//! let [query, key, _] = tested.noise(1);
//! let value = arrays::filled(query.shape(), 2.0);
//! let output = tested.run(&[query, key, value], None);
//! arrays::assert_close(output.values(), &[6.0; 2 * 17 * 8], 1e-12);
//!
//! let error = Tested::of::<Mean>().set("gain", -1).error();
//! assert!(error.contains("from 0"), "{error}");
//! ```
//!
//! Gradients are not for this crate: `vitral plugin check` compares them with finite differences.

mod actions;
pub mod arrays;
mod attention;
mod batch;
pub mod check;
pub mod events;
mod image;
mod monitor;
mod opened;
pub mod pictures;
mod report;

pub use actions::Actions;
pub use attention::{Attention, layer};
pub use batch::BatchAugmentation;
pub use image::ImageAugmentation;
pub use monitor::{Monitor, Running};
pub use opened::Failure;
pub use report::Report;

/// Checks an attention variant: see [`check::attention`].
///
/// # Panics
/// If something is wrong with it.
#[track_caller]
pub fn check_attention<P: vitral_sdk::Attention>() {
    check::attention(&opened::compiled_in(vitral_sdk::native::attention::<P>())).assert();
}

/// Checks a batch augmentation: see [`check::batch_augmentation`].
///
/// # Panics
/// If something is wrong with it.
#[track_caller]
pub fn check_batch_augmentation<P: vitral_sdk::BatchAugmentation>() {
    let plugin = opened::compiled_in(vitral_sdk::native::batch_augmentation::<P>());
    check::batch_augmentation(&plugin).assert();
}

/// Checks an image augmentation, and that its own cases come out: see
/// [`check::image_augmentation`].
///
/// # Panics
/// If something is wrong with it.
#[track_caller]
pub fn check_image_augmentation<P: vitral_sdk::ImageAugmentation>() {
    let plugin = opened::compiled_in(vitral_sdk::native::image_augmentation::<P>());
    check::image_augmentation(&plugin, &P::cases()).assert();
}

/// Checks a monitor: see [`check::monitor`].
///
/// # Panics
/// If something is wrong with it.
#[track_caller]
pub fn check_monitor<P: vitral_sdk::Monitor>() {
    check::monitor(&opened::compiled_in(vitral_sdk::native::monitor::<P>())).assert();
}
