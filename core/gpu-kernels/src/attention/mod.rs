//! Softmax attention of the packed projection, without a matrix of scores (Dao et al. 2022, Dao 2023).
//!
//! With scores `s = scale * q kᵀ + bias`, weights `p = exp(s - logsumexp)` and result `o = p v`, and with
//! `d = sum(do * o)` of each row, backward is `ds = p * (do vᵀ - d)`, `dq = scale * ds k`, `dk = scale * dsᵀ q`,
//! `dv = pᵀ do` and `dbias = ds`. Each kernel computes scores again, a tile at a time. No sum depends on the order
//! in which cubes run.

mod backward;
mod forward;
mod of_bias;
mod products;
mod rows;
mod tiling;

use burn::tensor::DType;
use burn_cubecl::{CubeDevice, tensor::CubeTensor};
use cubecl::prelude::*;

use self::{
    products::{Cores, Plain},
    tiling::Tiling,
};
use crate::memory::{element, input, new_beside, output};

/// Whether a device has the memory for tiles of heads of this type and width, and takes so many images at once.
pub fn attention_fits(device: &CubeDevice, dtype: DType, batch: usize, width: usize) -> bool {
    let client = device.client();
    let most = client.properties().hardware.max_cube_count.1;
    u32::try_from(batch).is_ok_and(|batch| batch <= most)
        && Tiling::new(&client, dtype, width, 2).is_some()
}

/// What backward needs besides the inputs.
pub(crate) struct Results {
    pub(crate) out: CubeTensor,
    pub(crate) logsumexp: CubeTensor,
    pub(crate) gradient: CubeTensor,
}

/// Sizes of a packed projection.
#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    tokens: usize,
    heads: usize,
    width: usize,
}

impl Sizes {
    fn new(qkv: &CubeTensor, heads: usize) -> Self {
        let [batch, tokens, packed] = qkv.meta.shape().dims();
        Self { batch, tokens, heads, width: packed / 3 / heads }
    }

    fn tiling(&self, qkv: &CubeTensor, owned: usize) -> Tiling {
        Tiling::new(&qkv.client, qkv.dtype, self.width, owned).unwrap_or_else(|| {
            panic!("heads of {} values do not fit into this device's shared memory", self.width)
        })
    }

    /// Tiles of so many tokens.
    fn tiles(&self, rows: usize) -> u32 {
        self.tokens.div_ceil(rows) as u32
    }

    /// A cube for each tile of a cube's own rows, head and image.
    fn cubes(&self, tiling: &Tiling) -> CubeCount {
        CubeCount::new_2d(self.tiles(tiling.own) * self.heads as u32, self.batch as u32)
    }
}

/// Launches a kernel that multiplies as a tiling says.
///
/// # Safety
/// As the kernel's own.
macro_rules! launch {
    ($($kernel:ident)::+, $tiling:expr, $($argument:expr),+ $(,)?) => {
        match $tiling.cores {
            true => $($kernel)::+::launch_unchecked::<Cores>($($argument),+),
            false => $($kernel)::+::launch_unchecked::<Plain>($($argument),+),
        }
    };
}

/// A bias, or what is in the place of one and not read.
fn bias_or(bias: Option<&CubeTensor>, other: &CubeTensor) -> BufferArg {
    input(bias.unwrap_or(other))
}

pub(crate) fn forward(
    qkv: CubeTensor,
    bias: Option<CubeTensor>,
    heads: usize,
    scale: f32,
) -> (CubeTensor, CubeTensor) {
    let sizes = Sizes::new(&qkv, heads);
    let Sizes { batch, tokens, width, .. } = sizes;
    let out = new_beside(&qkv, [batch, tokens, heads * width], qkv.dtype);
    let logsumexp = new_beside(&qkv, [batch, heads, tokens], DType::F32);
    let tiling = sizes.tiling(&qkv, 1);
    // SAFETY: a cube reads and writes what is of its image and head, of rows below `tokens` and columns below `width`.
    unsafe {
        launch!(
            forward::forward,
            tiling,
            &qkv.client,
            sizes.cubes(&tiling),
            CubeDim::new_1d(tiling.units()),
            input(&qkv),
            bias_or(bias.as_ref(), &qkv),
            output(&out),
            output(&logsumexp),
            tokens,
            heads,
            scale,
            bias.is_some(),
            tiling,
            element(&qkv),
        );
    }
    (out, logsumexp)
}

pub(crate) fn backward(
    qkv: CubeTensor,
    bias: Option<CubeTensor>,
    results: Results,
    scale: f32,
) -> CubeTensor {
    let Results { out, logsumexp, gradient } = results;
    let [_, heads, _] = logsumexp.meta.shape().dims();
    let sizes = Sizes::new(&qkv, heads);
    let Sizes { batch, tokens, width, .. } = sizes;
    let dqkv = new_beside(&qkv, [batch, tokens, 3 * heads * width], qkv.dtype);
    let delta = new_beside(&qkv, [batch, heads, tokens], DType::F32);
    let tiling = sizes.tiling(&qkv, 2);
    let dim = CubeDim::new_1d(tiling.units());
    // SAFETY: as in forward; queries' gradients, and then those of keys and values, are all of `dqkv`.
    unsafe {
        launch!(
            backward::of_queries,
            tiling,
            &qkv.client,
            sizes.cubes(&tiling),
            dim,
            input(&qkv),
            bias_or(bias.as_ref(), &qkv),
            input(&out),
            input(&logsumexp),
            input(&gradient),
            output(&delta),
            output(&dqkv),
            tokens,
            heads,
            scale,
            bias.is_some(),
            tiling,
            element(&qkv),
        );
        launch!(
            backward::of_keys,
            tiling,
            &qkv.client,
            sizes.cubes(&tiling),
            dim,
            input(&qkv),
            bias_or(bias.as_ref(), &qkv),
            input(&logsumexp),
            input(&gradient),
            input(&delta),
            output(&dqkv),
            tokens,
            heads,
            scale,
            bias.is_some(),
            tiling,
            element(&qkv),
        );
    }
    dqkv
}

pub(crate) fn bias_backward(
    qkv: CubeTensor,
    bias: CubeTensor,
    results: Results,
    scale: f32,
) -> CubeTensor {
    let Results { out, logsumexp, gradient } = results;
    let [batch, heads, tokens] = logsumexp.meta.shape().dims();
    let sizes = Sizes::new(&qkv, heads);
    let dbias = new_beside(&bias, bias.meta.shape().clone(), DType::F32);
    let tiling = sizes.tiling(&qkv, 1);
    let cubes =
        CubeCount::new_2d(sizes.tiles(tiling.own) * heads as u32, sizes.tiles(tiling.moving));
    // SAFETY: as in forward, for each of `batch` images; a cube writes its tile of one head's bias.
    unsafe {
        launch!(
            of_bias::of_bias,
            tiling,
            &qkv.client,
            cubes,
            CubeDim::new_1d(tiling.units()),
            input(&qkv),
            input(&bias),
            input(&out),
            input(&logsumexp),
            input(&gradient),
            output(&dbias),
            batch,
            tokens,
            heads,
            scale,
            tiling,
            element(&qkv),
        );
    }
    dbias
}
