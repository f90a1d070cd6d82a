//! A JPEG file, read to the coefficients and the pixels of parts that the bytes before it choose.
#![no_main]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use libfuzzer_sys::fuzz_target;
use vitral_fuzz::MOST_PIXELS;
use vitral_jpeg::{Block, Frame, Jpeg, Part, Pixels, Scale, Sink, Window};

fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first_chunk() else { return };
    let frame = match Jpeg::open(bytes) {
        Ok(jpeg) => jpeg.frame().clone(),
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    if u64::from(frame.width) * u64::from(frame.height) > MOST_PIXELS {
        return;
    }
    coefficients(bytes, &frame, choice);
    pixels(bytes, &frame, choice);
});

fn open(bytes: &[u8]) -> Jpeg<'_> {
    Jpeg::open(bytes).expect("it was opened before")
}

/// Start and length of a part of `length`, chosen by two bytes.
fn part_of(length: u32, start: u8, size: u8) -> (u32, u32) {
    let start = length * u32::from(start) / 256;
    (start, ((length - start) * (u32::from(size) + 1)).div_ceil(256))
}

/// Blocks of a part have the places and the form that the crate says, and are those of the whole image.
fn coefficients(bytes: &[u8], frame: &Frame, &[x, width, y, height, limit, ..]: &[u8; 6]) {
    let (across, down) = frame.units();
    let whole = Part { left: 0, top: 0, width: across, height: down };
    let all = Blocks::read(bytes, frame, whole, &vec![63; frame.components.len()]);
    let ((left, width), (top, height)) = (part_of(across, x, width), part_of(down, y, height));
    let part = Part { left, top, width, height };
    let limits = [usize::from(limit & 63), usize::from(limit >> 2), 63];
    // As few as one component.
    let limits = &limits[..frame.components.len().min(1 + usize::from(limit >> 6))];
    let some = Blocks::read(bytes, frame, part, limits);
    let Some(all) = all else { return };
    let some = some.expect("what can be read as a whole can be read in part");
    for (component, &limit) in limits.iter().enumerate() {
        let sampling = frame.components[component];
        for row in 0..height * sampling.down {
            for column in 0..width * sampling.across {
                let found = some.at(component, column, row);
                let (row, column) = (top * sampling.down + row, left * sampling.across + column);
                let expected = all.at(component, column, row);
                for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
                    assert!(found == expected || (*found == 0 && zigzag(at) > limit));
                }
            }
        }
    }
}

/// Where in zigzag order a place of a block is.
fn zigzag(place: usize) -> usize {
    let (h, v) = (place / 8, place % 8);
    let (diagonal, along) = (h + v, if (h + v) % 2 == 1 { v } else { h });
    // Diagonals up to the longest have one place more than the one before; those after it, one less.
    match diagonal {
        0..8 => diagonal * (diagonal + 1) / 2 + along,
        _ => 64 - (15 - diagonal) * (16 - diagonal) / 2 + along - (diagonal - 7),
    }
}

/// The blocks of a part, by component, row and column.
struct Blocks {
    values: Vec<Vec<Option<[i16; 64]>>>,
    strides: Vec<usize>,
}

impl Blocks {
    fn read(bytes: &[u8], frame: &Frame, part: Part, limits: &[usize]) -> Option<Self> {
        let wanted = &frame.components[..limits.len()];
        let strides: Vec<_> = wanted.iter().map(|c| (part.width * c.across) as usize).collect();
        let rows = wanted.iter().map(|component| (part.height * component.down) as usize);
        let values = strides.iter().zip(rows).map(|(stride, rows)| vec![None; stride * rows]);
        let mut blocks = Self { values: values.collect(), strides };
        let read = within(largest(frame), || open(bytes).read(part, limits, &mut blocks));
        if let Err(error) = read {
            assert!(!error.to_string().is_empty());
            return None;
        }
        assert!(blocks.values.iter().flatten().all(Option::is_some), "a block is missing");
        Some(blocks)
    }

    fn at(&self, component: usize, column: u32, row: u32) -> &[i16; 64] {
        let at = row as usize * self.strides[component] + column as usize;
        self.values[component][at].as_ref().expect("every block is there")
    }
}

impl Sink for Blocks {
    fn block(&mut self, component: usize, column: u32, row: u32, block: &Block) {
        assert!((column as usize) < self.strides[component]);
        let at = row as usize * self.strides[component] + column as usize;
        assert!(self.values[component][at].replace(block.values).is_none(), "a block came twice");
        assert!(block.last < 64);
        let after = |at: usize| zigzag(at) > block.last;
        assert!((0..64).all(|at| block.values[at] == 0 || !after(at)));
    }
}

/// Pixels of a part are those of the whole image, whatever was in memory before.
fn pixels(bytes: &[u8], frame: &Frame, &[x, width, y, height, _, kind]: &[u8; 6]) {
    let scale = [Scale::Full, Scale::Half, Scale::Quarter, Scale::Eighth][usize::from(kind & 3)];
    let grey = kind & 4 != 0;
    let values = if grey { 1 } else { 3 };
    let [across, down] = [frame.width, frame.height].map(|side| side.div_ceil(scale.divisor()));
    let whole = Window { left: 0, top: 0, width: across, height: down };
    let (mut pixels, mut all, mut some) = (Pixels::default(), vec![7], Vec::new());
    let mut read = |window: Window, out: &mut Vec<u8>| {
        let read = within(largest(frame), || pixels.read(open(bytes), window, scale, grey, out));
        if read.is_ok() {
            assert_eq!(out.len(), (window.width * window.height) as usize * values);
        }
        read
    };
    let whole = read(whole, &mut all);
    let ((left, width), (top, height)) = (part_of(across, x, width), part_of(down, y, height));
    let window = Window { left, top, width, height };
    let part = read(window, &mut some);
    if whole.is_ok() {
        part.expect("what can be read as a whole can be read in part");
        let mut fresh = Vec::new();
        let again = Pixels::default().read(open(bytes), window, scale, grey, &mut fresh);
        assert!(again.is_ok() && fresh == some, "pixels depend on the image before");
        for (y, row) in (top..).zip(some.chunks_exact(width as usize * values)) {
            let start = (y * across + left) as usize * values;
            assert_eq!(row, &all[start..start + row.len()], "row {y} of {window:?}");
        }
    }
}

/// What reading may take at most, in bytes: all coefficients and values in the units of the image, the
/// pixels, and a little for tables and rows.
fn largest(frame: &Frame) -> usize {
    let ((width, height), (across, down)) = (frame.unit(), frame.units());
    let values = (width * across) as usize * (height * down) as usize;
    values * frame.components.len() * (2 + 1 + 1) * 2 + (1 << 20)
}

/// Calls a function and sees to it that it takes no more memory than that.
fn within<T>(most: usize, call: impl FnOnce() -> T) -> T {
    let before = TAKEN.load(Relaxed);
    PEAK.store(before, Relaxed);
    let result = call();
    let peak = PEAK.load(Relaxed) - before;
    assert!(peak <= most, "{peak} bytes were taken, and {most} are enough");
    result
}

/// The system's allocator, which counts.
struct Counting;

static TAKEN: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let taken = TAKEN.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(taken, Relaxed);
        // SAFETY: as the caller says.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        TAKEN.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller says.
        unsafe { System.dealloc(memory, layout) }
    }
}
