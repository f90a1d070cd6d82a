//! Reading experiments: a file, the command line's changes, and the checks that point back into
//! the text.

use std::path::{Path, PathBuf};

use vitral_config::Document;
use vitral_data::DataError;
use vitral_model::device::{Device, DeviceChoice, DeviceError};
use vitral_train::{Error, Experiment, checkpoint::Checkpoint};

use crate::{failure::Failure, overrides, plugins};

/// An experiment and the text that it was read from, for errors found later.
pub struct Loaded {
    pub experiment: Experiment,
    document: Document,
    /// Where its relative data paths start.
    folder: PathBuf,
}

impl Loaded {
    /// Reads an experiment. Its relative paths start at its own folder, and those of `set` where vitral
    /// was started.
    pub fn read(path: &Path, set: &[String]) -> Result<Self, Failure> {
        let (own, folder) = read_document(path)?;
        let (document, origins) = on_its_bases(own, &folder, 0)?;
        Self::parse_from(document, set, &folder, &origins)
    }

    /// The experiment of a checkpoint, with changes.
    pub fn of_checkpoint(checkpoint: &Checkpoint, set: &[String]) -> Result<Self, Failure> {
        let name = checkpoint.path.join("config.ron").display().to_string();
        let document = Document::new(name, vitral_config::to_ron(&checkpoint.experiment)?);
        Self::parse(document, set, &checkpoint.path)
    }

    /// Makes an experiment of a text at hand. Its relative paths start at the folder, and those of `set`
    /// where vitral was started.
    pub fn parse(document: Document, set: &[String], folder: &Path) -> Result<Self, Failure> {
        Self::parse_from(document, set, folder, &[])
    }

    /// The same of a text that was put together of several, each with its folder.
    fn parse_from(
        document: Document,
        set: &[String],
        folder: &Path,
        origins: &[(Document, PathBuf)],
    ) -> Result<Self, Failure> {
        let mut document = document.with_plugins(plugins::names());
        for assignment in set {
            document.set::<Experiment>(assignment)?;
        }
        let mut experiment: Experiment = document.parse()?;
        let here = std::env::current_dir().map_err(|error| {
            Failure::Other(format!("the folder that vitral was started in: {error}"))
        })?;
        experiment.resolve_each_path(|field| {
            let given_in = origins.iter().find(|(text, _)| text.has(field));
            match given_in {
                _ if document.is_assigned(field) => here.as_path(),
                Some((_, folder)) => folder,
                None => folder,
            }
        });
        let loaded = Self { experiment, document, folder: folder.to_owned() };
        let checked = loaded
            .experiment
            .check()
            .and_then(|()| overrides::check_length(&loaded.document, &loaded.experiment.train));
        match checked {
            Ok(()) => Ok(loaded),
            Err(problem) => Err(loaded.locate(problem.into())),
        }
    }

    /// The text that it was read from.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// Whether the text, or a `--set`, gives a field.
    pub fn sets(&self, field: &str) -> bool {
        self.document.has(field)
    }

    /// Goes on with another experiment that was made of this one.
    pub fn replace(&mut self, experiment: Experiment) -> Result<(), Failure> {
        experiment.check().map_err(|problem| self.locate(problem.into()))?;
        self.experiment = experiment;
        Ok(())
    }

    /// Points into the text where an error is about fields of the experiment.
    pub fn locate(&self, error: Error) -> Failure {
        match error {
            Error::Experiment(problem) => Failure::Config(self.document.error_at(
                &problem.field,
                problem.message,
                Some(problem.help),
            )),
            Error::Name(problem) => Failure::Config(self.document.error_at_name(
                &problem.field,
                problem.message,
                Some(problem.help),
            )),
            Error::Data(error) => match self.missing_data(&error) {
                Some(failure) => failure,
                None => Failure::Run(error.into()),
            },
            error => error.into(),
        }
    }

    /// Opens the device that the command line names, else the experiment's.
    /// It is that of one of several processes on this machine where that has a number, as [`open_device_of`] has it.
    pub fn open_device(
        &self,
        process: Option<usize>,
        argument: Option<&str>,
    ) -> Result<Device, Failure> {
        let opened = open_device_of(process, argument, &self.experiment);
        opened.map_err(|failure| match (argument, failure) {
            (None, Failure::Device(error @ DeviceError::Unknown(_))) => {
                Failure::Config(self.document.error_at("device", error.to_string(), None))
            }
            (_, failure) => failure,
        })
    }

    /// Points at the path of data that cannot be read.
    fn missing_data(&self, error: &DataError) -> Option<Failure> {
        let (path, label) = match error {
            DataError::Io { path, error } => (path, error.to_string()),
            // A pattern that nothing matches, for instance.
            DataError::Malformed { path, problem } if !path.exists() => (path, problem.clone()),
            _ => return None,
        };
        let is_meant = |text: &str| !text.is_empty() && path.starts_with(self.folder.join(text));
        let found = self.document.error_at_string(is_meant, error.to_string(), label, None)?;
        Some(Failure::Config(found))
    }
}

/// A text whose `data: Folder("photos")` is written out. What is beside the path, as in
/// `Folder(path: "photos", augment: [...])`, stays.
fn with_folder(document: Document, folder: &Path) -> Result<Document, Failure> {
    if document.name_of("data").as_deref() != Some("Folder") {
        return Ok(document);
    }
    let items = document.items_of("data");
    if items.len() > 1 && items.contains(&None) {
        let problem = "a path without its name stands alone in `Folder`";
        let help = "name it where there is more: `Folder(path: \"photos\", val: Split(0.2))`";
        return Err(document.error_at("data", problem, help.to_owned()).into());
    }
    // Where the text is none, `Folder` is not what is wrong with it.
    let any = Document::made("", "(data: (train: Split(0.5), val: Split(0.5)))");
    document.clone().with_value_of("data", &any).check_syntax::<Experiment>()?;
    let named = document.string("data.path");
    let Some(path) = named.clone().or_else(|| document.string("data[0]")) else {
        let problem = "`Folder` is of a path: `Folder(\"photos\")`";
        return Err(document.error_at("data", problem, None).into());
    };
    let path = vitral_config::path_text::from_text(&path);
    let path = folder.join(path.map_err(|problem| document.error_at("data", problem, None))?);
    let (train, val) = vitral_data::parts_of_folder(&path)
        .map_err(|error| document.error_at("data", error.to_string(), None))?;
    let [train, val] = [vitral_config::to_ron(&train)?, vitral_config::to_ron(&val)?];
    let found = Document::made(
        document.name(),
        format!("(data: (train: {}, val: {}))", train.trim(), val.trim()),
    );
    let own = named.and_then(|_| document.value_alone("data"));
    let whole = match own {
        Some(own) => own.without("data.path").over::<Experiment>(&found)?,
        None => found,
    };
    Ok(document.with_value_of("data", &whole))
}

/// Experiments that are each the base of the one before, at most.
const MOST_BASES: usize = 16;

/// A file's text, and its folder.
fn read_document(path: &Path) -> Result<(Document, PathBuf), Failure> {
    let absolute = std::path::absolute(path)
        .map_err(|error| Failure::Other(format!("{}: {error}", path.display())))?;
    let folder = absolute.parent().unwrap_or(Path::new(".")).to_owned();
    Ok((with_folder(Document::read(path)?, &folder)?, folder))
}

/// A text on top of what it names as its base, and each of both and of further bases with its folder, from the
/// top on.
fn on_its_bases(
    own: Document,
    folder: &Path,
    depth: usize,
) -> Result<(Document, Vec<(Document, PathBuf)>), Failure> {
    let Some(base) = own.string("base") else {
        return Ok((own.clone(), vec![(own, folder.to_owned())]));
    };
    if depth == MOST_BASES {
        let problem = format!("more than {MOST_BASES} bases, and one of them may lead back here");
        return Err(own.error_at("base", problem, None).into());
    }
    let path = vitral_config::path_text::from_text(&base);
    let path = folder.join(path.map_err(|problem| own.error_at("base", problem, None))?);
    let (below, its_folder) = read_document(&path).map_err(|failure| match failure {
        Failure::Config(error) if error.span.is_none() => {
            own.error_at("base", error.message.clone(), None).into()
        }
        failure => failure,
    })?;
    let (below, mut origins) = on_its_bases(below, &its_folder, depth + 1)?;
    origins.insert(0, (own.clone(), folder.to_owned()));
    Ok((own.without("base").over::<Experiment>(&below)?, origins))
}

/// Opens the device that the command line names, else the experiment's.
pub fn open_device(argument: Option<&str>, experiment: &Experiment) -> Result<Device, Failure> {
    open_device_of(None, argument, experiment)
}

/// The same for one of several processes on this machine, by its number: each has a GPU of its own, where the name
/// does not say which.
pub fn open_device_of(
    process: Option<usize>,
    argument: Option<&str>,
    experiment: &Experiment,
) -> Result<Device, Failure> {
    let name = argument.unwrap_or(&experiment.device);
    let choice: DeviceChoice = name.parse()?;
    Ok(match process.filter(|_| !name.contains(':')) {
        Some(process) => choice.open_for(process)?,
        None => choice.open()?,
    })
}
