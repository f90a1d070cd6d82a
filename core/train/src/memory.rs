//! How much memory the process uses, as the system says.

use std::fs;

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

#[cfg(test)]
mod tests {
    use super::*;

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
