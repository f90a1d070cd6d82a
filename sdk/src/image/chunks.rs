//! Loops over pixels in steps of several: a step's inner loop has a fixed length, so that it is
//! unrolled.

/// Pixels of a step.
const STEP: usize = 16;

/// Calls a function for each value.
pub(super) fn each_value(values: &mut [u8], change: impl Fn(&mut u8)) {
    let (steps, rest) = values.as_chunks_mut::<STEP>();
    for step in steps {
        for value in step {
            change(value);
        }
    }
    rest.iter_mut().for_each(change);
}

/// Changes each value by what becomes SIMD, which needs longer steps.
pub(super) fn each_value_simd(values: &mut [u8], change: impl Fn(u8) -> u8) {
    let (steps, rest) = values.as_chunks_mut::<64>();
    for step in steps {
        for value in step {
            *value = change(*value);
        }
    }
    for value in rest {
        *value = change(*value);
    }
}

/// Calls a function for each colour; what is less than one is left out.
pub(super) fn each_color(values: &mut [u8], mut change: impl FnMut(&mut [u8; 3])) {
    let (steps, rest) = values.as_chunks_mut::<3>().0.as_chunks_mut::<STEP>();
    for step in steps {
        for color in step {
            change(color);
        }
    }
    rest.iter_mut().for_each(change);
}

/// Calls a function for each pixel of a row that is written.
pub(super) fn each_pixel<const C: usize>(
    row: &mut [[u8; C]],
    mut change: impl FnMut(&mut [u8; C]),
) {
    let (steps, rest) = row.as_chunks_mut::<8>();
    for step in steps {
        for pixel in step {
            change(pixel);
        }
    }
    rest.iter_mut().for_each(change);
}
