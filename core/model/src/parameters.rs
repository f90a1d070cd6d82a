//! The flat view on a model's weights: names and shapes in a fixed order, values and gradients as
//! one vector per parameter. Optimizers, averages and files work on this view and need not know
//! what a model looks like.

use burn::{
    backend::DispatchTensor,
    module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId},
    tensor::{Device, Gradients, Tensor},
};
use vitral_program::Program;
use vitral_seed::Seed;

use crate::{
    AttentionPrograms, ViT, ViTConfig,
    config::{AttentionKind, LayerAttention},
};

/// A parameter's name and shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterInfo {
    /// timm's name, as in `blocks.3.attn.qkv.weight`.
    pub name: String,
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Whether weight decay applies to it, where a plugin has said so.
    pub decay: Option<bool>,
}

impl ParameterInfo {
    /// Number of values.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Names and shapes of all parameters, in the order of the other functions here.
pub fn infos(model: &ViT) -> Vec<ParameterInfo> {
    identified(model).into_iter().map(|(_, info)| info).collect()
}

/// [`infos`] with the parameters' identities.
pub(crate) fn identified(model: &ViT) -> Vec<(ParamId, ParameterInfo)> {
    let mut visitor = InfoVisitor { path: Vec::new(), infos: Vec::new() };
    model.visit(&mut visitor);
    // What a program declares is kept flat; its names and shapes are the program's.
    for (layer, block) in model.blocks.iter().enumerate() {
        let Some(program) = block.attn.as_ref().and_then(|attn| attn.program.as_ref()) else {
            continue;
        };
        let prefix = format!("blocks.{layer}.attn.program.");
        let flat = visitor.infos.iter_mut().map(|(_, info)| info);
        let flat = flat.filter(|info| info.name.starts_with(&prefix));
        for (info, declared) in flat.zip(of_program(program.program(), layer)) {
            *info = declared;
        }
    }
    visitor.infos
}

/// Names and shapes of the parameters that a model of this configuration has, without memory for any.
///
/// A plugin's attention counts as softmax attention, since its parameters are its program's, and a model
/// whose classes are not known has no head.
pub fn of_config(config: &ViTConfig) -> Vec<(String, Vec<usize>)> {
    let without_plugins = |entry: &LayerAttention| LayerAttention {
        attention: AttentionKind::Softmax {
            heads: entry.attention.heads(),
            qk_norm: entry.attention.qk_norm(),
        },
        ..entry.clone()
    };
    let attention = config.attention.iter().map(without_plugins).collect();
    let known = ViTConfig { attention, classes: config.classes.max(1), ..config.clone() };
    let (programs, device) = (AttentionPrograms::new(), Device::flex());
    let model = ViT::unchecked(&known, &programs, Seed::new(0), &device);
    // Only a plugin's layer can lack something.
    let model = model.unwrap_or_else(|problem| unreachable!("{}", problem.message));
    let has = |name: &str| config.classes > 0 || !name.starts_with("head");
    let infos = infos(&model).into_iter().filter(|info| has(&info.name));
    infos.map(|info| (info.name, info.shape)).collect()
}

/// Names and shapes of the parameters that a program declares as the attention of a layer.
pub fn of_program(program: &Program, layer: usize) -> Vec<ParameterInfo> {
    let info = |parameter: &vitral_program::Parameter| ParameterInfo {
        name: format!("blocks.{layer}.attn.{}.{}", program.name(), parameter.name),
        shape: parameter.shape.dims().iter().map(|dim| dim.per_item()).collect(),
        decay: Some(parameter.decay),
    };
    program.parameters().iter().map(info).collect()
}

/// Number of trainable values.
pub fn count(model: &ViT) -> usize {
    infos(model).iter().map(ParameterInfo::elements).sum()
}

/// All values, each parameter flat, without their autodiff graph.
pub fn values(model: &ViT) -> Vec<Tensor<1>> {
    let mut visitor = ValueVisitor { values: Vec::new() };
    model.visit(&mut visitor);
    visitor.values
}

/// The parameters themselves, in the shapes that they have, without their autodiff graph.
pub fn tensors(model: &ViT) -> Vec<DispatchTensor> {
    let mut visitor = TensorVisitor { tensors: Vec::new() };
    model.visit(&mut visitor);
    visitor.tensors
}

/// All gradients, each parameter's flat; zeros where the loss does not depend on it.
pub fn gradients(model: &ViT, gradients: &mut Gradients) -> Vec<Tensor<1>> {
    let found = gradients_left(model, gradients);
    let mut values = ZeroVisitor { found: found.into_iter(), flat: Vec::new() };
    model.visit(&mut values);
    values.flat
}

/// The gradients that are there, each flat; none where the loss does not depend on the parameter, or it was handed
/// over ([`ViT::handing_over`]).
pub fn gradients_left(model: &ViT, gradients: &mut Gradients) -> Vec<Option<Tensor<1>>> {
    let mut visitor = GradientVisitor { gradients, flat: Vec::new() };
    model.visit(&mut visitor);
    visitor.flat
}

/// The identities of all parameters.
pub fn ids(model: &ViT) -> Vec<ParamId> {
    identified(model).into_iter().map(|(id, _)| id).collect()
}

/// The model with other values, given flat; parameters that are trained stay so.
///
/// # Panics
/// If the values are not as many, or not as long, as [`infos`] says.
pub fn with_values(model: ViT, values: Vec<Tensor<1>>) -> ViT {
    let mut mapper = ValueMapper { values: values.into_iter() };
    let model = model.map(&mut mapper);
    assert!(mapper.values.next().is_none(), "more values than parameters");
    model
}

struct InfoVisitor {
    path: Vec<String>,
    infos: Vec<(ParamId, ParameterInfo)>,
}

impl ModuleVisitor for InfoVisitor {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let (name, shape) = (self.path.join("."), param.lazy_shape().to_vec());
        self.infos.push((param.id, ParameterInfo { name, shape, decay: None }));
    }
}

fn flatten<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let count = tensor.dims().iter().product::<usize>();
    tensor.reshape([count])
}

struct ValueVisitor {
    values: Vec<Tensor<1>>,
}

impl ModuleVisitor for ValueVisitor {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.values.push(flatten(param.val().without_autodiff()));
    }
}

struct TensorVisitor {
    tensors: Vec<DispatchTensor>,
}

impl ModuleVisitor for TensorVisitor {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.tensors.push(param.val().without_autodiff().into_dispatch());
    }
}

struct GradientVisitor<'a> {
    gradients: &'a mut Gradients,
    flat: Vec<Option<Tensor<1>>>,
}

impl ModuleVisitor for GradientVisitor<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = param.val().grad_remove(self.gradients);
        self.flat.push(gradient.map(flatten));
    }
}

/// Fills in what has no gradient.
struct ZeroVisitor {
    found: std::vec::IntoIter<Option<Tensor<1>>>,
    flat: Vec<Tensor<1>>,
}

impl ModuleVisitor for ZeroVisitor {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let found = self.found.next().flatten();
        let zeros = || flatten(param.val().without_autodiff().zeros_like());
        self.flat.push(found.unwrap_or_else(zeros));
    }
}

struct ValueMapper {
    values: std::vec::IntoIter<Tensor<1>>,
}

impl ModuleMapper for ValueMapper {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, old, mapper) = param.consume();
        let value = self
            .values
            .next()
            .expect("as many values as parameters (documented)")
            .reshape(old.dims());
        let value = if old.is_autodiff() {
            let trained = old.is_require_grad();
            value.autodiff().set_require_grad(trained)
        } else {
            value
        };
        Param::from_mapped_value(id, value, mapper)
    }
}
