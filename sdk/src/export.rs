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
