//! What a process takes from itself before it touches what a stranger wrote: memory, time and, on Linux,
//! every call of the system but those that computing needs ([`vitral_sandbox`]).

use std::{io, time::Duration};

use vitral_sandbox::Leave;

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
    // Where the kernel has no such filter, the limits alone must do.
    vitral_sandbox::enter(Leave::Compute);
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
