//! Versions that nobody begins a run with any more.

use vitral_bundle::{Digest, Package};

use super::{Refusal, Registry};

/// A version that its publisher has taken back.
#[derive(Clone, Debug)]
pub struct Yanked {
    /// The digest of its bundle's checksums.
    pub digest: Digest,
    /// Why.
    pub why: String,
}

impl Registry {
    /// The same, where no run begins with versions that were taken back.
    pub fn without(self, yanked: Vec<Yanked>) -> Self {
        Self { yanked, ..self }
    }

    /// Makes sure that a run does not begin with what was taken back.
    pub(super) fn check_yanked(&self, package: &Package) -> Result<(), Refusal> {
        let manifest = package.manifest();
        let digest = package.digest();
        let Some(yanked) = self.yanked.iter().find(|yanked| yanked.digest == digest) else {
            return Ok(());
        };
        let before = self.state().before.get(&manifest.name).map(|locked| locked.version.clone());
        if before.as_ref() == Some(&manifest.version) {
            return Ok(());
        }
        Err(Refusal::new(
            format!(
                "version {} of plugin `{}` was yanked: {}",
                manifest.version, manifest.name, yanked.why
            ),
            "`vitral plugin update` installs a newer one, if there is one; runs that were started \
             with this one can still be resumed",
        ))
    }
}
