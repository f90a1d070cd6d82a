//! The contract's WIT as Rust, made by wasmtime. One world has what every kind of plugin exports;
//! which of it a component has is looked up interface by interface.

#![allow(missing_docs)]

wasmtime::component::bindgen!({
    path: "../../sdk/wit",
    inline: "
        package vitral:host;

        world everything {
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
    imports: { default: trappable },
    exports: { default: async },
    with: { "vitral:plugin/tensors.tensor": super::state::TensorHandle },
});
