//! Events: a tag, and a union of what it may stand for.

use super::Form;
use super::form::form;
use crate::plain::*;

macro_rules! event {
    ($($when:ident {$(
        $(#[doc = $doc:literal])*
        $Case:ident($Type:ty): $TAG:ident = $tag:literal, $field:ident
        $(, since $minor:literal, $interface:ident::$function:ident)?;
    )*})*) => {
        $($(
            #[doc = concat!("`Event::tag`: `", stringify!($field), "` is set.")]
            $(#[doc = concat!("Since contract 1.", $minor, ".")])?
            pub const $TAG: u32 = $tag;
        )*)*

        /// What happened in an [`Event`], by its tag.
        #[repr(C)]
        #[derive(Clone, Copy)]
        pub union EventData {$($(
            $(#[doc = $doc])*
            pub $field: <$Type as Form>::C,
        )*)*}

        /// Something that happened in a run. A plugin ignores tags that it does not know.
        #[repr(C)]
        #[derive(Clone, Copy)]
        pub struct Event {
            /// Which field of `data` is set.
            pub tag: u32,
            /// What happened.
            pub data: EventData,
        }

        form!(Event);
    };
}

contract_events!(event);
