//! Updates of many parameters at once against those of the CPU.

use burn::tensor::{Device, Tensor};
use vitral_kernels::optimizer::{self, Rule, Step};

use super::{assert_close, gpu, read, tensor, values};
use crate::kernels::{Parameter, Update, added, scaled, squared_norm, stepped, steps_at_once};

/// Lengths of more parameters than a launch takes, one of them longer than all cubes of its.
fn lengths() -> Vec<usize> {
    (0..70).map(|at| 1 + at * at * 7 % 1500).chain([300_000]).collect()
}

/// Some values of each parameter.
fn of_parameters(seed: u64, device: &Device) -> (Vec<Vec<f32>>, Vec<Tensor<1>>) {
    let values: Vec<Vec<f32>> =
        lengths().into_iter().zip(seed..).map(|(length, seed)| values(length, seed)).collect();
    let tensors = values.iter().map(|values| tensor(values, [values.len()], device)).collect();
    (values, tensors)
}

#[test]
fn squares_of_many_tensors_add_up() {
    let (values, tensors) = of_parameters(1, &gpu());
    let wanted: f64 = values.iter().flatten().map(|&value| f64::from(value).powi(2)).sum();
    let found = read(squared_norm(&tensors).unwrap());
    assert_eq!(found.len(), 1);
    assert!((f64::from(found[0]) / wanted - 1.0).abs() < 1e-6, "{found:?} is not {wanted}");
    let on_cpu = of_parameters(1, &Device::flex()).1;
    assert!(squared_norm(&on_cpu).is_none() && !steps_at_once(&on_cpu));
}

/// What others hold of the sums stays what it is.
#[test]
fn many_tensors_are_scaled_and_added() {
    let device = gpu();
    let (values, tensors) = of_parameters(1, &device);
    let (others, other_tensors) = of_parameters(101, &device);
    let held = tensors.clone();
    for (at, sum) in added(tensors, other_tensors).into_iter().enumerate() {
        let wanted: Vec<f32> = values[at].iter().zip(&others[at]).map(|(a, b)| a + b).collect();
        assert_eq!(read(sum), wanted, "the sum of {at}");
        assert_eq!(read(held[at].clone()), values[at], "what is held of {at} changed");
    }
    for (at, product) in scaled(held, 0.125).into_iter().enumerate() {
        let wanted: Vec<f32> = values[at].iter().map(|value| value * 0.125).collect();
        assert_eq!(read(product), wanted, "the product of {at}");
    }
}

/// All parameters move, the moving average with them, and averages that others hold stay what they are.
#[test]
fn steps_of_many_parameters_are_those_of_the_cpu() {
    let device = gpu();
    let (rate, decay, clip) = (0.125, 0.25, 0.5);
    let update = Update {
        rule: Rule::AdamW { beta1: 0.9, beta2: 0.99, eps: 1e-8 },
        number: 3,
        ema_decay: 0.75,
    };
    let [mut value, mut gradient, mut first, mut second, mut ema] =
        [1, 101, 201, 301, 401].map(|seed| of_parameters(seed, &device));
    for (square, tensor) in second.0.iter_mut().zip(&mut second.1) {
        square.iter_mut().for_each(|value| *value = value.abs());
        *tensor = tensor.clone().abs();
    }
    let held = first.1.clone();
    assert!(steps_at_once(&value.1));
    let parameters = (0..value.1.len()).map(|at| Parameter {
        value: value.1[at].clone(),
        gradient: gradient.1[at].clone(),
        averages: vec![first.1[at].clone(), second.1[at].clone()],
        ema: Some(ema.1[at].clone()),
        learning_rate: rate,
        weight_decay: decay,
    });
    let clip_factor = tensor(&[clip], [1], &device);
    let found = stepped(parameters.collect(), Some(&clip_factor), update).unwrap();

    let untouched = first.0.clone();
    let Update { rule, number, ema_decay } = update;
    let step = Step { rule, update: number, gradient_scale: clip, ema_decay };
    let mut parameters: Vec<optimizer::Parameter<'_>> = Vec::new();
    let averages = first.0.iter_mut().zip(&mut second.0);
    let rest = gradient.0.iter_mut().zip(averages).zip(&mut ema.0);
    for (value, ((gradient, (first, second)), ema)) in value.0.iter_mut().zip(rest) {
        parameters.push(optimizer::Parameter {
            value,
            gradient,
            averages: [first, second],
            ema,
            learning_rate: rate,
            weight_decay: decay,
        });
    }
    step.run(&mut parameters);
    for (at, found) in found.into_iter().enumerate() {
        let [found_first, found_second] = &found.averages[..] else { panic!("two averages") };
        for (name, found, wanted) in [
            ("value", &found.value, &gradient.0[at]),
            ("average", found_first, &first.0[at]),
            ("square", found_second, &second.0[at]),
            ("moving average", found.ema.as_ref().unwrap(), &ema.0[at]),
        ] {
            assert_close(&format!("{name} of {at}"), &read(found.clone()), wanted, 2e-6);
        }
        assert_eq!(read(held[at].clone()), untouched[at], "what is held of {at} changed");
    }
}
