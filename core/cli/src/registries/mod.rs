//! Registries of plugins, with what the user knows of what is there.

pub mod indexes;
mod transfer;

use clap::Args;
use vitral_bundle::{Bundle, Digest, Fetched, Reference, Store, Which};
use vitral_files::{Access, Existing};
use vitral_registry::{Client, Found, Options, PlainHttp, Push, Pushed, RegistryError};

use crate::{failure::Failure, plugins, progress::note};

/// A bundle's file.
pub const BUNDLE: vitral_files::Kind =
    vitral_files::Kind::new("a bundle", vitral_bundle::MAX_UNPACKED_BYTES + (16 << 20));

/// How registries are reached.
#[derive(Clone, Debug, Default, Args)]
pub struct Reached {
    /// Connect to a registry on this machine without TLS. With `=HOST:PORT`, to that one, wherever
    /// it is: anyone on the way can then read passwords and change what is sent.
    #[arg(
        long,
        value_name = "HOST:PORT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = ""
    )]
    pub plain_http: Option<String>,
}

/// Registries, with what the user knows of plugins there.
pub struct Registries {
    client: Client,
    store: Option<Store>,
}

impl Reached {
    /// What reaches registries and web servers.
    pub fn client(&self) -> Result<Registries, Failure> {
        let store = Store::of_user().ok();
        let avoid = store.as_ref().map(indexes::yanked).transpose()?.unwrap_or_default();
        let avoid = avoid.into_iter().map(|(at, release)| (at.place(), release.version));
        let options = Options {
            plain_http: match self.plain_http.as_deref() {
                None => PlainHttp::Never,
                Some("") => PlainHttp::ThisMachine,
                Some(registry) => PlainHttp::Registry(registry.to_owned()),
            },
            cache: plugins::cache_folder(),
            avoid: avoid.collect(),
            on_progress: Some(transfer::shown()),
        };
        Ok(Registries { client: Client::new(options)?, store })
    }
}

impl Registries {
    /// Finds a plugin and what is told about it.
    ///
    /// # Errors
    /// It is not there, or another one than under this name before.
    pub fn find(&self, reference: &Reference) -> Result<Found, RegistryError> {
        let found = self.client.find(reference)?;
        let Some(store) = &self.store else { return Ok(found) };
        let by_digest = matches!(found.reference.which(), Which::Digest(_));
        if let Some(known) = store.origins()?.get(&found.reference).filter(|_| !by_digest)
            && known.registry != found.digest
        {
            return Err(RegistryError::Moved {
                reference: found.reference.to_string(),
                place: found.reference.place(),
                known: format!("sha256:{}", known.registry),
                found: format!("sha256:{}", found.digest),
            });
        }
        let manifest = found.card.manifest(&found.reference.to_string())?;
        indexes::check(store, &found.reference, &manifest.version, found.card.digest)?;
        Ok(found)
    }

    /// Fetches a bundle, and says under which name it is there.
    ///
    /// # Errors
    /// As [`find`](Self::find), and if it does not come whole.
    pub fn fetch(&self, reference: &Reference) -> Result<(Bundle, Reference), Failure> {
        let (found, bytes) = self.pull(reference)?;
        Ok((Bundle::from_bytes(&found.reference.to_string(), &bytes)?, found.reference))
    }

    /// Fetches the bytes of a bundle, and says what it is.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch).
    pub fn pull(&self, reference: &Reference) -> Result<(Found, Vec<u8>), Failure> {
        let found = self.find(reference)?;
        let bytes = self.take(&found)?;
        Ok((found, bytes))
    }

    fn take(&self, found: &Found) -> Result<Vec<u8>, Failure> {
        let bytes = self.client.pull(found)?;
        if let Some(store) = &self.store {
            let fetched = Fetched { registry: found.digest, bundle: found.card.digest };
            store.note_origin(&found.reference, fetched)?;
        }
        Ok(bytes)
    }

    /// Publishes a bundle.
    ///
    /// # Errors
    /// The registry does not take it, or has another one of that version.
    pub fn push(&self, to: &Reference, bytes: &[u8], how: Push) -> Result<Pushed, RegistryError> {
        self.client.push(to, bytes, how)
    }

    /// The same as [`fetch`](Self::fetch), with a copy that is kept for the next time, which also serves where
    /// the registry cannot be reached and a version is asked for that was there before.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch).
    pub fn fetch_kept(&self, reference: &Reference) -> Result<Bundle, Failure> {
        let known = match &self.store {
            Some(store) => store.origins()?.get(reference),
            None => None,
        };
        let kept = |digest: Digest| {
            let path = plugins::cache_folder()?.join("bundles").join(format!("{digest}.vitral"));
            Some(path)
        };
        let open = |fetched: Fetched| {
            let bundle = Bundle::open(&kept(fetched.registry)?).ok()?;
            (bundle.digest() == fetched.bundle).then_some(bundle)
        };
        let found = match self.find(reference) {
            Err(error @ RegistryError::Unreachable { .. }) => {
                let Some(bundle) = known.and_then(open) else { return Err(error.into()) };
                if let Some(store) = &self.store {
                    let version = &bundle.manifest().version;
                    indexes::check(store, reference, version, bundle.digest())?;
                }
                note(&format!("{error}; using {reference} as it was fetched before"));
                return Ok(bundle);
            }
            found => found?,
        };
        let fetched = Fetched { registry: found.digest, bundle: found.card.digest };
        if let Some(bundle) = open(fetched) {
            return Ok(bundle);
        }
        let bytes = self.take(&found)?;
        if let Some(path) = kept(found.digest) {
            // A copy saves time alone.
            let folder = path.parent().map(vitral_files::create_private_folder);
            if folder.is_some_and(|made| made.is_ok()) {
                let _ = vitral_files::write(&path, &bytes, Existing::Replace, Access::Private);
            }
        }
        Ok(Bundle::from_bytes(&found.reference.to_string(), &bytes)?)
    }

    /// Fetches a file of at most so many bytes from a web server.
    ///
    /// # Errors
    /// It is not there, or larger.
    pub fn get(&self, address: &str, most: u64) -> Result<Vec<u8>, RegistryError> {
        self.client.get(address, most)
    }
}
