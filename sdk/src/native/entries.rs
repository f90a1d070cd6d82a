//! The functions of the tables.
//!
//! Every function is `unsafe` for the same reason: the caller is a host that keeps to the rules of
//! [`c`]. Pointers and lists are valid until the call returns, and an instance is one that `create`
//! of the same table made, which is used by one thread at a time.

use std::ffi::c_void;

use vitral_abi::c::{self, List};
use vitral_abi::convert::{self, FromC, InC};
use vitral_abi::{Batch, Layer, Sample};

use super::guard::{caught, guarded};
use super::host;
use crate::tensor::{self, Tensor};
use crate::{
    Attention, BatchAugmentation, Error, Image, ImageAugmentation, Monitor, Plugin, Result,
};

pub(super) unsafe extern "C" fn describe<P: Plugin>() -> *const c::Description {
    caught(super::description::<P>).unwrap_or(std::ptr::null())
}

pub(super) unsafe extern "C" fn create<P: Plugin>(
    host: *const c::Host,
    settings: List<c::Setting>,
    instance: *mut *mut c_void,
    _: *mut c::Interests,
) -> u32 {
    // SAFETY: the host keeps to the rules.
    unsafe { guarded(host, |_| put(instance, new::<P>(settings)?)) }
}

pub(super) unsafe extern "C" fn create_monitor<P: Monitor>(
    host: *const c::Host,
    settings: List<c::Setting>,
    instance: *mut *mut c_void,
    interests: *mut c::Interests,
) -> u32 {
    // SAFETY: the host keeps to the rules.
    unsafe {
        guarded(host, |_| {
            let monitor = new::<P>(settings)?;
            let wanted = given(interests, "place for interests")?;
            wanted.write(*InC::new(&monitor.interests()).as_c());
            put(instance, monitor)
        })
    }
}

pub(super) unsafe extern "C" fn destroy<P: Plugin>(instance: *mut c_void) {
    if instance.is_null() {
        return;
    }
    // There is no host to tell of a panic; the default hook prints it.
    // SAFETY: the instance comes from `put`, and is not used again.
    let _ = caught(|| drop(unsafe { Box::from_raw(instance.cast::<P>()) }));
}

pub(super) unsafe extern "C" fn augment<P: ImageAugmentation>(
    instance: *mut c_void,
    host: *const c::Host,
    image: *const c::Image,
    sample: *const c::Sample,
) -> u32 {
    // SAFETY: the host keeps to the rules.
    unsafe {
        guarded(host, |host| {
            let plugin = self::instance::<P>(instance)?;
            let given = given(image.cast_mut(), "image")?.read();
            let sample: Sample = read(sample, "sample")?;
            let pixels = pixels(&given)?;
            let mut image = Image::new(given.width, given.height, given.channels, pixels);
            plugin.augment(&mut image, &sample)?;
            hand_over(host, &given, image)
        })
    }
}

pub(super) unsafe extern "C" fn trace_batch<P: BatchAugmentation>(
    instance: *mut c_void,
    host: *const c::Host,
    batch: *const c::Batch,
    images: c::Tensor,
    targets: c::Tensor,
) -> u32 {
    // SAFETY: the host keeps to the rules.
    unsafe {
        guarded(host, |_| {
            let plugin = self::instance::<P>(instance)?;
            let batch: Batch = read(batch, "batch")?;
            let [images, targets] = [images, targets].map(Tensor::from_raw);
            let results = plugin.trace(&batch, images, targets)?;
            let first = tensor::result(results.0, &[images, targets]);
            let second = tensor::result(results.1, &[images, targets, first]);
            host::result(first);
            host::result(second);
            Ok(())
        })
    }
}

pub(super) unsafe extern "C" fn trace_attention<P: Attention>(
    instance: *mut c_void,
    host: *const c::Host,
    layer: *const c::Layer,
    query: c::Tensor,
    key: c::Tensor,
    value: c::Tensor,
) -> u32 {
    // SAFETY: the host keeps to the rules.
    unsafe {
        guarded(host, |_| {
            let plugin = self::instance::<P>(instance)?;
            let layer: Layer = read(layer, "layer")?;
            let [query, key, value] = [query, key, value].map(Tensor::from_raw);
            let result = plugin.trace(&layer, query, key, value)?;
            host::result(tensor::result(result, &[query, key, value]));
            Ok(())
        })
    }
}

pub(super) unsafe extern "C" fn observe<P: Monitor>(
    instance: *mut c_void,
    host: *const c::Host,
    event: *const c::Event,
) -> u32 {
    // SAFETY: the host keeps to the rules.
    unsafe {
        guarded(host, |host| {
            let plugin = self::instance::<P>(instance)?;
            let event = given(event.cast_mut(), "event")?;
            if let Some(event) = convert::event(&*event)? {
                plugin.observe(&event)?.iter().for_each(|action| host::act(host, action));
            }
            Ok(())
        })
    }
}

pub(super) unsafe extern "C" fn save<P: Monitor>(
    instance: *mut c_void,
    host: *const c::Host,
) -> u32 {
    // SAFETY: the host keeps to the rules.
    unsafe {
        guarded(host, |host| {
            host::state(host, &self::instance::<P>(instance)?.save());
            Ok(())
        })
    }
}

pub(super) unsafe extern "C" fn restore<P: Monitor>(
    instance: *mut c_void,
    host: *const c::Host,
    state: List<u8>,
) -> u32 {
    // SAFETY: the host keeps to the rules.
    unsafe { guarded(host, |_| self::instance::<P>(instance)?.restore(convert::items(state)?)) }
}

/// A new plugin from its settings.
unsafe fn new<P: Plugin>(settings: List<c::Setting>) -> Result<P> {
    // SAFETY: the host keeps to the rules.
    crate::plugin::create(unsafe { convert::settings(settings) }?)
}

/// Hands an instance to the host.
unsafe fn put<P>(place: *mut *mut c_void, plugin: P) -> Result<()> {
    let place = given(place, "place for the instance")?;
    // SAFETY: the host keeps to the rules.
    unsafe { place.write(Box::into_raw(Box::new(plugin)).cast()) };
    Ok(())
}

unsafe fn instance<'a, P>(instance: *mut c_void) -> Result<&'a mut P> {
    // SAFETY: the instance comes from `put` of the same table; nobody else uses it now.
    Ok(unsafe { &mut *given(instance, "instance")?.cast() })
}

unsafe fn read<T: FromC>(record: *const T::C, what: &str) -> Result<T> {
    let record = given(record.cast_mut(), what)?;
    // SAFETY: the host keeps to the rules.
    Ok(unsafe { T::from_c(&*record) }?)
}

fn given<T>(pointer: *mut T, what: &str) -> Result<*mut T> {
    if pointer.is_null() {
        return Err(Error::new(format!("the host gave no {what}")));
    }
    Ok(pointer)
}

unsafe fn pixels<'a>(image: &c::Image) -> Result<&'a mut [u8]> {
    let bytes = (image.width as usize)
        .checked_mul(image.height as usize)
        .and_then(|bytes| bytes.checked_mul(image.channels as usize))
        .filter(|&bytes| bytes <= isize::MAX as usize)
        .ok_or("the host gave too large an image")?;
    // SAFETY: the host keeps to the rules: that many bytes are the plugin's until the call returns.
    Ok(unsafe { std::slice::from_raw_parts_mut(given(image.pixels, "pixels")?, bytes) })
}

/// Hands an image that took the given one's place to the host.
fn hand_over(host: &c::Host, before: &c::Image, after: Image<'_>) -> Result<()> {
    let (width, height, channels) = (after.width(), after.height(), after.channels());
    let Some(bytes) = after.into_replaced() else { return Ok(()) };
    let place = if (width, height) == (before.width, before.height) {
        before.pixels
    } else {
        host::new_image(host, width, height, channels)
    };
    if place.is_null() {
        return Err(Error::new(format!("an image of {width}x{height} is too large")));
    }
    // SAFETY: the place is the given image's, which has as many bytes, or one that the host made for
    // an image of this size.
    unsafe { place.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    Ok(())
}
