//! `+`, `-`, `*` and `/` between tensors, and between tensors and numbers.

use std::ops::{Add, Div, Mul, Neg, Sub};

use super::{Operand, Tensor};

macro_rules! operators {
    ($($Trait:ident $method:ident;)*) => {$(
        impl<T: Into<Operand>> $Trait<T> for Tensor {
            type Output = Self;

            fn $method(self, other: T) -> Self {
                Tensor::$method(self, other)
            }
        }

        impl $Trait<Tensor> for f64 {
            type Output = Tensor;

            fn $method(self, other: Tensor) -> Tensor {
                Tensor::$method(Operand::from(self).like(other), other)
            }
        }
    )*};
}

operators! {
    Add add;
    Div div;
    Mul mul;
    Sub sub;
}

impl Neg for Tensor {
    type Output = Self;

    fn neg(self) -> Self {
        Tensor::neg(self)
    }
}
