//! How a grid of patches falls into windows: plain arithmetic.

/// A grid of patches in windows, which may be moved towards its end by half a window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    pub rows: Side,
    pub columns: Side,
}

/// One side of a grid. It is filled up with padding to whole windows, then turned in a circle by
/// the shift, so that the last window has the first patches as well.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Side {
    pub patches: u32,
    /// Side of a window: no longer than the grid's.
    pub window: u32,
    /// By how much the windows are moved: by nothing where there is just one.
    pub shift: u32,
}

/// What a place within the windows of a side holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Patch,
    /// A patch from the other end of the side, brought here by the shift.
    Wrapped,
    Padding,
}

impl Side {
    fn new(patches: u32, size: u32, shifted: bool) -> Self {
        let window = size.min(patches);
        let shift = if shifted && window < patches { window / 2 } else { 0 };
        Self { patches, window, shift }
    }

    pub const fn windows(&self) -> u32 {
        self.patches.div_ceil(self.window)
    }

    pub const fn padding(&self) -> u32 {
        self.padded() - self.patches
    }

    pub const fn padded(&self) -> u32 {
        self.windows() * self.window
    }

    const fn place(&self, at: u32) -> Place {
        let before = at + self.shift;
        if before >= self.padded() {
            Place::Wrapped
        } else if before >= self.patches {
            Place::Padding
        } else {
            Place::Patch
        }
    }
}

impl Grid {
    pub fn new(height: u32, width: u32, size: u32, shifted: bool) -> Self {
        let (rows, columns) = (Side::new(height, size, shifted), Side::new(width, size, shifted));
        Self { rows, columns }
    }

    pub const fn patches(&self) -> u32 {
        self.rows.patches * self.columns.patches
    }

    pub const fn windows(&self) -> u32 {
        self.rows.windows() * self.columns.windows()
    }

    /// Places of a window.
    pub const fn places(&self) -> u32 {
        self.rows.window * self.columns.window
    }

    pub const fn padded(&self) -> bool {
        self.rows.padding() + self.columns.padding() > 0
    }

    /// Whether some places of a window do not see each other.
    pub const fn masked(&self) -> bool {
        self.padded() || self.rows.shift + self.columns.shift > 0
    }

    /// Offsets between two places of a window.
    pub const fn offsets(&self) -> u32 {
        (2 * self.rows.window - 1) * (2 * self.columns.window - 1)
    }

    /// For each place of a window, a number such that the offset from place `b` to place `a` has the
    /// position `numbers[a] - numbers[b] + (offsets - 1) / 2` in a table, row by row.
    pub fn offset_numbers(&self) -> Vec<i64> {
        let row = i64::from(2 * self.columns.window - 1);
        let places = self.window_places();
        places.map(|(y, x)| i64::from(y) * row + i64::from(x)).collect()
    }

    /// For each place of each window, the region that it is in: those of one region see each other.
    /// What the shift brought from another end is apart, and so is padding, which nothing sees but
    /// itself: a row of the scores that is masked throughout would have no softmax.
    pub fn regions(&self) -> Vec<i64> {
        let windows =
            (0..self.rows.windows()).flat_map(|y| (0..self.columns.windows()).map(move |x| (y, x)));
        let region = |y: u32, x: u32| match (self.rows.place(y), self.columns.place(x)) {
            (Place::Padding, _) | (_, Place::Padding) => 4,
            (y, x) => 2 * i64::from(y == Place::Wrapped) + i64::from(x == Place::Wrapped),
        };
        let (rows, columns) = (self.rows.window, self.columns.window);
        let places = windows.flat_map(|(top, left)| {
            self.window_places().map(move |(y, x)| (top * rows + y, left * columns + x))
        });
        places.map(|(y, x)| region(y, x)).collect()
    }

    fn window_places(&self) -> impl Iterator<Item = (u32, u32)> + use<> {
        let (rows, columns) = (self.rows.window, self.columns.window);
        (0..rows).flat_map(move |y| (0..columns).map(move |x| (y, x)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_no_larger_than_the_grid_and_one_is_not_shifted() {
        let grid = Grid::new(3, 9, 4, true);
        assert_eq!((grid.rows.window, grid.rows.windows(), grid.rows.shift), (3, 1, 0));
        assert_eq!((grid.columns.window, grid.columns.windows(), grid.columns.shift), (4, 3, 2));
        assert_eq!((grid.columns.padding(), grid.places(), grid.offsets()), (3, 12, 35));
    }

    #[test]
    fn regions_keep_ends_and_padding_apart() {
        let side = |patches| Grid::new(1, patches, 4, true).regions();
        assert_eq!(side(8), [0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(side(7), [0, 0, 0, 0, 0, 4, 1, 1]);
        assert_eq!(side(5), [0, 0, 0, 4, 4, 4, 1, 1]);
        assert_eq!(Grid::new(1, 5, 4, false).regions(), [0, 0, 0, 0, 0, 4, 4, 4]);
    }

    #[test]
    fn offsets_are_numbered_row_by_row() {
        let grid = Grid::new(8, 8, 2, false);
        let numbers = grid.offset_numbers();
        assert_eq!(numbers, [0, 1, 3, 4]);
        let middle = i64::from(grid.offsets() - 1) / 2;
        assert_eq!(numbers[3] - numbers[0] + middle, 8);
        assert_eq!(numbers[0] - numbers[3] + middle, 0);
    }
}
