//! A run that was moved or copied together with its data, or the project around both.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use vitral_data::SourceConfig;

use crate::experiment::Experiment;

/// Has an experiment read what moved with its run, from `written` to `now`: whatever is as near to the
/// run's folder as it was. Returns what is read from elsewhere now, in sentences.
pub(super) fn follow(experiment: &mut Experiment, written: &Path, now: &Path) -> Vec<String> {
    let real = |path: &Path| fs::canonicalize(path).ok();
    if written == now || real(written).is_some_and(|written| real(now) == Some(written)) {
        return Vec::new();
    }
    let mut notes = Vec::new();
    let data = &mut experiment.data;
    for (field, source) in [("data.train", &mut data.train), ("data.val", &mut data.val)] {
        if let Some(moved) = moved_source(source, written, now) {
            *source = moved;
            let first = source.paths().into_iter().next().map(|(_, path)| path.clone());
            let first = first.unwrap_or_default();
            notes.push(format!(
                "the run was moved, and `{field}` with it: it is read from {}",
                first.display()
            ));
        }
    }
    let plugins = experiment.plugins.values_mut();
    for path in plugins.flat_map(|plugin| [&mut plugin.bundle, &mut plugin.path]).flatten() {
        if let Some(moved) = moved(path, written, now).filter(|moved| moved.exists()) {
            *path = moved;
        }
    }
    if let Some(teacher) = &mut experiment.train.teacher
        && let Some(path) = teacher.path_mut()
        && let Some(moved) = moved(path, written, now).filter(|to| to.exists())
    {
        *path = moved;
    }
    notes
}

/// The source at its new place, if all of it is there.
fn moved_source(source: &SourceConfig, written: &Path, now: &Path) -> Option<SourceConfig> {
    let mut found = source.clone();
    for (_, path) in found.paths() {
        *path = moved(path, written, now)?;
    }
    (found != *source && found.is_there()).then_some(found)
}

/// Where something is that is as near to `now` as `path` is to `written`; nowhere if the two had nothing
/// in common but the root.
fn moved(path: &Path, written: &Path, now: &Path) -> Option<PathBuf> {
    let common = path.components().zip(written.components()).take_while(|(a, b)| a == b);
    let common: Vec<Component<'_>> = common.map(|(a, _)| a).collect();
    if !common.iter().any(|part| matches!(part, Component::Normal(_))) {
        return None;
    }
    let up = written.components().count() - common.len();
    let folder = now.ancestors().nth(up)?;
    Some(
        path.components()
            .skip(common.len())
            .fold(folder.to_path_buf(), |path, part| path.join(part)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_as_near_to_the_run_as_before_is_found() {
        let moved = |path: &str, written: &str, now: &str| {
            moved(Path::new(path), Path::new(written), Path::new(now))
        };
        for (path, written, now, expected) in [
            ("/a/p/data/train", "/a/p/runs/x", "/b/q/runs/x", Some("/b/q/data/train")),
            ("/a/p/runs/x/own", "/a/p/runs/x", "/c/y", Some("/c/y/own")),
            ("/a/data", "/a/p/runs/x", "/a/q/runs/x", Some("/a/data")),
            ("/data", "/a/p/runs/x", "/b/runs/x", None),
            ("/a/data", "/a/b/c/d/e", "/x", None),
        ] {
            assert_eq!(moved(path, written, now), expected.map(PathBuf::from), "{path}");
        }
    }
}
