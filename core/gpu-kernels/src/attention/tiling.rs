//! How attention's matrices are cut into tiles that shared memory holds.

use burn::tensor::DType;
use cubecl::{client::Client, features::MmaConfig, ir::ElemType, prelude::*};

/// Rows and columns of what a group of units multiplies at a time.
pub(super) const SIDE: usize = 16;

/// Units that multiply together: a plane, where tensor cores want one.
pub(super) const GROUP: usize = 32;

/// The tiles of one cube. It owns some rows of one matrix, of queries or of keys, and goes through all tiles of the
/// other, of which one at a time lies in shared memory. Heads are filled up with zeros to a multiple of [`SIDE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tiling {
    /// Rows that the cube owns, [`SIDE`] for each group.
    pub(super) own: usize,
    /// Rows of a tile that it goes through.
    pub(super) moving: usize,
    /// Values of a head.
    pub(super) width: usize,
    /// The same filled up.
    pub(super) padded: usize,
    /// From one row of a tile to the next. More than there are values, so that rows begin in different banks.
    pub(super) pitch: usize,
    /// The same of scores, which are `f32`.
    pub(super) scores_pitch: usize,
    /// The same of weights, which are of the tiles' type.
    pub(super) weights_pitch: usize,
    /// Whether tensor cores multiply.
    pub(super) cores: bool,
}

impl Tiling {
    /// The largest tiles that a device has memory for, if it has enough: for a cube that owns `owned` tiles of its
    /// rows.
    pub(super) fn new(client: &Client, dtype: DType, width: usize, owned: usize) -> Option<Self> {
        let cores = has_cores(client, dtype) && width.is_multiple_of(SIDE);
        let hardware = &client.properties().hardware;
        let fits = |tiling: &Self| {
            tiling.bytes(dtype.size(), owned) <= hardware.max_shared_memory_size
                && tiling.units() <= hardware.max_units_per_cube
        };
        let sizes = [(64, 64), (64, 32), (32, 32), (32, 16), (16, 16)];
        let all = sizes.into_iter().map(|(own, moving)| Self::of(own, moving, width, cores));
        // More memory would leave a multiprocessor with fewer cubes than hide each other's waits.
        const ENOUGH: usize = 56 << 10;
        let mut fitting = all.filter(fits).peekable();
        let largest = fitting.peek().copied();
        fitting.find(|tiling| tiling.bytes(dtype.size(), owned) <= ENOUGH).or(largest)
    }

    fn of(own: usize, moving: usize, width: usize, cores: bool) -> Self {
        let padded = width.next_multiple_of(SIDE);
        // Tensor cores want rows that are 16 bytes apart or a multiple of it.
        let [pitch, scores_pitch, weights_pitch] = match cores {
            true => [padded + 8, moving + 4, moving + 8],
            false => [padded + 1, moving + 1, moving + 1],
        };
        Self { own, moving, width, padded, pitch, scores_pitch, weights_pitch, cores }
    }

    /// Shared memory.
    fn bytes(&self, size: usize, owned: usize) -> usize {
        let tiles = (owned * self.own + self.moving) * self.pitch;
        (tiles + self.own * self.weights_pitch) * size
            + self.own * (self.scores_pitch + STATISTICS) * size_of::<f32>()
    }

    /// Units of a cube.
    pub(super) const fn units(&self) -> u32 {
        (self.own / SIDE * GROUP) as u32
    }
}

/// What a cube keeps of each of its rows besides.
pub(super) const STATISTICS: usize = 4;

/// Whether a device multiplies tiles of this type by itself, for planes of [`GROUP`] units.
fn has_cores(client: &Client, dtype: DType) -> bool {
    let properties = client.properties();
    let hardware = &properties.hardware;
    let element: ElemType = burn::backend::cubecl::dtype_to_storage_type(dtype);
    let side = SIDE as u32;
    let wanted = MmaConfig {
        a_type: element,
        b_type: element,
        cd_type: f32::elem_type_native(),
        m: side,
        n: side,
        k: side,
    };
    cfg!(feature = "tensor-cores")
        && matches!(dtype, DType::BF16 | DType::F16)
        && [hardware.plane_size_min, hardware.plane_size_max] == [GROUP as u32; 2]
        && properties.features.matmul.cmma.contains(&wanted)
}
