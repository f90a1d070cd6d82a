//! Where a component has what its kind exports.

use vitral_abi::{Event, Kind, wit::ToWit};
use wasmtime::{
    Store,
    component::{Component, ComponentExportIndex, Instance, InstancePre},
};

use super::{bindings::exports::vitral::plugin::*, state::State};

/// The interfaces of the contract; those of an earlier minor version are the same or fewer.
pub(super) const NAMESPACE: &str = "vitral:plugin/";

/// Where the exports of each kind are found.
pub(super) enum Exports {
    /// `augment` beside, which has types of its own here.
    Image(image_augmentations::GuestIndices, ComponentExportIndex),
    Batch(batch_augmentations::GuestIndices),
    Attention(attentions::GuestIndices),
    Monitor(monitors::GuestIndices, Later),
}

impl Exports {
    pub(super) fn find(kind: Kind, pre: &InstancePre<State>) -> wasmtime::Result<Self> {
        let component = pre.component();
        Ok(match kind {
            Kind::ImageAugmentation => {
                let augment = function(component, "image-augmentations", "augment")?;
                let augment = augment.ok_or_else(|| missing("image-augmentations", "augment"))?;
                Self::Image(image_augmentations::GuestIndices::new(pre)?, augment)
            }
            Kind::BatchAugmentation => Self::Batch(batch_augmentations::GuestIndices::new(pre)?),
            Kind::Attention => Self::Attention(attentions::GuestIndices::new(pre)?),
            Kind::Monitor => {
                Self::Monitor(monitors::GuestIndices::new(pre)?, Later::find(component)?)
            }
        })
    }
}

/// Where a component has a function; none if it does not have its interface.
fn function(
    component: &Component,
    interface: &str,
    function: &str,
) -> wasmtime::Result<Option<ComponentExportIndex>> {
    let (major, minor) = vitral_abi::VERSION;
    let name = format!("{NAMESPACE}{interface}@{major}.{minor}.0");
    let Some(at) = component.get_export_index(None, &name) else { return Ok(None) };
    let found = component.get_export_index(Some(&at), function);
    found.map(Some).ok_or_else(|| missing(interface, function))
}

fn missing(interface: &str, function: &str) -> wasmtime::Error {
    wasmtime::Error::msg(format!("no `{function}` in `{NAMESPACE}{interface}`"))
}

/// What a call of a monitor gives.
pub(super) type Heard = Result<Vec<monitors::Action>, String>;

macro_rules! events {
    (first {$(
        $(#[$($said:tt)*])* $First:ident($Payload:ty): $FIRST:ident = $number:literal, $name:ident;
    )*} later {$(
        $(#[$($about:tt)*])*
        $Case:ident($Type:ident): $TAG:ident = $tag:literal, $field:ident,
        since $minor:literal, $interface:ident::$function:ident;
    )*}) => {
        /// An event that is a case of `monitors`.
        pub(super) fn first(event: &Event) -> Option<monitors::Event> {
            Some(match event {
                $(Event::$First(what) => monitors::Event::$First(what.to_wit()),)*
                _ => return None,
            })
        }

        /// Where a monitor hears of events that are no case of `monitors`, if it wants to.
        pub(super) struct Later {
            $($field: Option<ComponentExportIndex>,)*
        }

        impl Later {
            fn find(component: &Component) -> wasmtime::Result<Self> {
                let find = |interface: &str, name: &str| {
                    function(component, &interface.replace('_', "-"), &name.replace('_', "-"))
                };
                Ok(Self { $($field: find(stringify!($interface), stringify!($function))?,)* })
            }

            /// Tells such an event. A monitor that does not know of it asks for nothing.
            pub(super) async fn observe(
                &self,
                store: &mut Store<State>,
                instance: &Instance,
                event: &Event,
            ) -> wasmtime::Result<Heard> {
                match event {
                    $(Event::$Case(report) => {
                        let Some(at) = &self.$field else { return Ok(Ok(Vec::new())) };
                        let report: $interface::$Type = report.to_wit();
                        let observe = instance
                            .get_typed_func::<($interface::$Type,), (Heard,)>(&mut *store, at)?;
                        Ok(observe.call_async(store, (report,)).await?.0)
                    })*
                    // A newer contract's.
                    _ => Ok(Ok(Vec::new())),
                }
            }
        }
    };
}

vitral_abi::contract_events!(events);
