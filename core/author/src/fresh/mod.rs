//! A plugin's folder that is built when its source has changed, and not otherwise.
//!
//! What was built of which source is noted by this program, in a folder of the user's: what a plugin's own folder says
//! about it would be its author's word. What lies in `dist` counts where it is just what was noted, and is built anew
//! else.

mod elsewhere;
mod notes;
mod sources;

use std::path::{Path, PathBuf};

use vitral_bundle::{Digest, SourceManifest, Target};
use vitral_files::Kind;

use crate::{AuthorError, BuildOptions, Built, Progress, build, files};
use elsewhere::Elsewhere;
use notes::{Entry, Notes};
use sources::Sources;

/// Where is noted what was built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workshop {
    notes: Option<PathBuf>,
}

/// A plugin's folder, as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct Folder {
    /// The digest of its source: of all of its files but hidden ones and what tools make, and without a `Cargo.lock`
    /// that building it has made.
    pub digest: Digest,
    /// What its `plugin.ron` says.
    pub manifest: SourceManifest,
    /// The form that was asked for, as it was built of just this source, if it was.
    pub built: Option<Vec<u8>>,
}

impl Workshop {
    /// A workshop that keeps its notes in a folder, which is the user's alone and is made when it is needed. Without
    /// one, everything is always built.
    pub fn new(notes: Option<PathBuf>) -> Self {
        Self { notes: notes.map(|folder| folder.join("built")) }
    }

    /// Looks at a plugin's folder. Nothing of it is run.
    ///
    /// # Errors
    /// There is no plugin, or it cannot be read.
    pub fn look(&self, folder: &Path, target: &Target) -> Result<Folder, AuthorError> {
        crate::language::Source::find(folder)?;
        let (notes, _) = self.open(folder)?;
        let sources = Sources::read(folder)?.with_lock_of(&notes);
        let manifest = SourceManifest::read(folder)?;
        let digest = sources.digest();
        let entry = notes.of(target).filter(|entry| entry.sources == digest);
        let built = entry.filter(|entry| entry.elsewhere.is_as_it_was()).and_then(|entry| {
            let built = files::read(&folder.join(&entry.path), kind(target)).ok()?;
            (Digest::of(&built) == entry.sha256).then_some(built)
        });
        Ok(Folder { digest, manifest, built })
    }

    /// Builds a form of a plugin of the source that has a digest, unless another program has just done so. Its build
    /// scripts may do whatever the user may.
    ///
    /// # Errors
    /// It is another source by now, or as [`build()`].
    pub fn build(
        &self,
        folder: &Path,
        target: &Target,
        source: Digest,
        progress: Progress,
    ) -> Result<Vec<u8>, AuthorError> {
        let dist = folder.join("dist");
        std::fs::create_dir_all(&dist).map_err(AuthorError::io("make", &dist))?;
        let lock = dist.join(".lock");
        let file =
            vitral_files::update(&lock, Kind::LOCK).map_err(AuthorError::io("open", &lock))?;
        if file.try_lock().is_err() {
            progress("another program builds it");
            file.lock().map_err(AuthorError::io("lock", &lock))?;
        }
        let Folder { digest, built, .. } = self.look(folder, target)?;
        if digest != source {
            return Err(AuthorError::Source {
                folder: folder.to_owned(),
                problem: "its source has changed since it was looked at; start again".into(),
            });
        }
        if let Some(built) = built {
            return Ok(built);
        }
        let is_wasm = *target == Target::Wasm;
        let options = BuildOptions { wasm: is_wasm, native: !is_wasm, ..BuildOptions::default() };
        let built = self.build_noted(folder, &options, progress)?;
        let path = if is_wasm { built.wasm } else { built.native };
        let path = path.ok_or_else(|| AuthorError::Source {
            folder: folder.to_owned(),
            problem: format!("nothing was built for {target}"),
        })?;
        files::read(&path, kind(target))
    }

    /// Builds the plugin in a folder as [`build()`] does, and notes what was built of which source.
    ///
    /// # Errors
    /// As [`build()`].
    pub fn build_noted(
        &self,
        folder: &Path,
        options: &BuildOptions,
        progress: Progress,
    ) -> Result<Built, AuthorError> {
        let before = Sources::read(folder)?;
        let built = build(folder, options, progress)?;
        // What is slower than it needs to be is for measuring.
        if options.simd
            && let Err(error) = self.note(folder, before, &built)
        {
            progress(&format!("that it is built cannot be noted, so it will be again: {error}"));
        }
        Ok(built)
    }

    fn note(&self, folder: &Path, before: Sources, built: &Built) -> Result<(), AuthorError> {
        let (mut notes, Some(path)) = self.open(folder)? else { return Ok(()) };
        let after = Sources::read(folder)?;
        let made = after.lock_made_since(&before);
        let before = before.with_lock_of(&notes);
        notes.note_lock(made, before.lock());
        if after.with_lock_of(&notes).digest() != before.digest() {
            // Somebody writes while it is built: of what it was is not known.
            return Ok(());
        }
        let elsewhere = Elsewhere::read(folder, &built.sources)?;
        for (target, path) in [(Target::Wasm, &built.wasm), (Target::host(), &built.native)] {
            let Some(path) = path else { continue };
            let content = files::read(path, kind(&target))?;
            notes.set(Entry {
                sources: before.digest(),
                elsewhere: elsewhere.clone(),
                path: path.strip_prefix(folder).unwrap_or(path).to_owned(),
                sha256: Digest::of(&content),
                target,
            });
        }
        notes.write(&path)
    }

    /// The notes about a folder, and the file that they are in.
    fn open(&self, folder: &Path) -> Result<(Notes, Option<PathBuf>), AuthorError> {
        let Some(notes) = &self.notes else { return Ok((Notes::default(), None)) };
        let folder = folder.canonicalize().map_err(AuthorError::io("find", folder))?;
        let name = Digest::of(folder.as_os_str().as_encoded_bytes());
        let path = notes.join(format!("{name}.json"));
        Ok((Notes::read(&path, &folder), Some(path)))
    }
}

/// What a built form is.
fn kind(target: &Target) -> Kind {
    if *target == Target::Wasm { Kind::COMPONENT } else { Kind::LIBRARY }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Home {
        _scratch: tempfile::TempDir,
        folder: PathBuf,
        workshop: Workshop,
    }

    impl Home {
        fn new() -> Self {
            let scratch = tempfile::tempdir().unwrap();
            let folder = scratch.path().join("dim");
            let workshop = Workshop::new(Some(scratch.path().join("notes")));
            let home = Self { _scratch: scratch, folder, workshop };
            home.write("monitor.py", "one");
            home
        }

        fn write(&self, path: &str, content: &str) {
            files::write(&self.folder.join(path), content.as_bytes()).unwrap();
        }

        /// Notes the component in `dist` as built of what there was.
        fn note(&self, before: Sources) {
            let wasm = Some(self.folder.join("dist/dim.wasm"));
            let built = Built { wasm, ..Built::default() };
            self.workshop.note(&self.folder, before, &built).unwrap();
        }

        fn sources(&self) -> Sources {
            Sources::read(&self.folder).unwrap()
        }

        fn look(&self, target: &Target) -> Folder {
            self.workshop.look(&self.folder, target).unwrap()
        }

        fn is_built(&self) -> bool {
            self.look(&Target::Wasm).built.is_some()
        }
    }

    #[test]
    fn what_was_built_counts_until_source_or_result_changes() {
        let home = Home::new();
        home.write("dist/dim.wasm", "built");
        assert!(!home.is_built(), "what nobody has noted may be of anything");
        home.note(home.sources());
        assert_eq!(home.look(&Target::Wasm).built.as_deref(), Some(&b"built"[..]));
        assert_eq!(home.look(&Target::host()).built, None, "another form is another thing");
        for (file, before, after) in
            [("monitor.py", "one", "two"), ("dist/dim.wasm", "built", "another")]
        {
            home.write(file, after);
            assert!(!home.is_built(), "{file}");
            home.write(file, before);
            assert!(home.is_built(), "{file}");
        }
        home.write("plugin.ron", "(permissions: (clock: true))");
        let found = home.look(&Target::Wasm);
        assert!(found.built.is_none() && found.manifest.permissions.clock);
        let elsewhere = Workshop::new(None).look(&home.folder, &Target::Wasm).unwrap();
        assert_eq!((elsewhere.digest, elsewhere.built), (found.digest, None));
    }

    #[test]
    fn what_was_written_while_it_was_built_is_built_again() {
        let home = Home::new();
        let before = home.sources();
        home.write("monitor.py", "two");
        home.write("dist/dim.wasm", "built");
        home.note(before);
        assert!(!home.is_built());
    }

    #[test]
    fn a_lock_file_that_was_made_while_it_was_built_is_no_change() {
        let home = Home::new();
        let (before, digest) = (home.sources(), home.look(&Target::Wasm).digest);
        home.write("Cargo.lock", "made");
        home.write("dist/dim.wasm", "built");
        home.note(before);
        assert!(home.is_built() && home.look(&Target::Wasm).digest == digest);
        // So it is where another comes of it.
        let before = home.sources();
        home.write("Cargo.lock", "made again");
        home.note(before);
        assert!(home.is_built() && home.look(&Target::Wasm).digest == digest);
        home.write("Cargo.lock", "changed");
        assert!(!home.is_built() && home.look(&Target::Wasm).digest != digest);
    }

    #[test]
    fn another_source_than_was_allowed_is_not_built() {
        let home = Home::new();
        let digest = home.look(&Target::Wasm).digest;
        home.write("monitor.py", "two");
        let built = home.workshop.build(&home.folder, &Target::Wasm, digest, &mut |_| ());
        let error = built.unwrap_err().to_string();
        assert!(error.contains("has changed since it was looked at"), "{error}");
        // What another program has built meanwhile is taken.
        let digest = home.look(&Target::Wasm).digest;
        home.write("dist/dim.wasm", "built");
        home.note(home.sources());
        let built = home.workshop.build(&home.folder, &Target::Wasm, digest, &mut |_| ());
        assert_eq!(built.unwrap(), b"built");
    }

    #[cfg(unix)]
    #[test]
    fn notes_that_others_can_write_count_for_nothing() {
        use std::os::unix::fs::PermissionsExt;

        let home = Home::new();
        home.write("dist/dim.wasm", "built");
        home.note(home.sources());
        assert!(home.is_built());
        let notes = home.workshop.notes.clone().unwrap();
        std::fs::set_permissions(&notes, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(!home.is_built());
    }
}
