//! Where plugins come from: this program, installed bundles, bundle files.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use semver::Version;
use vitral_bundle::{
    Bundle, BundleError, Installed, Lock, Locked, Manifest, Store, Target, resolve,
};
use vitral_config::{PluginUse, PluginValue};
use vitral_host::{
    Declared, Kind, Permissions, Plugin, Setting, Settings, Value, WasmEngine, WasmOptions,
};
use vitral_model::ConfigProblem;

use super::{PluginConfig, RunAs};
use crate::{Error, Experiment, files};

/// The plugins that a run can use. Each is opened once, whatever uses it.
pub struct Registry {
    compiled_in: Vec<Plugin>,
    store: Option<Store>,
    cache: Option<PathBuf>,
    engine: OnceLock<WasmEngine>,
    opened: Mutex<BTreeMap<String, (Plugin, Locked)>>,
}

/// A plugin with settings that it takes.
pub struct Opened {
    /// The plugin.
    pub plugin: Plugin,
    /// All of its settings.
    pub settings: Settings,
}

/// What went wrong, for a field of the experiment.
struct Refusal {
    /// The field below that of the plugin's use; none is the use itself.
    field: Option<String>,
    /// Whether it is the field's name that is wrong.
    is_name: bool,
    message: String,
    help: String,
}

impl Refusal {
    fn new(message: impl ToString, help: impl Into<String>) -> Self {
        Self { field: None, is_name: false, message: message.to_string(), help: help.into() }
    }
}

/// A bundle, as a file or installed.
enum Package {
    File(Bundle),
    Installed(Installed),
}

impl Registry {
    /// The plugins of this program, those of a store, and a folder for what is compiled.
    pub fn new(compiled_in: Vec<Plugin>, store: Option<Store>, cache: Option<PathBuf>) -> Self {
        Self {
            compiled_in,
            store,
            cache,
            engine: OnceLock::new(),
            opened: Mutex::new(BTreeMap::new()),
        }
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
        self.try_open(experiment, used, kind).map_err(|refusal| {
            let field = match refusal.field {
                Some(below) => format!("{field}.{below}"),
                None => field.to_owned(),
            };
            let Refusal { is_name, message, help, .. } = refusal;
            let problem = ConfigProblem { field, message, help };
            if is_name { Error::Name(problem) } else { Error::Experiment(problem) }
        })
    }

    fn try_open(
        &self,
        experiment: &Experiment,
        used: &PluginUse,
        kind: Kind,
    ) -> Result<Opened, Refusal> {
        let known = self.opened().get(&used.name).map(|(plugin, _)| plugin.clone());
        let plugin = match known {
            Some(plugin) => plugin,
            None => {
                let config = experiment.plugins.get(&used.name).cloned().unwrap_or_default();
                let (plugin, locked) = self.find(used, &config)?;
                self.opened().insert(used.name.clone(), (plugin.clone(), locked));
                plugin
            }
        };
        let description = plugin.description();
        if !version(&plugin).is_some_and(|version| used.version.matches(&version)) {
            let (name, found) = (&used.name, &description.version);
            return Err(Refusal::new(
                format!(
                    "plugin `{name}` is there in version {found}, but `{}` is wanted",
                    used.version
                ),
                "a run uses one version of a plugin",
            ));
        }
        if plugin.kind() != kind {
            return Err(Refusal::new(
                format!(
                    "plugin `{}` is of kind {}, and here goes one of kind {kind}",
                    used.name,
                    plugin.kind()
                ),
                "`vitral plugin list` shows what there is of each kind",
            ));
        }
        let given: Vec<Setting> = used.settings.iter().map(setting).collect();
        let settings = Settings::check(description, &given).map_err(|error| {
            let is_given = used.settings.contains_key(&error.parameter);
            Refusal {
                field: is_given.then(|| format!("settings.{}", error.parameter)),
                is_name: error.is_unknown,
                message: error.to_string(),
                help: error.help,
            }
        })?;
        Ok(Opened { plugin, settings })
    }

    /// Finds a plugin and opens it.
    fn find(&self, used: &PluginUse, config: &PluginConfig) -> Result<(Plugin, Locked), Refusal> {
        if let Some(path) = &config.bundle {
            let bundle = Bundle::open(path).map_err(in_bundle)?;
            if bundle.manifest().name != used.name {
                return Err(Refusal::new(
                    format!(
                        "{} holds plugin `{}`, not `{}`",
                        path.display(),
                        bundle.manifest().name,
                        used.name
                    ),
                    "name the right bundle in `plugins`",
                ));
            }
            return self.open_package(&Package::File(bundle), config);
        }
        let built_in = self.compiled_in.iter().find(|p| p.description().name == used.name);
        let built_in = built_in.filter(|_| matches!(config.run, None | Some(RunAs::CompiledIn)));
        let built_in = built_in.and_then(|plugin| Some((plugin, version(plugin)?)));
        let built_in = built_in.filter(|(_, version)| used.version.matches(version));
        let installed = self.installed(used, config);
        match (built_in, installed) {
            // Of equal versions the one that cannot have been tampered with.
            (Some((plugin, own)), Ok(package)) if own >= package.manifest().version => {
                Ok((plugin.clone(), compiled_in(plugin, own)))
            }
            (_, Ok(package)) => self.open_package(&package, config),
            (Some((plugin, own)), Err(_)) => Ok((plugin.clone(), compiled_in(plugin, own))),
            (None, Err(message)) => {
                let names: Vec<_> =
                    self.compiled_in.iter().map(|p| p.description().name.as_str()).collect();
                let meant = vitral_config::nearest(&used.name, &names);
                let meant = meant.map(|name| format!("did you mean `{name}`? Else "));
                let help = format!(
                    "{}install its bundle with `vitral plugin install`, or name it in `plugins`; \
                     compiled in are {}",
                    meant.unwrap_or_default(),
                    names.join(", ")
                );
                Err(Refusal { field: Some("name".into()), ..Refusal::new(message, help) })
            }
        }
    }

    /// The newest installed version that will do.
    fn installed(&self, used: &PluginUse, config: &PluginConfig) -> Result<Package, String> {
        let name = &used.name;
        if config.run == Some(RunAs::CompiledIn) {
            return Err(format!(
                "plugin `{name}` is not compiled in, in a version `{}`",
                used.version
            ));
        }
        let store = self.store.as_ref();
        let store = store.ok_or_else(|| format!("plugin `{name}` is not there"))?;
        let listing = store.list().map_err(|error| error.to_string())?;
        let found = resolve(&listing.plugins, name, &used.version);
        found.cloned().map(Package::Installed).map_err(|error| error.to_string())
    }

    fn open_package(
        &self,
        package: &Package,
        config: &PluginConfig,
    ) -> Result<(Plugin, Locked), Refusal> {
        let manifest = package.manifest();
        let run = config.run.unwrap_or(RunAs::Wasm);
        let target = if run == RunAs::Native { Target::host() } else { Target::Wasm };
        let artifact = manifest.artifacts.iter().find(|artifact| artifact.kind == target);
        let artifact = artifact.ok_or_else(|| {
            Refusal::new(
                format!("the bundle of plugin `{}` has no form for {target}", manifest.name),
                "choose another by `run` in `plugins`: `Wasm`, or `Native` if you trust its code",
            )
        })?;
        let (kind, description) = package.declared();
        let declared = Declared { kind, description };
        let plugin = match run {
            RunAs::Native => {
                let path = self.native_path(package, &target)?;
                Plugin::native(&path, Some(&declared)).map_err(|error| Refusal::new(error, ""))?
            }
            RunAs::Wasm | RunAs::CompiledIn => self.open_wasm(package, &declared, config)?,
        };
        let locked = Locked {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            origin: match target {
                Target::Native(triple) => vitral_bundle::Origin::Native(triple),
                Target::Wasm => vitral_bundle::Origin::Wasm,
            },
            sha256: Some(artifact.sha256),
        };
        Ok((plugin, locked))
    }

    fn open_wasm(
        &self,
        package: &Package,
        declared: &Declared,
        config: &PluginConfig,
    ) -> Result<Plugin, Refusal> {
        let manifest = package.manifest();
        check_grants(manifest, &config.grant)?;
        let limits = manifest.limits;
        let options = WasmOptions {
            memory: config.memory_mib.unwrap_or(limits.memory_mib) as usize * (1 << 20),
            time: Duration::from_millis(config.call_ms.unwrap_or(limits.call_ms).into()),
            permissions: config.grant.clone(),
            ..WasmOptions::default()
        };
        let component = package.artifact(&Target::Wasm).map_err(in_bundle)?;
        let engine = self.engine().map_err(|error| Refusal::new(error, ""))?;
        Plugin::wasm(engine, &component, Some(declared), options)
            .map_err(|error| Refusal::new(error, "`vitral plugin check` tells more"))
    }

    fn engine(&self) -> Result<&WasmEngine, vitral_host::OpenError> {
        if let Some(engine) = self.engine.get() {
            return Ok(engine);
        }
        let engine = WasmEngine::new(self.cache.as_deref())?;
        Ok(self.engine.get_or_init(|| engine))
    }

    /// The library of a package as a file whose content has been verified.
    fn native_path(&self, package: &Package, target: &Target) -> Result<PathBuf, Refusal> {
        match package {
            Package::Installed(installed) => {
                installed.artifact(target).map_err(in_bundle)?;
                installed.artifact_path(target).map_err(in_bundle)
            }
            Package::File(bundle) => {
                let bytes = bundle.artifact(target).map_err(in_bundle)?;
                let failed = |error: std::io::Error| {
                    Refusal::new(format!("its library cannot be unpacked: {error}"), "")
                };
                let cache = self.cache.clone().unwrap_or_else(std::env::temp_dir);
                let name = vitral_bundle::Digest::of(bytes).to_string();
                let folder = cache.join("native").join(name);
                std::fs::create_dir_all(&folder).map_err(failed)?;
                let path = folder
                    .join(Path::new("library").with_extension(std::env::consts::DLL_EXTENSION));
                files::write_atomically(&path, bytes).map_err(failed)?;
                Ok(path)
            }
        }
    }

    /// The plugins opened so far, by content.
    pub(crate) fn lock(&self) -> Lock {
        Lock::new(self.opened().values().map(|(_, locked)| locked.clone()))
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
                Some(locked) if locked != plugin => {
                    return Err(Error::Lock(format!(
                        "plugin `{}` is not the one that the run was started with: that was {locked}, \
                         and now there is {plugin}; install the former, or start a new run",
                        plugin.name
                    )));
                }
                _ => {}
            }
        }
        Ok(Lock::new(before.plugins().iter().chain(now.plugins()).cloned()))
    }

    fn opened(&self) -> MutexGuard<'_, BTreeMap<String, (Plugin, Locked)>> {
        // What is in the map is whole: entries are put there in one go.
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Package {
    fn manifest(&self) -> &Manifest {
        match self {
            Self::File(bundle) => bundle.manifest(),
            Self::Installed(installed) => installed.manifest(),
        }
    }

    fn declared(&self) -> (Kind, vitral_host::Description) {
        match self {
            Self::File(bundle) => bundle.declared(),
            Self::Installed(installed) => installed.declared(),
        }
    }

    fn artifact(&self, target: &Target) -> Result<Vec<u8>, BundleError> {
        match self {
            Self::File(bundle) => bundle.artifact(target).map(<[u8]>::to_vec),
            Self::Installed(installed) => installed.artifact(target),
        }
    }
}

/// Refuses a plugin that asks for what it is not granted.
fn check_grants(manifest: &Manifest, grant: &Permissions) -> Result<(), Refusal> {
    let asked = &manifest.permissions;
    let wants = [
        ("files", "files: [(path: \"...\")]", asked.files && grant.files.is_empty()),
        ("the network", "network: true", asked.network && !grant.network),
        ("the clock", "clock: true", asked.clock && !grant.clock),
    ];
    let missing: Vec<_> = wants.iter().filter(|(_, _, missing)| *missing).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = missing.iter().map(|(name, _, _)| *name).collect();
    let grants: Vec<_> = missing.iter().map(|(_, grant, _)| *grant).collect();
    let name = &manifest.name;
    Err(Refusal::new(
        format!("plugin `{name}` asks for {}, which you have not granted", names.join(" and ")),
        format!(
            "if you trust it with that: plugins: {{\"{name}\": (grant: ({}))}}",
            grants.join(", ")
        ),
    ))
}

fn compiled_in(plugin: &Plugin, version: Version) -> Locked {
    Locked {
        name: plugin.description().name.clone(),
        version,
        origin: vitral_bundle::Origin::CompiledIn,
        sha256: None,
    }
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
