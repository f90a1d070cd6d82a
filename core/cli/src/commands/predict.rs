//! `vitral predict`.

use std::{fs, process::ExitCode};

use serde_json::json;
use vitral_train::{
    Error, TrainedModel,
    checkpoint::{self, Checkpoint},
};

use crate::{
    args::PredictArguments,
    experiment::{merge_tokens, open_device},
    failure::Failure,
    print::is_unread,
};

pub fn run(arguments: &PredictArguments) -> Result<ExitCode, Failure> {
    let path = checkpoint::find(&arguments.checkpoint).map_err(Error::from)?;
    let mut checkpoint = Checkpoint::load(&path).map_err(Error::from)?;
    merge_tokens(&mut checkpoint.experiment, arguments.token_merging)?;
    let device = open_device(Some(&arguments.device), &checkpoint.experiment)?;
    let model = TrainedModel::new(checkpoint, &device)?;
    let mut failed = false;
    for file in &arguments.images {
        if is_unread() {
            break;
        }
        let read = fs::read(file).map_err(|error| error.to_string());
        let image =
            read.and_then(|bytes| vitral_data::decode(&bytes).map_err(|error| error.to_string()));
        let image = match image {
            Ok(image) => image,
            Err(problem) => {
                eprintln!("error: {}: {problem}", file.display());
                failed = true;
                continue;
            }
        };
        let classes = model.predict(image)?;
        let classes = &classes[..arguments.top.min(classes.len())];
        if arguments.json {
            let classes: Vec<_> = classes
                .iter()
                .map(|(name, p)| json!({ "class": name, "probability": p }))
                .collect();
            println!("{}", json!({ "image": file, "classes": classes }));
        } else {
            println!("{}", file.display());
            for (name, probability) in classes {
                println!("  {:6.2}%  {name}", probability * 100.0);
            }
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
