//! Lists and text.

use super::{ConvertError, Result};
use crate::c::{List, Text};

/// The most bytes that a list from the other side may have. More is taken for a mistake.
pub const MAX_LIST_BYTES: usize = 1 << 30;

/// The items of a list.
///
/// # Errors
/// If `data` is null or misaligned though there are items, or there are absurdly many.
///
/// # Safety
/// If the list has items, `data` points to `len` initialised ones, which nobody changes or frees
/// during `'a`.
pub unsafe fn items<'a, T>(list: List<T>) -> Result<&'a [T]> {
    if list.len == 0 {
        return Ok(&[]);
    }
    if list.data.is_null() {
        return Err(ConvertError::new(format!("a list of {} items is at null", list.len)));
    }
    if !list.data.is_aligned() {
        let size = align_of::<T>();
        return Err(ConvertError::new(format!("a list is not aligned to {size} bytes")));
    }
    if list.len > MAX_LIST_BYTES / size_of::<T>().max(1) {
        return Err(ConvertError::new(format!("a list of {} items is too long", list.len)));
    }
    // SAFETY: the pointer is aligned and not null, the size is far below `isize::MAX`, and the
    // caller vouches for the rest.
    Ok(unsafe { std::slice::from_raw_parts(list.data, list.len) })
}

/// A text.
///
/// # Errors
/// As [`items`], and if it is not UTF-8.
///
/// # Safety
/// As [`items`].
pub unsafe fn text<'a>(text: Text) -> Result<&'a str> {
    // SAFETY: the caller vouches for it.
    let bytes = unsafe { items(text) }?;
    std::str::from_utf8(bytes).map_err(|error| {
        ConvertError::new(format!("text is not UTF-8 from byte {} on", error.valid_up_to()))
    })
}

/// The C form of a slice, valid as long as the slice is.
pub const fn list_of<T>(items: &[T]) -> List<T> {
    List { data: items.as_ptr(), len: items.len() }
}

/// The C form of a text, valid as long as the text is.
pub const fn text_of(text: &str) -> Text {
    list_of(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ptr;

    fn read(list: List<u32>) -> Result<Vec<u32>> {
        // SAFETY: lists of these tests are refused, empty, or borrowed from a slice that lives.
        unsafe { items(list) }.map(<[u32]>::to_vec)
    }

    #[test]
    fn lists_and_text_round_trip() {
        assert_eq!(read(list_of(&[1, 2, 3])), Ok(vec![1, 2, 3]));
        // SAFETY: the text is borrowed from a literal.
        assert_eq!(unsafe { text(text_of("größe")) }, Ok("größe"));
    }

    #[test]
    fn an_empty_list_may_be_anywhere() {
        assert_eq!(read(List { data: ptr::null(), len: 0 }), Ok(vec![]));
        assert_eq!(read(List { data: ptr::without_provenance(1), len: 0 }), Ok(vec![]));
    }

    #[test]
    fn impossible_lists_are_refused_without_looking_at_them() {
        let somewhere = [0_u32; 2];
        for (data, len, problem) in [
            (ptr::null(), 3, "a list of 3 items is at null"),
            (ptr::without_provenance(6), 3, "a list is not aligned to 4 bytes"),
            (somewhere.as_ptr(), isize::MAX as usize, "9223372036854775807 items is too long"),
            (somewhere.as_ptr(), usize::MAX, "is too long"),
            (somewhere.as_ptr(), MAX_LIST_BYTES / 4 + 1, "is too long"),
        ] {
            let error = read(List { data, len }).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }

    #[test]
    fn text_that_is_not_utf8_is_refused() {
        // SAFETY: the bytes are borrowed from a literal.
        let error = unsafe { text(list_of(b"ab\xff")) }.unwrap_err();
        assert_eq!(error.to_string(), "text is not UTF-8 from byte 2 on");
    }
}
