//! What the indexes say that the user looks into, as they were fetched last.

use vitral_bundle::{Reference, Store};
use vitral_registry::{Found, Indexes, Known, RegistryError, Release};

use crate::{failure::Failure, progress::note};

/// Where the plugin of a name is, as indexes have it.
pub fn place_of(store: &Store, name: &str) -> Result<Option<Reference>, Failure> {
    let known = kept(store)?;
    Ok(known.iter().find_map(|known| known.index.get(name)).map(|listed| listed.at.clone()))
}

/// The versions that indexes have taken back, and where they are.
pub fn yanked(store: &Store) -> Result<Vec<(Reference, Release)>, Failure> {
    let known = kept(store)?;
    let listed = known.into_iter().flat_map(|known| known.index.plugins);
    let yanked = listed.flat_map(|listed| {
        let versions = listed.versions.into_iter().filter(|release| release.yanked.is_some());
        versions.map(|release| (listed.at.clone(), release)).collect::<Vec<_>>()
    });
    Ok(yanked.collect())
}

/// Makes sure that what a registry has is what indexes say, and tells what they have taken back.
pub fn check(store: &Store, found: &Found) -> Result<(), Failure> {
    let manifest = found.card.manifest(&found.reference.to_string())?;
    for Known { place, index, .. } in kept(store)? {
        let listed =
            index.plugins.iter().find(|listed| listed.at.place() == found.reference.place());
        let versions = listed.into_iter().flat_map(|listed| &listed.versions);
        for release in versions.filter(|release| release.version == manifest.version) {
            if release.digest != found.card.digest {
                return Err(RegistryError::Index {
                    index: place,
                    problem: format!(
                        "the index says that {} has digest {}, but what the registry has is {}; ask its author \
                         what happened",
                        found.reference, release.digest, found.card.digest
                    ),
                }
                .into());
            }
            if let Some(why) = &release.yanked {
                note(&format!("{} was taken back: {why}", found.reference));
            }
        }
    }
    Ok(())
}

/// The indexes that can be used, as they were fetched last.
pub fn kept(store: &Store) -> Result<Vec<Known>, Failure> {
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
