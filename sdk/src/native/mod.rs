//! A plugin as a table of C functions, one for each kind: what a native library exports, and what a
//! program uses that links a plugin in.

mod entries;
mod guard;
#[cfg_attr(target_family = "wasm", allow(dead_code, reason = "components have their own host"))]
pub(crate) mod host;

use std::any::TypeId;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::{LazyLock, Mutex, PoisonError};

use vitral_abi::convert::{kind_tag, leak_description};
use vitral_abi::{Kind, c};

use crate::{Attention, BatchAugmentation, ImageAugmentation, Monitor, Plugin};

/// The table of an image augmentation.
pub fn image_augmentation<P: ImageAugmentation>() -> &'static c::Plugin {
    &Table::<P>::IMAGE_AUGMENTATION
}

/// The table of a batch augmentation.
pub fn batch_augmentation<P: BatchAugmentation>() -> &'static c::Plugin {
    &Table::<P>::BATCH_AUGMENTATION
}

/// The table of an attention variant.
pub fn attention<P: Attention>() -> &'static c::Plugin {
    &Table::<P>::ATTENTION
}

/// The table of a monitor.
pub fn monitor<P: Monitor>() -> &'static c::Plugin {
    &Table::<P>::MONITOR
}

struct Table<P>(PhantomData<P>);

impl<P: Plugin> Table<P> {
    const fn of(kind: Kind) -> c::Plugin {
        c::Plugin {
            struct_size: size_of::<c::Plugin>(),
            major: c::MAJOR,
            minor: c::MINOR,
            kind: kind_tag(kind),
            describe: Some(entries::describe::<P>),
            create: Some(entries::create::<P>),
            destroy: Some(entries::destroy::<P>),
            augment: None,
            trace_batch: None,
            trace_attention: None,
            observe: None,
            save: None,
            restore: None,
        }
    }
}

impl<P: ImageAugmentation> Table<P> {
    const IMAGE_AUGMENTATION: c::Plugin =
        c::Plugin { augment: Some(entries::augment::<P>), ..Self::of(Kind::ImageAugmentation) };
}

impl<P: BatchAugmentation> Table<P> {
    const BATCH_AUGMENTATION: c::Plugin = c::Plugin {
        trace_batch: Some(entries::trace_batch::<P>),
        ..Self::of(Kind::BatchAugmentation)
    };
}

impl<P: Attention> Table<P> {
    const ATTENTION: c::Plugin = c::Plugin {
        trace_attention: Some(entries::trace_attention::<P>),
        ..Self::of(Kind::Attention)
    };
}

impl<P: Monitor> Table<P> {
    const MONITOR: c::Plugin = c::Plugin {
        create: Some(entries::create_monitor::<P>),
        observe: Some(entries::observe::<P>),
        save: Some(entries::save::<P>),
        restore: Some(entries::restore::<P>),
        ..Self::of(Kind::Monitor)
    };
}

/// The description of a plugin, which is made once.
fn description<P: Plugin>() -> *const c::Description {
    #[derive(Clone, Copy)]
    struct Kept(&'static c::Description);

    // SAFETY: a leaked description is never written again.
    unsafe impl Send for Kept {}

    static KEPT: LazyLock<Mutex<HashMap<TypeId, Kept>>> = LazyLock::new(Mutex::default);

    let find =
        || KEPT.lock().unwrap_or_else(PoisonError::into_inner).get(&TypeId::of::<P>()).copied();
    if let Some(Kept(found)) = find() {
        return found;
    }
    // The plugin's code runs without the lock, which it may need itself or poison.
    let made = crate::describe::<P>();
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    kept.entry(TypeId::of::<P>()).or_insert_with(|| Kept(leak_description(made))).0
}
