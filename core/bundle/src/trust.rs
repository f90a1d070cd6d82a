//! The one place that answers whether a bundle may run, and what it may do.
//!
//! Nothing that a stranger wrote has a say in it: neither an experiment, nor a run's folder, nor the
//! bundle itself. What does is the user's: the keys that they trust, what they were asked and have
//! answered, and what they have allowed on the command line. A bundle runs in the sandbox, with the
//! usual limits and nothing beside, if the key vouches for it whose the plugin's name is. Anything
//! more is a [`Permit`], which is kept by the digest of the bundle, so that it ends with any change.

use std::collections::BTreeSet;
use std::fmt;

use crate::allowance::Allowance;
use crate::archive::Bundle;
use crate::decisions::Decisions;
use crate::digest::Digest;
use crate::error::BundleError;
use crate::installed::Installed;
use crate::key_id::{Fingerprint, KeyId};
use crate::keys::TrustedKey;
use crate::local::{Form, Local};
use crate::package::Package;
use crate::permit::Permit;
use crate::signature::Signature;
use crate::store::Store;

/// Asks the user, who says whether a bundle may do all that the request names.
pub type Ask = Box<dyn Fn(&Request) -> bool + Send + Sync>;

/// What the user trusts.
#[derive(Default)]
pub struct Trust {
    store: Option<Store>,
    reserved: BTreeSet<String>,
    given: Vec<Allowance>,
    ask: Option<Ask>,
}

/// What a plugin would do that the user has not allowed. Its text is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The plugin's name.
    pub name: String,
    /// Its name, and its version where that is known before any of it runs.
    pub plugin: String,
    /// Where it lies.
    pub place: String,
    /// What there is of it.
    pub form: Form,
    /// The digest that stands for all of its files; of a bundle, that of its checksums.
    pub digest: Digest,
    /// Why nobody vouches for it, if nobody does.
    pub doubt: Option<String>,
    /// What it would do.
    pub permits: Vec<Permit>,
    /// Whether something was allowed of it before it was noted who had signed it, which holds no more.
    pub has_lapsed: bool,
}

/// What is asked about.
struct Subject<'s> {
    name: &'s str,
    plugin: String,
    place: String,
    form: Form,
    digest: Digest,
    /// Why nobody vouches for it, if nobody does.
    doubt: Option<String>,
}

/// Why a plugin may not run, or not as it is to.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The user has not allowed it.
    #[error("{0}")]
    NotAllowed(Box<Request>),
    /// What decides about it, or itself, is damaged.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

impl Trust {
    /// Trust as a store keeps it. Reserved are the names of the program's own plugins.
    pub fn new(store: Option<Store>, reserved: impl IntoIterator<Item = String>) -> Self {
        Self { store, reserved: reserved.into_iter().collect(), given: Vec::new(), ask: None }
    }

    /// The same with what the command line allows.
    pub fn allowing(self, given: Vec<Allowance>) -> Self {
        Self { given, ..self }
    }

    /// The same with a user who can be asked. What they allow is kept.
    pub fn asking(self, ask: Ask) -> Self {
        Self { ask: Some(ask), ..self }
    }

    /// Where plugins are installed.
    pub fn store(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    /// Whether a bundle may run, and do what else it is to do: the user's keys or decisions say so,
    /// or the user does when asked.
    ///
    /// # Errors
    /// They do not, or a signature or what was decided is damaged.
    pub fn check(&self, package: &Package, wanted: &[Permit]) -> Result<(), TrustError> {
        let request = self.request(package, wanted)?;
        self.ask(request, package.contents().signing_key())
    }

    /// Whether a plugin that is no bundle may run, and do what else it is to do, as [`check`](Self::check).
    ///
    /// # Errors
    /// The user's decisions do not say so, nor does the user, or what was decided is damaged.
    pub fn check_local(&self, local: &Local, wanted: &[Permit]) -> Result<(), TrustError> {
        let subject = Subject {
            name: &local.name,
            plugin: local.name.clone(),
            place: local.place.display().to_string(),
            form: local.form,
            digest: local.digest,
            doubt: Some(local.form.doubt().into()),
        };
        self.ask(self.request_of(subject, wanted, &self.decisions()?), None)
    }

    /// Has the user answer a request, and keeps the answer.
    fn ask(&self, request: Option<Request>, key: Option<KeyId>) -> Result<(), TrustError> {
        let Some(request) = request else { return Ok(()) };
        match &self.ask {
            Some(ask) if ask(&request) => {
                let store = self.store.as_ref().ok_or(BundleError::NoStore)?;
                store.decide(|known| {
                    known.allow(request.digest, &request.plugin, key, &request.permits);
                })?;
                Ok(())
            }
            _ => Err(TrustError::NotAllowed(Box::new(request))),
        }
    }

    /// What the user would have to allow before a bundle may do something; nothing if it may already.
    ///
    /// # Errors
    /// A signature or what was decided is damaged.
    pub fn request(
        &self,
        package: &Package,
        wanted: &[Permit],
    ) -> Result<Option<Request>, BundleError> {
        let decisions = self.decisions()?;
        let contents = package.contents();
        let name = &contents.manifest.name;
        let subject = Subject {
            name,
            plugin: format!("{name} {}", contents.version()),
            place: contents.name.clone(),
            form: Form::Bundle,
            digest: contents.digest(),
            doubt: self.voucher(package, &decisions)?.err(),
        };
        Ok(self.request_of(subject, wanted, &decisions))
    }

    fn request_of(
        &self,
        subject: Subject,
        wanted: &[Permit],
        decisions: &Decisions,
    ) -> Option<Request> {
        let Subject { name, plugin, place, form, digest, doubt } = subject;
        let unvouched = doubt.as_ref().map(|_| Permit::Run);
        let given = self.given.iter().filter(|given| given.is_for(name, digest));
        let allowed: Vec<&Permit> =
            decisions.permits(digest).chain(given.flat_map(|given| &given.permits)).collect();
        let is_allowed = |permit: &Permit| {
            // Who lets native code run need not let its harmless form run as well.
            let runs_native = *permit == Permit::Run && wanted.contains(&Permit::Native);
            runs_native || allowed.iter().any(|allowed| allowed.covers(permit))
        };
        let permits: Vec<Permit> = unvouched
            .into_iter()
            .chain(wanted.iter().cloned())
            .filter(|permit| !is_allowed(permit))
            .collect();
        let (name, has_lapsed) = (name.to_owned(), decisions.has_lapsed(digest));
        let request = Request { plugin, place, form, digest, doubt, name, permits, has_lapsed };
        (!request.permits.is_empty()).then_some(request)
    }

    /// Installs a bundle that may run. Its name belongs from then on to the key that vouches for it,
    /// and what the command line allows it is kept.
    ///
    /// # Errors
    /// It may not run, or cannot be installed.
    pub fn install(&self, bundle: &Bundle) -> Result<Installed, TrustError> {
        self.put(bundle, Store::install)
    }

    /// The same, in the place of what is installed of the same version with other contents.
    ///
    /// # Errors
    /// As [`install`](Self::install).
    pub fn replace(&self, bundle: &Bundle) -> Result<Installed, TrustError> {
        self.put(bundle, Store::replace)
    }

    fn put(
        &self,
        bundle: &Bundle,
        into: impl Fn(&Store, &Bundle) -> Result<Installed, BundleError>,
    ) -> Result<Installed, TrustError> {
        let store = self.store.as_ref().ok_or(BundleError::NoStore)?;
        let package = Package::File(bundle.clone());
        self.check(&package, &[])?;
        let voucher = self.voucher(&package, &self.decisions()?)?;
        let installed = into(store, bundle)?;
        let (name, digest) = (&bundle.manifest().name, bundle.digest());
        let given: Vec<Permit> = self
            .given
            .iter()
            .filter(|given| given.is_for(name, digest))
            .flat_map(|given| given.permits.iter().cloned())
            .collect();
        store.decide(|known| {
            if let Ok(key) = voucher {
                known.names.insert(name.clone(), key);
            }
            if !given.is_empty() {
                let key = package.contents().signing_key();
                known.allow(digest, &format!("{name} {}", installed.version()), key, &given);
            }
        })?;
        Ok(installed)
    }

    /// The trusted key that has signed a bundle, if one has.
    ///
    /// # Errors
    /// The signature is wrong, or keys cannot be read.
    pub fn signer(&self, package: &Package) -> Result<Option<Fingerprint>, BundleError> {
        Ok(match package.contents().signature(&self.keys()?)? {
            Signature::Trusted(key) => Some(key),
            Signature::Unsigned | Signature::Unknown(_) => None,
        })
    }

    /// The name in a registry under which a bundle has come, if it has.
    ///
    /// # Errors
    /// What is known of that cannot be read.
    pub fn origin(&self, bundle: Digest) -> Result<Option<String>, BundleError> {
        let Some(store) = &self.store else { return Ok(None) };
        Ok(store.origins()?.of(bundle).next().map(str::to_owned))
    }

    /// The key that vouches for a bundle, or why none does.
    fn voucher(
        &self,
        package: &Package,
        decisions: &Decisions,
    ) -> Result<Result<Fingerprint, String>, BundleError> {
        let contents = package.contents();
        let key = match contents.signature(&self.keys()?)? {
            Signature::Unsigned => return Ok(Err("it is not signed".into())),
            Signature::Unknown(id) => {
                return Ok(Err(format!("it is signed with key {id}, which you do not trust")));
            }
            Signature::Trusted(key) => key,
        };
        let name = &contents.manifest.name;
        if self.reserved.contains(name) {
            return Ok(Err(format!("`{name}` is the name of a plugin that comes with Vitral")));
        }
        Ok(match decisions.names.get(name) {
            Some(owner) if *owner != key => Err(format!(
                "it is signed with key {key}, but the name `{name}` belongs to key {owner}, which \
                 signed the first plugin of that name that you installed"
            )),
            _ => Ok(key),
        })
    }

    fn keys(&self) -> Result<Vec<TrustedKey>, BundleError> {
        self.store.as_ref().map_or_else(|| Ok(Vec::new()), Store::trusted_keys)
    }

    fn decisions(&self) -> Result<Decisions, BundleError> {
        self.store.as_ref().map_or_else(|| Ok(Decisions::default()), Store::decisions)
    }
}

impl Request {
    /// What allows it on a command line.
    pub fn allowances(&self) -> Vec<Allowance> {
        Allowance::of(&self.name, self.digest, &self.permits)
    }

    /// The same, whatever becomes of its files: for who writes a plugin, and so changes its sources.
    pub fn lasting(&self) -> Option<Vec<Allowance>> {
        let of_any = |given| Allowance { digest: None, ..given };
        (self.form == Form::Sources).then(|| self.allowances().into_iter().map(of_any).collect())
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "plugin `{}` needs your permission", self.plugin)?;
        writeln!(f, "  it lies in {:?}", self.place)?;
        writeln!(f, "  the SHA-256 of {} is {}", self.form.digested(), self.digest)?;
        if let Some(doubt) = &self.doubt {
            writeln!(f, "  {doubt}")?;
        }
        if self.has_lapsed {
            let when = "before decisions recorded who had signed the bundle";
            writeln!(f, "  what you allowed it {when} no longer holds")?;
        }
        write!(f, "  it would")?;
        self.permits.iter().try_for_each(|permit| write!(f, "\n    {}", permit.words()))
    }
}
