//! Kernels for each type of element, compiled in this crate and not again in each that calls them.
//!
//! A kernel's file says with `instances!` what there is of it. What callers use is bound by the trait
//! that this makes, and what kernels call of each other by [`Element`](crate::element::Element) alone.

/// Runs `$body` with `$values` of the type that they have.
macro_rules! with_type {
    ($kind:ident, $values:ident, $body:expr) => {
        match $values {
            $kind::F32($values) => $body,
            $kind::Bf16($values) => $body,
        }
    };
}
pub(crate) use with_type;

/// Makes the trait of the types that some functions are compiled for, and has them compiled.
macro_rules! instances {
    ($(fn $function:ident($($argument:ident: $kind:ty),* $(,)?) => $body:expr;)*) => {
        /// A type that the kernels of this file multiply in, or whose values go into them.
        pub trait Instances: $crate::element::Element {
            $(
                #[doc(hidden)]
                fn $function($($argument: $kind),*);
            )*
        }

        $crate::instances::instances! {
            f32, $(fn $function($($argument: $kind),*) => $body;)*
        }
        $crate::instances::instances! {
            half::bf16, $(fn $function($($argument: $kind),*) => $body;)*
        }
    };
    ($element:ty, $(fn $function:ident($($argument:ident: $kind:ty),*) => $body:expr;)*) => {
        impl Instances for $element {
            $(fn $function($($argument: $kind),*) {
                $body
            })*
        }
    };
}
pub(crate) use instances;
