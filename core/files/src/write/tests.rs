use std::fs;
#[cfg(unix)]
use std::os::unix::fs::{MetadataExt, symlink};

use super::*;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn names(folder: &Path) -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

#[test]
fn a_file_is_replaced_as_a_whole_or_refused() {
    let folder = folder();
    let path = folder.path().join("a");
    write(&path, b"one", Existing::Refuse, Access::Usual).unwrap();
    write(&path, b"two", Existing::Replace, Access::Usual).unwrap();
    let refused = write(&path, b"three", Existing::Refuse, Access::Usual).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
    assert!(refused.to_string().contains("choose another name"), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), b"two");
    assert_eq!(names(folder.path()), ["a"]);
}

#[test]
fn a_file_that_appears_meanwhile_is_not_replaced() {
    let folder = folder();
    let path = folder.path().join("a");
    let mut file = NewFile::create(&path, Existing::Refuse, Access::Usual).unwrap();
    file.write_all(b"ours").unwrap();
    fs::write(&path, "theirs").unwrap();
    assert_eq!(file.finish().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&path).unwrap(), b"theirs");
    assert_eq!(names(folder.path()), ["a"]);
}

#[test]
fn an_error_has_no_name_that_a_file_had_for_a_moment() {
    let folder = folder();
    let path = folder.path().join("none/a");
    let error = NewFile::create(&path, Existing::Replace, Access::Usual).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(!error.to_string().contains(".writing"), "{error}");
}

#[test]
fn what_is_not_finished_is_removed() {
    let folder = folder();
    let mut file =
        NewFile::create(&folder.path().join("a"), Existing::Replace, Access::Usual).unwrap();
    file.write_all(b"half").unwrap();
    drop(file);
    assert!(names(folder.path()).is_empty());
}

#[cfg(unix)]
#[test]
fn a_link_or_a_device_stays_where_the_user_has_named_it() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    // As `/dev/stdout` is, which may be root's to replace.
    symlink("/proc/self/fd/1", at("stream")).unwrap();
    symlink("file", at("link")).unwrap();
    fs::write(at("file"), "old").unwrap();
    for (name, what) in [("stream", "a link"), ("link", "a link"), (".", "a folder")] {
        let refused =
            write(&at(name), b"new", Existing::ReplaceFile, Access::Usual).unwrap_err().to_string();
        assert!(refused.contains(what), "{name}: {refused}");
    }
    let device = Path::new("/dev/null");
    let refused = write(device, b"new", Existing::ReplaceFile, Access::Usual).unwrap_err();
    assert!(refused.to_string().contains("a device"), "{refused}");
    assert!(at("stream").is_symlink() && at("link").is_symlink());
    assert_eq!(fs::read(at("file")).unwrap(), b"old");
    write(&at("file"), b"new", Existing::ReplaceFile, Access::Usual).unwrap();
    assert_eq!(fs::read(at("file")).unwrap(), b"new");
}

#[cfg(unix)]
#[test]
fn a_link_is_replaced_itself_and_never_added_to() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("outside"), "kept").unwrap();
    for name in ["replaced", "added", "changed", "new"] {
        symlink("outside", at(name)).unwrap();
    }
    write(&at("replaced"), b"new", Existing::Replace, Access::Usual).unwrap();
    assert!(at("replaced").symlink_metadata().unwrap().is_file());
    for error in
        [append(&at("added")).unwrap_err(), update(&at("changed"), Kind::LOCK).unwrap_err()]
    {
        assert!(error.to_string().contains("it is a link"), "{error}");
    }
    assert!(write_new(&at("new"), b"new", Access::Usual).is_err());
    // Nothing is made where a link leads to nothing.
    symlink("nowhere", at("lost")).unwrap();
    assert!(append(&at("lost")).is_err() && update(&at("lost"), Kind::LOCK).is_err());
    assert_eq!(fs::read(at("outside")).unwrap(), b"kept");
    assert!(!at("nowhere").exists());
}

#[cfg(unix)]
#[test]
fn folders_and_devices_are_never_replaced() {
    let folder = folder();
    fs::create_dir(folder.path().join("a")).unwrap();
    for path in [&folder.path().join("a"), Path::new("/dev/null")] {
        let error = NewFile::create(path, Existing::Replace, Access::Usual).unwrap_err();
        assert!(error.to_string().starts_with("there is already a "), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn who_may_read_a_file_is_as_it_was_said() {
    let folder = folder();
    for (access, others) in [(Access::Shared, 0o044), (Access::Private, 0)] {
        let path = folder.path().join(format!("{access:?}"));
        write(&path, b"", Existing::Refuse, access).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o077 & !others, 0);
    }
}

#[cfg(unix)]
#[test]
fn what_has_another_name_is_not_changed_in_its_place() {
    let folder = folder();
    let [notes, metrics] = ["notes", "metrics"].map(|name| folder.path().join(name));
    fs::write(&notes, "mine").unwrap();
    fs::hard_link(&notes, &metrics).unwrap();
    for refused in [append(&metrics), update(&metrics, Kind::METRICS)] {
        assert!(refused.unwrap_err().to_string().contains("hard link"));
    }
    assert_eq!(fs::read(&notes).unwrap(), b"mine");
}
