//! Why an experiment cannot have a plugin.

use vitral_bundle::Request;
use vitral_model::ConfigProblem;

use crate::Error;

/// Why an experiment cannot have a plugin, or not as it uses it.
#[derive(Debug)]
pub(super) enum Refusal {
    /// What the experiment says cannot be.
    Field {
        /// The field below that of the plugin's use; none is the use itself.
        below: Option<String>,
        /// Whether it is the field's name that is wrong.
        is_name: bool,
        message: String,
        help: String,
    },
    /// What `plugins` says of where the plugin is cannot be.
    Path { plugin: String, message: String, help: String },
    /// The user has not allowed it.
    NotAllowed(Box<Request>),
}

impl Refusal {
    /// What is wrong with the use itself, and what would be right.
    pub(super) fn new(message: impl ToString, help: impl Into<String>) -> Self {
        let (message, help) = (message.to_string(), help.into());
        Self::Field { below: None, is_name: false, message, help }
    }

    /// The same for the whole experiment, where the plugin is used at a field.
    pub(super) fn at(self, field: &str) -> Error {
        match self {
            Self::NotAllowed(request) => Error::NotAllowed(vec![*request]),
            Self::Path { plugin, message, help } => {
                let field = format!("plugins[{plugin:?}].path");
                Error::Experiment(ConfigProblem { field, message, help })
            }
            Self::Field { below, is_name, message, help } => {
                let field =
                    below.map_or_else(|| field.to_owned(), |below| format!("{field}.{below}"));
                let problem = ConfigProblem { field, message, help };
                if is_name { Error::Name(problem) } else { Error::Experiment(problem) }
            }
        }
    }
}
