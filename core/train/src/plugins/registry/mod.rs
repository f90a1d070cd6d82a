//! Where plugins come from: this program, installed bundles, files and folders.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use semver::Version;
use vitral_bundle::{
    Bundle, BundleError, Installed, Lock, Locked, Origin, Package, Request, Trust, TrustError,
    resolve,
};
use vitral_config::{PluginUse, PluginValue};
use vitral_host::{Compiler, Interrupt, Kind, Plugin, Setting, Settings, Value, WasmEngine};

mod code;
mod local;
mod remote;
mod yanked;

use local::Found as FoundLocal;
pub use local::{Build, Source};
pub use remote::Fetch;
pub use yanked::Yanked;

use super::{
    PluginConfig, RunAs, instead_of, refusal::Refusal, unpacked::Unpacked, uses::uses, wants::wants,
};
use crate::{Error, Experiment};

/// The plugins that a run can use. Each is opened once, whatever uses it.
pub struct Registry {
    compiled_in: Vec<Plugin>,
    trust: Trust,
    cache: Option<PathBuf>,
    interrupt: Interrupt,
    compiler: Compiler,
    /// What hears of what takes seconds.
    tell: Option<fn(&str)>,
    engine: OnceLock<WasmEngine>,
    fetch: Option<Fetch>,
    build: Option<Box<dyn Build>>,
    yanked: Vec<Yanked>,
    state: Mutex<State>,
}

/// What has come of a registry's use.
#[derive(Default)]
struct State {
    opened: BTreeMap<String, Open>,
    /// What the run was started with.
    before: Lock,
    /// What was fetched, by name.
    fetched: BTreeMap<String, Bundle>,
    /// Libraries of bundles, which stay while the registry does.
    unpacked: Vec<Unpacked>,
}

/// A plugin that is open.
#[derive(Clone)]
struct Open {
    plugin: Plugin,
    locked: Locked,
    /// Where an experiment says that it is, if it is no bundle.
    place: Option<PathBuf>,
}

/// A plugin with settings that it takes.
pub struct Opened {
    /// The plugin.
    pub plugin: Plugin,
    /// All of its settings.
    pub settings: Settings,
}

/// Where a plugin is.
enum Found {
    /// In this program.
    Own(Plugin, Box<Locked>),
    /// In a bundle.
    Package(Box<Package>),
    /// In a component's file or in the folder of its source.
    Local(Box<FoundLocal>),
}

impl Registry {
    /// The plugins of this program, those that the user trusts, and a folder for what is compiled.
    pub fn new(compiled_in: Vec<Plugin>, trust: Trust, cache: Option<PathBuf>) -> Self {
        Self {
            compiled_in,
            trust,
            cache,
            interrupt: Interrupt::default(),
            compiler: Compiler::default(),
            tell: None,
            engine: OnceLock::new(),
            fetch: None,
            build: None,
            yanked: Vec::new(),
            state: Mutex::new(State::default()),
        }
    }

    /// The same, with a switch that has calls of plugins end early.
    pub fn with_interrupt(self, interrupt: Interrupt) -> Self {
        Self { interrupt, ..self }
    }

    /// The same, where WebAssembly is compiled elsewhere than in this process.
    pub fn compiled_by(self, compiler: Compiler) -> Self {
        Self { compiler, ..self }
    }

    /// The same, telling when a plugin is compiled that takes seconds.
    pub fn telling(self, tell: fn(&str)) -> Self {
        Self { tell: Some(tell), ..self }
    }

    /// The plugins that are a part of this program.
    pub fn compiled_in(&self) -> &[Plugin] {
        &self.compiled_in
    }

    /// Opens a plugin as an experiment uses it at a field.
    ///
    /// # Errors
    /// There is none of that name and version, it is of another kind, it cannot be opened, it asks
    /// for what is not granted, or it does not take the settings.
    pub fn open(
        &self,
        experiment: &Experiment,
        used: &PluginUse,
        kind: Kind,
        field: &str,
    ) -> Result<Opened, Error> {
        self.try_open(experiment, used, kind).map_err(|refusal| refusal.at(field))
    }

    /// Makes sure that every plugin of an experiment may run as it has them run, asking the user
    /// where that is possible, before any of them is opened.
    ///
    /// # Errors
    /// Some may not, all of which are named, or one cannot be found.
    pub fn check_allowed(&self, experiment: &Experiment) -> Result<(), Error> {
        let mut requests: Vec<Request> = Vec::new();
        for (field, used) in uses(experiment) {
            let config = experiment.plugins.get(&used.name).cloned().unwrap_or_default();
            let found = self.find(&used, &config).map_err(|refusal| refusal.at(&field))?;
            match self.allowed(&found, &config) {
                Err(Refusal::NotAllowed(request)) if requests.contains(&request) => {}
                Err(Refusal::NotAllowed(request)) => requests.push(*request),
                allowed => allowed.map_err(|refusal| refusal.at(&field))?,
            }
        }
        if requests.is_empty() { Ok(()) } else { Err(Error::NotAllowed(requests)) }
    }

    /// Whether a plugin, as an experiment uses it at a field, is one that is a part of this program.
    ///
    /// # Errors
    /// There is none of that name and version.
    pub fn is_own(
        &self,
        experiment: &Experiment,
        used: &PluginUse,
        field: &str,
    ) -> Result<bool, Error> {
        let config = experiment.plugins.get(&used.name).cloned().unwrap_or_default();
        let found = self.find(used, &config).map_err(|refusal| refusal.at(field))?;
        Ok(matches!(found, Found::Own(..)))
    }

    fn try_open(
        &self,
        experiment: &Experiment,
        used: &PluginUse,
        kind: Kind,
    ) -> Result<Opened, Refusal> {
        let known = self.state().opened.get(&used.name).map(|open| open.plugin.clone());
        let plugin = match known {
            Some(plugin) => plugin,
            None => {
                let config = experiment.plugins.get(&used.name).cloned().unwrap_or_default();
                let found = self.find(used, &config)?;
                self.allowed(&found, &config)?;
                let open = match found {
                    Found::Own(plugin, locked) => Open { plugin, locked: *locked, place: None },
                    Found::Package(package) => self.open_package(&package, &config)?,
                    Found::Local(local) => self.open_local(*local, &config)?,
                };
                self.state().opened.insert(used.name.clone(), open.clone());
                open.plugin
            }
        };
        let description = plugin.description();
        if !version(&plugin).is_some_and(|version| used.version.matches(&version)) {
            let (name, found) = (&used.name, &description.version);
            return Err(Refusal::new(
                format!(
                    "plugin `{name}` is available in version {found}, but `{}` is required",
                    used.version
                ),
                "a run uses one version of a plugin",
            ));
        }
        if plugin.kind() != kind {
            return Err(Refusal::new(
                format!(
                    "plugin `{}` is of kind {}, but one of kind {kind} is needed here",
                    used.name,
                    plugin.kind()
                ),
                "`vitral plugin list` shows the plugins of each kind",
            ));
        }
        let given: Vec<Setting> = used.settings.iter().map(setting).collect();
        let settings = Settings::check(description, &given).map_err(|error| {
            let is_given = used.settings.contains_key(&error.parameter);
            Refusal::Field {
                below: is_given.then(|| format!("settings.{}", error.parameter)),
                is_name: error.is_unknown,
                message: error.to_string(),
                help: error.help,
            }
        })?;
        Ok(Opened { plugin, settings })
    }

    /// Finds a plugin. Nothing of it runs.
    fn find(&self, used: &PluginUse, config: &PluginConfig) -> Result<Found, Refusal> {
        let found = self.find_any(used, config)?;
        if let Found::Package(package) = &found {
            self.check_yanked(package)?;
        }
        Ok(found)
    }

    fn find_any(&self, used: &PluginUse, config: &PluginConfig) -> Result<Found, Refusal> {
        if let Some(from) = &config.from {
            return Ok(Found::Package(Box::new(self.find_remote(used, config, from)?)));
        }
        if let Some(path) = &config.path {
            return self.find_local(used, config, path);
        }
        if let Some(path) = &config.bundle {
            return in_file(used, path);
        }
        if let Some(installed) = self.installed_before(used, config) {
            return Ok(Found::Package(Box::new(installed.into())));
        }
        let built_in = self.compiled_in.iter().find(|p| p.description().name == used.name);
        let built_in = built_in.filter(|_| matches!(config.run, None | Some(RunAs::CompiledIn)));
        let built_in = built_in.and_then(|plugin| Some((plugin, version(plugin)?)));
        let built_in = built_in.filter(|(_, version)| used.version.matches(version));
        // Nothing takes its place of itself, whatever its version is.
        if let Some((plugin, own)) = built_in {
            return Ok(Found::Own(plugin.clone(), Box::new(compiled_in(plugin, own))));
        }
        let found = self.installed(used, config).map_err(|message| {
            let names: Vec<_> =
                self.compiled_in.iter().map(|p| p.description().name.as_str()).collect();
            let meant = vitral_config::nearest(&used.name, &names);
            let meant = meant.map(|name| format!("did you mean `{name}`? Else "));
            if let Some(before) = self.state().before.get(&used.name) {
                return Refusal::Field {
                    below: Some("name".into()),
                    is_name: false,
                    message: format!("{message}; the run was started with {before}"),
                    help: how_to_get(before),
                };
            }
            let instead = instead_of(&used.name).map(|instead| format!("{instead}. Else "));
            let help = format!(
                "{}install its bundle with `vitral plugin install`, or name it in `plugins`; \
                 compiled in are {}",
                instead.or(meant).unwrap_or_default(),
                names.join(", ")
            );
            Refusal::Field { below: Some("name".into()), is_name: false, message, help }
        })?;
        Ok(Found::Package(Box::new(found.into())))
    }

    /// The installed version that the run was started with, if it is still there and will do.
    fn installed_before(&self, used: &PluginUse, config: &PluginConfig) -> Option<Installed> {
        let state = self.state();
        let locked = state.before.get(&used.name).filter(|locked| match locked.origin {
            Origin::CompiledIn => false,
            Origin::Wasm => matches!(config.run, None | Some(RunAs::Wasm)),
            Origin::Native(_) => config.run == Some(RunAs::Native),
        });
        let locked = locked.filter(|locked| used.version.matches(&locked.version))?;
        self.trust.store()?.open(&locked.name, &locked.version).ok()
    }

    /// The newest installed version that will do.
    fn installed(&self, used: &PluginUse, config: &PluginConfig) -> Result<Installed, String> {
        let name = &used.name;
        if config.run == Some(RunAs::CompiledIn) {
            return Err(format!(
                "plugin `{name}` is not compiled in with a version `{}`",
                used.version
            ));
        }
        let store = self.trust.store();
        let store = store.ok_or_else(|| format!("plugin `{name}` is not available"))?;
        let listing = store.list().map_err(|error| error.to_string())?;
        let found = resolve(&listing.plugins, name, &used.version);
        found.cloned().map_err(|error| error.to_string())
    }

    /// Makes sure that a plugin may run as an experiment has it run.
    fn allowed(&self, found: &Found, config: &PluginConfig) -> Result<(), Refusal> {
        let checked = match found {
            Found::Own(..) => return Ok(()),
            Found::Package(package) => {
                self.trust.check(package, &wants(package.manifest().into(), config)?)
            }
            Found::Local(found) => self.trust.check_local(&found.local, &found.wants(config)?),
        };
        checked.map_err(|error| match error {
            TrustError::NotAllowed(request) => Refusal::NotAllowed(request),
            TrustError::Bundle(error) => in_bundle(error),
        })
    }

    /// Goes on with a run that was started with these plugins: where they are still installed, they
    /// are used, whatever has been installed since.
    pub(crate) fn go_on_with(&self, before: &Lock) {
        self.state().before = before.clone();
    }

    /// The plugins opened so far, by content.
    pub(crate) fn lock(&self) -> Lock {
        Lock::new(self.state().opened.values().map(|open| open.locked.clone()))
    }

    /// The lock of a run that goes on: what it was started with, of which everything that is opened
    /// again must be the same, and what has come since.
    ///
    /// # Errors
    /// A plugin is not the one that the run was started with.
    pub(crate) fn relock(&self, before: &Lock) -> Result<Lock, Error> {
        let now = self.lock();
        for plugin in now.plugins() {
            match before.get(&plugin.name) {
                Some(locked) if !locked.is_same(plugin) => {
                    let place =
                        self.state().opened.get(&plugin.name).and_then(|open| open.place.clone());
                    let how =
                        place.map_or_else(|| how_to_get(locked), |place| how_to_go_back(&place));
                    return Err(Error::Lock(format!(
                        "plugin `{}` is not the one that the run was started with: that was {locked}, \
                         and now there is {plugin}; to resume, {how}; or start a new run",
                        plugin.name,
                    )));
                }
                _ => {}
            }
        }
        let new = now.plugins().iter().filter(|plugin| before.get(&plugin.name).is_none());
        Ok(Lock::new(before.plugins().iter().chain(new).cloned()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What is in it is whole: everything is put there in one go.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn compiled_in(plugin: &Plugin, version: Version) -> Locked {
    Locked {
        name: plugin.description().name.clone(),
        version,
        origin: Origin::CompiledIn,
        sha256: None,
        bundle: None,
        signer: None,
        from: None,
    }
}

/// How a plugin is had that a run was started with and that is no longer there.
fn how_to_get(locked: &Locked) -> String {
    match (&locked.origin, &locked.from) {
        (Origin::CompiledIn, _) => {
            format!("use a vitral that has its version {} compiled in", locked.version)
        }
        (Origin::Wasm | Origin::Native(_), Some(from)) => {
            format!(
                "install it again with `vitral plugin install {from}`, beside what was installed \
                 since"
            )
        }
        (Origin::Wasm | Origin::Native(_), None) => format!(
            "install the bundle of its version {} again with `vitral plugin install`, beside what \
             was installed since, or name that bundle in `plugins`",
            locked.version
        ),
    }
}

/// How a plugin is had again that an experiment names by its place, where something else is now.
fn how_to_go_back(place: &Path) -> String {
    format!("have {} be what it was then, as from version control or a copy", place.display())
}

/// The plugin in a bundle's file.
fn in_file(used: &PluginUse, path: &Path) -> Result<Found, Refusal> {
    let bundle = Bundle::open(path).map_err(in_bundle)?;
    let (name, wanted) = (&bundle.manifest().name, &used.name);
    if name != wanted {
        return Err(Refusal::new(
            format!("{} holds plugin `{name}`, not `{wanted}`", path.display()),
            "name the right bundle in `plugins`",
        ));
    }
    Ok(Found::Package(Box::new(bundle.into())))
}

/// A plugin's version; opening it has checked that it has one.
fn version(plugin: &Plugin) -> Option<Version> {
    Version::parse(&plugin.description().version).ok()
}

fn in_bundle(error: BundleError) -> Refusal {
    Refusal::new(error, "`vitral plugin verify` checks a bundle as a whole")
}

fn setting((name, value): (&String, &PluginValue)) -> Setting {
    let value = match value.clone() {
        PluginValue::Boolean(value) => Value::Boolean(value),
        PluginValue::Integer(value) => Value::Integer(value),
        PluginValue::Number(value) => Value::Number(value),
        PluginValue::Text(text) => Value::Text(text),
        PluginValue::Integers(values) => Value::Integers(values),
        PluginValue::Numbers(values) => Value::Numbers(values),
    };
    Setting { name: name.clone(), value }
}

#[cfg(test)]
mod tests;
