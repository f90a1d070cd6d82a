//! What makes a crate a plugin.

/// Makes a crate a plugin: `export!(Window: attention)`. The kinds are `image_augmentation`,
/// `batch_augmentation`, `attention` and `monitor`.
///
/// A native build gets the symbol by which the host opens it, a WebAssembly build a component's
/// exports. A program that links a plugin in uses the functions of [`native`](crate::native)
/// instead, and must leave this out: two plugins would define one symbol.
#[macro_export]
macro_rules! export {
    ($Plugin:ty: $kind:ident) => {
        #[cfg(not(target_family = "wasm"))]
        const _: () = {
            #[unsafe(no_mangle)]
            extern "C" fn vitral_plugin() -> *const $crate::abi::c::Plugin {
                $crate::native::$kind::<$Plugin>()
            }
        };

        #[cfg(target_family = "wasm")]
        const _: () = {
            type Exported = $crate::wasm::Component<$Plugin>;
    $crate::__export_component!(Exported: $kind);
        };
    };
}

/// A component's exports, and the world that it is of.
#[cfg(target_family = "wasm")]
#[doc(hidden)]
#[macro_export]
macro_rules! __export_component {
    ($Exported:ident: image_augmentation) => {
        $crate::__export_vitral_plugin_image_augmentations_1_1_0_cabi!($Exported with_types_in
            $crate::wasm::bindings::exports::vitral::plugin::image_augmentations);
        $crate::__export_component!($Exported in IMAGE_AUGMENTATION "component-type:vitral:image-augmentation");
    };
    ($Exported:ident: batch_augmentation) => {
        $crate::__export_vitral_plugin_batch_augmentations_1_1_0_cabi!($Exported with_types_in
            $crate::wasm::bindings::exports::vitral::plugin::batch_augmentations);
        $crate::__export_component!($Exported in BATCH_AUGMENTATION "component-type:vitral:batch-augmentation");
    };
    ($Exported:ident: attention) => {
        $crate::__export_vitral_plugin_attentions_1_1_0_cabi!($Exported with_types_in
            $crate::wasm::bindings::exports::vitral::plugin::attentions);
        $crate::__export_component!($Exported in ATTENTION "component-type:vitral:attention");
    };
    ($Exported:ident: monitor) => {
        $crate::__export_vitral_plugin_monitors_1_1_0_cabi!($Exported with_types_in
            $crate::wasm::bindings::exports::vitral::plugin::monitors);
        $crate::__export_vitral_plugin_data_monitors_1_1_0_cabi!($Exported with_types_in
            $crate::wasm::bindings::exports::vitral::plugin::data_monitors);
        $crate::__export_component!($Exported in MONITOR "component-type:vitral:monitor");
    };
    ($Exported:ident in $WORLD:ident $section:literal) => {
        $crate::__export_vitral_plugin_description_1_1_0_cabi!($Exported with_types_in
            $crate::wasm::bindings::exports::vitral::plugin::description);

        const BYTES: &[u8] = $crate::wasm::types::$WORLD;

        #[used]
        #[unsafe(link_section = $section)]
        static WORLD: [u8; BYTES.len()] = $crate::wasm::types::section(BYTES);
    };
}
