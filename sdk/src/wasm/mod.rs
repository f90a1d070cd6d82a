//! A plugin as a WebAssembly component.
//!
//! The bindings are those of one world with every kind's exports, so that kinds share types. What a
//! plugin exports is chosen in its own crate by [`export!`](crate::export): the functions of its
//! kind's interface, and the description of its kind's world (`types/`), from which a component is
//! made.

mod convert;
mod events;
mod exports;
pub(crate) mod host;
mod plugin;

pub use exports::Component;

/// Made by `wit-bindgen` from `sdk/wit`.
#[allow(missing_docs, clippy::undocumented_unsafe_blocks, reason = "made by wit-bindgen")]
pub mod bindings {
    wit_bindgen::generate!({
        inline: "
            package vitral:sdk;

            world every-kind {
                import vitral:plugin/logging@1.1.0;
                import vitral:plugin/tensors@1.1.0;
                export vitral:plugin/description@1.1.0;
                export vitral:plugin/image-augmentations@1.1.0;
                export vitral:plugin/batch-augmentations@1.1.0;
                export vitral:plugin/attentions@1.1.0;
                export vitral:plugin/monitors@1.1.0;
                export vitral:plugin/data-monitors@1.1.0;
            }
        ",
        path: "wit",
        world: "vitral:sdk/every-kind",
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
