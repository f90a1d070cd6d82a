//! The contract's records and events, as plugins and the host use them.

use crate::description::Parameter;
use crate::value::Value;

macro_rules! plain {
    ($interface:ident:
        $(#[doc = $doc:literal])* $(#[derive($($more:ident),*)])?
        record $Name:ident $(as $Wit:ident)? $(, irregular)? {
            $($(#[doc = $about:literal])* $field:ident: $Type:ty,)*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq $($(, $more)*)?)]
        pub struct $Name {
            $($(#[doc = $about])* pub $field: $Type,)*
        }
    };
}

contract_records!(plain);

macro_rules! event {
    ($($when:ident {$(
        $(#[doc = $doc:literal])*
        $Case:ident($Type:ty): $TAG:ident = $tag:literal, $field:ident
        $(, since $minor:literal, $interface:ident::$function:ident)?;
    )*})*) => {
        /// Something that happened in a run.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum Event {$($(
            $(#[doc = $doc])*
            $(#[doc = concat!("\n\nSince contract 1.", $minor, ".")])?
            $Case($Type),
        )*)*}
    };
}

contract_events!(event);
