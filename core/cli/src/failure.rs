//! How a command fails: what the user sees, and the exit code.

use std::{fmt, fmt::Display as _, process::ExitCode};

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};
use vitral_config::{ConfigError, visible, visible_with};
use vitral_model::device::DeviceError;

use crate::{
    consent::{how_to_allow, lasting},
    excerpt::Excerpt,
    print::styled,
};

/// Exit code of wrong usage: arguments, experiments, devices.
const USAGE: u8 = 2;
/// Exit code of everything else that fails.
const FAILED: u8 = 1;

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// A configuration, with the place in its text.
    Config(ConfigError),
    /// A device that cannot be had.
    Device(DeviceError),
    /// The run.
    Run(vitral_train::Error),
    /// A plugin that cannot be opened.
    Open(vitral_host::OpenError),
    /// The author's loop.
    Author(vitral_author::AuthorError),
    /// A bundle.
    Bundle(vitral_bundle::BundleError),
    /// Plugins that would do what the user has not allowed.
    NotAllowed(Vec<vitral_bundle::Request>),
    /// Wrong usage of something else, in a sentence.
    Usage(String),
    /// Anything else, in a sentence.
    Other(String),
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<DeviceError> for Failure {
    fn from(error: DeviceError) -> Self {
        Self::Device(error)
    }
}

impl From<vitral_host::OpenError> for Failure {
    fn from(error: vitral_host::OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<vitral_author::AuthorError> for Failure {
    fn from(error: vitral_author::AuthorError) -> Self {
        Self::Author(error)
    }
}

impl From<vitral_bundle::BundleError> for Failure {
    fn from(error: vitral_bundle::BundleError) -> Self {
        Self::Bundle(error)
    }
}

impl From<vitral_bundle::TrustError> for Failure {
    fn from(error: vitral_bundle::TrustError) -> Self {
        match error {
            vitral_bundle::TrustError::NotAllowed(request) => Self::NotAllowed(vec![*request]),
            vitral_bundle::TrustError::Bundle(error) => Self::Bundle(error),
        }
    }
}

impl From<vitral_registry::RegistryError> for Failure {
    fn from(error: vitral_registry::RegistryError) -> Self {
        match error {
            vitral_registry::RegistryError::Bundle(error) => Self::Bundle(error),
            vitral_registry::RegistryError::Usage(message) => Self::Usage(message),
            vitral_registry::RegistryError::NotBuilt => Self::Usage(error.to_string()),
            error => Self::Other(error.to_string()),
        }
    }
}

impl From<vitral_data::DataError> for Failure {
    fn from(error: vitral_data::DataError) -> Self {
        Self::Run(error.into())
    }
}

impl From<vitral_train::Error> for Failure {
    fn from(error: vitral_train::Error) -> Self {
        match error {
            vitral_train::Error::NotAllowed(requests) => Self::NotAllowed(requests),
            error => Self::Run(error),
        }
    }
}

impl Failure {
    /// Writes what failed without where in a text it stands.
    pub fn in_a_sentence(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Device(error) => error.fmt(f),
            Self::Run(
                vitral_train::Error::Experiment(problem) | vitral_train::Error::Name(problem),
            ) => write!(f, "`{}`: {problem}", problem.field),
            Self::Run(error) => error.fmt(f),
            Self::Open(error) => error.fmt(f),
            Self::Author(error) => error.fmt(f),
            Self::Bundle(error) => error.fmt(f),
            Self::NotAllowed(requests) => {
                let all = requests.iter().map(ToString::to_string).collect::<Vec<_>>();
                f.write_str(&all.join("; "))
            }
            Self::Usage(message) | Self::Other(message) => f.write_str(message),
        }
    }

    /// What failed, without where in a text it stands.
    pub fn sentence(&self) -> String {
        struct Sentence<'f>(&'f Failure);
        impl fmt::Display for Sentence<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.in_a_sentence(f)
            }
        }
        Sentence(self).to_string()
    }

    /// Shows the failure on standard error.
    pub fn report(self) -> ExitCode {
        let code = match &self {
            Self::Config(_) | Self::Device(_) | Self::NotAllowed(_) | Self::Usage(_) => USAGE,
            Self::Run(vitral_train::Error::Experiment(_) | vitral_train::Error::Name(_)) => USAGE,
            Self::Run(_) | Self::Open(_) | Self::Author(_) | Self::Bundle(_) | Self::Other(_) => {
                FAILED
            }
        };
        match self {
            Self::Config(error) if error.span.is_some() => {
                let mistakes = 1 + error.others.len();
                let each = std::iter::once(&error).chain(&error.others);
                for mistake in each {
                    let report = miette::Report::new(Underlined::from(mistake));
                    styled(&format!("{report:?}"));
                }
                if mistakes > 1 {
                    eprintln!("{mistakes} mistakes in {}", error.name);
                }
            }
            Self::Config(error) => eprintln!("error: {error}"),
            Self::Device(error) => eprintln!("error: {error}"),
            Self::Run(
                vitral_train::Error::Experiment(problem) | vitral_train::Error::Name(problem),
            ) => {
                eprintln!("error: `{}`: {problem}\n  help: {}", problem.field, problem.help);
            }
            Self::Run(error) => eprintln!("error: {error}"),
            Self::Open(error) => eprintln!("error: {error}"),
            Self::Author(error) => eprintln!("error: {error}"),
            Self::Bundle(error) => eprintln!("error: {error}"),
            Self::NotAllowed(requests) => {
                requests.iter().for_each(|request| eprintln!("error: {request}"));
                eprintln!("to allow it, run:\n  {}", how_to_allow(&requests));
                for lasting in requests.iter().filter_map(lasting) {
                    eprintln!("{lasting}");
                }
            }
            Self::Usage(message) | Self::Other(message) => eprintln!("error: {message}"),
        }
        ExitCode::from(code)
    }
}

/// A configuration error as miette draws it: the line, underlined, of which nothing acts on the terminal.
#[derive(Debug)]
struct Underlined {
    message: String,
    help: Option<String>,
    label: Option<LabeledSpan>,
    source: NamedSource<String>,
}

impl From<&ConfigError> for Underlined {
    fn from(error: &ConfigError) -> Self {
        let shown = |text: &String| visible(text).into_owned();
        let excerpt = Excerpt::new(&error.text, error.span.clone().unwrap_or_default());
        let name = match excerpt.is_moved {
            true => format!("{}, column {}", error.name, error.column),
            false => error.name.clone(),
        };
        let mut places: Vec<_> = error.span.iter().map(|_| excerpt.span.clone()).collect();
        let text = visible_with(&excerpt.text, &mut places);
        let said = (!error.label.is_empty()).then(|| shown(&error.label));
        Self {
            message: shown(&error.message),
            help: error.help.as_ref().map(shown),
            label: places.pop().map(|place| LabeledSpan::new_with_span(said, place)),
            source: NamedSource::new(shown(&name), text).with_language("ron"),
        }
    }
}

impl std::fmt::Display for Underlined {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Underlined {}

impl Diagnostic for Underlined {
    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn std::fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(std::iter::once(self.label.clone()?)))
    }
}
