//! `vitral import`.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, ValueEnum};
use vitral_config::Document;
use vitral_data::{Normalization, abridged};
use vitral_interchange::{Hints, Pretrained, describe, to_task};
use vitral_model::ViTConfig;
use vitral_train::{
    Error, Experiment, checkpoint::Checkpoint, init::preprocessing::eval_transforms,
    open_pretrained,
};

use super::config::SMALLEST;
use crate::{
    failure::Failure,
    progress::working,
    words::{counted, one_line},
};

#[derive(Debug, Args)]
pub struct ImportArguments {
    /// A `.npz` of google-research/vision_transformer or big_vision, a `.safetensors`, `.pth` or
    /// `.bin` of timm or Hugging Face, or the folder that holds it and its config.json.
    pub source: PathBuf,
    /// Where to write the model: a folder, which `predict`, `eval` and `train --init` open.
    #[arg(long)]
    pub out: PathBuf,
    /// Number of attention heads, if the file does not say.
    #[arg(long, value_parser = heads)]
    pub heads: Option<usize>,
    /// Which model to take if the file holds several, by part of the prefix of its names, e.g.
    /// `teacher` or `state_dict`.
    #[arg(long, value_name = "NAME")]
    pub part: Option<String>,
    /// Adapt the model to images of this side in pixels; its position embeddings are resized.
    #[arg(long)]
    pub image_size: Option<usize>,
    /// Adapt the model to this number of classes; a head of another size is replaced by zeros.
    #[arg(long)]
    pub classes: Option<usize>,
    /// How position embeddings are resized.
    #[arg(long, value_enum, default_value_t = PositionResizing::Zoom)]
    pub positions: PositionResizing,
    /// Set a field of the experiment that is written with the model, e.g. `--set model.mlp=Gelu` or
    /// `--set data.normalize=ImageNet`; can be given several times.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    pub set: Vec<String>,
}

fn heads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(heads @ 1..=1024) => Ok(heads),
        _ => Err("it is a number from 1 to 1024".into()),
    }
}

/// How learned positions are resized to another grid.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PositionResizing {
    /// Linear between aligned corners, as in google-research/vision_transformer.
    Zoom,
    /// Antialiased bicubic, as in timm.
    Bicubic,
}

impl From<PositionResizing> for vitral_interchange::Resize {
    fn from(resizing: PositionResizing) -> Self {
        match resizing {
            PositionResizing::Zoom => Self::Zoom,
            PositionResizing::Bicubic => Self::Bicubic,
        }
    }
}

pub fn run(arguments: &ImportArguments) -> Result<ExitCode, Failure> {
    let resize = arguments.positions.into();
    let hints = Hints {
        heads: arguments.heads,
        part: arguments.part.clone(),
        image_size: arguments.image_size,
        positions: resize,
    };
    let spinner = working("reading the weights");
    let model = open_pretrained(&arguments.source, &hints);
    spinner.finish_and_clear();
    let model = model?;
    let mut wanted = model.config.clone();
    wanted.image_size = arguments.image_size.unwrap_or(wanted.image_size);
    wanted.classes = arguments.classes.unwrap_or(wanted.classes);
    // Before there is any of it.
    in_range(&wanted)?;
    vitral_train::check_parameters(&wanted)?;
    let model =
        to_task(model, arguments.image_size, arguments.classes, resize).map_err(Error::from)?;
    if model.config.classes == 0 {
        return Err(Failure::Other(format!(
            "{} has no head: `--classes` adds one for that many classes, starting from zero",
            arguments.source.display()
        )));
    }
    let experiment = experiment(&model, &arguments.set)?;
    report(&model, &experiment)?;
    let parameters: usize = model.tensors.values().map(|tensor| tensor.values.len()).sum();
    let spinner = working("writing the model");
    let written = Checkpoint::of_model(experiment, model).write_model(&arguments.out);
    spinner.finish_and_clear();
    written.map_err(Error::from)?;
    let out = arguments.out.display();
    println!("wrote {out} ({})", counted(parameters, "parameter", "parameters"));
    println!("try next");
    println!("  vitral predict {out} IMAGE...");
    println!("  vitral train EXPERIMENT --init {out}");
    Ok(ExitCode::SUCCESS)
}

/// Makes sure that a model is one that an experiment may describe.
fn in_range(model: &ViTConfig) -> Result<(), Failure> {
    let mut experiment: Experiment = Document::new("import", SMALLEST).parse()?;
    experiment.model = model.clone();
    let text = vitral_config::to_ron(&experiment)?;
    Document::new("the imported model", text).parse::<Experiment>().map(drop).map_err(Failure::from)
}

/// An experiment around an imported model: what predicting needs, and the rest by default.
fn experiment(model: &Pretrained, set: &[String]) -> Result<Experiment, Failure> {
    let mut experiment: Experiment = Document::new("import", SMALLEST).parse()?;
    experiment.model = model.config.clone();
    experiment.data.normalize = normalization(model);
    if let Some(preprocessing) = model.preprocessing {
        experiment.data.eval_transforms = eval_transforms(preprocessing, model.config.image_size);
    }
    let mut document = Document::new("import", vitral_config::to_ron(&experiment)?);
    for assignment in set {
        document.set::<Experiment>(assignment)?;
    }
    let experiment: Experiment = document.parse()?;
    experiment.check().map_err(Error::from)?;
    let is_same = vitral_model::parameters::of_config(&experiment.model)
        .iter()
        .all(|(name, shape)| model.tensors.get(name).is_some_and(|tensor| tensor.shape == *shape));
    if !is_same {
        return Err(Failure::Other(
            "`--set` would change the model's parameters; sizes are changed by `--image-size` and `--classes`".into(),
        ));
    }
    Ok(experiment)
}

fn normalization(model: &Pretrained) -> Normalization {
    match &model.normalization {
        Some((mean, std)) => Normalization::Custom { mean: mean.clone(), std: std.clone() },
        None => Normalization::default(),
    }
}

fn report(model: &Pretrained, experiment: &Experiment) -> Result<(), Failure> {
    println!("{}", model.origin);
    let names = match model.class_names.as_slice() {
        [] => "without names".to_owned(),
        names => abridged(names),
    };
    let classes = counted(model.config.classes, "class", "classes");
    println!("  {}, {classes} ({names})", describe(&model.config));
    for note in &model.notes {
        println!("  {note}");
    }
    if !experiment.data.eval_transforms.is_empty() {
        let transforms = vitral_config::to_ron(&experiment.data.eval_transforms);
        println!("  evaluated with `data.eval_transforms: {}`", one_line(&transforms?));
    }
    if model.normalization.is_none() {
        println!(
            "  the file does not say how images are normalised; assuming `data.normalize: {:?}`",
            experiment.data.normalize
        );
    }
    Ok(())
}
