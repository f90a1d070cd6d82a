//! Whether what decides about trust is the user's own, so that nobody else has a say in it.

use std::path::Path;

use crate::error::BundleError;

/// Refuses a file or folder that belongs to another user than this one and the system's, or that
/// others may write to. What is not there yet is nobody's.
#[cfg(unix)]
pub fn check(path: &Path) -> Result<(), BundleError> {
    use std::os::unix::fs::MetadataExt;

    let at = |error| BundleError::io("read", path, error);
    let found = match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        found => found.map_err(at)?,
    };
    match problem(found.uid(), found.mode(), user().map_err(at)?) {
        None => Ok(()),
        Some(problem) => Err(BundleError::NotOwn { path: path.to_owned(), problem }),
    }
}

/// Other systems keep a user's folders from others by themselves.
#[cfg(not(unix))]
pub(crate) fn check(_: &Path) -> Result<(), BundleError> {
    Ok(())
}

/// Checks a file or folder, and the folders above it up to one that holds it.
pub(crate) fn check_within(root: &Path, path: &Path) -> Result<(), BundleError> {
    path.ancestors().take_while(|ancestor| ancestor.starts_with(root)).try_for_each(check)
}

#[cfg(unix)]
fn problem(owner: u32, mode: u32, user: u32) -> Option<String> {
    /// The administrator, who may do anything anyway.
    const ROOT: u32 = 0;
    if owner != user && owner != ROOT {
        return Some(format!(
            "it belongs to another user (number {owner}), who would decide what runs as you; set \
             VITRAL_PLUGINS to a folder of your own"
        ));
    }
    (mode & 0o022 != 0).then(|| {
        format!(
            "others may write to it (its mode is {:o}), and so decide what runs as you; if all that \
             is in it is yours, `chmod go-w` takes that from them",
            mode & 0o7777
        )
    })
}

/// This user, as the owner of a file that was just made.
#[cfg(unix)]
fn user() -> std::io::Result<u32> {
    use std::os::unix::fs::MetadataExt;
    use std::sync::OnceLock;

    static USER: OnceLock<u32> = OnceLock::new();
    if let Some(user) = USER.get() {
        return Ok(*user);
    }
    let user = tempfile::tempfile()?.metadata()?.uid();
    Ok(*USER.get_or_init(|| user))
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_the_user_and_the_administrator_decide() {
        for (owner, mode, is_right) in [
            (7, 0o100_644, true),
            (7, 0o040_700, true),
            (0, 0o040_755, true),
            (8, 0o040_700, false),
            (7, 0o040_777, false),
            (7, 0o041_777, false),
            (7, 0o100_664, false),
            (0, 0o040_775, false),
        ] {
            assert_eq!(problem(owner, mode, 7).is_none(), is_right, "{owner} {mode:o}");
        }
    }

    #[test]
    fn every_folder_down_to_a_file_counts() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let file = inner.join("file");
        fs::write(&file, "").unwrap();
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
        for path in [folder.path(), &inner, &file] {
            set(path, 0o700).unwrap();
        }
        assert!(check_within(folder.path(), &file).is_ok());
        for path in [folder.path(), &inner, &file] {
            set(path, 0o722).unwrap();
            let error = check_within(folder.path(), &file).unwrap_err().to_string();
            assert!(error.contains(&path.display().to_string()), "{error}");
            assert!(error.contains("mode is 722") && error.contains("chmod go-w"), "{error}");
            set(path, 0o700).unwrap();
        }
        assert!(check(&folder.path().join("nothing")).is_ok());
    }
}
