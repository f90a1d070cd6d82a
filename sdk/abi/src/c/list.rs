//! Lists and text.

/// Borrowed items, one after the other. `data` may be null where `len` is 0.
#[repr(C)]
#[derive(Debug)]
pub struct List<T> {
    /// The first item.
    pub data: *const T,
    /// How many there are.
    pub len: usize,
}

impl<T> Clone for List<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for List<T> {}

impl<T> List<T> {
    /// No items.
    pub const EMPTY: Self = Self { data: std::ptr::null(), len: 0 };
}

/// Borrowed UTF-8 text.
pub type Text = List<u8>;
