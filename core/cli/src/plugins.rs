//! The plugins that are a part of this program, and where others are found.

use std::path::{Path, PathBuf};

use vitral_author::{AuthorError, Workshop};
use vitral_bundle::{Allowance, Bundle, Digest, Reference, Store, Target, Trust};
use vitral_host::{Compiler, OpenError, Plugin};
use vitral_train::plugins::{Build, Registry, Source, Yanked};

use crate::{
    consent,
    failure::Failure,
    progress::note,
    registries::{Reached, indexes},
};

/// The command that has this program do nothing but to compile a component.
pub const COMPILE: &str = "compile-plugin";

/// Every plugin that a run can use: this program's own, and others as far as the user allows.
pub fn registry(allowed: &[Allowance]) -> Result<Registry, Failure> {
    let registry = Registry::new(compiled_in()?, trust(allowed)?, cache_folder());
    let registry = registry.compiled_by(compiler()).telling(note).fetching(Box::new(fetch));
    Ok(registry.building(Box::new(Folders(workshop()))).without(yanked()?))
}

/// What builds plugins' folders, with its notes.
pub fn workshop() -> Workshop {
    Workshop::new(cache_folder())
}

/// The folders of plugins that experiments name.
struct Folders(Workshop);

/// The most lines of a compiler's that a failure shows; all of them were told before.
const LAST_LINES: usize = 40;

impl Build for Folders {
    fn look(&self, folder: &Path, target: &Target) -> Result<Source, String> {
        let found = self.0.look(folder, target).map_err(|error| error.to_string())?;
        let vitral_author::Folder { digest, manifest, built } = found;
        Ok(Source { digest, manifest, built })
    }

    fn build(
        &self,
        folder: &Path,
        target: &Target,
        source: Digest,
        tell: fn(&str),
    ) -> Result<Vec<u8>, String> {
        let built = self.0.build(folder, target, source, &mut |line| tell(line));
        built.map_err(|error| match error {
            AuthorError::Tool { what, output } => {
                let lines: Vec<&str> = output.lines().collect();
                let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
                format!("{what} failed:\n{}", last.join("\n"))
            }
            error => error.to_string(),
        })
    }
}

/// Fetches a bundle that an experiment names by where it is in a registry.
fn fetch(reference: &Reference) -> Result<Bundle, String> {
    let fetched = Reached::default().client().and_then(|all| all.fetch_kept(reference));
    fetched.map_err(|failure| failure.sentence())
}

/// What the indexes have taken back that the user looks into.
fn yanked() -> Result<Vec<Yanked>, Failure> {
    let Ok(store) = Store::of_user() else { return Ok(Vec::new()) };
    let yanked = indexes::yanked(&store)?.into_iter();
    let yanked = yanked.map(|(_, release)| Yanked {
        digest: release.digest,
        why: release.yanked.unwrap_or_default(),
    });
    Ok(yanked.collect())
}

/// What the user trusts: this program's own plugins, and others as far as this command allows.
pub fn trust(allowed: &[Allowance]) -> Result<Trust, Failure> {
    let own = compiled_in()?;
    let own = own.iter().map(|plugin| plugin.description().name.clone());
    Ok(consent::trust(allowed, own))
}

/// The names of all plugins that an experiment can use without saying where they are. What cannot be
/// opened is told where it is used.
pub fn names() -> Vec<String> {
    let compiled_in = compiled_in().unwrap_or_default();
    let mut names: Vec<String> =
        compiled_in.iter().map(|plugin| plugin.description().name.clone()).collect();
    let listing = Store::of_user().and_then(|store| store.list());
    let installed = listing.map(|listing| listing.plugins).unwrap_or_default();
    names.extend(installed.iter().map(|plugin| plugin.manifest().name.clone()));
    names
}

/// The first-party plugins.
pub fn compiled_in() -> Result<Vec<Plugin>, OpenError> {
    let tables = [
        vitral_color_jitter::plugin(),
        vitral_differential::plugin(),
        vitral_early_stop::plugin(),
        vitral_gradient_health::plugin(),
        vitral_linear::plugin(),
        vitral_loss_spike::plugin(),
        vitral_memory::plugin(),
        vitral_pooled::plugin(),
        vitral_randaugment::plugin(),
        vitral_random_erasing::plugin(),
        vitral_talking_heads::plugin(),
        vitral_three_augment::plugin(),
        vitral_throughput::plugin(),
        vitral_token_mix::plugin(),
        vitral_window::plugin(),
    ];
    tables.into_iter().map(Plugin::compiled_in).collect()
}

/// What compiles WebAssembly: this program, in a process of its own.
pub fn compiler() -> Compiler {
    // What runs, also after another version took its place on the disk.
    let program = match cfg!(target_os = "linux") {
        true => Ok(PathBuf::from("/proc/self/exe")),
        false => std::env::current_exe(),
    };
    let arguments = vec![COMPILE.into()];
    program.map_or(Compiler::Here, |program| Compiler::Apart { program, arguments })
}

/// Where compiled WebAssembly and compiled kernels of GPUs are kept: `$XDG_CACHE_HOME/vitral`, or `~/.cache/vitral`. A path that does not
/// start at the root would be another in each folder that the program is started in.
pub fn cache_folder() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let home = || absolute("HOME").map(|home| home.join(".cache"));
    Some(absolute("XDG_CACHE_HOME").or_else(home)?.join("vitral"))
}

#[cfg(test)]
mod tests {
    use vitral_host::{Batch, CallError, Kind, Layer, Settings};
    use vitral_program::{DType, Dim, Limits, Program, Shape, TensorType};

    use super::*;

    /// The share of its limits that a program takes, the greatest of memory and time.
    fn share(program: &Program, limits: &Limits) -> f64 {
        let (cost, (peak, _)) = (program.cost(), program.peak());
        let share = |found: u64, limit: u64| found as f64 / limit as f64;
        share(cost.bytes, limits.bytes)
            .max(share(cost.flops, limits.flops))
            .max(share(peak, limits.peak_bytes))
    }

    /// Traces with the settings of each example and without any, and says how many plugins there are.
    fn traced(
        kind: Kind,
        mut trace: impl FnMut(&Plugin, &Settings) -> Result<(Program, Limits), CallError>,
    ) -> usize {
        let plugins: Vec<_> =
            compiled_in().unwrap().into_iter().filter(|plugin| plugin.kind() == kind).collect();
        for plugin in &plugins {
            let description = plugin.description();
            let examples = description.examples.iter().map(|example| &example.settings[..]);
            for given in std::iter::once(&[][..]).chain(examples) {
                let settings = Settings::check(description, given).unwrap();
                let (program, limits) = trace(plugin, &settings).unwrap();
                let share = share(&program, &limits);
                let name = &description.name;
                assert!(
                    share < 0.5,
                    "{name} with {given:?} takes {share} of {limits:?}: {:?}, {:?}",
                    program.cost(),
                    program.peak()
                );
            }
        }
        plugins.len()
    }

    fn float(sides: &[u32]) -> TensorType {
        let sides = sides.iter().map(|&side| Dim::Fixed(side as usize));
        let dims: Vec<_> = std::iter::once(Dim::BATCH).chain(sides).collect();
        TensorType::new(DType::F32, Shape::new(dims).unwrap())
    }

    /// From a toy to ViT-H/14 on images of 448 px.
    #[test]
    fn no_attention_of_ours_comes_near_its_limits_at_any_size_of_model() {
        for (heads, head_width, grid) in [
            (1, 4, 1),
            (2, 8, 2),
            (3, 64, 4),
            (3, 64, 7),
            (3, 64, 14),
            (6, 64, 16),
            (12, 64, 14),
            (12, 64, 24),
            (16, 64, 24),
            (16, 80, 16),
            (16, 80, 32),
            (4, 256, 8),
            (32, 8, 8),
        ] {
            for prefix_tokens in [0, 1, 5] {
                let layer = Layer {
                    index: 1,
                    depth: 12,
                    heads,
                    head_width,
                    prefix_tokens,
                    grid_height: grid,
                    grid_width: grid,
                    dropout: 0.1,
                };
                let tokens = prefix_tokens + grid * grid;
                let limits = Limits::default().for_attention(&float(&[heads, tokens, head_width]));
                let count = traced(Kind::Attention, |plugin, settings| {
                    let program = plugin.trace_attention(settings, &layer, &Limits::default())?;
                    Ok((program, limits.clone()))
                });
                assert_eq!(count, 5);
            }
        }
    }

    #[test]
    fn no_batch_augmentation_of_ours_comes_near_its_limits_at_any_size_of_images() {
        for (side, channels, classes) in
            [(4, 1, 2), (28, 1, 10), (32, 3, 100), (224, 3, 1000), (224, 3, 21841), (518, 3, 1000)]
        {
            let batch = Batch { height: side, width: side, channels, classes };
            let limits =
                Limits::default().for_batch(&float(&[side, side, channels]), &float(&[classes]));
            let count = traced(Kind::BatchAugmentation, |plugin, settings| {
                let program = plugin.trace_batch(settings, &batch, &Limits::default())?;
                Ok((program, limits.clone()))
            });
            assert_eq!(count, 1);
        }
    }
}
