//! Plugins that an experiment names by where they are on this machine: a folder, which is built when its source has
//! changed, a component's file, or a bundle.

use std::{fs, io, path::Path};

use semver::Version;
use vitral_bundle::{
    Digest, EXTENSION, Form, Local, Locked, Origin, Permit, SourceManifest, Target,
};
use vitral_config::PluginUse;
use vitral_files::Kind;
use vitral_host::Plugin;

use super::{Open, PluginConfig, Refusal, Registry, in_file};
use crate::plugins::{
    RunAs,
    wants::{Asks, wants},
};

/// Builds plugins' folders.
pub trait Build: Send + Sync {
    /// Looks at a plugin's folder. Nothing of it runs.
    ///
    /// # Errors
    /// There is no plugin, or it cannot be read, for people.
    fn look(&self, folder: &Path, target: &Target) -> Result<Source, String>;

    /// Builds a form of the plugin in a folder of the source that has a digest, telling what goes on, and gives its
    /// code.
    ///
    /// # Errors
    /// It is another source by now, or cannot be built, with the last that the compiler has said, for people.
    fn build(
        &self,
        folder: &Path,
        target: &Target,
        source: Digest,
        tell: fn(&str),
    ) -> Result<Vec<u8>, String>;
}

/// A plugin's folder, as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// The digest of its source.
    pub digest: Digest,
    /// What its author says of it beside the code.
    pub manifest: SourceManifest,
    /// The form that was asked for, as it was built of just this source, if it was.
    pub built: Option<Vec<u8>>,
}

/// A plugin that is no bundle.
pub(super) struct Found {
    pub(super) local: Local,
    manifest: SourceManifest,
    target: Target,
    /// Its code, if it need not be built.
    code: Option<Vec<u8>>,
}

impl Found {
    /// What it would do, as an experiment has it run.
    pub(super) fn wants(&self, config: &PluginConfig) -> Result<Vec<Permit>, Refusal> {
        let mut wanted = wants(self.asks(), config)?;
        wanted.extend(self.code.is_none().then_some(Permit::Build));
        Ok(wanted)
    }

    fn asks(&self) -> Asks<'_> {
        Asks::beside(&self.local.name, &self.manifest)
    }
}

impl Registry {
    /// The same, where plugins' folders are built that experiments name.
    pub fn building(self, build: Box<dyn Build>) -> Self {
        Self { build: Some(build), ..self }
    }

    /// Finds the plugin that an experiment names by its place.
    pub(super) fn find_local(
        &self,
        used: &PluginUse,
        config: &PluginConfig,
        path: &Path,
    ) -> Result<super::Found, Refusal> {
        let name = &used.name;
        let wrong = |message: String, help: &str| Refusal::Path {
            plugin: name.clone(),
            message,
            help: help.into(),
        };
        if config.bundle.is_some() {
            let message = format!("`plugins` says in two ways where `{name}` is");
            return Err(wrong(message, "give one of `from`, `path` and `bundle`"));
        }
        let target = match config.run {
            None | Some(RunAs::Wasm) => Target::Wasm,
            Some(RunAs::Native) => Target::host(),
            Some(RunAs::CompiledIn) => {
                let message =
                    format!("`{name}` is taken from {}, and so is not compiled in", path.display());
                return Err(wrong(message, "leave out `path`, or `run`"));
            }
        };
        // What it is in fact, whatever links lead to it.
        let path = &fs::canonicalize(path).map_err(|error| {
            let problem = match error.kind() {
                io::ErrorKind::NotFound => "there is nothing here".to_owned(),
                _ => error.to_string(),
            };
            wrong(
                format!("{}: {problem}", path.display()),
                "it is the plugin's folder, component or bundle",
            )
        })?;
        let shown = path.display();
        let extension = path.extension().and_then(|extension| extension.to_str());
        let (form, digest, manifest, code) = match extension {
            _ if path.is_dir() => {
                let Source { digest, manifest, built } = self
                    .builder()
                    .and_then(|build| build.look(path, &target))
                    .map_err(|problem| wrong(problem, "`vitral plugin build` builds it, too"))?;
                (Form::Sources, digest, manifest, built)
            }
            Some(EXTENSION) => return in_file(used, path),
            Some("wasm") if target != Target::Wasm => {
                let message = format!("{shown} is a component, which has no native form");
                return Err(wrong(
                    message,
                    "leave out `run`, or name the plugin's folder or bundle",
                ));
            }
            Some("wasm") => {
                let component = vitral_files::read(path, Kind::COMPONENT).map_err(|error| {
                    wrong(format!("{shown}: {error}"), "it is a WebAssembly component")
                })?;
                let digest = Digest::of(&component);
                (Form::Component, digest, SourceManifest::default(), Some(component))
            }
            _ => {
                let message = format!(
                    "{shown} is no folder, no component (`.wasm`) and no bundle (`.{EXTENSION}`)"
                );
                return Err(wrong(message, "it is the plugin's folder, component or bundle"));
            }
        };
        let local = Local { name: name.clone(), place: path.to_owned(), form, digest };
        Ok(super::Found::Local(Box::new(Found { local, manifest, target, code })))
    }

    /// Opens a plugin that may run, and be built where it is not.
    pub(super) fn open_local(&self, found: Found, config: &PluginConfig) -> Result<Open, Refusal> {
        let Local { name, place, digest, .. } = &found.local;
        let wrong = |message: String, help: &str| Refusal::Path {
            plugin: name.clone(),
            message,
            help: help.into(),
        };
        let code = match &found.code {
            Some(code) => code.clone(),
            None => {
                let tell = self.tell.unwrap_or(|_| ());
                tell(&format!("build plugin `{name}` in {}", place.display()));
                let built = self.builder();
                let built = built.and_then(|it| it.build(place, &found.target, *digest, tell));
                built.map_err(|problem| {
                    wrong(
                        format!("plugin `{name}` could not be built: {problem}"),
                        "`vitral plugin build` shows all that the compiler says",
                    )
                })?
            }
        };
        let plugin = match &found.target {
            Target::Wasm => self.open_wasm(&code, None, found.asks(), config)?,
            Target::Native(_) => {
                let library = self.unpack(&code)?;
                Plugin::native(&library, None).map_err(|error| Refusal::new(error, ""))?
            }
        };
        let description = plugin.description();
        if description.name != *name {
            let message =
                format!("{} holds plugin `{}`, not `{name}`", place.display(), description.name);
            return Err(wrong(
                message,
                "name it as it names itself, or name another folder or file",
            ));
        }
        let version = Version::parse(&description.version)
            .map_err(|error| wrong(format!("the plugin's version: {error}"), "as in `1.0.0`"))?;
        let locked = Locked {
            name: name.clone(),
            version,
            origin: match found.target {
                Target::Wasm => Origin::Wasm,
                Target::Native(triple) => Origin::Native(triple),
            },
            sha256: Some(Digest::of(&code)),
            bundle: None,
            signer: None,
            from: None,
        };
        Ok(Open { plugin, locked, place: Some(place.clone()) })
    }

    fn builder(&self) -> Result<&dyn Build, String> {
        self.build.as_deref().ok_or_else(|| "plugins' folders are not built here".into())
    }
}
