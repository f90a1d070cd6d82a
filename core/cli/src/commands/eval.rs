//! `vitral eval`.

use std::process::ExitCode;

use vitral_train::{
    Error, Evaluation, TrainedModel,
    checkpoint::{self, Checkpoint},
};

use crate::{
    args::EvalArguments,
    experiment::{Loaded, merge_tokens, open_device},
    failure::Failure,
    progress::counting,
};

pub fn run(arguments: &EvalArguments) -> Result<ExitCode, Failure> {
    let path = checkpoint::find(&arguments.checkpoint).map_err(Error::from)?;
    let mut checkpoint = Checkpoint::load(&path).map_err(Error::from)?;
    merge_tokens(&mut checkpoint.experiment, arguments.token_merging)?;
    let device = open_device(Some(&arguments.device), &checkpoint.experiment)?;
    let mut model = TrainedModel::new(checkpoint, &device)?;
    if !arguments.overrides.set.is_empty() {
        model.experiment.data =
            Loaded::read(&path.join("config.ron"), &arguments.overrides.set)?.experiment.data;
    }
    let bar = counting("evaluating");
    let evaluation = model.evaluate(|done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let evaluation = evaluation?;
    if arguments.json {
        let json = serde_json::to_string(&evaluation).map_err(|error| {
            Failure::Other(format!("the figures cannot be written as JSON: {error}"))
        })?;
        println!("{json}");
    } else {
        println!("{} (step {})", path.display(), model.state.step);
        print_table(&evaluation);
    }
    Ok(ExitCode::SUCCESS)
}

fn print_table(evaluation: &Evaluation) {
    println!("  images  {}", evaluation.images);
    if evaluation.skipped > 0 {
        println!("  left out (unreadable)  {}", evaluation.skipped);
    }
    println!("  loss    {:.4}", evaluation.loss);
    println!("  top-1   {:.2}%", evaluation.top1 * 100.0);
    println!("  top-5   {:.2}%", evaluation.top5 * 100.0);
    let width =
        evaluation.classes.iter().map(|class| class.name.chars().count()).max().unwrap_or(0);
    println!("accuracy of each class");
    for class in &evaluation.classes {
        let name = &class.name;
        match class.accuracy() {
            Some(accuracy) => println!(
                "  {name:width$}  {:6.2}%  ({} of {})",
                accuracy * 100.0,
                class.correct,
                class.images
            ),
            None => println!("  {name:width$}  no images"),
        }
    }
}
