//! Gradients of a plugin's programs as the trainer computes them, against finite differences of the
//! reference.

use burn::tensor::{Device, Tensor, TensorData};
use vitral_burn::program::{Executable, RANK, Value};
use vitral_host::{Kind, Layer, Plugin, Setting};
use vitral_program::{Array, DType, Program, reference};
use vitral_seed::Seed;
use vitral_testkit::arrays::{noise, one_hot, trained};

use super::{
    cases::{BATCH, Configuration, Input, LAYER, configurations},
    finding::{Checked, Problem, all},
    run::{Output, run},
};

/// Images of a batch.
const IMAGES: usize = 2;
/// The most values of each input and parameter whose slope is measured.
const VALUES: usize = 48;
/// How far a value is moved for its slope.
const STEP: f64 = 1e-5;
/// How far a gradient may be off, relative to the largest of its tensor or to 1.
const TOLERANCE: f64 = 1e-3;
/// The seed of what is random in a program.
const SEED: u64 = 5;

/// Compares gradients in every configuration.
pub(super) fn check(plugin: &Plugin) -> Checked {
    let mut problems = Vec::new();
    let mut compared = 0;
    for Configuration { title, settings } in configurations(plugin.description()) {
        for input in inputs(plugin.kind()) {
            match of_input(plugin, &settings, &input) {
                Ok(count) => compared += count,
                Err(problem) => problems.push(format!("{title}, {input}: {problem}")),
            }
        }
    }
    all(problems)?;
    match compared {
        0 => Err(Problem::Skipped("nothing could be compared".into())),
        _ => Ok(format!("{compared} slopes")),
    }
}

fn inputs(kind: Kind) -> Vec<Input> {
    match kind {
        Kind::BatchAugmentation => vec![Input::Batch(BATCH)],
        _ => [LAYER, Layer { index: 0, dropout: 0.1, ..LAYER }].map(Input::Layer).into(),
    }
}

fn of_input(plugin: &Plugin, settings: &[Setting], input: &Input) -> Result<usize, String> {
    match run(plugin, settings, input) {
        Ok(Output::Program(program)) => compare(&program, given(&program)?),
        Ok(_) => Err("it gives no program".into()),
        Err(failure) => Err(failure.to_string()),
    }
}

/// Arrays for the inputs, then for the parameters.
fn given(program: &Program) -> Result<Vec<Array>, String> {
    let input = |(index, input): (usize, &vitral_program::Input)| {
        let shape = input.r#type.shape.at(IMAGES).map_err(|misfit| misfit.to_string())?;
        Ok(match shape[..] {
            // Targets are distributions.
            [rows, classes] => one_hot(rows, classes),
            _ => noise(&shape, index as u64),
        })
    };
    let inputs = program.inputs().iter().enumerate().map(input);
    inputs.chain(trained(program, 1).into_iter().map(Ok)).collect()
}

/// Compares results and gradients of a program, and says how many slopes were compared.
fn compare(program: &Program, given: Vec<Array>) -> Result<usize, String> {
    let reference = Reference { program, given };
    let gradients = trained_gradients(&reference)?;
    compare_gradients(&reference, &gradients)
}

/// Compares the gradients by each array with slopes of the reference.
fn compare_gradients(reference: &Reference<'_>, gradients: &[Vec<f64>]) -> Result<usize, String> {
    let program = reference.program;
    let names = program.inputs().iter().map(|input| &input.name);
    let names = names.chain(program.parameters().iter().map(|parameter| &parameter.name));
    let mut compared = 0;
    for (index, (name, gradient)) in names.zip(gradients).enumerate() {
        let slopes = reference.slopes(index)?;
        let scale = slopes.iter().map(|(_, slope)| slope.abs()).fold(1.0, f64::max);
        for (at, slope) in slopes {
            let found = gradient[at];
            let is_close = (found - slope).abs() <= TOLERANCE * scale;
            if !is_close {
                return Err(format!(
                    "the gradient by value {at} of `{name}` is {found}, but the slope is {slope}"
                ));
            }
            compared += 1;
        }
    }
    Ok(compared)
}

/// A program, and arrays for its inputs and parameters.
struct Reference<'p> {
    program: &'p Program,
    given: Vec<Array>,
}

impl Reference<'_> {
    fn run(&self, given: &[Array]) -> Result<Vec<Array>, String> {
        let (inputs, parameters) = given.split_at(self.program.inputs().len());
        let outputs = reference::run(self.program, IMAGES, inputs, parameters, Some(SEED));
        outputs.map_err(|error| error.to_string())
    }

    /// A weighted sum of all results.
    fn loss(&self, given: &[Array]) -> Result<f64, String> {
        let outputs = self.run(given)?;
        let sum = |(index, output): (usize, &Array)| -> f64 {
            let weights = weights(output.shape(), index);
            output.values().iter().zip(weights.values()).map(|(a, b)| a * b).sum()
        };
        Ok(outputs.iter().enumerate().map(sum).sum())
    }

    /// The slopes of the loss by values of one array, where there is a slope: not where a step to
    /// the left gives another than a step to the right.
    fn slopes(&self, index: usize) -> Result<Vec<(usize, f64)>, String> {
        let here = self.loss(&self.given)?;
        let mut slopes = Vec::new();
        for at in places(self.given[index].values().len()) {
            let [left, right] = [-STEP, STEP].map(|by| self.loss(&self.moved(index, at, by)?));
            let (left, right) = ((here - left?) / STEP, (right? - here) / STEP);
            let slope = (left + right) / 2.0;
            if (right - left).abs() <= TOLERANCE * slope.abs().max(1.0) {
                slopes.push((at, slope));
            }
        }
        Ok(slopes)
    }

    /// The arrays with one value moved.
    fn moved(&self, index: usize, at: usize, by: f64) -> Result<Vec<Array>, String> {
        let mut given = self.given.clone();
        let (shape, mut values) = (given[index].shape().to_vec(), given[index].values().to_vec());
        values[at] += by;
        given[index] =
            Array::new(DType::F32, shape, values).map_err(|misfit| misfit.to_string())?;
        Ok(given)
    }
}

/// Weights of a result in the loss.
fn weights(shape: &[usize], index: usize) -> Array {
    noise(shape, 100 + index as u64)
}

/// At most [`VALUES`] places, spread evenly.
fn places(count: usize) -> impl Iterator<Item = usize> {
    let chosen = count.min(VALUES);
    (0..chosen).map(move |index| index * count / chosen)
}

/// The gradients by each array, as the trainer computes them. Its results must be the reference's.
fn trained_gradients(reference: &Reference<'_>) -> Result<Vec<Vec<f64>>, String> {
    let program = reference.program;
    let device = Device::flex().autodiff();
    let leaves: Vec<_> =
        reference.given.iter().map(|it| tensor(it, &device).require_grad()).collect();
    let (inputs, parameters) = leaves.split_at(program.inputs().len());
    let inputs = inputs.iter().cloned().map(Value::Float).collect();
    let flat = |tensor: &Tensor<RANK>| tensor.clone().reshape([tensor.shape().num_elements()]);
    let parameters: Vec<Tensor<1>> = parameters.iter().map(flat).collect();
    let executable = Executable::new(program, &device);
    let outputs = executable.run(inputs, &parameters, IMAGES, Some(Seed::new(SEED)));
    let outputs = outputs.map_err(|error| error.to_string())?;

    let mut loss = Tensor::<1>::zeros([1], &device);
    let expected = reference.run(&reference.given)?;
    for (index, (output, expected)) in outputs.into_iter().zip(expected).enumerate() {
        // Outputs of plugins' programs are floats.
        let Some(output) = output.float() else { continue };
        same(&host(output.clone()), &expected, &program.outputs()[index].name)?;
        let weights = tensor(&weights(expected.shape(), index), &device);
        loss = loss + (output * weights).sum();
    }
    // Nothing is tracked where no result depends on what was given.
    let gradients = loss.is_tracked().then(|| loss.backward());
    let gradient = |leaf: &Tensor<RANK>| {
        let gradient = gradients.as_ref().and_then(|gradients| leaf.grad(gradients));
        gradient.map_or_else(|| vec![0.0; leaf.shape().num_elements()], host)
    };
    Ok(leaves.iter().map(gradient).collect())
}

fn same(found: &[f64], expected: &Array, name: &str) -> Result<(), String> {
    let differs = |(found, expected): (&f64, &f64)| {
        let is_close = (found - expected).abs() <= TOLERANCE * (1.0 + expected.abs());
        found != expected && !is_close
    };
    match found.iter().zip(expected.values()).position(differs) {
        None => Ok(()),
        Some(at) => {
            let (found, expected) = (found[at], expected.values()[at]);
            Err(format!("value {at} of `{name}` is {found} in training, but must be {expected}"))
        }
    }
}

/// An array as the trainer has it: with ones in front of its shape.
fn tensor(array: &Array, device: &Device) -> Tensor<RANK> {
    let values: Vec<_> = array.values().iter().map(|&value| value as f32).collect();
    let mut shape = [1; RANK];
    shape[RANK - array.shape().len()..].copy_from_slice(array.shape());
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn host(tensor: Tensor<RANK>) -> Vec<f64> {
    tensor.without_autodiff().into_data().iter::<f64>().collect()
}

#[cfg(test)]
mod tests {
    use vitral_program::{Initializer, Limits, Tracer, ops};

    use super::*;

    fn program(
        op: impl FnOnce(&mut Tracer, vitral_program::Tensor) -> vitral_program::Tensor,
    ) -> Program {
        let mut trace = Tracer::new("test", Limits::default());
        let x = trace.input("x", "f32[B,3,5]".parse().unwrap());
        let gain =
            trace.parameter("gain", "[5]".parse().unwrap(), Initializer::Constant(1.0), false);
        let x = trace.apply(ops::Mul {}, &[x, gain], "");
        let y = op(&mut trace, x);
        trace.finish(&[("y", y)]).unwrap()
    }

    fn compared(program: &Program) -> Result<usize, String> {
        compare(program, given(program).unwrap())
    }

    #[test]
    fn smooth_programs_are_compared_everywhere() {
        let program = program(|trace, x| trace.apply(ops::Softmax { axis: 2 }, &[x], ""));
        assert_eq!(compared(&program), Ok(2 * 3 * 5 + 5));
    }

    #[test]
    fn wrong_gradients_are_found() {
        let program = program(|trace, x| trace.apply(ops::Softmax { axis: 2 }, &[x], ""));
        let reference = Reference { program: &program, given: given(&program).unwrap() };
        let right = trained_gradients(&reference).unwrap();
        assert!(compare_gradients(&reference, &right).is_ok());
        for (index, at, name) in [(0, 29, "29 of `x`"), (1, 2, "2 of `gain`")] {
            for wrong in [right[index][at] + 0.01, f64::NAN] {
                let mut gradients = right.clone();
                gradients[index][at] = wrong;
                let problem = compare_gradients(&reference, &gradients).unwrap_err();
                assert!(problem.contains(name), "{problem}");
            }
        }
    }

    #[test]
    fn where_there_is_no_slope_none_is_compared() {
        let program = program(|trace, x| trace.apply(ops::Relu {}, &[x], ""));
        let mut given = given(&program).unwrap();
        let mut values = given[0].values().to_vec();
        values[7] = 0.0;
        given[0] = Array::new(DType::F32, [2, 3, 5], values).unwrap();
        assert_eq!(compare(&program, given), Ok(2 * 3 * 5 + 5 - 1));
    }

    #[test]
    fn programs_without_gradients_have_slopes_of_zero() {
        let program = program(|trace, x| trace.apply(ops::Sign {}, &[x], ""));
        assert_eq!(compared(&program), Ok(2 * 3 * 5 + 5));
    }

    #[test]
    fn places_are_spread() {
        assert_eq!(places(3).collect::<Vec<_>>(), [0, 1, 2]);
        let places: Vec<_> = places(1000).collect();
        assert_eq!((places.len(), places[47]), (VALUES, 979));
        assert_eq!(super::places(0).count(), 0);
    }
}
