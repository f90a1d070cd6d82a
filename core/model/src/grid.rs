//! The grid of patches of an image.

/// A square grid of patches that covers the same image as the model's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    /// Patches along one side.
    pub(crate) side: usize,
    /// Patches along one side of the model's own grid.
    pub(crate) full: usize,
}

impl Grid {
    /// The model's own grid.
    #[cfg(test)]
    pub(crate) fn own(side: usize) -> Self {
        Self { side, full: side }
    }

    /// Where the centre of a row or column lies in the model's grid, in patches from the centre of
    /// its first; the index itself in the model's own grid.
    pub(crate) fn place(self, index: usize) -> f64 {
        (index as f64 + 0.5) * (self.full as f64 / self.side as f64) - 0.5
    }
}
