//! The contract's WIT as Rust, made by wasmtime. One world has what every kind of plugin exports;
//! which of it a component has is looked up interface by interface.

#![allow(missing_docs)]

wasmtime::component::bindgen!({
    path: "wit",
    world: "every-kind",
    imports: { default: trappable },
    exports: { default: async },
    with: { "vitral:plugin/tensors.tensor": super::handle::TensorHandle },
});
