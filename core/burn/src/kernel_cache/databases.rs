//! The files of databases of kernels: whose they are, and when they go.

use std::{
    collections::HashMap,
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use sha2::{Digest as _, Sha256};
use vitral_files::{Access, Existing, NewFile, create_private_folder, is_private_folder};

/// How many processes can have a database of the same name at once.
const SLOTS: usize = 64;
/// How long a database stays after its last use.
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The most bytes that are kept; beyond, what was not used for longest goes.
const MOST: u64 = 512 << 20;
/// What a database begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Bytes that are to be free: the database engine maps a file into memory, and a process ends where the disk has no room
/// for such a file.
const ROOM: usize = 1 << 20;

/// A database that is this process's alone.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) name: String,
    /// Whether nothing is in it.
    pub(super) is_new: bool,
    /// Held while the process lives.
    _lock: fs::File,
}

/// Takes the first database of a name that no process has, and makes room for it.
///
/// # Errors
/// The folder cannot be made, is not this user's alone, is full, or every database is another process's.
pub(super) fn prepare(folder: &Path, name: &str) -> io::Result<Prepared> {
    create_private_folder(folder)?;
    if !is_private_folder(folder) {
        return Err(io::Error::other("others may write to it, or it is another user's"));
    }
    let (lock, name) = take(folder, name)?;
    let database = path(folder, &name);
    if !is_whole(&database) {
        remove(folder, &name);
    }
    let is_new = !database.exists();
    sweep(folder, MOST);
    let mut room = NewFile::create(&folder.join("room"), Existing::Replace, Access::Private)?;
    room.write_all(&[1; ROOM])?;
    room.sync()?;
    Ok(Prepared { name, is_new, _lock: lock })
}

/// The first of a name's databases that no process has, locked, and noted as used.
fn take(folder: &Path, name: &str) -> io::Result<(fs::File, String)> {
    for slot in 0..SLOTS {
        let name = format!("{name}-{slot}");
        let lock = folder.join(format!("{name}.lock"));
        let lock = fs::File::options().create(true).append(true).open(lock)?;
        match lock.try_lock() {
            Ok(()) => {
                lock.set_modified(SystemTime::now())?;
                return Ok((lock, name));
            }
            Err(fs::TryLockError::WouldBlock) => {}
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::Error::other(format!("{SLOTS} processes use it already")))
}

/// Removes databases that no process has and that were not used for long, or for longest where they are too large.
fn sweep(folder: &Path, most: u64) {
    let mut sizes: HashMap<String, u64> = HashMap::new();
    for (path, file) in files(folder) {
        if let Some(name) = path.file_name().and_then(|name| name.to_str()?.split_once(".db")) {
            *sizes.entry(name.0.into()).or_default() += file.len();
        }
    }
    let mut total: u64 = sizes.values().sum();
    let mut databases: Vec<(SystemTime, String, u64)> = sizes
        .into_iter()
        .map(|(name, bytes)| {
            let lock = fs::metadata(folder.join(format!("{name}.lock")));
            let used = lock.and_then(|lock| lock.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
            (used, name, bytes)
        })
        .collect();
    databases.sort();
    for (used, name, bytes) in databases {
        let is_old = used.elapsed().is_ok_and(|age| age > KEPT);
        if !is_old && total <= most {
            break;
        }
        // That of a process, this one's included, stays.
        let lock = folder.join(format!("{name}.lock"));
        let lock = fs::File::options().append(true).create(true).open(lock);
        if lock.is_ok_and(|lock| lock.try_lock().is_ok()) {
            remove(folder, &name);
            total -= bytes;
        }
    }
}

/// Whether a file begins as a database does, and has the length that it says there. One that is not there is whole.
fn is_whole(database: &Path) -> bool {
    let Ok(mut file) = fs::File::open(database) else { return true };
    let mut header = [0; 32];
    if file.read_exact(&mut header).is_err() || !header.starts_with(MAGIC) {
        return false;
    }
    // A page of 64 KiB is written as 1.
    let page = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 1 << 16,
        bytes => u64::from(bytes),
    };
    let pages = u32::from_be_bytes([header[28], header[29], header[30], header[31]]);
    file.metadata().is_ok_and(|file| file.len() >= page * u64::from(pages))
}

/// Removes a database with all that belongs to it but its lock, which others may be waiting to take. That it cannot be
/// removed leaves it where it is.
fn remove(folder: &Path, name: &str) {
    for ending in ["", "-wal", "-shm", "-tshm"] {
        let _ = fs::remove_file(folder.join(format!("{name}.db{ending}")));
    }
}

pub(super) fn path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.db"))
}

/// Bytes of all files of a folder.
pub(super) fn bytes(folder: &Path) -> u64 {
    files(folder).map(|(_, file)| file.len()).sum()
}

/// The files of a folder; none where it cannot be read.
fn files(folder: &Path) -> impl Iterator<Item = (PathBuf, fs::Metadata)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| Some((entry.path(), entry.metadata().ok()?)));
    files.filter(|(_, file)| file.is_file())
}

/// What a build's databases for a machine are called.
pub(super) fn name(build: &[u8], machine: &str) -> String {
    let digest = Sha256::new().chain_update(build).chain_update(machine).finalize();
    let digits: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{digits}", env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    /// A database of some bytes, and its log, that was used some days ago.
    fn database(folder: &Path, name: &str, bytes: u64, days: u32) {
        for ending in ["db", "db-wal"] {
            let mut file = fs::File::create(folder.join(format!("{name}.{ending}"))).unwrap();
            file.write_all(MAGIC).unwrap();
            // Its header says that it has no pages.
            file.set_len(bytes / 2).unwrap();
        }
        let lock = fs::File::create(folder.join(format!("{name}.lock"))).unwrap();
        lock.set_modified(SystemTime::now() - days * DAY).unwrap();
    }

    fn names(folder: &Path) -> Vec<String> {
        let names = files(folder).map(|(path, _)| path.file_name().unwrap().to_owned());
        let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
        names.retain(|name| name.ends_with(".db"));
        names.sort();
        names
    }

    #[test]
    fn processes_that_run_at_once_have_one_each_and_find_it_again() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("gpu");
        let first = prepare(&folder, "a").unwrap();
        let second = prepare(&folder, "a").unwrap();
        assert_eq!((&*first.name, &*second.name), ("a-0", "a-1"));
        assert!(first.is_new && second.is_new);
        database(&folder, "a-0", 100, 0);
        drop(first);
        let again = prepare(&folder, "a").unwrap();
        assert!(again.name == "a-0" && !again.is_new);
        assert_eq!(prepare(&folder, "b").unwrap().name, "b-0");
    }

    #[test]
    fn what_was_not_used_for_long_goes_as_a_whole_and_what_a_process_has_stays() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path();
        database(folder, "old-0", 100, 31);
        database(folder, "recent-0", 100, 29);
        fs::write(folder.join("notes"), "").unwrap();
        let own = prepare(folder, "own").unwrap();
        database(folder, "own-0", 100, 31);
        sweep(folder, MOST);
        assert_eq!(names(folder), ["own-0.db", "recent-0.db"]);
        assert!(!folder.join("old-0.db-wal").exists() && folder.join("notes").exists());
        assert_eq!(bytes(folder), 200);
        // Too large: the one that was not used for longest and is no process's.
        database(folder, "large-0", 1000, 1);
        sweep(folder, 1150);
        assert_eq!(names(folder), ["large-0.db", "own-0.db"]);
        drop(own);
        sweep(folder, 0);
        assert!(names(folder).is_empty());
    }

    #[test]
    fn what_is_no_database_begins_anew() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path();
        drop(prepare(folder, "a").unwrap());
        let header = |pages: u8| {
            let mut bytes = MAGIC.to_vec();
            bytes.extend([0x10, 0, 2, 2, 0, 64, 32, 32, 0, 0, 0, 9, 0, 0, 0, pages]);
            bytes.resize(2 * 4096, 0);
            bytes
        };
        fs::write(path(folder, "a-0"), header(2)).unwrap();
        assert!(!prepare(folder, "a").unwrap().is_new);
        for damaged in [&b""[..], b"SQLite", &[0; 4096], &header(3)] {
            fs::write(path(folder, "a-0"), damaged).unwrap();
            fs::write(folder.join("a-0.db-wal"), "of it").unwrap();
            assert!(prepare(folder, "a").unwrap().is_new);
            assert!(!folder.join("a-0.db-wal").exists());
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_others_may_write_to_is_not_used() {
        use std::os::unix::fs::PermissionsExt as _;

        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let error = prepare(root.path(), "a").unwrap_err();
        assert!(error.to_string().contains("others may write to it"));
    }

    #[test]
    fn builds_and_machines_have_names_that_differ() {
        let names = [name(b"1", "H100"), name(b"2", "H100"), name(b"1", "A100")];
        assert_eq!(names[0], name(b"1", "H100"));
        assert!(names[0] != names[1] && names[0] != names[2] && names[1] != names[2]);
        assert!(names[0].starts_with(env!("CARGO_PKG_VERSION")));
    }
}
