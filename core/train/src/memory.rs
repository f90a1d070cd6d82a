//! How much memory the process uses, as the system says.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use vitral_host::Memory;

/// Memory in use now. On systems other than Linux the process's is not known and given as 0; a
/// device's own memory is not known either, as Burn does not tell it.
pub fn memory() -> Memory {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    Memory {
        host: bytes(&status, "VmRSS:"),
        host_peak: bytes(&status, "VmHWM:"),
        device: None,
        device_peak: None,
    }
}

/// A line such as `VmRSS:     1234 kB`.
fn bytes(status: &str, field: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
    kibibytes.unwrap_or(0_u64) * 1024
}

/// The most memory that the process uses from now on.
pub(crate) enum Peak {
    /// The system keeps it.
    Kept,
    /// A thread looks again and again, where the system's figure cannot be set back.
    Sampled { peak: Arc<AtomicU64>, stop: Arc<AtomicBool>, thread: JoinHandle<()> },
}

/// Time between two samples.
const INTERVAL: Duration = Duration::from_millis(1);
/// How far the system's peak may lie above the use right after it was set back.
const SET_BACK_WITHIN: u64 = 8 << 20;

impl Peak {
    /// Starts to watch.
    pub(crate) fn watch() -> Self {
        // Linux 4.0 and later: 5 sets VmHWM back to VmRSS (`man 5 proc_pid_clear_refs`).
        if fs::write("/proc/self/clear_refs", "5").is_ok() {
            let now = memory();
            if now.host > 0 && now.host_peak <= now.host + SET_BACK_WITHIN {
                return Self::Kept;
            }
        }
        Self::sample()
    }

    fn sample() -> Self {
        let (peak, stop) =
            (Arc::new(AtomicU64::new(memory().host)), Arc::new(AtomicBool::new(false)));
        let thread = thread::spawn({
            let (peak, stop) = (Arc::clone(&peak), Arc::clone(&stop));
            move || {
                while !stop.load(Ordering::Relaxed) {
                    peak.fetch_max(memory().host, Ordering::Relaxed);
                    thread::sleep(INTERVAL);
                }
            }
        });
        Self::Sampled { peak, stop, thread }
    }

    /// The most since it was started, in bytes; none where the system does not tell.
    pub(crate) fn finish(self) -> Option<u64> {
        let peak = match self {
            Self::Kept => memory().host_peak,
            Self::Sampled { peak, stop, thread } => {
                stop.store(true, Ordering::Relaxed);
                // It does nothing that could panic.
                let _ = thread.join();
                peak.load(Ordering::Relaxed).max(memory().host)
            }
        };
        (peak > 0).then_some(peak)
    }
}

/// Bytes that the process could take beside what it has: what the system says is available, or
/// what a control group above the process leaves, whichever is less. None where neither is known.
pub(crate) fn available() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let system = Some(bytes(&meminfo, "MemAvailable:")).filter(|&bytes| bytes > 0);
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let left = group_left(&groups, Path::new("/sys/fs/cgroup"));
    system.into_iter().chain(left).min()
}

/// What the control groups of a process leave it: the least of each and all above it.
///
/// `groups` is the process's list of them: `0::/a/b` is of version 2, `4:memory:/a/b` of version 1.
fn group_left(groups: &str, root: &Path) -> Option<u64> {
    let of_line = |line: &str| -> Option<u64> {
        let mut parts = line.splitn(3, ':');
        let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let (root, names) = match (number, controllers) {
            ("0", "") => (root.to_owned(), ["memory.max", "memory.current", "inactive_file"]),
            (_, list) if list.split(',').any(|name| name == "memory") => (
                root.join("memory"),
                ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"],
            ),
            _ => return None,
        };
        let below_root: PathBuf = Path::new(path).components().skip(1).collect();
        // Inside a container the path may be that of the host: what is not there is passed over.
        below_root.ancestors().filter_map(|folder| left_in(&root.join(folder), names)).min()
    };
    groups.lines().filter_map(of_line).min()
}

/// What one control group leaves; its files that could be dropped count as left.
fn left_in(folder: &Path, [limit, usage, inactive]: [&str; 3]) -> Option<u64> {
    let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
    // "max" is none.
    let limit: u64 = read(limit)?.trim().parse().ok()?;
    let usage: u64 = read(usage)?.trim().parse().ok()?;
    let stat = read("memory.stat").unwrap_or_default();
    let droppable = stat
        .lines()
        .find_map(|line| line.strip_prefix(inactive)?.trim().parse().ok())
        .unwrap_or(0_u64);
    Some(limit.saturating_sub(usage.saturating_sub(droppable)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both ways see a block of memory that is no longer there when they end.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_peak_is_seen_after_it_is_over() {
        for watch in [Peak::watch as fn() -> Peak, Peak::sample] {
            let before = memory().host;
            let peak = watch();
            let block = vec![1_u8; 256 << 20];
            thread::sleep(Duration::from_millis(20));
            drop(std::hint::black_box(block));
            let found = peak.finish().unwrap();
            // Tests beside this one take and give back memory, too.
            assert!(found >= before + (200 << 20), "{found} after {before}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn something_is_available() {
        assert!(available().is_some_and(|bytes| bytes > 1 << 20));
    }

    #[test]
    fn control_groups_limit_what_is_available() {
        let folder = tempfile::TempDir::new().unwrap();
        let group = |path: &str, files: &[(&str, &str)]| {
            let path = folder.path().join(path);
            fs::create_dir_all(&path).unwrap();
            for (name, text) in files {
                fs::write(path.join(name), text).unwrap();
            }
        };
        let stat = "anon 5\ninactive_file 300\nactive_file 9\n";
        group("a", &[("memory.max", "2000\n"), ("memory.current", "900\n"), ("memory.stat", stat)]);
        group("a/b", &[("memory.max", "max\n"), ("memory.current", "800\n")]);
        let left = |groups: &str| group_left(groups, folder.path());
        assert_eq!(left("0::/a/b\n"), Some(1400), "the group above has the limit");
        assert_eq!(left("0::/elsewhere\n"), None);
        group(
            "memory/c",
            &[
                ("memory.limit_in_bytes", "1000"),
                ("memory.usage_in_bytes", "700"),
                ("memory.stat", "inactive_file 1\ntotal_inactive_file 50\n"),
            ],
        );
        assert_eq!(left("3:cpu,memory:/c\n1:cpuset:/c\n0::/\n"), Some(350));
        assert_eq!(left(""), None);
    }

    #[test]
    fn lines_are_read() {
        let status = "Name:\tvitral\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!((bytes(status, "VmRSS:"), bytes(status, "VmHWM:")), (1 << 20, 2 << 20));
        assert_eq!(bytes(status, "VmSwap:"), 0);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_uses_memory() {
        let memory = memory();
        assert!(memory.host > 1 << 20 && memory.host_peak >= memory.host, "{memory:?}");
    }
}
