//! What the tests of attention plugins share: programs and what they give, and attention in plain
//! loops to compare with.

#![allow(dead_code, reason = "each plugin's tests use a part")]

use vitral_host::{Layer, Plugin, Value};
use vitral_program::{Array, Program, reference};
use vitral_testkit::{Attention, arrays};

/// The plugins' common entry.
pub type Table = &'static vitral_sdk::abi::c::Plugin;

pub const BATCHES: [usize; 2] = [1, 3];

/// A layer of 4 with heads of this many and this wide, of prefix tokens before a grid.
pub fn layer(index: u32, [heads, head_width]: [u32; 2], prefix: u32, grid: [u32; 2]) -> Layer {
    let [grid_height, grid_width] = grid;
    Layer {
        index,
        depth: 4,
        heads,
        head_width,
        prefix_tokens: prefix,
        grid_height,
        grid_width,
        dropout: 0.0,
    }
}

/// The plugin's program for a layer, or what the user would read.
pub fn trace(table: Table, settings: &[(&str, Value)], layer: &Layer) -> Result<Program, String> {
    let tested = Attention::opened(Plugin::compiled_in(table).unwrap()).layer(*layer);
    let set = |tested: Attention, (name, value): &(&str, Value)| tested.set(*name, value.clone());
    settings.iter().fold(tested, set).try_program().map_err(|error| error.to_string())
}

/// The program for a layer that must have one, which must come out the same each time.
pub fn traced(table: Table, settings: &[(&str, Value)], layer: &Layer) -> Program {
    let trace = || trace(table, settings, layer).unwrap_or_else(|error| panic!("{error}"));
    let program = trace();
    assert_eq!(program, trace(), "the same when traced again");
    program
}

/// One run's inputs and parameters.
pub struct Run {
    pub layer: Layer,
    pub batch: usize,
    pub inputs: [Array; 3],
    pub parameters: Vec<Array>,
}

impl Run {
    /// With noise for everything, parameters too.
    pub fn new(program: &Program, layer: &Layer, batch: usize) -> Self {
        let shape = [batch, layer.heads as usize, tokens(layer), layer.head_width as usize];
        let inputs = [1, 2, 3].map(|seed| arrays::noise(&shape, seed));
        Self { layer: *layer, batch, inputs, parameters: arrays::trained(program, 4) }
    }

    /// With parameters as they start.
    pub fn at_start(program: &Program, layer: &Layer, batch: usize) -> Self {
        Self { parameters: arrays::parameters(program, 4), ..Self::new(program, layer, batch) }
    }

    /// What the program gives; with a seed as in training.
    pub fn output(&self, program: &Program, seed: Option<u64>) -> Vec<f64> {
        let outputs =
            reference::run(program, self.batch, &self.inputs, &self.parameters, seed).unwrap();
        let [output] = &outputs[..] else { panic!("one output") };
        assert_eq!(output.shape(), self.inputs[0].shape());
        output.values().to_vec()
    }

    /// All heads of all images, one after the other, in plain loops.
    pub fn heads(&self) -> impl Iterator<Item = Head<'_>> {
        let (tokens, width) = (tokens(&self.layer), self.layer.head_width as usize);
        let heads = self.layer.heads as usize;
        (0..self.batch * heads).map(move |at| {
            let size = tokens * width;
            let [query, key, value] =
                [0, 1, 2].map(|input| &self.inputs[input].values()[at * size..][..size]);
            Head { index: at % heads, tokens, width, query, key, value }
        })
    }
}

pub fn tokens(layer: &Layer) -> usize {
    layer.tokens() as usize
}

/// Queries, keys and values of one head and image, `[tokens, width]` each.
pub struct Head<'r> {
    pub index: usize,
    pub tokens: usize,
    pub width: usize,
    pub query: &'r [f64],
    pub key: &'r [f64],
    pub value: &'r [f64],
}

impl Head<'_> {
    /// The scaled product of a query and a key.
    pub fn score(&self, query: usize, key: usize) -> f64 {
        let (query, key) = (row(self.query, query, self.width), row(self.key, key, self.width));
        dot(query, key) / (self.width as f64).sqrt()
    }

    /// Softmax attention, `[tokens, width]`, with scores as given; none hides a key from a query.
    pub fn attend(&self, score: impl Fn(usize, usize) -> Option<f64>) -> Vec<f64> {
        self.attend_to(self.tokens, score)
    }

    /// The same, where there are more or fewer keys than queries.
    pub fn attend_to(&self, keys: usize, score: impl Fn(usize, usize) -> Option<f64>) -> Vec<f64> {
        let mut output = Vec::new();
        for query in 0..self.tokens {
            let seen: Vec<_> = (0..keys).filter_map(|k| Some((k, score(query, k)?))).collect();
            let weights = softmax(&seen.iter().map(|&(_, score)| score).collect::<Vec<_>>());
            for d in 0..self.width {
                let of = |(&(key, _), weight): (&(usize, f64), &f64)| {
                    weight * self.value[key * self.width + d]
                };
                output.push(seen.iter().zip(&weights).map(of).sum());
            }
        }
        output
    }

    /// Plain softmax attention.
    pub fn softmax_attention(&self) -> Vec<f64> {
        self.attend(|query, key| Some(self.score(query, key)))
    }
}

/// A row of a matrix.
pub fn row(values: &[f64], row: usize, width: usize) -> &[f64] {
    &values[row * width..][..width]
}

pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub fn softmax(scores: &[f64]) -> Vec<f64> {
    let powers: Vec<_> = scores.iter().map(|score| score.exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

#[track_caller]
pub fn assert_close(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        let difference = (found - expected).abs();
        assert!(difference <= tolerance, "{what}, value {at}: {found}, expected {expected}");
    }
}

/// Checks that a program is softmax attention.
#[track_caller]
pub fn assert_softmax_attention(program: &Program, layer: &Layer) {
    for batch in BATCHES {
        let run = Run::at_start(program, layer, batch);
        let expected: Vec<_> = run.heads().flat_map(|head| head.softmax_attention()).collect();
        assert_close(&run.output(program, None), &expected, 1e-12, &format!("{layer:?}"));
    }
}

/// Checks dropout of attention weights: none in evaluation, and in training the weights of a query
/// add up to 1 on average, but not always.
#[track_caller]
pub fn assert_drops_weights(table: Table, settings: &[(&str, Value)], layer: &Layer) {
    let plain = traced(table, settings, layer);
    let dropping = traced(table, settings, &Layer { dropout: 0.25, ..*layer });
    let mut run = Run::at_start(&plain, layer, 3);
    let expected = run.output(&plain, None);
    assert_close(&run.output(&dropping, None), &expected, 1e-12, "no dropout in evaluation");

    run.inputs[2] = arrays::filled(run.inputs[2].shape(), 1.0);
    let sums: Vec<_> = (0..50).flat_map(|seed| run.output(&dropping, Some(seed))).collect();
    let mean = sums.iter().sum::<f64>() / sums.len() as f64;
    assert!((mean - 1.0).abs() < 0.05, "weights add up to {mean} on average");
    assert!(sums.iter().any(|sum| (sum - 1.0).abs() > 0.1), "some weights are dropped");
}
