//! The instruction set, chosen at run time, and elementary functions on its vectors.

use std::sync::atomic::{AtomicU8, Ordering};

use pulp::{Scalar128b, Simd, WithSimd};

use crate::element::Element;

/// The instruction sets that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum InstructionSet {
    /// Four values at a time in plain Rust, on every processor.
    Portable = 1,
    /// AVX2 and FMA, eight values at a time.
    Avx2 = 2,
    /// AVX-512, sixteen values at a time.
    Avx512 = 3,
    /// NEON, four values at a time.
    Neon = 4,
    /// AVX-512, and AVX512_BF16 for products of `bf16`: 32 products an instruction.
    Avx512Bf16 = 5,
    /// AVX-512, and AMX for products of `bf16`: tiles of 16 rows.
    Amx = 6,
}

/// Zero until it is first asked for.
static CHOSEN: AtomicU8 = AtomicU8::new(0);

impl InstructionSet {
    /// Its name: `portable`, `avx2`, `avx512`, `avx512_bf16`, `amx`, `neon`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Neon => "neon",
            Self::Avx512Bf16 => "avx512_bf16",
            Self::Amx => "amx",
        }
    }

    /// Those that this machine has, the best one last.
    pub fn available() -> Vec<Self> {
        #[allow(unused_mut)]
        let mut found = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            found.extend(pulp::x86::V3::try_new().map(|_| Self::Avx2));
            if pulp::x86::V4::try_new().is_some() {
                found.push(Self::Avx512);
                if std::arch::is_x86_feature_detected!("avx512bf16") {
                    found.push(Self::Avx512Bf16);
                }
                #[cfg(target_os = "linux")]
                if crate::amx::has_amx() {
                    found.push(Self::Amx);
                }
            }
        }
        #[cfg(target_arch = "aarch64")]
        found.extend(pulp::aarch64::Neon::try_new().map(|_| Self::Neon));
        found
    }

    /// The one that kernels run on: the best, unless [`InstructionSet::choose`] said otherwise.
    pub fn current() -> Self {
        match CHOSEN.load(Ordering::Relaxed) {
            1 => Self::Portable,
            2 => Self::Avx2,
            3 => Self::Avx512,
            4 => Self::Neon,
            5 => Self::Avx512Bf16,
            6 => Self::Amx,
            _ => {
                let best = Self::available().pop().unwrap_or(Self::Portable);
                CHOSEN.store(best as u8, Ordering::Relaxed);
                best
            }
        }
    }

    /// Has all kernels run on this set from now on. Returns whether the machine has it; if it has
    /// not, nothing changes.
    pub fn choose(self) -> bool {
        let has = Self::available().contains(&self);
        if has {
            CHOSEN.store(self as u8, Ordering::Relaxed);
        }
        has
    }
}

/// Runs `op` compiled for the current instruction set.
pub(crate) fn dispatch<Op: WithSimd>(op: Op) -> Op::Output {
    match InstructionSet::current() {
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 | InstructionSet::Avx512Bf16 | InstructionSet::Amx => {
            match pulp::x86::V4::try_new() {
                Some(simd) => Simd::vectorize(simd, op),
                None => Simd::vectorize(Scalar128b, op),
            }
        }
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => match pulp::x86::V3::try_new() {
            Some(simd) => Simd::vectorize(simd, op),
            None => Simd::vectorize(Scalar128b, op),
        },
        #[cfg(target_arch = "aarch64")]
        InstructionSet::Neon => match pulp::aarch64::Neon::try_new() {
            Some(simd) => Simd::vectorize(simd, op),
            None => Simd::vectorize(Scalar128b, op),
        },
        _ => Simd::vectorize(Scalar128b, op),
    }
}

/// Calls `$body` for each vector of a row: its place and how many of its values exist.
macro_rules! each_vector {
    ($simd:ty, $width:expr, |$at:ident, $count:ident| $body:block) => {
        let whole = $width / <$simd>::F32_LANES * <$simd>::F32_LANES;
        for $at in (0..whole).step_by(<$simd>::F32_LANES) {
            let $count = <$simd>::F32_LANES;
            $body
        }
        if whole < $width {
            let ($at, $count) = (whole, $width - whole);
            $body
        }
    };
}
pub(crate) use each_vector;

/// The values at `from`, of which only `count` need to exist: the others read as zero.
///
/// # Safety
/// `from` must point to `count` values, or to a whole vector if `count` is a vector's length.
#[inline(always)]
pub(crate) unsafe fn load<S: Simd, T: Element>(simd: S, from: *const T, count: usize) -> S::f32s {
    // SAFETY: as the caller says.
    unsafe { T::load(simd, from, count) }
}

/// Writes the first `count` values of a vector, all of them if there are not so many.
///
/// # Safety
/// `to` must point to `count` values that nobody else reads or writes.
#[inline(always)]
pub(crate) unsafe fn store<S: Simd, T: Element>(
    simd: S,
    to: *mut T,
    count: usize,
    values: S::f32s,
) {
    // SAFETY: as the caller says.
    unsafe { T::store(simd, to, count, values) };
}

/// Evaluates a polynomial, its highest coefficient first.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(simd: S, coefficients: [f32; N], x: S::f32s) -> S::f32s {
    let mut sum = simd.splat_f32s(coefficients[0]);
    for &coefficient in &coefficients[1..] {
        sum = simd.mul_add_e_f32s(sum, x, simd.splat_f32s(coefficient));
    }
    sum
}

/// `e^x`, within 2 units in the last place; `x` is held between -87 and 88, and what is not a number
/// stays so.
#[inline(always)]
pub(crate) fn exp<S: Simd>(simd: S, given: S::f32s) -> S::f32s {
    let x = simd.max_f32s(given, simd.splat_f32s(-87.0));
    let x = simd.min_f32s(x, simd.splat_f32s(88.0));
    // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
    let round = simd.splat_f32s(12_582_912.0);
    let shifted = simd.mul_add_e_f32s(x, simd.splat_f32s(std::f32::consts::LOG2_E), round);
    let n = simd.sub_f32s(shifted, round);
    // ln 2 in two parts, the first exact in few bits.
    let r = simd.mul_add_e_f32s(n, simd.splat_f32s(-0.693_359_4), x);
    let r = simd.mul_add_e_f32s(n, simd.splat_f32s(2.121_944_4e-4), r);
    let mantissa = polynomial(
        simd,
        [0.001_394_216, 0.008_375_968, 0.041_666_34, 0.166_664_05, 0.5, 1.0, 1.0],
        r,
    );
    let exponent =
        simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    let power = simd.add_u32s(simd.transmute_u32s_f32s(mantissa), exponent);
    // Minimum and maximum lose a NaN, which would hide that a model diverges.
    let is_number = simd.equal_f32s(given, given);
    simd.select_f32s(is_number, simd.transmute_f32s_u32s(power), given)
}

/// The standard normal distribution's cumulative function and density at `x`: `Phi(x)`, `phi(x)`.
///
/// `Phi` comes from a polynomial for `erfc(u) e^(u^2)` in `1 / (1 + 0.4 u)`, the form of Abramowitz
/// and Stegun 7.1.26 with four more terms; it is within 2.5e-7.
#[inline(always)]
pub(crate) fn normal<S: Simd>(simd: S, x: S::f32s) -> (S::f32s, S::f32s) {
    let one = simd.splat_f32s(1.0);
    let zero = simd.splat_f32s(0.0);
    let magnitude = simd.max_f32s(x, simd.sub_f32s(zero, x));
    let bell = exp(simd, simd.mul_f32s(simd.mul_f32s(x, x), simd.splat_f32s(-0.5)));
    let slope = simd.splat_f32s(0.4 * std::f32::consts::FRAC_1_SQRT_2);
    let t = simd.div_f32s(one, simd.mul_add_e_f32s(magnitude, slope, one));
    let scaled = polynomial(
        simd,
        [
            0.087_217_32,
            -0.461_912_1,
            0.835_034_8,
            -0.562_477_8,
            0.552_898_2,
            0.070_870_46,
            0.256_424_22,
            0.221_723_2,
            2.217_74e-4,
        ],
        t,
    );
    let tail = simd.mul_f32s(simd.mul_f32s(scaled, bell), simd.splat_f32s(0.5));
    let cumulative = simd.select_f32s(simd.less_than_f32s(x, zero), tail, simd.sub_f32s(one, tail));
    (cumulative, simd.mul_f32s(bell, simd.splat_f32s(0.398_942_3)))
}

/// Brings the cache line of `at`, which may lie anywhere, to the first cache.
#[inline(always)]
pub(crate) fn prefetch<T>(at: *const T) {
    fetch::<T, 3>(at);
}

/// The same to the second cache.
#[inline(always)]
pub(crate) fn prefetch_second<T>(at: *const T) {
    fetch::<T, 2>(at);
}

/// `HINT` is one of Intel's numbers for the caches.
#[inline(always)]
fn fetch<T, const HINT: i32>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: it reads nothing that a program sees, wherever that is.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<HINT>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// `1 / (1 + e^-x)`
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let one = simd.splat_f32s(1.0);
    let grown = exp(simd, simd.sub_f32s(simd.splat_f32s(0.0), x));
    simd.div_f32s(one, simd.add_f32s(one, grown))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::on_each_instruction_set;

    struct Map<'a, F>(&'a [f32], &'a mut [f32], F);

    trait Function {
        fn at<S: Simd>(&self, simd: S, x: S::f32s) -> S::f32s;
    }

    impl<F: Function> WithSimd for Map<'_, F> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            for at in (0..self.0.len()).step_by(S::F32_LANES) {
                let count = S::F32_LANES.min(self.0.len() - at);
                // SAFETY: `count` values lie at `at` in both.
                unsafe {
                    let x = load(simd, self.0.as_ptr().add(at), count);
                    store(simd, self.1.as_mut_ptr().add(at), count, self.2.at(simd, x));
                }
            }
        }
    }

    struct Exp;
    impl Function for Exp {
        #[inline(always)]
        fn at<S: Simd>(&self, simd: S, x: S::f32s) -> S::f32s {
            exp(simd, x)
        }
    }

    struct Cumulative;
    impl Function for Cumulative {
        #[inline(always)]
        fn at<S: Simd>(&self, simd: S, x: S::f32s) -> S::f32s {
            normal(simd, x).0
        }
    }

    fn map(function: impl Function, x: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; x.len()];
        dispatch(Map(x, &mut out, function));
        out
    }

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        on_each_instruction_set(|set| {
            let x: Vec<f32> = (-8600..8790).map(|i| i as f32 * 0.01 + 0.003).collect();
            for (&x, y) in x.iter().zip(map(Exp, &x)) {
                let exact = f64::from(x).exp();
                let off = ((f64::from(y) - exact) / exact).abs();
                assert!(off < 2.0 * f64::from(f32::EPSILON), "{set:?}: e^{x} = {y}, not {exact}");
            }
            assert_eq!(map(Exp, &[0.0, -1e9])[0], 1.0);
            assert!(map(Exp, &[-1e9])[0] < 1e-37);
            assert!(map(Exp, &[f32::NAN])[0].is_nan(), "{set:?}");
        });
    }

    /// `Phi` by Simpson's rule in f64.
    fn exact(x: f64) -> f64 {
        let (steps, density) = (2000, |t: f64| (-t * t / 2.0).exp() / std::f64::consts::TAU.sqrt());
        let h = x / f64::from(steps);
        let sum: f64 = (0..=steps)
            .map(|i| {
                let weight = match i {
                    0 => 1.0,
                    i if i == steps => 1.0,
                    i if i % 2 == 1 => 4.0,
                    _ => 2.0,
                };
                weight * density(h * f64::from(i))
            })
            .sum();
        0.5 + sum * h / 3.0
    }

    #[test]
    fn the_normal_distribution_is_within_its_bound() {
        on_each_instruction_set(|set| {
            let x: Vec<f32> = (-700..=700).map(|i| i as f32 * 0.011).collect();
            for (&x, y) in x.iter().zip(map(Cumulative, &x)) {
                let exact = exact(f64::from(x));
                assert!((f64::from(y) - exact).abs() < 2.5e-7, "{set:?}: Phi({x}) = {y}, {exact}");
            }
        });
    }
}
