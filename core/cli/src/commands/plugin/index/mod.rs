//! Indexes of plugins: looking into them, and what they say of what is installed.

mod make;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use vitral_bundle::{Allowance, Installed, Store};
use vitral_registry::{Indexes, Known, Listed, Release, newest};

use self::make::MakeArguments;
use super::install::put;
use crate::{
    failure::Failure,
    json,
    progress::note,
    registries::{Reached, indexes::kept},
};

/// An index's file.
const FILE: vitral_files::Kind = vitral_files::Kind::new("an index of plugins", 64 << 20);

#[derive(Debug, Subcommand)]
pub enum IndexCommand {
    /// Add an index that is signed with a key you trust.
    Add {
        /// An address (`https://...`), or a file.
        place: String,
        #[command(flatten)]
        reached: Reached,
    },
    /// Remove an index.
    Remove {
        /// Its address or file, as `list` shows it.
        place: String,
    },
    /// Show your indexes.
    List,
    /// Make an index of bundles, or add bundles to one; any web server can hold it.
    Make(MakeArguments),
}

/// How up to date what is said is to be.
#[derive(Debug, Args)]
pub struct Freshness {
    /// Use the indexes as they were last fetched.
    #[arg(long)]
    pub offline: bool,
    #[command(flatten)]
    pub reached: Reached,
}

#[derive(Debug, Args)]
pub struct SearchArguments {
    /// Words that must all be in a plugin's name, kind, summary or authors; without any, all
    /// plugins are listed.
    pub words: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub freshness: Freshness,
}

#[derive(Debug, Args)]
pub struct OutdatedArguments {
    #[command(flatten)]
    pub freshness: Freshness,
}

#[derive(Debug, Args)]
pub struct UpdateArguments {
    /// The plugins to update; by default all that are installed.
    pub plugins: Vec<String>,
    /// Allow a plugin what needs your permission, as for `install`.
    #[arg(long = "allow", value_name = "PLUGIN:WHAT")]
    pub allow: Vec<Allowance>,
    #[command(flatten)]
    pub freshness: Freshness,
}

/// `vitral plugin index`.
pub fn run(command: &IndexCommand) -> Result<(), Failure> {
    match command {
        IndexCommand::Add { place, reached } => add(place, reached),
        IndexCommand::Remove { place } => {
            match Indexes::of(Store::of_user()?).forget(&absolute(place)?)? {
                true => println!("no longer using the index {place}"),
                false => {
                    return Err(Failure::Usage(format!(
                        "{place} is not one of your indexes; `vitral plugin index list` shows them"
                    )));
                }
            }
            Ok(())
        }
        IndexCommand::List => list(),
        IndexCommand::Make(arguments) => make::make(arguments),
    }
}

fn add(place: &str, reached: &Reached) -> Result<(), Failure> {
    let place = absolute(place)?;
    let file = fetch(&place, reached)?;
    let known = Indexes::of(Store::of_user()?).add(&place, &file)?;
    println!("now using the index {place}, which has {} plugins", known.index.plugins.len());
    println!("  signed with key {}", known.key);
    Ok(())
}

fn list() -> Result<(), Failure> {
    let known = Indexes::of(Store::of_user()?).list()?;
    if known.is_empty() {
        println!("you have no plugin indexes; `vitral plugin index add` adds one");
    }
    for known in known {
        match known {
            Ok(Known { place, index, key }) => {
                println!("{place}  {} plugins, number {}", index.plugins.len(), index.serial);
                println!("      signed with key {key}");
            }
            Err(error) => println!("cannot be used: {error}"),
        }
    }
    Ok(())
}

/// `vitral plugin search`.
pub fn search(arguments: &SearchArguments) -> Result<(), Failure> {
    let known = fresh(&Store::of_user()?, &arguments.freshness)?;
    let found = known.iter().flat_map(|known| known.index.search(&arguments.words));
    let found: Vec<&Listed> = found.collect();
    if arguments.json {
        return json::print(&found);
    }
    if found.is_empty() {
        println!("no plugin matches");
    }
    for listed in found {
        let kind = vitral_host::Kind::from(listed.kind);
        let Some(newest) = listed.newest() else {
            println!("{}  {}  ({kind})", listed.name, listed.summary);
            println!("      {}  no version that can be used here", listed.at);
            continue;
        };
        println!("{} {}  {}  ({kind})", listed.name, newest.version, listed.summary);
        println!("      {}  key {}", listed.at, &newest.key.to_string()[..8]);
    }
    Ok(())
}

/// `vitral plugin outdated`.
pub fn outdated(arguments: &OutdatedArguments) -> Result<(), Failure> {
    let store = Store::of_user()?;
    let known = fresh(&store, &arguments.freshness)?;
    let plugins = store.list()?.plugins;
    let mut all_are_new = true;
    tell_unlisted(&known, plugins.iter().map(Installed::name));
    for installed in &plugins {
        let (name, version) = (installed.name(), installed.version());
        if let Some((_, release)) = released(&known, installed)
            && let Some(why) = &release.yanked
        {
            println!("{name} {version} was yanked: {why}");
            all_are_new = false;
        }
    }
    for (installed, listed, release) in newer(&plugins, &known) {
        println!(
            "{} {} -> {}  {}",
            installed.name(),
            installed.version(),
            release.version,
            listed.at
        );
        all_are_new = false;
    }
    if all_are_new {
        println!("every installed plugin that the indexes list is up to date");
    }
    Ok(())
}

/// `vitral plugin update`.
pub fn update(arguments: &UpdateArguments) -> Result<(), Failure> {
    let store = Store::of_user()?;
    let plugins = store.list()?.plugins;
    if let Some(name) =
        arguments.plugins.iter().find(|name| plugins.iter().all(|p| p.name() != *name))
    {
        return Err(Failure::Usage(format!("`{name}` is not installed")));
    }
    let known = fresh(&store, &arguments.freshness)?;
    let is_meant = |name: &str| {
        arguments.plugins.is_empty() || arguments.plugins.iter().any(|other| other == name)
    };
    tell_unlisted(&known, plugins.iter().map(Installed::name).filter(|name| is_meant(name)));
    let mut newer = newer(&plugins, &known);
    newer.retain(|(installed, ..)| is_meant(installed.name()));
    if newer.is_empty() {
        println!("there is nothing newer");
        return Ok(());
    }
    let registries = arguments.freshness.reached.client()?;
    let all = newer.len();
    let mut failed = 0;
    for (installed, listed, release) in newer {
        let fetched = registries.fetch(&listed.at(release));
        let installed_anew = fetched.and_then(|(bundle, _)| put(&bundle, &arguments.allow, false));
        match installed_anew {
            Ok(_) => {
                println!("{} {} -> {}", installed.name(), installed.version(), release.version);
                println!("  {} stays for the runs that use it", installed.version());
            }
            Err(failure) => {
                failure.report();
                failed += 1;
            }
        }
    }
    match failed {
        0 => Ok(()),
        _ => Err(Failure::Other(format!("of {all} plugins, {failed} could not be updated"))),
    }
}

/// Says of which plugins no index knows whether there is a newer version.
fn tell_unlisted<'p>(known: &[Known], names: impl Iterator<Item = &'p str>) {
    let is_listed = |name: &&str| known.iter().any(|known| known.index.get(name).is_some());
    let mut unlisted: Vec<&str> = names.filter(|name| !is_listed(name)).collect();
    unlisted.dedup();
    if !unlisted.is_empty() {
        note(&format!("no index lists {}", unlisted.join(", ")));
    }
}

/// The newest installed version of each plugin of which there is a newer one, and that.
fn newer<'k, 'p>(
    plugins: &'p [Installed],
    known: &'k [Known],
) -> Vec<(&'p Installed, &'k Listed, &'k Release)> {
    let mut installed: Vec<&Installed> = Vec::new();
    for plugin in plugins {
        // They are sorted by name and version.
        match installed.last_mut() {
            Some(last) if last.name() == plugin.name() => *last = plugin,
            _ => installed.push(plugin),
        }
    }
    let newer = installed.into_iter().filter_map(|installed| {
        let (listed, release) = newest(known, installed.name())?;
        (release.version > *installed.version()).then_some((installed, listed, release))
    });
    newer.collect()
}

/// What indexes say about an installed version.
fn released<'k>(known: &'k [Known], installed: &Installed) -> Option<(&'k Listed, &'k Release)> {
    known.iter().find_map(|known| {
        let listed = known.index.get(installed.name())?;
        let same = listed.versions.iter().find(|release| release.digest == installed.digest());
        same.map(|release| (listed, release))
    })
}

/// The indexes as they are now, if that can be known.
fn fresh(store: &Store, freshness: &Freshness) -> Result<Vec<Known>, Failure> {
    let indexes = Indexes::of(store.clone());
    let known = kept(store)?;
    if known.is_empty() {
        return Err(Failure::Usage(
            "you have no plugin indexes; `vitral plugin index add https://...` adds one".into(),
        ));
    }
    if freshness.offline {
        return Ok(known);
    }
    let now = known.into_iter().map(|known| {
        let fetched = fetch(&known.place, &freshness.reached);
        let kept = fetched.and_then(|file| Ok(indexes.keep(&known.place, &file)?));
        kept.unwrap_or_else(|failure| {
            note(&format!("{}; using the copy that was fetched last", failure.sentence()));
            known
        })
    });
    Ok(now.collect())
}

/// The bytes of an index: an address's or a file's.
fn fetch(place: &str, reached: &Reached) -> Result<Vec<u8>, Failure> {
    if is_address(place) {
        return Ok(reached.client()?.get(place, FILE.most())?);
    }
    let read = vitral_files::read(Path::new(place), FILE);
    read.map_err(|error| Failure::Other(format!("{place}: {error}")))
}

fn is_address(place: &str) -> bool {
    place.starts_with("https://") || place.starts_with("http://")
}

/// A place that is the same from wherever the program is started.
fn absolute(place: &str) -> Result<String, Failure> {
    if is_address(place) {
        return Ok(place.to_owned());
    }
    let path: PathBuf =
        std::path::absolute(place).map_err(|error| Failure::Other(format!("{place}: {error}")))?;
    let text = path.into_os_string().into_string();
    text.map_err(|path| Failure::Usage(format!("{} is not Unicode", path.display())))
}
