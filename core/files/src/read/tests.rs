use std::fs;

use super::*;

const SMALL: Kind = Kind::new("a note", 4);

#[test]
fn files_of_their_kinds_size_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    for content in ["", "abc", "abcd"] {
        fs::write(&path, content).unwrap();
        assert_eq!(read_text(&path, SMALL).unwrap(), content);
        assert_eq!(read_own(&path, SMALL).unwrap(), content.as_bytes());
        assert_eq!(open(&path, SMALL).unwrap().1, content.len() as u64);
    }
    let mut buffer = vec![7; 100];
    read_into(&path, SMALL, &mut buffer).unwrap();
    assert_eq!(buffer, b"abcd");
    fs::write(&path, "abcde").unwrap();
    let error = read(&path, SMALL).unwrap_err().to_string();
    assert!(error.contains("5 bytes") && error.contains("a note can have at most 4"), "{error}");
    fs::write(&path, b"ab\xff").unwrap();
    let error = read_text(&path, SMALL).unwrap_err().to_string();
    assert!(error.contains("byte 2 is not UTF-8"), "{error}");
    let error = read(&folder.path().join("none"), SMALL).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_named_at_once() {
    use std::ffi::CString;
    use std::os::unix::{ffi::OsStrExt, fs::symlink, net::UnixListener};

    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let pipe = CString::new(at("pipe").as_os_str().as_bytes()).unwrap();
    // SAFETY: the path is a C string that lives until the call is over.
    assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);
    let _socket = UnixListener::bind(at("socket")).unwrap();
    fs::create_dir(at("folder")).unwrap();
    symlink("/dev/zero", at("device")).unwrap();
    symlink("socket", at("link")).unwrap();
    for (name, what) in [
        ("pipe", "a pipe"),
        ("socket", "a socket"),
        ("folder", "a folder"),
        ("device", "a device"),
        ("link", "a socket"),
    ] {
        let error = read(&at(name), Kind::IMAGE).unwrap_err().to_string();
        assert!(error.contains(what) && error.contains("regular file"), "{name}: {error}");
    }
    fs::write(at("file"), "").unwrap();
    symlink("file", at("own")).unwrap();
    assert_eq!(read(&at("own"), SMALL).unwrap(), b"");
    let error = read_own(&at("own"), SMALL).unwrap_err().to_string();
    assert!(error.contains("it is a link"), "{error}");
}

#[cfg(target_os = "linux")]
#[test]
fn files_of_the_system_without_a_size_are_read() {
    let status = Path::new("/proc/self/status");
    assert!(read_text(status, Kind::CONFIGURATION).unwrap().contains("Name:"));
    assert!(read(status, SMALL).is_err());
}
