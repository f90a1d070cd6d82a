//! Values: a tag, and a union of what it may stand for.

use super::Form;
use super::form::form;

macro_rules! value {
    ($($(#[doc = $doc:literal])* $Case:ident($Type:ty): $TAG:ident = $tag:literal, $field:ident;)*) => {
        $(
            #[doc = concat!("`Value::tag`: `", stringify!($field), "` is set.")]
            pub const $TAG: u32 = $tag;
        )*

        /// What a [`Value`] holds, by its tag.
        #[repr(C)]
        #[derive(Clone, Copy)]
        pub union ValueData {
            $($(#[doc = $doc])* pub $field: <$Type as Form>::C,)*
        }

        /// The value of a parameter or of an op's attribute.
        #[repr(C)]
        #[derive(Clone, Copy)]
        pub struct Value {
            /// Which field of `data` is set.
            pub tag: u32,
            /// The value.
            pub data: ValueData,
        }

        form!(Value);
    };
}

contract_values!(value);
