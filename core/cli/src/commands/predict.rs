//! `vitral predict`.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use serde_json::{Value, json};
use vitral_files::Kind;
use vitral_train::{
    Error, TrainedModel,
    checkpoint::{self, Checkpoint},
};

use crate::{
    experiment::{merge_tokens, open_device},
    failure::Failure,
    json,
    precision::{PrecisionName, compute_in},
    print::is_unread,
};

#[derive(Debug, Args)]
pub struct PredictArguments {
    /// A run's folder, its `best` or `last`, or a checkpoint.
    pub checkpoint: PathBuf,
    /// Image files: JPEG, PNG or WebP.
    #[arg(required = true)]
    pub images: Vec<PathBuf>,
    /// How many classes to show for each image.
    #[arg(long, short = 'k', default_value_t = 5)]
    pub top: usize,
    /// Where to compute: auto, cpu, cuda, cuda:1, wgpu, vulkan; by default as the experiment says.
    #[arg(long)]
    pub device: Option<String>,
    /// The type to compute in: f32, bf16 or f16; by default the one that the run was trained in.
    #[arg(long)]
    pub precision: Option<PrecisionName>,
    /// Merge this many tokens away in each layer (ToMe), without training again: faster, and
    /// usually a little less accurate. 0 merges none, even if the model was trained to merge.
    #[arg(long, value_name = "R")]
    pub token_merging: Option<usize>,
    /// Print one JSON object for each image.
    #[arg(long)]
    pub json: bool,
}

pub fn run(arguments: &PredictArguments) -> Result<ExitCode, Failure> {
    let path = checkpoint::find(&arguments.checkpoint).map_err(Error::from)?;
    let mut checkpoint = Checkpoint::load(&path).map_err(Error::from)?;
    merge_tokens(&mut checkpoint.experiment, arguments.token_merging)?;
    let device = open_device(arguments.device.as_deref(), &checkpoint.experiment)?;
    compute_in(&mut checkpoint, arguments.precision, &device)?;
    let model = TrainedModel::new(checkpoint, &device)?;
    let mut failed = false;
    for file in &arguments.images {
        if is_unread() {
            break;
        }
        let read = vitral_files::read(file, Kind::IMAGE).map_err(|error| error.to_string());
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
        let classes = match model.predict(image) {
            Ok(classes) => classes,
            // The next may be of another shape.
            Err(Error::Image(problem)) => {
                eprintln!(
                    "error: {}: it cannot be resized for the model: {problem}",
                    file.display()
                );
                failed = true;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let classes = &classes[..arguments.top.min(classes.len())];
        if arguments.json {
            let classes: Vec<_> = classes
                .iter()
                .map(|(name, p)| json!({ "class": name, "probability": p }))
                .collect();
            json::print(&answer(file, &classes))?;
        } else {
            println!("{}", file.display());
            for (name, probability) in classes {
                println!("  {:6.2}%  {name}", probability * 100.0);
            }
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// One image's classes as JSON. A file name that is not Unicode, which JSON must be, is there in bytes,
/// too.
fn answer(file: &Path, classes: &[Value]) -> Value {
    let mut answer = json!({ "image": file.to_string_lossy(), "classes": classes });
    if file.to_str().is_none() {
        answer["image_bytes"] = json!(file.as_os_str().as_encoded_bytes());
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_text_and_where_they_are_none_bytes() {
        let answer = |file: &Path| answer(file, &[]).to_string();
        assert_eq!(answer(Path::new("ä.png")), r#"{"classes":[],"image":"ä.png"}"#);
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStrExt as _;

            let odd = Path::new(std::ffi::OsStr::from_bytes(b"\xe4."));
            let expected = "{\"classes\":[],\"image\":\"\u{fffd}.\",\"image_bytes\":[228,46]}";
            assert_eq!(answer(odd), expected);
        }
    }
}
