//! The contract's records, values and events.

use super::traits::{FromC, Kept, ToC};
use super::{ConvertError, Result};
use crate::{Parameter, Value, c, plain::*};

macro_rules! record {
    ($interface:ident: $(#[$($attribute:tt)*])* record $Name:ident, irregular $fields:tt) => {};
    ($interface:ident: $(#[$($attribute:tt)*])*
        record $Name:ident $(as $Wit:ident)? {
            $($(#[$($about:tt)*])* $field:ident: $Type:ty,)*
        }
    ) => {
        impl ToC for $Name {
            fn to_c(&self, kept: &mut Kept) -> c::$Name {
                c::$Name { $($field: self.$field.to_c(kept)),* }
            }
        }

        impl FromC for $Name {
            unsafe fn from_c(given: &c::$Name) -> Result<Self> {
                // SAFETY: the caller vouches for each part.
                unsafe {
                    Ok(Self { $($field: <$Type as FromC>::part(&given.$field, stringify!($field))?),* })
                }
            }
        }
    };
}

contract_records!(record);

macro_rules! value {
    ($($(#[doc = $doc:literal])* $Case:ident($Type:ty): $TAG:ident = $tag:literal, $field:ident;)*) => {
        impl ToC for Value {
            fn to_c(&self, kept: &mut Kept) -> c::Value {
                match self {$(
                    Self::$Case(value) => {
                        c::Value { tag: c::$TAG, data: c::ValueData { $field: value.to_c(kept) } }
                    }
                )*}
            }
        }

        impl FromC for Value {
            unsafe fn from_c(given: &c::Value) -> Result<Self> {
                // SAFETY: the caller vouches for the field that the tag tells.
                unsafe {
                    match given.tag {
                        $(c::$TAG => <$Type as FromC>::from_c(&given.data.$field).map(Self::$Case),)*
                        tag => Err(ConvertError::new(format!("there is no kind of value with tag {tag}"))),
                    }
                }
            }
        }
    };
}

contract_values!(value);

macro_rules! event {
    ($($when:ident {$(
        $(#[doc = $doc:literal])*
        $Case:ident($Type:ty): $TAG:ident = $tag:literal, $field:ident
        $(, since $minor:literal, $interface:ident::$function:ident)?;
    )*})*) => {
        impl ToC for Event {
            fn to_c(&self, kept: &mut Kept) -> c::Event {
                match self {$($(
                    Self::$Case(what) => {
                        c::Event { tag: c::$TAG, data: c::EventData { $field: what.to_c(kept) } }
                    }
                )*)*}
            }
        }

        /// An event; `None` if it is of a kind that this version does not know, which is to be ignored.
        ///
        /// # Errors
        /// If what the event holds makes no sense.
        ///
        /// # Safety
        /// As [`FromC::from_c`].
        pub unsafe fn event(given: &c::Event) -> Result<Option<Event>> {
            // SAFETY: the caller vouches for the field that the tag tells.
            unsafe {
                Ok(Some(match given.tag {
                    $($(c::$TAG => Event::$Case(<$Type as FromC>::part(&given.data.$field, stringify!($field))?),)*)*
                    _ => return Ok(None),
                }))
            }
        }
    };
}

contract_events!(event);

#[cfg(test)]
mod tests {
    use super::super::InC;
    use super::*;

    /// A value of a type that differs from its neighbours.
    trait Arbitrary {
        fn any(count: &mut u32) -> Self;
    }

    macro_rules! any_number {
        ($($Type:ty),*) => {$(
            impl Arbitrary for $Type {
                fn any(count: &mut u32) -> Self {
                    *count += 1;
                    (*count).into()
                }
            }
        )*};
    }

    any_number!(u32, u64, f64);

    impl Arbitrary for bool {
        fn any(count: &mut u32) -> Self {
            *count += 1;
            count.is_multiple_of(2)
        }
    }

    impl Arbitrary for String {
        fn any(count: &mut u32) -> Self {
            format!("größe {}", u32::any(count))
        }
    }

    impl<T: Arbitrary> Arbitrary for Option<T> {
        fn any(count: &mut u32) -> Self {
            let value = T::any(count);
            (!count.is_multiple_of(3)).then_some(value)
        }
    }

    impl<T: Arbitrary> Arbitrary for Vec<T> {
        fn any(count: &mut u32) -> Self {
            (0..*count % 3).map(|_| T::any(count)).collect()
        }
    }

    impl Arbitrary for [u64; 18] {
        fn any(count: &mut u32) -> Self {
            std::array::from_fn(|_| u64::any(count))
        }
    }

    macro_rules! any_record {
        (description: $($rest:tt)*) => {};
        ($interface:ident: $(#[$($attribute:tt)*])*
            record $Name:ident $(as $Wit:ident)? $(, irregular)? {
                $($(#[$($about:tt)*])* $field:ident: $Type:ty,)*
            }
        ) => {
            impl Arbitrary for $Name {
                fn any(count: &mut u32) -> Self {
                    Self { $($field: Arbitrary::any(count)),* }
                }
            }
        };
    }

    contract_records!(any_record);

    macro_rules! any_events {
        ($($when:ident {$(
            $(#[doc = $doc:literal])*
            $Case:ident($Type:ty): $TAG:ident = $tag:literal, $field:ident
            $(, since $minor:literal, $interface:ident::$function:ident)?;
        )*})*) => {
            fn any_events(count: &mut u32) -> Vec<Event> {
                vec![$($(Event::$Case(Arbitrary::any(count)),)*)*]
            }
        };
    }

    contract_events!(any_events);

    #[test]
    fn every_event_round_trips() {
        let mut count = 0;
        for one in (0..20).flat_map(|_| any_events(&mut count)) {
            // SAFETY: the event borrows from `one`.
            assert_eq!(unsafe { event(InC::new(&one).as_c()) }, Ok(Some(one.clone())));
        }
    }

    fn round_trip<T: ToC + FromC + Arbitrary + PartialEq + std::fmt::Debug>() {
        let one = T::any(&mut 7);
        // SAFETY: the form borrows from `one`.
        assert_eq!(unsafe { T::from_c(InC::new(&one).as_c()) }, Ok(one));
    }

    #[test]
    fn what_calls_are_made_with_round_trips() {
        round_trip::<Layer>();
        round_trip::<Batch>();
        round_trip::<Sample>();
        round_trip::<Interests>();
    }

    #[test]
    fn unknown_events_are_ignored_and_bad_ones_refused() {
        let read = |tag, data| {
            // SAFETY: what the tag tells is set, and null lists are refused.
            unsafe { event(&c::Event { tag, data }) }
        };
        let null = c::List { data: std::ptr::null(), len: 1 };
        assert_eq!(read(99, c::EventData { ended: null }), Ok(None));
        let error = read(c::ENDED, c::EventData { ended: null }).unwrap_err();
        assert_eq!(error.to_string(), "ended: a list of 1 items is at null");
        let evaluated =
            c::Evaluation { step: 0, epoch: 0.0, loss: 0.0, top1: 0.0, top5: 0.0, is_best: 9 };
        let error = read(c::EVALUATED, c::EventData { evaluated }).unwrap_err();
        assert_eq!(error.to_string(), "evaluated, is_best: a truth value is 0 or 1, not 9");
    }
}
