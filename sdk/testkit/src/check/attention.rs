//! What any attention variant must do.

use vitral_host::{Layer, Plugin};
use vitral_program::{Array, Program};

use super::{Case, configurations, program};
use crate::arrays::{close, finite, parameters, trained, try_run};
use crate::attention::{Attention, layer, noise};
use crate::opened::Opened;
use crate::report::Report;

/// How far results for an image may differ by what else is in its batch.
const TOLERANCE: f64 = 1e-9;

/// Traces an attention variant for layers of several shapes, and runs its programs on the reference:
/// tracing again gives the same, results are finite and do not depend on the rest of the batch, in
/// training a seed gives the same each time.
pub fn attention(plugin: &Plugin) -> Report {
    let mut report = Report::new(plugin);
    for configuration in configurations(plugin) {
        let tested = Attention::with(Opened::with(plugin, &configuration.settings));
        for Case { input: layer, unusual } in layers() {
            let tested = tested.clone().layer(layer);
            let outcome = program(unusual, || tested.try_program())
                .and_then(|program| program.map_or(Ok(()), |program| runs(&program, &layer)));
            report.note(&format!("{}, {}", configuration.title, words(&layer)), outcome);
        }
    }
    report
}

fn layers() -> Vec<Case<Layer>> {
    let usual = layer();
    let case = |input| Case { input, unusual: false };
    let unusual = |input| Case { input, unusual: true };
    vec![
        case(usual),
        case(Layer { index: 0, ..usual }),
        case(Layer { index: 3, dropout: 0.25, ..usual }),
        unusual(Layer { prefix_tokens: 0, ..usual }),
        unusual(Layer { prefix_tokens: 5, grid_height: 3, grid_width: 7, ..usual }),
        unusual(Layer { heads: 1, head_width: 1, ..usual }),
        unusual(Layer { grid_height: 1, grid_width: 1, depth: 1, index: 0, ..usual }),
    ]
}

fn words(layer: &Layer) -> String {
    let Layer { index, depth, heads, head_width, prefix_tokens, grid_height, grid_width, dropout } =
        layer;
    format!(
        "layer {index} of {depth}, {heads} heads of width {head_width}, {prefix_tokens} prefix \
         tokens, {grid_height}x{grid_width} patches, dropout {dropout}"
    )
}

/// Runs a program with parameters as they start, and as they may be later.
fn runs(program: &Program, layer: &Layer) -> Result<(), String> {
    let (one, three) = (noise(layer, 1), noise(layer, 3));
    // The first image of three is another than the one of one.
    let first = three.clone().map(|input| first_image(&input));
    for parameters in [parameters(program, 1), trained(program, 2)] {
        let run = |inputs: &[Array; 3], seed| {
            let output = try_run(program, inputs, &parameters, seed)?.remove(0);
            finite("output", &output).map(|()| output)
        };
        run(&one, None)?;
        let together = first_image(&run(&three, None)?);
        close(together.values(), run(&first, None)?.values(), TOLERANCE)
            .map_err(|problem| format!("an image's result depends on its batch: {problem}"))?;
        if run(&three, Some(1))? != run(&three, Some(1))? {
            return Err("a different result in training with the same seed".into());
        }
    }
    Ok(())
}

fn first_image(array: &Array) -> Array {
    let mut shape = array.shape().to_vec();
    shape[0] = 1;
    let count: usize = shape.iter().product();
    crate::arrays::array(&shape, array.values()[..count].to_vec())
}
