//! The bias that follows a product of matrices.

use burn::{
    backend::Cube,
    tensor::{FloatDType, Tensor},
};
use vitral_gpu_kernels::GpuKernels;

use super::operation::{self, Operation, Values, run};

/// `product + bias`, summed in `f32`, of `[rows, width]` on a GPU.
pub(in super::super) fn biased(product: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    run(Biased, [product.into_dispatch(), bias.into_dispatch()])
}

/// Forward are operations of Burn, which it fuses with what comes next; backward passes the gradient on, and adds up
/// its columns.
#[derive(Clone, Debug)]
struct Biased;

impl Operation<2> for Biased {
    type Saved = ();

    fn forward(&self, [product, bias]: [Values; 2]) -> (Values, ()) {
        let product = Tensor::<2>::from_primitive::<Cube>(product);
        let bias = Tensor::<1>::from_primitive::<Cube>(bias);
        let dtype = FloatDType::from(product.dtype());
        let sum = (product.cast(FloatDType::F32) + bias.unsqueeze()).cast(dtype);
        (operation::on_gpu(sum.into_dispatch()).float(), ())
    }

    fn backward(self, (): (), gradient: Values, [_, wants_bias]: [bool; 2]) -> [Option<Values>; 2] {
        let dbias = wants_bias.then(|| Cube::column_sums(gradient.clone()));
        [Some(gradient), dbias]
    }
}
