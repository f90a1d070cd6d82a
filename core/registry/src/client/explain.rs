//! What errors of registries mean for people.

use std::error::Error as _;

use oci_client::errors::{DigestError, OciDistributionError as Error, OciErrorCode as Code};

use super::Session;
use crate::error::RegistryError;

/// What lies at the bottom of an error.
pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// What it means that a file of a web server does not come.
pub(super) fn web(url: &str, error: &reqwest::Error) -> RegistryError {
    let index = url.to_owned();
    match error.status().map(|status| status.as_u16()) {
        Some(404 | 410) => RegistryError::NotFound { what: index, help: String::new() },
        Some(code) => {
            RegistryError::Index { index, problem: format!("the server answers with {code}") }
        }
        None => RegistryError::Unreachable {
            registry: index,
            problem: innermost(error),
            help: String::new(),
        },
    }
}

impl Session {
    /// What an error means, where `what` was looked for.
    pub(super) fn explain(&self, error: Error, what: &str) -> RegistryError {
        match error {
            Error::UnauthorizedError { .. } | Error::AuthenticationFailure(_) => {
                self.unauthorised()
            }
            Error::ImageManifestNotFoundError(_) => not_found(what),
            Error::ServerError { code, message, .. } => self.status(code, &message, what),
            Error::RegistryError { envelope, .. } => {
                let has = |codes: &[Code]| envelope.errors.iter().any(|e| codes.contains(&e.code));
                let missing = [
                    Code::ManifestUnknown,
                    Code::NameUnknown,
                    Code::NotFound,
                    Code::BlobUnknown,
                    Code::ManifestBlobUnknown,
                ];
                if has(&[Code::Unauthorized, Code::Denied]) {
                    self.unauthorised()
                } else if has(&missing) {
                    not_found(what)
                } else {
                    self.refused(envelope.to_string())
                }
            }
            Error::RequestError(error) => match error.status() {
                Some(status) => self.status(status.as_u16(), "", what),
                None => self.unreachable(innermost(&error)),
            },
            Error::DigestError(DigestError::VerificationError { expected, actual }) => {
                RegistryError::Damaged { what: what.to_owned(), expected, found: actual }
            }
            Error::IoError(error) => match mismatch(&error) {
                Some((expected, found)) => {
                    RegistryError::Damaged { what: what.to_owned(), expected, found }
                }
                None => self.unreachable(innermost(&error)),
            },
            error => self.refused(match error.source() {
                Some(source) => format!("{error}: {}", innermost(source)),
                None => error.to_string(),
            }),
        }
    }

    pub(super) fn unreachable(&self, problem: String) -> RegistryError {
        let registry = self.at.registry().to_owned();
        let help = match self.at.is_on_this_machine() && problem.contains("corrupt message") {
            true => "\n  help: it may be one without TLS, to which --plain-http speaks".into(),
            false => String::new(),
        };
        RegistryError::Unreachable { registry, problem, help }
    }

    fn status(&self, code: u16, message: &str, what: &str) -> RegistryError {
        match code {
            401 | 403 => self.unauthorised(),
            404 => not_found(what),
            429 => self.refused("too many requests; wait a minute".into()),
            _ => self.refused(format!("it answers with {code} {}", message.trim())),
        }
    }

    fn unauthorised(&self) -> RegistryError {
        let registry = self.at.registry().to_owned();
        RegistryError::Unauthorised { registry, user: self.user.clone() }
    }

    /// What a registry says no with, which may be a page of HTML.
    fn refused(&self, problem: String) -> RegistryError {
        let problem = beginning(&problem);
        RegistryError::Refused { registry: self.at.registry().to_owned(), problem }
    }
}

/// The digests of what came otherwise than it was announced: expected, and found.
fn mismatch(error: &std::io::Error) -> Option<(String, String)> {
    let error = error.get_ref()?.downcast_ref::<DigestError>()?;
    match error {
        DigestError::VerificationError { expected, actual } => {
            Some((expected.clone(), actual.clone()))
        }
        _ => None,
    }
}

/// What of a text fits into a message: its first line, and not much of that.
fn beginning(text: &str) -> String {
    const MOST: usize = 200;
    let line = text.trim().lines().next().unwrap_or_default();
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_owned(),
    }
}

fn not_found(what: &str) -> RegistryError {
    RegistryError::NotFound { what: what.to_owned(), help: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_the_beginning_of_what_a_server_says() {
        assert_eq!(beginning("it answers with 502 <html>\n<body>"), "it answers with 502 <html>");
        assert_eq!(beginning(&"\u{e4}".repeat(201)), format!("{}...", "\u{e4}".repeat(200)));
        assert_eq!(beginning(""), "");
    }

    #[test]
    fn what_came_damaged_is_told_from_what_did_not_come() {
        let (expected, actual) = ("sha256:1".to_owned(), "sha256:2".to_owned());
        let damaged = DigestError::VerificationError { expected, actual };
        let found = mismatch(&std::io::Error::other(damaged)).unwrap();
        assert_eq!(found, ("sha256:1".to_owned(), "sha256:2".to_owned()));
        assert_eq!(mismatch(&std::io::ErrorKind::ConnectionReset.into()), None);
    }
}
