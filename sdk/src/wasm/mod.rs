//! A plugin as a WebAssembly component.
//!
//! The bindings are those of one world with every kind's exports, so that kinds share types. What a
//! plugin exports is chosen in its own crate by [`export!`](crate::export): the functions of its
//! kind's interface, and the description of its kind's world (`types/`), from which a component is
//! made.

mod convert;
mod exports;
pub(crate) mod host;
mod plugin;
mod worlds;

pub use exports::Component;

/// Made by `wit-bindgen` from `sdk/wit`.
#[allow(missing_docs, clippy::undocumented_unsafe_blocks, reason = "made by wit-bindgen")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "every-kind",
        pub_export_macro: true,
        default_bindings_module: "vitral_sdk::wasm::bindings",
        disable_custom_section_link_helpers: true,
        generate_all,
    });
}

/// The worlds in the form of a component's metadata.
pub mod types {
    macro_rules! worlds {
        ($($(#[doc = $doc:literal])+ $NAME:ident = $file:literal;)*) => {$(
            $(#[doc = $doc])+
            pub const $NAME: &[u8] = include_bytes!($file);
        )*};
    }

    worlds! {
        /// An image augmentation's.
        IMAGE_AUGMENTATION = "types/image-augmentation.bin";
        /// A batch augmentation's.
        BATCH_AUGMENTATION = "types/batch-augmentation.bin";
        /// An attention's.
        ATTENTION = "types/attention.bin";
        /// A monitor's.
        MONITOR = "types/monitor.bin";
    }

    /// The bytes themselves, which a section is made of.
    pub const fn section<const N: usize>(bytes: &[u8]) -> [u8; N] {
        let mut section = [0; N];
        section.copy_from_slice(bytes);
        section
    }
}

/// The section by which a component is made of a world.
#[doc(hidden)]
#[macro_export]
macro_rules! __world {
    ($WORLD:ident $section:literal) => {
        const BYTES: &[u8] = $crate::wasm::types::$WORLD;

        #[used]
        #[unsafe(link_section = $section)]
        static WORLD: [u8; BYTES.len()] = $crate::wasm::types::section(BYTES);
    };
}
