//! Which installed version an experiment gets.

use semver::{Version, VersionReq};

use crate::installed::Installed;
use crate::text::list;

/// Why no installed plugin will do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// No version is installed.
    #[error("plugin `{name}` is not installed{}", suggestion(nearest.as_deref()))]
    NotInstalled {
        /// The name that was asked for.
        name: String,
        /// The installed name that was most likely meant.
        nearest: Option<String>,
    },
    /// Other versions are installed.
    #[error(
        "plugin `{name}` is required in version `{wanted}`, but the installed versions are {}",
        list(installed)
    )]
    NoVersion {
        /// The plugin's name.
        name: String,
        /// What was asked for.
        wanted: VersionReq,
        /// The versions that are there.
        installed: Vec<Version>,
    },
    /// No installed version is what all of those that use the plugin ask for.
    #[error(
        "plugin `{name}` is required in version `{}` (installed: {}) and in version `{}` \
         (installed: {}), but a run uses one version of a plugin; ask for the same one everywhere",
        first.wanted, first.version, second.wanted, second.version
    )]
    Conflict {
        /// The plugin's name.
        name: String,
        /// What one use asks for.
        first: Box<Demand>,
        /// What another use asks for.
        second: Box<Demand>,
    },
}

/// What one use of a plugin asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// The versions that will do.
    pub wanted: VersionReq,
    /// The installed version that it would get alone.
    pub version: Version,
}

/// The newest installed version of a plugin that will do.
pub fn resolve<'i>(
    installed: &'i [Installed],
    name: &str,
    wanted: &VersionReq,
) -> Result<&'i Installed, ResolveError> {
    resolve_all(installed, name, std::slice::from_ref(wanted))
}

/// The newest installed version of a plugin that will do for everyone who asks for it.
pub fn resolve_all<'i>(
    installed: &'i [Installed],
    name: &str,
    wanted: &[VersionReq],
) -> Result<&'i Installed, ResolveError> {
    let named: Vec<&Installed> = installed.iter().filter(|plugin| plugin.name() == name).collect();
    let versions: Vec<&Version> = named.iter().map(|plugin| plugin.version()).collect();
    if versions.is_empty() {
        let names: Vec<&str> = installed.iter().map(Installed::name).collect();
        return Err(ResolveError::NotInstalled {
            name: name.to_owned(),
            nearest: near(name, &names),
        });
    }
    let best = best(name, &versions, wanted)?;
    // The version is one of those that the list of plugins was made from.
    Ok(named[best])
}

/// The index of the newest version that fulfils all requirements.
fn best(name: &str, versions: &[&Version], wanted: &[VersionReq]) -> Result<usize, ResolveError> {
    let newest = |wanted: &[VersionReq]| {
        let fits = |version: &Version| wanted.iter().all(|wanted| wanted.matches(version));
        let fitting = versions.iter().enumerate().filter(|(_, version)| fits(version));
        fitting.max_by_key(|(_, version)| **version).map(|(index, version)| (index, *version))
    };
    if let Some((index, _)) = newest(wanted) {
        return Ok(index);
    }
    let mut demands = Vec::new();
    for wanted in wanted {
        let (_, version) =
            newest(std::slice::from_ref(wanted)).ok_or_else(|| ResolveError::NoVersion {
                name: name.to_owned(),
                wanted: wanted.clone(),
                installed: versions.iter().map(|version| (*version).clone()).collect(),
            })?;
        demands.push(Demand { wanted: wanted.clone(), version: version.clone() });
    }
    // Without any demand every version would do, and there are versions; so there is a first one.
    // Without a second demand that excludes the first one's version, that version would fulfil all.
    let first = demands[0].clone();
    let second = demands.iter().find(|other| !other.wanted.matches(&first.version));
    let second = Box::new(second.unwrap_or(&first).clone());
    Err(ResolveError::Conflict { name: name.to_owned(), first: Box::new(first), second })
}

/// The name that was most likely meant.
fn near(name: &str, names: &[&str]) -> Option<String> {
    let distances = names.iter().map(|other| (strsim::damerau_levenshtein(name, other), other));
    let (distance, nearest) = distances.min()?;
    (distance <= (name.chars().count() / 3).max(1)).then(|| (*nearest).to_owned())
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pick(versions: &[&str], wanted: &[&str]) -> Result<String, ResolveError> {
        let versions: Vec<Version> = versions.iter().map(|text| text.parse().unwrap()).collect();
        let versions: Vec<&Version> = versions.iter().collect();
        let wanted: Vec<VersionReq> = wanted.iter().map(|text| text.parse().unwrap()).collect();
        best("x", &versions, &wanted).map(|index| versions[index].to_string())
    }

    #[test]
    fn the_newest_version_that_fits_wins() {
        let versions = ["1.0.0", "1.10.0", "1.9.3", "2.0.0", "2.1.0-rc.1"];
        for (wanted, expected) in [
            (vec![], "2.1.0-rc.1"),
            (vec!["*"], "2.0.0"),
            (vec!["^1"], "1.10.0"),
            (vec!["^1", "<1.10"], "1.9.3"),
            (vec!["=2.1.0-rc.1"], "2.1.0-rc.1"),
        ] {
            assert_eq!(pick(&versions, &wanted).as_deref(), Ok(expected), "{wanted:?}");
        }
    }

    #[test]
    fn a_conflict_names_both_sides_and_their_versions() {
        let error = pick(&["1.4.0", "2.0.0"], &["^1", ">=1, <3", "^2"]).unwrap_err().to_string();
        for part in ["`^1`", "1.4.0", "`^2`", "2.0.0"] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn a_version_that_is_missing_is_named_with_those_that_are_there() {
        let error = pick(&["1.4.0", "2.0.0"], &["^3"]).unwrap_err().to_string();
        assert!(error.contains("`^3`") && error.contains("1.4.0 and 2.0.0"), "{error}");
    }

    #[test]
    fn near_names_are_suggested() {
        assert_eq!(near("windw", &["linear", "window"]).as_deref(), Some("window"));
        assert_eq!(near("talking", &["linear", "window"]), None);
    }
}
