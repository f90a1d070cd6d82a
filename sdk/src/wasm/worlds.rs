//! What a component of each kind exports. Made from sdk/wit by the tests of sdk; do not edit.

/// A component's exports, and the world that it is of.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_component {
    ($Exported:ident: image_augmentation) => {
        $crate::__export_vitral_plugin_description_1_3_0_cabi!($Exported with_types_in
            $crate::wasm::bindings::exports::vitral::plugin::description);
        $crate::__export_vitral_plugin_image_augmentations_1_3_0_cabi!($Exported with_types_in
            $crate::wasm::bindings::exports::vitral::plugin::image_augmentations);
        $crate::__world!(IMAGE_AUGMENTATION "component-type:vitral:image-augmentation");
    };
    ($Exported:ident: batch_augmentation) => {
        $crate::__export_vitral_plugin_description_1_3_0_cabi!($Exported with_types_in
            $crate::wasm::bindings::exports::vitral::plugin::description);
        $crate::__export_vitral_plugin_batch_augmentations_1_3_0_cabi!($Exported with_types_in
            $crate::wasm::bindings::exports::vitral::plugin::batch_augmentations);
        $crate::__world!(BATCH_AUGMENTATION "component-type:vitral:batch-augmentation");
    };
    ($Exported:ident: attention) => {
        $crate::__export_vitral_plugin_description_1_3_0_cabi!($Exported with_types_in
            $crate::wasm::bindings::exports::vitral::plugin::description);
        $crate::__export_vitral_plugin_attentions_1_3_0_cabi!($Exported with_types_in
            $crate::wasm::bindings::exports::vitral::plugin::attentions);
        $crate::__world!(ATTENTION "component-type:vitral:attention");
    };
    ($Exported:ident: monitor) => {
        $crate::__export_vitral_plugin_description_1_3_0_cabi!($Exported with_types_in
            $crate::wasm::bindings::exports::vitral::plugin::description);
        $crate::__export_vitral_plugin_monitors_1_3_0_cabi!($Exported with_types_in
            $crate::wasm::bindings::exports::vitral::plugin::monitors);
        $crate::__export_vitral_plugin_data_monitors_1_3_0_cabi!($Exported with_types_in
            $crate::wasm::bindings::exports::vitral::plugin::data_monitors);
        $crate::__export_vitral_plugin_roll_back_monitors_1_3_0_cabi!($Exported with_types_in
            $crate::wasm::bindings::exports::vitral::plugin::roll_back_monitors);
        $crate::__export_vitral_plugin_configuration_monitors_1_3_0_cabi!($Exported with_types_in
            $crate::wasm::bindings::exports::vitral::plugin::configuration_monitors);
        $crate::__world!(MONITOR "component-type:vitral:monitor");
    };
}
