//! Images that lie in someone else's memory: what is changed there, and what is not.

use std::{cell::Cell, ffi::c_void};

use vitral_abi::c::{self, Host};
use vitral_host::{Image, ImageAugmentation, ImageMut, Kind, Plugin};

use crate::{support::*, tables::table};

/// Hands over an image of 4x2 pixels in the middle of other values, which must stay; gives the image's
/// own values and what took its place.
fn run(instance: &mut dyn ImageAugmentation) -> Result<(Vec<u8>, Option<Image>), String> {
    let mut memory = [9; 24];
    memory[8..16].copy_from_slice(&[0, 1, 2, 3, 4, 5, 6, 7]);
    let image = ImageMut { width: 4, height: 2, channels: 1, pixels: &mut memory[8..16] };
    let result = instance.augment_in_place(image, &SAMPLE);
    assert_eq!((&memory[..8], &memory[16..]), (&[9; 8][..], &[9; 8][..]));
    result.map(|made| (memory[8..16].to_vec(), made)).map_err(|error| error.to_string())
}

thread_local! {
    static SEEN: Cell<*mut u8> = const { Cell::new(std::ptr::null_mut()) };
}

type Augment =
    unsafe extern "C" fn(*mut c_void, *const Host, *const c::Image, *const c::Sample) -> u32;

fn native(augment: Augment) -> Box<dyn ImageAugmentation> {
    let table = table(Kind::ImageAugmentation, |table| table.augment = Some(augment));
    let plugin = Plugin::compiled_in(table).unwrap();
    plugin.image_augmentation(&defaults(&plugin)).unwrap()
}

#[test]
fn a_native_plugin_works_on_the_memory_itself() {
    unsafe extern "C" fn augment(
        _: *mut c_void,
        _: *const Host,
        image: *const c::Image,
        _: *const c::Sample,
    ) -> u32 {
        // SAFETY: by contract there are as many values.
        unsafe {
            SEEN.set((*image).pixels);
            *(*image).pixels.add(7) = 70;
        }
        c::OK
    }
    let mut instance = native(augment);
    assert_eq!(run(&mut *instance), Ok((vec![0, 1, 2, 3, 4, 5, 6, 70], None)));
    let mut pixels = [1, 2, 3, 4, 5, 6, 7, 8];
    let place = pixels.as_mut_ptr();
    let image = ImageMut { width: 2, height: 4, channels: 1, pixels: &mut pixels };
    assert_eq!(instance.augment_in_place(image, &SAMPLE).unwrap(), None);
    assert_eq!(SEEN.get(), place);
}

#[test]
fn a_native_plugins_new_image_takes_the_place() {
    unsafe extern "C" fn augment(
        _: *mut c_void,
        host: *const Host,
        _: *const c::Image,
        _: *const c::Sample,
    ) -> u32 {
        // SAFETY: by contract the host's function may be called, and there is room for as many values.
        unsafe { *((*host).new_image)((*host).context, 2, 1, 1) = 30 };
        c::OK
    }
    let made = Image { width: 2, height: 1, channels: 1, pixels: vec![30, 0] };
    let mut instance = native(augment);
    assert_eq!(run(&mut *instance), Ok(((0..8).collect(), Some(made.clone()))));
    let mut own = image();
    instance.augment(&mut own, &SAMPLE).unwrap();
    assert_eq!(own, made);
}

#[cfg(feature = "wasm")]
mod components {
    use super::*;
    use crate::guests;

    /// Changes the fourth value, and gives an image of these sides and so many values of what was given.
    fn guest(width: &str, height: &str, count: &str) -> Box<dyn ImageAugmentation> {
        augmentation(&guests::image(&format!(
            "(i32.store8 (i32.add (local.get 3) (i32.const 3)) (i32.const 90))
             (i32.store (i32.const 256) (i32.const 0)) (i32.store (i32.const 260) (i32.const 1))
             (i32.store (i32.const 264) {width}) (i32.store (i32.const 268) {height})
             (i32.store (i32.const 272) (local.get 2)) (i32.store (i32.const 276) (local.get 3))
             (i32.store (i32.const 280) {count}) (i32.const 256)"
        )))
    }

    #[test]
    fn an_image_of_the_same_size_comes_back_into_the_memory() {
        let mut instance = guest("(local.get 0)", "(local.get 1)", "(local.get 4)");
        for _ in 0..3 {
            assert_eq!(run(&mut *instance), Ok((vec![0, 1, 2, 90, 4, 5, 6, 7], None)));
        }
    }

    #[test]
    fn an_image_of_another_size_takes_the_place() {
        let pixels = vec![0, 1, 2, 90, 4, 5, 6, 7];
        let turned = Image { width: 2, height: 4, channels: 1, pixels: pixels.clone() };
        let (_, made) =
            run(&mut *guest("(local.get 1)", "(local.get 0)", "(local.get 4)")).unwrap();
        assert_eq!(made, Some(turned));
        let row = Image { width: 4, height: 1, channels: 1, pixels: pixels[..4].to_vec() };
        let (left, made) =
            run(&mut *guest("(local.get 0)", "(i32.const 1)", "(i32.const 4)")).unwrap();
        assert_eq!((left, made), ((0..8).collect(), Some(row)));
    }

    #[test]
    fn an_image_that_stays_or_is_none_changes_nothing() {
        let stays = guests::image(
            "(i32.store8 (local.get 3) (i32.const 90))
             (i32.store (i32.const 256) (i32.const 0)) (i32.store (i32.const 260) (i32.const 0))
             (i32.const 256)",
        );
        assert_eq!(run(&mut *augmentation(&stays)), Ok(((0..8).collect(), None)));
        let error =
            run(&mut *guest("(local.get 0)", "(local.get 1)", "(i32.const 5)")).unwrap_err();
        assert!(error.contains("5 bytes for an image of 4x2x1"), "{error}");
    }
}
