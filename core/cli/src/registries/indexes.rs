//! What the indexes say that the user looks into, as they were fetched last.

use semver::Version;
use vitral_bundle::{Digest, Reference, Store};
use vitral_registry::{Indexes, Known, RegistryError, Release};

use crate::progress::note;

/// The versions that indexes have taken back, and where they are.
pub fn yanked(store: &Store) -> Result<Vec<(Reference, Release)>, RegistryError> {
    let known = kept(store)?;
    let listed = known.into_iter().flat_map(|known| known.index.plugins);
    let yanked = listed.flat_map(|listed| {
        let versions = listed.versions.into_iter().filter(|release| release.yanked.is_some());
        versions.map(|release| (listed.at.clone(), release)).collect::<Vec<_>>()
    });
    Ok(yanked.collect())
}

/// Makes sure that what came from a registry is what indexes say, and tells what they have taken back.
pub fn check(
    store: &Store,
    from: &Reference,
    version: &Version,
    digest: Digest,
) -> Result<(), RegistryError> {
    for Known { place, index, .. } in kept(store)? {
        let listed = index.plugins.iter().find(|listed| listed.at.place() == from.place());
        let versions = listed.into_iter().flat_map(|listed| &listed.versions);
        for release in versions.filter(|release| release.version == *version) {
            if release.digest != digest {
                return Err(RegistryError::Index {
                    index: place,
                    problem: format!(
                        "the index says that {from} has digest {}, but what came from the registry has {digest}; \
                         ask its author what happened",
                        release.digest
                    ),
                });
            }
            if let Some(why) = &release.yanked {
                note(&format!("{from} was yanked: {why}"));
            }
        }
    }
    Ok(())
}

/// The indexes that can be used, as they were fetched last.
pub fn kept(store: &Store) -> Result<Vec<Known>, RegistryError> {
    let known = Indexes::of(store.clone()).list()?;
    let usable = known.into_iter().filter_map(|known| match known {
        Ok(known) => Some(known),
        Err(error) => {
            note(&format!("an index cannot be used: {error}"));
            None
        }
    });
    Ok(usable.collect())
}

#[cfg(test)]
mod tests {
    use vitral_bundle::{KeyPair, SigningKey};
    use vitral_registry::Index;

    use super::*;

    #[test]
    fn what_came_from_a_registry_is_held_against_the_indexes() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().join("plugins"));
        let pair = KeyPair::generate(None).unwrap();
        let secret = SigningKey::parse("k", pair.secret_text(), None).unwrap();
        store.trust(pair.public()).unwrap();
        let key = pair.public().fingerprint();
        let right = Digest::of(b"right");
        let index: Index = serde_json::from_value(serde_json::json!({
            "serial": 1,
            "plugins": [{
                "name": "blur", "at": "r.org/lab/blur", "kind": "Monitor", "summary": "x",
                "versions": [{ "version": "1.0.0", "digest": right, "key": key, "contract": "1.0" }],
            }],
        }))
        .unwrap();
        Indexes::of(store.clone()).add("i", &index.signed(&secret).unwrap()).unwrap();
        let said = |from: &str, version: &str, digest: Digest| {
            let (from, version) = (from.parse().unwrap(), version.parse().unwrap());
            check(&store, &from, &version, digest).map_err(|error| error.to_string())
        };
        said("r.org/lab/blur:1.0.0", "1.0.0", right).unwrap();
        let other = Digest::of(b"other");
        said("s.org/lab/blur:1.0.0", "1.0.0", other).unwrap();
        said("r.org/lab/blur:1.1.0", "1.1.0", other).unwrap();
        let error = said("r.org/lab/blur:1.0.0", "1.0.0", other).unwrap_err();
        assert!(error.contains("the index says that r.org/lab/blur:1.0.0 has digest"), "{error}");
    }
}
