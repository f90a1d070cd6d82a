//! What records a forward pass.

use std::{collections::HashMap, fmt::Display};

use burn::{
    module::{Param, ParamId},
    tensor::Tensor as Values,
};
use vitral_program::{
    DType, Dim, Initializer, Limits, Op, Program, Shape, Tensor, TensorType, Tracer, ops as op,
    reference,
};
use vitral_seed::Seed;

use super::interface::{IMAGES, VitProgramError};
use crate::{
    Mode, ViT,
    block::Blocks,
    grid::Grid,
    ops::Ops,
    parameters::{self, ParameterInfo},
    program_attention::ProgramAttention,
    waves::Rope,
};

/// Records the ops of a model in evaluation mode.
pub(crate) struct Trace {
    tracer: Tracer,
    /// Where in the model the next op belongs, as in `blocks.3.attn`.
    place: Vec<String>,
    image: [usize; 3],
    grid: [usize; 2],
    any_size: bool,
    infos: HashMap<ParamId, ParameterInfo>,
    parameters: HashMap<ParamId, Tensor>,
    /// The layers that parameters are of.
    layers: HashMap<Tensor, String>,
    /// Cosines and sines of RoPE by head width, where they are recorded once.
    pub(super) rotary: HashMap<usize, [Tensor; 2]>,
    problem: Option<VitProgramError>,
}

/// A model is the user's own and may be as large as any; a plugin's part has been checked already.
fn limits() -> Limits {
    Limits {
        nodes: 1 << 20,
        names: 1 << 20,
        operands: 1 << 12,
        elements: 1 << 36,
        parameter_elements: 1 << 40,
        constant_bytes: 1 << 34,
        bytes: u64::MAX,
        peak_bytes: u64::MAX,
        flops: u64::MAX,
        ..Limits::default()
    }
}

impl Trace {
    /// For images of the model's own size.
    pub(super) fn new(model: &ViT) -> Self {
        let side = model.config().grid();
        Self { any_size: false, ..Self::of_grid(model, [side, side]) }
    }

    /// For images of any size, for which a grid of rows and columns stands.
    pub(super) fn of_grid(model: &ViT, grid: [usize; 2]) -> Self {
        let config = model.config();
        let [height, width] = grid.map(|side| side * config.patch_pixels());
        Self {
            tracer: Tracer::new("vit", limits()),
            place: Vec::new(),
            image: [height, width, config.channels],
            grid,
            any_size: true,
            infos: parameters::identified(model).into_iter().collect(),
            parameters: HashMap::new(),
            layers: HashMap::new(),
            rotary: HashMap::new(),
            problem: None,
        }
    }

    /// Rows and columns of patches.
    pub(super) const fn grid(&self) -> [usize; 2] {
        self.grid
    }

    /// The input: `[B, height, width, channels]`.
    pub(super) fn images(&mut self) -> Tensor {
        let dims = [&[Dim::BATCH], &self.image.map(Dim::from)[..]].concat();
        // Four dimensions, of which the batch is one.
        let shape = Shape::new(dims).expect("a shape of four dimensions");
        self.tracer.input(IMAGES, TensorType::new(DType::F32, shape))
    }

    /// Pixels from 0 to 255 to what the model sees, with the arithmetic of the data pipeline.
    pub(super) fn normalized(&mut self, images: Tensor, mean: &[f32], std: &[f32]) -> Tensor {
        let scaled = |values: &[f32]| values.iter().map(|value| 255.0 * value).collect::<Vec<_>>();
        self.within("normalize", |trace| {
            let mean = trace.constant(&[mean.len()], &scaled(mean));
            let std = trace.constant(&[std.len()], &scaled(std));
            let centred = trace.apply(op::Sub {}, [images, mean]);
            trace.apply(op::Div {}, [centred, std])
        })
    }

    pub(super) fn finish(self, name: &str, output: Tensor) -> Result<Program, VitProgramError> {
        match self.problem {
            Some(problem) => Err(problem),
            None => Ok(self.tracer.finish(&[(name, output)])?),
        }
    }
}

/// In evaluation, nothing is computed again.
impl Blocks for Trace {}

impl Ops for Trace {
    type Tensor = Tensor;

    fn apply_all(&mut self, op: Op, operands: Vec<Tensor>) -> Vec<Tensor> {
        // What has parameters is known by the layer that they are of.
        let layer = operands.iter().find_map(|operand| self.layers.get(operand));
        let label = layer.cloned().unwrap_or_else(|| self.place.join("."));
        self.tracer.apply_all(op, &operands, &label)
    }

    fn dims(&self, tensor: &Tensor) -> Vec<Dim> {
        // None of what follows from an error.
        let r#type = self.tracer.type_of(*tensor);
        r#type.map_or_else(Vec::new, |r#type| r#type.shape.dims().to_vec())
    }

    fn parameter<const D: usize>(&mut self, parameter: &Param<Values<D>>) -> Tensor {
        if let Some(&known) = self.parameters.get(&parameter.id) {
            return known;
        }
        // A plugin's parameters are flat in the model, and have their own shape in a program.
        let info = &self.infos[&parameter.id];
        // A tensor that exists has a shape.
        let shape = Shape::fixed(&info.shape).expect("the shape of a parameter");
        let tensor = self.tracer.parameter(&info.name, shape, Initializer::Constant(0.0), false);
        let layer = info.name.rsplit_once('.').map_or("", |(layer, _)| layer);
        self.layers.insert(tensor, layer.to_owned());
        self.parameters.insert(parameter.id, tensor);
        tensor
    }

    fn program(
        &mut self,
        program: &ProgramAttention,
        inputs: [Tensor; 3],
        layer: usize,
        _: Mode,
    ) -> Tensor {
        let [query, ..] = inputs;
        let name = program.program().name().to_owned();
        self.within(name, |trace| inlined(trace, program, inputs)).unwrap_or_else(|plugin| {
            self.problem.get_or_insert(VitProgramError::Random { layer, plugin });
            query
        })
    }

    fn within<T>(&mut self, name: impl Display, part: impl FnOnce(&mut Self) -> T) -> T {
        self.place.push(name.to_string());
        let result = part(self);
        self.place.pop();
        result
    }

    fn any_size(&self) -> bool {
        self.any_size
    }

    fn resize_filter(&mut self, full: usize, side: usize) -> Tensor {
        match self.any_size {
            true => self.any_resize_filter(full, side),
            false => self.fixed_resize_filter(full, side),
        }
    }

    fn sincos(&mut self, grid: Grid, width: usize) -> Tensor {
        match self.any_size {
            true => self.any_sincos(grid.full, width),
            false => self.fixed_sincos(grid, width),
        }
    }

    fn rotary(&mut self, grid: Grid, head_dim: usize, rope: &Rope) -> [Tensor; 2] {
        match self.any_size {
            true => self.any_rotary(grid.full, head_dim, rope),
            false => self.fixed_rotary(grid, head_dim, rope),
        }
    }
}

/// Records the ops of a plugin's attention, as they run in evaluation, on queries, keys and values.
///
/// # Errors
/// The plugin's name, if it draws random numbers for each sample of the batch.
fn inlined(
    trace: &mut Trace,
    attention: &ProgramAttention,
    inputs: [Tensor; 3],
) -> Result<Tensor, String> {
    let program = attention.program();
    let mut values = inputs.to_vec();
    for (declared, parameter) in program.parameters().iter().zip(attention.parameters()) {
        let flat = trace.parameter(parameter);
        // A program's parameters are flat in the model, and have the program's shapes in it.
        values.push(trace.reshape(flat, declared.shape.dims()));
    }
    for (index, node) in program.nodes().iter().enumerate() {
        let operands = node.operands().iter().map(|id| values[id.index()]);
        let mut operands: Vec<_> = operands.collect();
        match node.op() {
            Op::Dropout(_) => values.push(operands.swap_remove(0)),
            Op::Random(random) => {
                let Dim::Fixed(count) = random.shape.elements() else {
                    return Err(program.name().to_owned());
                };
                // Evaluation draws the same numbers each time.
                let drawn = random.draw(reference::stream(Seed::new(0), index), count);
                let r#type = TensorType::new(DType::F32, random.shape.clone());
                let drawn = drawn.into_iter().map(f64::from).collect();
                values.push(trace.apply(op::Constant { r#type, values: drawn }, []));
            }
            op => values.extend(trace.apply_all(op.clone(), operands)),
        }
    }
    // A program has an output; the layer has checked that it is one.
    Ok(values[program.outputs()[0].value.index()])
}
