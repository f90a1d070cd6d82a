//! The processors' time that this process has taken: unlike time on the clock, it does not grow
//! where other processes compute beside it.

use std::fs;

/// Ticks of a second in `/proc`, on every Linux.
const TICKS: f64 = 100.0;

/// Seconds of all threads together, in user code and in the kernel; only Linux tells.
pub fn cpu_seconds() -> Option<f64> {
    ticks(&fs::read_to_string("/proc/self/stat").ok()?).map(|ticks| ticks as f64 / TICKS)
}

/// The fields `utime` and `stime`, the 14th and 15th. The second is the program's name, which may
/// hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_fields_are_read() {
        let stat = "7 (a) b) R 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 3 0 99 8 9";
        assert_eq!(ticks(stat), Some(300));
        assert_eq!(ticks("7 (vitral) R 1"), None);
    }
}
