//! Which version of a plugin is taken, of all that the indexes list into which the user looks.

use semver::VersionReq;
use vitral_bundle::Reference;

use crate::error::RegistryError;
use crate::index::{Listed, Release};
use crate::indexes::Known;

/// The newest version that indexes have under a name and that may be used here.
pub fn newest<'k>(known: &'k [Known], name: &str) -> Option<(&'k Listed, &'k Release)> {
    let all = || usable(known, name);
    let released = all().filter(|(_, release)| release.version.pre.is_empty());
    released.max_by_key(by_version).or_else(|| all().max_by_key(by_version))
}

/// Where the newest version is that will do, of those that indexes have under a name and that may be used here;
/// nothing if no index has the name.
///
/// # Errors
/// None of them will do, or indexes mean different plugins by the name.
pub fn choose(
    known: &[Known],
    name: &str,
    wanted: &VersionReq,
) -> Result<Option<Reference>, RegistryError> {
    let named: Vec<(&Known, &Listed)> =
        known.iter().filter_map(|known| Some((known, known.index.get(name)?))).collect();
    let Some((_, first)) = named.first() else { return Ok(None) };
    if named.iter().any(|(_, listed)| listed.at != first.at) {
        let places = named.iter().map(|(known, listed)| format!("{} ({})", listed.at, known.place));
        let places: Vec<String> = places.collect();
        return Err(RegistryError::Usage(format!(
            "indexes have `{name}` at different places: {}; name the place that you mean, as in `vitral plugin \
             install {}`",
            places.join(", "),
            first.at
        )));
    }
    let will_do = |(_, release): &(&Listed, &Release)| wanted.matches(&release.version);
    match usable(known, name).filter(will_do).max_by_key(by_version) {
        Some((listed, release)) => Ok(Some(listed.at(release))),
        None => Err(none_will_do(known, name, wanted)),
    }
}

/// All versions of a name that may be used here and that no index has taken back.
fn usable<'k>(known: &'k [Known], name: &str) -> impl Iterator<Item = (&'k Listed, &'k Release)> {
    let taken_back: Vec<&Release> =
        all(known, name).map(|(_, release)| release).filter(|r| r.yanked.is_some()).collect();
    all(known, name).filter(move |(_, release)| {
        release.may_be_used() && taken_back.iter().all(|other| other.digest != release.digest)
    })
}

fn all<'k>(known: &'k [Known], name: &str) -> impl Iterator<Item = (&'k Listed, &'k Release)> {
    let listed = known.iter().filter_map(move |known| known.index.get(name));
    listed.flat_map(|listed| listed.versions.iter().map(move |release| (listed, release)))
}

fn by_version<'k>((_, release): &(&'k Listed, &'k Release)) -> &'k semver::Version {
    &release.version
}

/// Why nothing will do.
fn none_will_do(known: &[Known], name: &str, wanted: &VersionReq) -> RegistryError {
    let would_do = all(known, name).filter(|(_, release)| wanted.matches(&release.version));
    let reason = would_do.max_by_key(by_version).map(|(listed, release)| {
        let what = format!("{name} {}", release.version);
        match &release.yanked {
            Some(why) => format!(
                "{what} was yanked: {why}; `vitral plugin install {}` installs it anyway",
                listed.at(release)
            ),
            None if !release.contract.is_supported() => format!(
                "{what} is for version {} of the plugin contract, which this vitral does not \
                 support",
                release.contract
            ),
            None => format!("{what} was yanked by another index"),
        }
    });
    let reason = reason.unwrap_or_else(|| {
        let newest = newest(known, name).map(|(_, release)| release.version.to_string());
        let newest = newest.unwrap_or_else(|| "none that can be used".into());
        format!("the indexes have no such version; the newest is {newest}")
    });
    RegistryError::Usage(format!(
        "there is no `{name}` in a version `{wanted}` to install: {reason}"
    ))
}

#[cfg(test)]
mod tests {
    use semver::Version;

    use super::*;
    use crate::index::Index;
    use crate::index::tests::{key, listed};

    fn known(place: &str, plugins: Vec<Listed>) -> Known {
        let index = Index { serial: 1, plugins };
        Known { place: place.into(), index, key: key().1.fingerprint() }
    }

    fn chosen(known: &[Known], wanted: &str) -> Result<String, String> {
        let chosen = choose(known, "blur", &wanted.parse().unwrap());
        chosen.map(|at| at.unwrap().to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_listed_is_chosen_from_all_indexes() {
        let mut all = vec![
            known("one", vec![listed("blur", "", &["2.0.0-rc.1", "1.1.0", "1.0.0"])]),
            known("two", vec![listed("blur", "", &["1.2.0", "1.1.0"])]),
        ];
        assert_eq!(choose(&all, "other", &VersionReq::STAR).unwrap(), None);
        assert_eq!(chosen(&all, "*").unwrap(), "r.org/lab/blur:1.2.0");
        assert_eq!(chosen(&all, "=1.0.0").unwrap(), "r.org/lab/blur:1.0.0");
        let newest_of = |all: &[Known]| newest(all, "blur").unwrap().1.version.to_string();
        assert_eq!(newest_of(&all), "1.2.0");
        let error = chosen(&all, "^3").unwrap_err();
        assert!(error.contains("no such version; the newest is 1.2.0"), "{error}");
        // What one index has taken back, no other has any more.
        all[1].index.yank("blur", &Version::new(1, 2, 0), "it darkens").unwrap();
        all[1].index.yank("blur", &Version::new(1, 1, 0), "it darkens, too").unwrap();
        assert_eq!(chosen(&all, "*").unwrap(), "r.org/lab/blur:1.0.0");
        assert_eq!(newest_of(&all), "1.0.0");
        let error = chosen(&all, "^1.2").unwrap_err();
        assert!(error.contains("yanked: it darkens") && error.contains(":1.2.0"), "{error}");
        // Nor is what this build could not open.
        all[0].index.plugins[0].versions[2].contract.major += 1;
        let error = chosen(&all, "=1.0.0").unwrap_err();
        assert!(error.contains("of the plugin contract, which this vitral does not"), "{error}");
        assert_eq!(newest_of(&all), "2.0.0-rc.1");
    }

    #[test]
    fn a_name_that_means_two_plugins_is_asked_for() {
        let mut other = listed("blur", "", &["9.0.0"]);
        other.at = "s.org/thief/blur".parse().unwrap();
        let all = [
            known("one", vec![listed("blur", "", &["1.0.0"])]),
            known("https://two.org/i", vec![other]),
        ];
        let error = chosen(&all, "*").unwrap_err();
        for part in ["r.org/lab/blur (one)", "s.org/thief/blur (https://two.org/i)"] {
            assert!(error.contains(part), "{error}");
        }
    }
}
