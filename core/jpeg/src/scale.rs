//! The scales at which an image can be made.

/// How much smaller than in the file an image is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Scale {
    /// All pixels.
    Full = 1,
    /// Half the width and height.
    Half = 2,
    /// A quarter of the width and height.
    Quarter = 4,
    /// An eighth of the width and height.
    Eighth = 8,
}

impl Scale {
    /// How many of the file's pixels become one, along each side.
    pub fn divisor(self) -> u32 {
        self as u32
    }
}
