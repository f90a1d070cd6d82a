//! `vitral plugin bench`: how long a plugin takes, in both forms.
//!
//! Forms are measured in turns, so that what else goes on in the machine hits both.

mod measure;
mod work;

use std::time::{Duration, Instant};

use vitral_files::Scratch;
use vitral_host::{Description, Kind, Plugin, Setting, Settings, WasmEngine};

use crate::{Access, Artifacts, AuthorError, Progress, check::configurations};
pub use measure::Spread;
use work::Work;

/// How a plugin is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct BenchOptions {
    /// What the plugin may do.
    pub access: Access,
    /// The plugin's settings; if there are none, its defaults, or its first example where something
    /// must be set.
    pub settings: Vec<Setting>,
    /// How many times each form is measured.
    pub rounds: usize,
    /// How long each of these is, about; at least one call.
    pub round: Duration,
}

impl Default for BenchOptions {
    fn default() -> Self {
        Self {
            access: Access::default(),
            settings: Vec::new(),
            rounds: 9,
            round: Duration::from_millis(100),
        }
    }
}

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Bench {
    /// The plugin.
    pub plugin: String,
    /// Its kind.
    pub kind: Kind,
    /// The configuration that was measured, in words.
    pub configuration: String,
    /// Each measurement.
    pub rows: Vec<Row>,
}

/// One measurement.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// `WebAssembly` or `native`.
    pub form: &'static str,
    /// What was done.
    pub what: &'static str,
    /// How long it took.
    pub time: Spread,
    /// How many images went through each second, where it is images.
    pub images_per_second: Option<f64>,
}

/// Measures a plugin.
///
/// # Errors
/// It cannot be opened, does not take the settings, or fails.
pub fn bench(
    artifacts: &Artifacts,
    options: &BenchOptions,
    progress: Progress,
) -> Result<Bench, AuthorError> {
    let mut rows = Vec::new();
    if artifacts.has_wasm() {
        progress("loading");
        rows.extend(loads(artifacts, &options.access)?);
    }
    let engine = options.access.engine()?;
    let forms = forms(artifacts, &engine, &options.access)?;
    // There is one at least.
    let plugin = &forms[0].1;
    let (configuration, given) = configuration(plugin.description(), &options.settings);
    let mut works = Vec::new();
    for (form, plugin) in &forms {
        let settings = Settings::check(plugin.description(), &given)?;
        works.push((*form, Work::new(plugin, settings)?));
    }
    let calls = calls(&mut works, options.round)?;
    let rounds = options.rounds.max(1);
    let mut times = vec![Vec::new(); works.len()];
    for round in 1..=rounds {
        progress(&format!("round {round} of {rounds}, {calls} calls"));
        for ((_, work), times) in works.iter_mut().zip(&mut times) {
            times.push(work.calls(calls)?);
        }
    }
    for ((form, work), times) in works.iter().zip(times) {
        let time = Spread::of(times);
        let seconds = time.median.as_secs_f64();
        let images_per_second = work.is_of_images().then(|| 1.0 / seconds);
        rows.push(Row { form, what: work.what(), time, images_per_second });
    }
    let plugin = forms[0].1.clone();
    let (name, kind) = (plugin.description().name.clone(), plugin.kind());
    Ok(Bench { plugin: name, kind, configuration, rows })
}

/// How many calls make a round: as many as the slowest form can do in that time. All forms do the
/// same work, whatever is random in it.
fn calls(works: &mut [(&'static str, Work)], round: Duration) -> Result<u32, AuthorError> {
    let mut least = u32::MAX;
    for (_, work) in works {
        // The first call warms up.
        work.calls(1)?;
        let start = Instant::now();
        let mut calls = 0;
        while start.elapsed() < round {
            work.calls(1)?;
            calls += 1;
        }
        work.rewind();
        least = least.min(calls);
    }
    Ok(least.max(1))
}

/// The forms that may be opened.
fn forms(
    artifacts: &Artifacts,
    engine: &WasmEngine,
    access: &Access,
) -> Result<Vec<(&'static str, Plugin)>, AuthorError> {
    let mut forms = Vec::new();
    if let Some(plugin) = artifacts.open_wasm(engine, access) {
        forms.push(("WebAssembly", plugin?));
    }
    if access.native
        && let Some(plugin) = artifacts.open_native()
    {
        forms.push(("native", plugin?));
    }
    if forms.is_empty() {
        // Says why there is none.
        artifacts.open_any(engine, access)?;
    }
    Ok(forms)
}

/// The settings to measure with, and what they are called.
fn configuration(description: &Description, given: &[Setting]) -> (String, Vec<Setting>) {
    let first = configurations(description).into_iter().next();
    match first {
        Some(first) if given.is_empty() => (first.title, first.settings),
        _ => ("the given settings".into(), given.to_vec()),
    }
}

/// How many times loading is measured.
const LOADS: usize = 5;
/// Compiling anew is measured no more once it has taken this long. With an interpreter in it, a component takes
/// longer.
const COMPILING: Duration = Duration::from_secs(5);

/// How long it takes to open the WebAssembly form: compiled anew, and from the cache.
fn loads(artifacts: &Artifacts, access: &Access) -> Result<[Row; 2], AuthorError> {
    let cache =
        Scratch::create(None).map_err(AuthorError::io("make a folder in", std::env::temp_dir()))?;
    let cold = Access { cache: None, ..access.clone() }.engine()?;
    let warm = Access { cache: Some(cache.path().to_owned()), ..access.clone() }.engine()?;
    let load = |engine: &WasmEngine| -> Result<Duration, AuthorError> {
        let start = Instant::now();
        artifacts.open_wasm(engine, access).transpose()?;
        Ok(start.elapsed())
    };
    // Fills the cache, too.
    let (mut cold_times, mut warm_times) = (vec![load(&warm)?], Vec::new());
    for _ in 0..LOADS {
        if cold_times.len() < LOADS && cold_times.iter().sum::<Duration>() < COMPILING {
            cold_times.push(load(&cold)?);
        }
        warm_times.push(load(&warm)?);
    }
    let row = |what, times| Row {
        form: "WebAssembly",
        what,
        time: Spread::of(times),
        images_per_second: None,
    };
    Ok([row("open, compiled anew", cold_times), row("open, from the cache", warm_times)])
}
