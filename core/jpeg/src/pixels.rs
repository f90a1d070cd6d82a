//! The pixels of a part of an image, as libjpeg makes them: colours of half the size become larger by a
//! triangle filter ("fancy upsampling"), and turn into red, green and blue by JFIF's formulas.

use crate::idct::{Transform, factors, transform};
use crate::{Block, Error, Frame, Grid, Jpeg, Part, Scale, Sink, last_below};

/// A part of an image in pixels, at some scale. It has at least one pixel and lies within the image,
/// whose sides are rounded up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Pixels left of it.
    pub left: u32,
    /// Rows above it.
    pub top: u32,
    /// Pixels in a row of it.
    pub width: u32,
    /// Rows in it.
    pub height: u32,
}

impl Window {
    /// The units that have to be read for these pixels. Where colours have half the size and are made
    /// larger, a pixel depends on those beside it.
    pub fn units(self, frame: &Frame, scale: Scale) -> Part {
        let (width, height) = frame.unit();
        let (across, down) = frame.units();
        let margin = |unit: u32| if scale == Scale::Full && unit == 16 { 2 } else { 0 };
        let range = |start: u32, length: u32, unit: u32, count: u32| {
            let (margin, unit) = (margin(unit), unit / scale.divisor());
            let first = start.saturating_sub(margin) / unit;
            (first, (start + length + margin).div_ceil(unit).min(count) - first)
        };
        let (left, width) = range(self.left, self.width, width, across);
        let (top, height) = range(self.top, self.height, height, down);
        Part { left, top, width, height }
    }
}

/// Makes pixels, with memory that it keeps from image to image.
#[derive(Default)]
pub struct Pixels {
    planes: [Vec<u8>; 3],
    /// A row of colours between both axes' filters, and rows of Cb and Cr as wide as the image.
    mixed: Vec<i16>,
    colours: [Vec<u8>; 2],
}

impl Pixels {
    /// Reads the pixels of a window into `out`, row by row: one value each, the brightness, if `grey`, and
    /// else red, green and blue.
    ///
    /// # Errors
    /// As [`Jpeg::read`]. What is in `out` then means nothing.
    pub fn read(
        &mut self,
        jpeg: Jpeg<'_>,
        window: Window,
        scale: Scale,
        grey: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let frame = jpeg.frame().clone();
        let part = window.units(&frame, scale);
        let count = if grey { 1 } else { frame.components.len() };
        let mut planes = Vec::with_capacity(count);
        for (index, values) in self.planes.iter_mut().enumerate().take(count) {
            planes.push(Plane::new(&jpeg, index, part, scale, std::mem::take(values))?);
        }
        // The mean of a block needs nothing else.
        let needed = |values: u32| if values == 1 { 1 } else { 8 };
        let limits: Vec<_> = planes
            .iter()
            .map(|plane| last_below(needed(plane.grid.across), needed(plane.grid.down)))
            .collect();
        let mut sink = Planes(planes);
        let result = jpeg.read(part, &limits, &mut sink);
        if result.is_ok() {
            self.assemble(&sink.0, window, grey, out);
        }
        for (kept, plane) in self.planes.iter_mut().zip(sink.0) {
            *kept = plane.values;
        }
        result
    }

    fn assemble(&mut self, planes: &[Plane], window: Window, grey: bool, out: &mut Vec<u8>) {
        let (width, values) = (window.width as usize, if grey { 1 } else { 3 });
        // What an image before left in it need not be cleared: every value is written.
        out.resize(width * window.height as usize * values, 0);
        for (y, out) in (window.top..).zip(out.chunks_exact_mut(width * values)) {
            let brightness = planes[0].row(y, window);
            match planes {
                _ if grey => out.copy_from_slice(brightness),
                [_, first, second] => {
                    let [cb, cr] = &mut self.colours;
                    let cb = first.colours(y, window, &mut self.mixed, cb);
                    let cr = second.colours(y, window, &mut self.mixed, cr);
                    to_rgb(brightness, cb, cr, out);
                }
                _ => {
                    for (pixel, &value) in out.as_chunks_mut::<3>().0.iter_mut().zip(brightness) {
                        *pixel = [value; 3];
                    }
                }
            }
        }
    }
}

/// One component's values in a part of the image.
struct Plane {
    values: Vec<u8>,
    grid: Grid,
    factors: [f32; 64],
    transform: Transform,
}

impl Plane {
    fn new(
        jpeg: &Jpeg<'_>,
        index: usize,
        part: Part,
        scale: Scale,
        mut values: Vec<u8>,
    ) -> Result<Self, Error> {
        let grid = Grid::new(jpeg.frame(), index, part, scale);
        values.resize(grid.width as usize * grid.height as usize, 0);
        Ok(Self {
            values,
            grid,
            factors: factors(&jpeg.quantisation(index)?),
            transform: transform(grid.across, grid.down),
        })
    }

    fn stride(&self) -> usize {
        self.grid.width as usize
    }

    /// A window's values in a row of the image, of a plane that has the image's size.
    fn row(&self, y: u32, window: Window) -> &[u8] {
        let Grid { left, top, .. } = self.grid;
        let start = (y - top) as usize * self.stride() + (window.left - left) as usize;
        &self.values[start..][..window.width as usize]
    }

    /// A window's values in a row of the image; `mixed` and `out` are memory for it.
    fn colours<'a>(
        &'a self,
        y: u32,
        window: Window,
        mixed: &mut Vec<i16>,
        out: &'a mut Vec<u8>,
    ) -> &'a [u8] {
        let Grid { half_width, half_height, .. } = self.grid;
        if !half_width && !half_height {
            return self.row(y, window);
        }
        let (left, width) = ((window.left - self.grid.left) as usize, window.width as usize);
        let y = (y - self.grid.top) as usize;
        // Columns that are needed, and one more on each side.
        let (first, end) = if half_width {
            (
                (left / 2).saturating_sub(1),
                ((left + width).div_ceil(2) + 1).min(self.grid.last_column as usize + 1),
            )
        } else {
            (left, left + width)
        };
        let line = |row: usize| &self.values[row * self.stride()..][first..end];
        mixed.clear();
        if half_height {
            let (near, below) = (y / 2, y % 2 == 1);
            let far = if below {
                (near + 1).min(self.grid.last_row as usize)
            } else {
                near.saturating_sub(1)
            };
            let pairs = line(near).iter().zip(line(far));
            mixed.extend(pairs.map(|(&near, &far)| 3 * i16::from(near) + i16::from(far)));
        } else {
            mixed.extend(line(y).iter().map(|&value| i16::from(value)));
        }
        if !half_width {
            // libjpeg-turbo's rounding in rows of 4:4:0 images.
            let bias = if y % 2 == 1 { 2 } else { 1 };
            out.clear();
            out.extend(mixed.iter().map(|&value| ((value + bias) >> 2) as u8));
            return out;
        }
        // libjpeg's rounding: of both axes in sixteenths, of one in quarters.
        let (bits, even, odd) = if half_height { (4, 8, 7) } else { (2, 1, 2) };
        // The outermost values have themselves as neighbours.
        out.resize(2 * mixed.len(), 0);
        let at_most = mixed.len() - 1;
        out[0] = ((4 * mixed[0] + even) >> bits) as u8;
        out[2 * at_most + 1] = ((4 * mixed[at_most] + odd) >> bits) as u8;
        let inner = out[1..=2 * at_most].as_chunks_mut::<2>().0;
        for ((pair, &left), &right) in inner.iter_mut().zip(&mixed[..]).zip(&mixed[1..]) {
            pair[0] = ((3 * left + right + odd) >> bits) as u8;
            pair[1] = ((3 * right + left + even) >> bits) as u8;
        }
        &out[left - 2 * first..][..width]
    }
}

struct Planes(Vec<Plane>);

impl Sink for Planes {
    #[inline]
    fn block(&mut self, component: usize, column: u32, row: u32, block: &Block) {
        let plane = &mut self.0[component];
        let (stride, grid) = (plane.stride(), plane.grid);
        let start =
            row as usize * grid.down as usize * stride + column as usize * grid.across as usize;
        (plane.transform)(block, &plane.factors, &mut plane.values[start..], stride);
    }
}

/// A row of pixels.
fn to_rgb(brightness: &[u8], cb: &[u8], cr: &[u8], out: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { to_rgb_avx2(brightness, cb, cr, out) };
    }
    to_rgb_plain(brightness, cb, cr, out);
}

/// The same in longer vectors.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn to_rgb_avx2(brightness: &[u8], cb: &[u8], cr: &[u8], out: &mut [u8]) {
    to_rgb_plain(brightness, cb, cr, out);
}

#[inline(always)]
fn to_rgb_plain(brightness: &[u8], cb: &[u8], cr: &[u8], out: &mut [u8]) {
    let colours = brightness.iter().zip(cb.iter().zip(cr));
    for (pixel, (&y, (&cb, &cr))) in out.as_chunks_mut::<3>().0.iter_mut().zip(colours) {
        *pixel = rgb(y, cb, cr);
    }
}

/// JFIF's formulas, in libjpeg's fixed point of 16 bits.
#[inline(always)]
fn rgb(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    const HALF: i32 = 1 << 15;
    let red = y + ((91_881 * cr + HALF) >> 16);
    let green = y + ((-22_554 * cb - 46_802 * cr + HALF) >> 16);
    let blue = y + ((116_130 * cb + HALF) >> 16);
    [red, green, blue].map(|value| value.clamp(0, 255) as u8)
}
