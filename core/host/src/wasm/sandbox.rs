//! What a process takes from itself before it touches what a stranger wrote: memory, time and, on Linux,
//! every call of the system but those that computing needs.

use std::{io, time::Duration};

/// Limits this process to so many more bytes of memory and so much time of its processors, and takes files,
/// network and other programs from it where the system can. Called before there are other threads, which
/// have the same.
///
/// # Errors
/// The system does not let it.
pub(super) fn enter(memory: u64, time: Duration) -> io::Result<()> {
    #[cfg(unix)]
    limit(memory, time)?;
    #[cfg(not(unix))]
    let _ = (memory, time);
    #[cfg(target_os = "linux")]
    only_compute();
    Ok(())
}

#[cfg(unix)]
fn limit(memory: u64, time: Duration) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let lower = |resource: Resource, most: u64, beyond: u64| {
        // What it has been given already may be less.
        let within = |most: u64| getrlimit(resource).maximum.map_or(most, |given| given.min(most));
        let (current, maximum) = (Some(within(most)), Some(within(most + beyond)));
        setrlimit(resource, Rlimit { current, maximum })
    };
    // Linux counts what can be written to alone, and not all that an allocator reserves.
    let kind = if cfg!(target_os = "linux") { Resource::Data } else { Resource::As };
    lower(kind, mapped().saturating_add(memory), 0)?;
    // In whole seconds. It ends by the signal that says why, and a second later in any case.
    lower(Resource::Cpu, time.as_secs() + 1, 1)?;
    // What is left of it must not lie about.
    lower(Resource::Core, 0, 0)?;
    Ok(())
}

/// Bytes that the process has for itself already; a guess where the system does not tell.
#[cfg(unix)]
fn mapped() -> u64 {
    // In pages: the whole, what is resident, shared, code, libraries, data and stack (`man 5 proc_pid_statm`).
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(5)?.parse::<u64>().ok());
    pages.map_or(1 << 30, |pages| pages.saturating_mul(rustix::param::page_size() as u64))
}

/// Refuses every call of the system but those that memory, threads and time need. Where the kernel has no
/// such filter, the limits alone must do.
#[cfg(target_os = "linux")]
fn only_compute() {
    use std::collections::BTreeMap;

    use seccompiler::{
        SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
        SeccompRule, apply_filter,
    };

    let Ok(arch) = std::env::consts::ARCH.try_into() else { return };
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        CALLS.iter().map(|&call| (call, Vec::new())).collect();
    // Limits can be asked for, and not be set: the third argument is the new one.
    let is_none = SeccompCondition::new(2, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0);
    let Ok(asks) = is_none.and_then(|is_none| SeccompRule::new(vec![is_none])) else { return };
    rules.insert(libc::SYS_prlimit64, vec![asks]);
    // An error, as of a system that lacks the call, so that whoever can do without does.
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    let filter = SeccompFilter::new(rules, refuse, SeccompAction::Allow, arch);
    let program = filter.and_then(seccompiler::BpfProgram::try_from);
    let _ = program.map(|program| apply_filter(&program));
}

/// What computing needs.
#[cfg(target_os = "linux")]
const CALLS: &[libc::c_long] = &[
    // What is open already.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_lseek,
    libc::SYS_ppoll,
    // Memory.
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    // Threads.
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_futex,
    libc::SYS_rseq,
    libc::SYS_set_robust_list,
    libc::SYS_get_robust_list,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getcpu,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_prctl,
    // Signals of its own.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
    libc::SYS_restart_syscall,
    // Time and chance.
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_sysinfo,
    libc::SYS_uname,
    // The end.
    libc::SYS_exit,
    libc::SYS_exit_group,
];

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{fs, net, process::Command, thread};

    use super::*;

    /// In a thread, which alone has the filter.
    #[test]
    fn who_only_computes_has_no_files_no_network_and_no_programs() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_owned();
        let found = thread::spawn(move || {
            only_compute();
            let kinds = [
                fs::read(&path).err(),
                fs::write(&path, "changed").err(),
                fs::remove_file(&path).err(),
                net::TcpStream::connect("127.0.0.1:9").err(),
                net::UdpSocket::bind("127.0.0.1:0").err(),
                Command::new("true").spawn().err(),
            ];
            let sum = thread::spawn(|| (0..1000_u64).map(std::hint::black_box).sum::<u64>());
            (kinds.map(|error| error.map(|error| error.kind())), sum.join().unwrap())
        });
        let (kinds, sum) = found.join().unwrap();
        assert_eq!(kinds, [Some(io::ErrorKind::PermissionDenied); 6]);
        assert_eq!(sum, 499_500);
        assert!(file.path().exists());
    }
}
