//! The contract's records.

use super::form::form;
use super::{Form, Parameter, Setting};

macro_rules! record {
    ($interface:ident: $(#[$($attribute:tt)*])* record $Name:ident, irregular $fields:tt) => {};
    ($interface:ident:
        $(#[doc = $doc:literal])* $(#[derive($($more:ident),*)])?
        record $Name:ident $(as $Wit:ident)? {
            $($(#[doc = $about:literal])* $field:ident: $Type:ty,)*
        }
    ) => {
        $(#[doc = $doc])*
        #[repr(C)]
        #[derive(Clone, Copy)]
        pub struct $Name {
            $($(#[doc = $about])* pub $field: <$Type as Form>::C,)*
        }

        form!($Name);
    };
}

contract_records!(record);
