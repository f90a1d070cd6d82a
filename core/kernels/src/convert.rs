//! From one type of values to the other.

use pulp::{Simd, WithSimd};

use crate::{
    element::{
        Element,
        stored::{Values, ValuesMut},
    },
    instances::with_type,
    rows::{self, Shared},
    simd::{dispatch, each_vector, load, store},
};

/// Values that a task takes at once.
const PIECE: usize = 1 << 15;

/// Rounds, or widens, each value of `from`.
pub fn convert<X: Element, Y: Element>(from: &[X], to: &mut [Y]) {
    convert_typed(X::values(from), Y::values_mut(to));
}

/// Compiled here for all types, and not in each crate that calls [`convert`].
fn convert_typed(from: Values<'_>, to: ValuesMut<'_>) {
    with_type!(Values, from, with_type!(ValuesMut, to, convert_as(from, to)));
}

fn convert_as<X: Element, Y: Element>(from: &[X], to: &mut [Y]) {
    assert_eq!(from.len(), to.len());
    let to = Shared::new(to);
    rows::for_each(from.len().div_ceil(PIECE), |task| {
        let part = task * PIECE..((task + 1) * PIECE).min(from.len());
        // SAFETY: each task has values of its own.
        let to = unsafe { to.slice(part.start, part.len()) };
        dispatch(Convert { from: &from[part], to });
    });
}

struct Convert<'a, X, Y> {
    from: &'a [X],
    to: &'a mut [Y],
}

impl<X: Element, Y: Element> WithSimd for Convert<'_, X, Y> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        convert_here(simd, self.from, self.to);
    }
}

/// What [`convert`] does, on this thread.
#[inline(always)]
pub(crate) fn convert_here<S: Simd, X: Element, Y: Element>(simd: S, from: &[X], to: &mut [Y]) {
    assert_eq!(from.len(), to.len());
    let (from, len, to) = (from.as_ptr(), from.len(), to.as_mut_ptr());
    each_vector!(S, len, |at, count| {
        // SAFETY: both are of the same length.
        unsafe { store(simd, to.add(at), count, load(simd, from.add(at), count)) };
    });
}

/// How much memory [`operand`] needs.
pub(crate) fn operand_len<X: Element, T: Element>(values: &[X]) -> usize {
    if const { X::BRIEF == T::BRIEF } { 0 } else { values.len() }
}

/// `values` in the type `T` that a product multiplies in: as they lie if that is theirs, or converted
/// into the first part of `memory`.
#[inline(always)]
pub(crate) fn operand<'a, S: Simd, X: Element, T: Element>(
    simd: S,
    values: &'a [X],
    memory: &'a mut [T],
) -> &'a [T] {
    if const { X::BRIEF != T::BRIEF } {
        convert_here(simd, values, &mut memory[..values.len()]);
    }
    converted(values, memory)
}

/// What [`operand`] gave for these values and this memory.
#[inline(always)]
pub(crate) fn converted<'a, X: Element, T: Element>(values: &'a [X], memory: &'a [T]) -> &'a [T] {
    if const { X::BRIEF == T::BRIEF } {
        // SAFETY: of the two types each has its own digits: `X` is `T`.
        return unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), values.len()) };
    }
    &memory[..values.len()]
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;
    use crate::testing::{on_each_instruction_set, values};

    #[test]
    fn rounding_is_to_the_nearest_value_and_ties_go_to_the_even_one() {
        on_each_instruction_set(|set| {
            let mut given = values(100, 1);
            given.extend([0.0, -0.0, 1.0, f32::MAX, f32::INFINITY, f32::NEG_INFINITY]);
            // Half way between two values, and just beyond.
            given.extend([0x3f80_8000, 0x3f81_8000, 0x3f80_8001, 0x7f7f_8000].map(f32::from_bits));
            given.extend([0x7f80_0001, 0xffff_ffff, 0x7fff_ffff].map(f32::from_bits));
            let mut brief = vec![bf16::ZERO; given.len()];
            convert(&given, &mut brief);
            let exact: Vec<bf16> = given.iter().map(|&value| bf16::from_f32(value)).collect();
            for (index, (got, exact)) in brief.iter().zip(&exact).enumerate() {
                let same = got.to_bits() == exact.to_bits() || (got.is_nan() && exact.is_nan());
                assert!(same, "{set:?}: {} became {got}, not {exact}", given[index]);
            }
            let mut wide = vec![0.0; brief.len()];
            convert(&brief, &mut wide);
            for (wide, brief) in wide.iter().zip(&brief) {
                let same = wide.to_bits() >> 16 == u32::from(brief.to_bits());
                assert!(same && wide.to_bits() & 0xffff == 0, "{set:?}: {brief} became {wide}");
            }
        });
    }
}
