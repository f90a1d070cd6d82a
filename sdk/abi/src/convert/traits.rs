//! The two directions.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;

use super::{Result, list_of};
use crate::c::{Form, List};

/// A type that goes to C.
pub trait ToC: Form {
    /// The C form, valid as long as this and `kept` are.
    fn to_c(&self, kept: &mut Kept) -> Self::C;
}

/// A type that is read from C.
pub trait FromC: Form + Sized {
    /// A copy of what was handed over.
    ///
    /// # Errors
    /// If some of it makes no sense; the message says which part.
    ///
    /// # Safety
    /// For each list and text in it as [`items`](super::items); each other pointer is null or points to
    /// a value that nobody changes during the call; a union's field is set that its tag tells.
    unsafe fn from_c(given: &Self::C) -> Result<Self>;

    /// The same of a part of something, which its errors name.
    ///
    /// # Errors
    /// As [`from_c`](Self::from_c).
    ///
    /// # Safety
    /// As [`from_c`](Self::from_c).
    unsafe fn part(given: &Self::C, name: &str) -> Result<Self> {
        // SAFETY: the caller vouches for it.
        unsafe { Self::from_c(given) }.map_err(|error| error.at(name))
    }
}

/// What C forms point to and plain types do not have: lists of C forms. Nothing of it ever moves.
#[derive(Default)]
pub struct Kept(Vec<Box<dyn Any>>);

impl Kept {
    /// Keeps items, which the list then points to.
    pub(super) fn list<T: 'static>(&mut self, items: Vec<T>) -> List<T> {
        if items.is_empty() {
            return List::EMPTY;
        }
        let list = list_of(&items);
        self.0.push(Box::new(items));
        list
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lists", self.0.len())
    }
}

/// Something in C form, which borrows from it.
pub struct InC<'a, T: ToC + ?Sized> {
    c: T::C,
    kept: Kept,
    borrowed: PhantomData<&'a T>,
}

impl<'a, T: ToC + ?Sized> InC<'a, T> {
    /// Borrows something.
    pub fn new(plain: &'a T) -> Self {
        let mut kept = Kept::default();
        Self { c: plain.to_c(&mut kept), kept, borrowed: PhantomData }
    }

    /// The C form, valid as long as this is.
    pub const fn as_c(&self) -> &T::C {
        &self.c
    }

    /// The C form, valid during `'a`, and for ever what is kept for it.
    pub(super) fn leak(self) -> T::C {
        std::mem::forget(self.kept);
        self.c
    }
}
