//! What a thread takes from itself before it touches what a stranger wrote: every call of the system but those
//! that its work needs, by Linux's `seccomp`. Threads that it starts have no more.
//!
//! It is a second wall. What is behind the first, a memory-safe decoder, reads files at most; but a thread
//! shares its memory with the others of its process, so it holds back what is after calls of the system
//! alone. Other systems, and kernels without such a filter, have the first wall only.

#[cfg(target_os = "linux")]
mod calls;
#[cfg(target_os = "linux")]
mod filter;

/// What is left to a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Memory, threads, time, and files that are open already.
    Compute,
    /// Also opening files to read them.
    ReadAndCompute,
}

/// Has the system refuse this thread, and those that it starts from now on, every call but what is left. They
/// fail as where the user may not do it. It cannot be taken back. Returns whether the system does so.
pub fn enter(leave: Leave) -> bool {
    #[cfg(target_os = "linux")]
    return filter::apply(leave).is_ok();
    #[cfg(not(target_os = "linux"))]
    {
        let _ = leave;
        false
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{ErrorKind, Read};
    use std::process::Command;
    use std::{fs, net, thread};

    use super::*;

    /// What a thread may not do that has entered.
    fn refused(leave: Leave) -> Vec<&'static str> {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let there = at("there");
        fs::write(&there, "as it was").unwrap();
        let mut open = fs::File::open(&there).unwrap();
        let (new, link) = (at("new"), at("link"));
        let tries = thread::spawn(move || {
            assert!(enter(leave), "the system has the filter");
            let tries = [
                ("read what is open", open.read_to_string(&mut String::new()).err()),
                ("read", fs::read(&there).err()),
                ("ask", fs::metadata(&there).err()),
                ("write", fs::File::options().write(true).open(&there).err()),
                ("append", fs::File::options().append(true).open(&there).err()),
                ("truncate", fs::write(&there, "changed").err()),
                ("create", fs::File::create_new(&new).err()),
                ("remove", fs::remove_file(&there).err()),
                ("rename", fs::rename(&there, &new).err()),
                ("link", std::os::unix::fs::symlink(&there, &link).err()),
                ("make a folder", fs::create_dir(&new).err()),
                ("connect", net::TcpStream::connect("127.0.0.1:9").err()),
                ("send", net::UdpSocket::bind("127.0.0.1:0").err()),
                ("run", Command::new("true").spawn().err()),
            ];
            let sum = thread::spawn(|| (0..1000_u64).map(std::hint::black_box).sum::<u64>());
            assert_eq!(sum.join().unwrap(), 499_500);
            tries
        });
        let tries = tries.join().unwrap();
        assert_eq!(fs::read_to_string(at("there")).unwrap(), "as it was");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let refused = |(what, error): (_, Option<std::io::Error>)| {
            let error = error?;
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{what}: {error}");
            Some(what)
        };
        tries.into_iter().filter_map(refused).collect()
    }

    const NEVER: [&str; 11] = [
        "write",
        "append",
        "truncate",
        "create",
        "remove",
        "rename",
        "link",
        "make a folder",
        "connect",
        "send",
        "run",
    ];

    #[test]
    fn who_only_computes_has_no_files_no_network_and_no_programs() {
        assert_eq!(refused(Leave::Compute), [&["read", "ask"], &NEVER[..]].concat());
    }

    #[test]
    fn who_reads_changes_nothing() {
        assert_eq!(refused(Leave::ReadAndCompute), NEVER);
    }
}
