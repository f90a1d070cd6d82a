//! What CubeCL is told of the database that it keeps kernels in.

use std::{path::PathBuf, sync::OnceLock};

use cubecl::{
    config::{CubeClRuntimeConfig, RuntimeConfig, cache::CacheConfig},
    records::{RecordLevel, RecordsConfig},
};
use cubecl_environment::persistence::{Access, Database};

use super::databases::{Prepared, bytes, name, path, prepare};

static FOLDER: OnceLock<PathBuf> = OnceLock::new();
static CACHE: OnceLock<Result<KernelCache, String>> = OnceLock::new();

/// Where compiled kernels are kept.
#[derive(Debug)]
pub(crate) struct KernelCache {
    /// A folder that is the user's alone.
    pub(crate) folder: PathBuf,
    database: Prepared,
}

impl KernelCache {
    /// Whether none was kept in this process's database when it was opened.
    pub(crate) fn is_new(&self) -> bool {
        self.database.is_new
    }

    /// Bytes of all files of its folder.
    pub(crate) fn bytes(&self) -> u64 {
        bytes(&self.folder)
    }
}

/// Says where kernels are to be kept. Nothing is written before a GPU is looked for.
pub(crate) fn keep_in(folder: PathBuf) {
    let _ = FOLDER.set(folder);
}

/// Has CubeCL keep kernels where it was said, before it begins. Where that cannot be, it keeps them in memory.
///
/// # Errors
/// Why they are not kept, for people.
pub(crate) fn begin() -> Result<&'static KernelCache, &'static str> {
    let cache = CACHE.get_or_init(|| {
        let prepared = prepare_here();
        let mut config = CubeClRuntimeConfig::from_current_dir().override_from_env();
        let is_kept = prepared.is_ok();
        config.compilation.cache = is_kept;
        config.autotune.disable_cache = !is_kept;
        config.throughput.disable_cache = !is_kept;
        // What it would write of how a database came to be is of use to those who develop it.
        config.environment.records =
            RecordsConfig { level: RecordLevel::Off, ..Default::default() };
        // No database can be in what is no folder.
        config.environment.path = CacheConfig::Directory("/dev/null".into());
        if let Ok(cache) = &prepared {
            config.environment.path = CacheConfig::Directory(cache.folder.clone());
            config.environment.name.clone_from(&cache.database.name);
        }
        // It is refused where CubeCL has begun, as in a test that is one of many.
        match CubeClRuntimeConfig::try_set(config) {
            true => prepared,
            false => Err("CubeCL has been told otherwise".into()),
        }
    });
    cache.as_ref().map_err(String::as_str)
}

/// A database of this build for this machine's GPUs.
fn prepare_here() -> Result<KernelCache, String> {
    let folder = FOLDER.get().ok_or("no folder was named for them")?;
    // Without a build's name, kernels of another could be taken for its own.
    let build = buildid::build_id().ok_or("this program has no build ID")?;
    let machine = crate::cuda::identity().map_err(|error| error.to_string())?;
    let prepared = || -> Result<Prepared, String> {
        let prepared =
            prepare(folder, &name(build, &machine)).map_err(|error| error.to_string())?;
        // It says no on file systems on which it would not be safe.
        Database::open_at(&path(folder, &prepared.name), Access::ReadWrite)?;
        Ok(prepared)
    };
    let database = prepared().map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(KernelCache { folder: folder.clone(), database })
}
