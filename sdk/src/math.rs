//! Functions of numbers whose results are the same on every machine.
//!
//! The standard library's `sin`, `exp`, `powf` and the like come from the system, and systems differ
//! in the last digit. These are [`libm`]'s, in Rust for every target. Arithmetic, `sqrt`, `floor`,
//! `abs`, `min` and `max` of the standard library are exact everywhere.

pub use libm::{
    acos, acosf, acosh, acoshf, asin, asinf, asinh, asinhf, atan, atan2, atan2f, atanf, atanh,
    atanhf, cbrt, cbrtf, cos, cosf, cosh, coshf, erf, erfc, erfcf, erff, exp, exp2, exp2f, expf,
    expm1, expm1f, fmod, fmodf, hypot, hypotf, lgamma, lgammaf, log, log1p, log1pf, log2, log2f,
    log10, log10f, logf, pow, powf, sin, sincos, sincosf, sinf, sinh, sinhf, tan, tanf, tanh,
    tanhf, tgamma, tgammaf,
};
