//! Plugins that an experiment names by where they are in a registry.

use vitral_bundle::{Bundle, Installed, Locked, Origin, Package, Reference, Which};
use vitral_config::PluginUse;

use super::{PluginConfig, Refusal, Registry};

/// Fetches a bundle from a registry; an error is for people.
pub type Fetch = Box<dyn Fn(&Reference) -> Result<Bundle, String> + Send + Sync>;

impl Registry {
    /// The same, where bundles are fetched that experiments name by where they are in a registry.
    pub fn fetching(self, fetch: Fetch) -> Self {
        Self { fetch: Some(fetch), ..self }
    }

    /// The plugin that an experiment names so: an installed one that has come from there, or else what is
    /// fetched.
    pub(super) fn find_remote(
        &self,
        used: &PluginUse,
        config: &PluginConfig,
        from: &Reference,
    ) -> Result<Package, Refusal> {
        let name = &used.name;
        if from.plugin() != name {
            return Err(Refusal::new(
                format!("{from} is plugin `{}`, not `{name}`", from.plugin()),
                "name the right one in `plugins`",
            ));
        }
        if config.bundle.is_some() || config.path.is_some() {
            return Err(Refusal::new(
                format!(
                    "`plugins` takes `{name}` from a registry and from a place on this machine"
                ),
                "give one of `from`, `path` and `bundle`",
            ));
        }
        let before = self.locked(used, from);
        let is_locked = |installed: &Installed| {
            before.as_ref().is_none_or(|before| is_the_same(before, installed))
        };
        let installed = before.as_ref().and_then(|_| self.installed_before(used, config));
        if let Some(installed) = installed.filter(is_locked) {
            return Ok(installed.into());
        }
        if let Some(installed) = self.installed_from(used, from, is_locked)? {
            return Ok(installed.into());
        }
        let known = self.state().fetched.get(name).cloned();
        let bundle = match known {
            Some(bundle) => bundle,
            None => {
                let bundle = self.fetch(name, from, before)?;
                self.state().fetched.insert(name.clone(), bundle.clone());
                bundle
            }
        };
        let version = &bundle.manifest().version;
        if !used.version.matches(version) {
            return Err(Refusal::new(
                format!(
                    "{from} is version {version} of `{name}`, but `{}` is required",
                    used.version
                ),
                "ask for the same version where the plugin is used and in `plugins`",
            ));
        }
        Ok(bundle.into())
    }

    /// What a run that goes on was started with, unless its experiment was changed so that this will not do.
    fn locked(&self, used: &PluginUse, from: &Reference) -> Option<Locked> {
        let before = self.state().before.get(&used.name).cloned()?;
        let will_do = match from.which() {
            Which::Newest => true,
            Which::Version(version) => *version == before.version,
            Which::Wanted(wanted) => wanted.matches(&before.version),
            // Which says itself what it is.
            Which::Digest(_) => false,
        };
        let will_do = will_do && used.version.matches(&before.version);
        (will_do && before.origin != Origin::CompiledIn).then_some(before)
    }

    fn fetch(
        &self,
        name: &str,
        from: &Reference,
        before: Option<Locked>,
    ) -> Result<Bundle, Refusal> {
        let wanted = match (from.which(), before) {
            (Which::Newest | Which::Wanted(_), Some(locked)) => {
                from.with(Which::Version(locked.version))
            }
            _ => from.clone(),
        };
        let missing = || format!("plugin `{name}` is not installed from {from}");
        let fetch = self.fetch.as_ref();
        let fetch = fetch.ok_or_else(|| Refusal::new(missing(), install(&wanted)))?;
        fetch(&wanted).map_err(|problem| {
            Refusal::new(format!("{}, and {problem}", missing()), install(&wanted))
        })
    }

    /// The newest installed version that came from a place in a registry and will do, also for a run that goes
    /// on.
    fn installed_from(
        &self,
        used: &PluginUse,
        from: &Reference,
        is_locked: impl Fn(&Installed) -> bool,
    ) -> Result<Option<Installed>, Refusal> {
        let Some(store) = self.trust.store() else { return Ok(None) };
        let wrong = |error| Refusal::new(error, "`vitral plugin list` shows what cannot be used");
        let (listing, origins) = (store.list().map_err(wrong)?, store.origins().map_err(wrong)?);
        let place = from.place();
        let will_do = |plugin: &&Installed| {
            let mut names = origins.of(plugin.digest());
            let fits = match from.which() {
                Which::Newest => true,
                Which::Version(version) => version == plugin.version(),
                Which::Wanted(wanted) => wanted.matches(plugin.version()),
                Which::Digest(_) => return names.any(|name| name == from.to_string()),
            };
            let came =
                |name: &str| name.strip_prefix(&place).is_some_and(|r| r.starts_with([':', '@']));
            fits && used.version.matches(plugin.version()) && names.any(came)
        };
        let named = listing.plugins.iter();
        let named = named.filter(|plugin| plugin.name() == used.name && is_locked(plugin));
        Ok(named.filter(will_do).max_by_key(|plugin| plugin.version()).cloned())
    }
}

/// Whether an installed plugin is what a run was started with.
fn is_the_same(before: &Locked, installed: &Installed) -> bool {
    before.version == *installed.version()
        && before.bundle.is_none_or(|digest| digest == installed.digest())
}

fn install(from: &Reference) -> String {
    format!("`vitral plugin install {from}` installs it")
}
