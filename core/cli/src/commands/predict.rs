//! `vitral predict`.

use std::{path::Path, process::ExitCode};

use serde_json::{Value, json};
use vitral_files::Kind;
use vitral_train::{
    Error, TrainedModel,
    checkpoint::{self, Checkpoint},
};

use crate::{
    args::PredictArguments,
    experiment::{merge_tokens, open_device},
    failure::Failure,
    precision::compute_in,
    print::{self, is_unread},
};

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
                    "error: {}: it cannot be brought to the model's size: {problem}",
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
            print::json(&answer(file, &classes))?;
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
