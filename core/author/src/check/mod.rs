//! `vitral plugin check`: whether a plugin does what any plugin of its kind must.
//!
//! Both forms of a plugin are tried, and compared: they must do the same, to the byte. Each check is
//! in a file of its own.

mod behaviour;
mod cases;
mod component;
mod description;
mod finding;
mod forms;
mod gradients;
mod parameters;
mod run;

use vitral_host::Kind;

use crate::{Access, Artifacts, AuthorError, Progress};
pub(crate) use cases::{configurations, image};
use finding::Findings;
pub use finding::{Finding, Outcome, Report};
use forms::Forms;
pub(crate) use run::is_of_interest;

/// How a plugin is checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckOptions {
    /// What the plugin may do.
    pub access: Access,
}

/// Checks a plugin; the callback hears which check goes on. What is wrong with the plugin is in the
/// report.
///
/// # Errors
/// This machine cannot run WebAssembly.
pub fn check(
    artifacts: &Artifacts,
    options: &CheckOptions,
    progress: Progress,
) -> Result<Report, AuthorError> {
    let engine = options.access.engine()?;
    let mut findings = Findings::new(progress);
    let forms = Forms::open(artifacts, &engine, &options.access, &mut findings);
    let Some(plugin) = forms.any() else {
        return Ok(findings.report(artifacts.name(), None));
    };
    findings.note("description", || description::check(plugin));
    if let Some(component) = &artifacts.component {
        findings.note("permissions", || component::permissions(component, artifacts.permissions));
        findings.note("vector instructions", || component::simd(component, plugin.kind()));
    }
    findings.note("parameters", || parameters::check(plugin));
    for (form, plugin) in forms.each() {
        findings.note(&format!("behaviour, {form}"), || behaviour::check(plugin));
    }
    findings.note("both forms do the same", || forms.agree());
    if matches!(plugin.kind(), Kind::Attention | Kind::BatchAugmentation) {
        findings.note("gradients", || gradients::check(plugin));
    }
    Ok(findings.report(&plugin.description().name, Some(plugin.kind())))
}
