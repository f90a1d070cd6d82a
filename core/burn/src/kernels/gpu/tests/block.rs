//! Blocks and their halves against those of the CPU.

use burn::{
    backend::DispatchTensor,
    tensor::{Device, FloatDType, Gradients, Tensor},
};
use vitral_kernels::activation::Activation;

use super::{assert_close, gpu, read, tensor, types, values};
use crate::{
    composite::{Around, AttentionBranch, Composite, MlpBranch},
    cpu::is_cpu,
    kernels::{find, run},
    program::padded,
    recording::Drawn,
};

/// Blocks and their halves with all that may be around them, and with nothing; of tokens and widths that fill no tile,
/// and more rows than cubes.
#[test]
fn blocks_and_halves_are_those_of_the_cpu() {
    let (batch, tokens, width, heads, head_width, hidden) = (11, 50, 48, 3, 16, 70);
    let shape = [batch, tokens, width];
    let inner = heads * head_width;
    let around = |dropped: bool, sample_scales: [f32; 3]| Around {
        eps: 1e-6,
        sample_scales: dropped.then(|| Drawn {
            stream: 0,
            values: sample_scales.into_iter().cycle().take(batch).collect(),
        }),
    };
    let attention =
        |dropped| AttentionBranch { around: around(dropped, [2.0, 0.0, 1.5]), heads, head_width };
    let mlp = |activation, dropped| MlpBranch {
        around: around(dropped, [0.5, 1.25, 0.0]),
        activation,
        hidden,
    };
    // The parameters of a half, which is so wide behind its first product, and in front of its second.
    let sizes = |columns, inner| {
        let matrices = [vec![width, columns], vec![columns], vec![inner, width]];
        [vec![width], vec![width]].into_iter().chain(matrices).chain([vec![width], vec![width]])
    };
    let of_attention = || sizes(3 * inner, inner).collect::<Vec<_>>();
    let of_mlp = || sizes(hidden, hidden).collect::<Vec<_>>();
    let device = gpu();
    // With biases, LayerScale and drop path; without; as the first ViT has it; and with one of the last two.
    let all =
        [[true; 3], [false; 3], [true, false, false], [true, true, false], [true, false, true]];
    for has in all {
        let [biased, scaled, dropped] = has;
        let gelu = || mlp(Activation::Gelu, dropped);
        let cases = [
            (Composite::AttentionBranch(attention(dropped)), of_attention()),
            (Composite::MlpBranch(gelu()), of_mlp()),
            (Composite::MlpBranch(mlp(Activation::GeluTanh, dropped)), of_mlp()),
            (Composite::Block(attention(dropped), gelu()), [of_attention(), of_mlp()].concat()),
        ];
        for (composite, sizes) in cases {
            let compute = |dtype: FloatDType, device: &Device, tracked: bool| {
                let device = if tracked { device.clone().autodiff() } else { device.clone() };
                let x = tensor(&values(shape.iter().product(), 1), padded(&shape), &device);
                let x = if tracked { x.require_grad() } else { x };
                let mut parameters: Vec<Option<Parameters>> = Vec::new();
                for (at, sizes) in sizes.iter().enumerate() {
                    let is_there = match at % Composite::BRANCH {
                        3 | 5 => biased,
                        6 => scaled,
                        _ => true,
                    };
                    let parameter = || {
                        let list = values(sizes.iter().product(), at as u64 + 2);
                        // Products of about the size of what they are of.
                        let list: Vec<f32> = list.iter().map(|value| value * 0.25).collect();
                        Parameters::new(&list, sizes, &device, tracked)
                    };
                    parameters.push(is_there.then(parameter));
                }
                // The CPU has kernels for halves alone.
                let parts = match &composite {
                    Composite::Block(attention, mlp) if is_cpu(&device) => vec![
                        Composite::AttentionBranch(attention.clone()),
                        Composite::MlpBranch(mlp.clone()),
                    ],
                    whole => vec![whole.clone()],
                };
                let mut tokens = x.clone().cast(dtype);
                for (part, parameters) in
                    parts.iter().zip(parameters.chunks(parameters.len() / parts.len()))
                {
                    let kernel = find(part, &tokens, dtype.into()).unwrap();
                    let others = parameters.iter().map(|one| one.as_ref().map(Parameters::operand));
                    let (out, rank) = run(part.clone(), kernel, tokens, others.collect());
                    assert_eq!(rank, 3);
                    tokens = out.float().unwrap();
                }
                let out = tokens.reshape(shape).cast(FloatDType::F32);
                if !tracked {
                    return vec![read(out)];
                }
                let factors = tensor(&values(shape.iter().product(), 20), shape, &device);
                let grads = (out.clone() * factors).sum().backward();
                let of_parameters = parameters.iter().flatten().map(|one| one.gradient(&grads));
                let found = [read(out), read(x.grad(&grads).unwrap())];
                found.into_iter().chain(of_parameters).collect::<Vec<_>>()
            };
            let wanted = compute(FloatDType::F32, &Device::flex(), true);
            for (dtype, rounding) in types(&device) {
                let found = compute(dtype, &device, true);
                // The same where nothing is kept for backward.
                assert_eq!(compute(dtype, &device, false)[0], found[0]);
                assert_eq!(found.len(), wanted.len());
                for (at, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
                    let name = format!("{composite:?} {has:?} {dtype:?} {at}");
                    assert_close(&name, found, wanted, 3.0 * rounding);
                }
            }
        }
    }
}

/// A vector or a matrix of parameters.
enum Parameters {
    Vector(Tensor<1>),
    Matrix(Tensor<2>),
}

impl Parameters {
    fn new(values: &[f32], sizes: &[usize], device: &Device, tracked: bool) -> Self {
        let made = match *sizes {
            [rows, columns] => Self::Matrix(tensor(values, [rows, columns], device)),
            _ => Self::Vector(tensor(values, [values.len()], device)),
        };
        match made {
            Self::Matrix(matrix) if tracked => Self::Matrix(matrix.require_grad()),
            Self::Vector(vector) if tracked => Self::Vector(vector.require_grad()),
            constant => constant,
        }
    }

    fn operand(&self) -> DispatchTensor {
        match self {
            Self::Vector(tensor) => tensor.clone().into_dispatch(),
            Self::Matrix(tensor) => tensor.clone().into_dispatch(),
        }
    }

    fn gradient(&self, gradients: &Gradients) -> Vec<f32> {
        match self {
            Self::Vector(tensor) => read(tensor.grad(gradients).unwrap()),
            Self::Matrix(tensor) => read(tensor.grad(gradients).unwrap()),
        }
    }
}
