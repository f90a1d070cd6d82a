//! Who is lost of those that train together. A rank that is gone, or hangs, would have all others wait for ever.
//!
//! Each rank says every second that it is there, and how often it has come where all meet. Rank 0 hears all of
//! them, and they hear rank 0, so that whoever is lost, somebody notices.

use std::{
    fmt,
    time::{Duration, Instant},
};

/// How long is waited for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For a rank that is not heard of: its process was stopped, or its host or network is gone.
    pub silent: Duration,
    /// For a rank that does not come where others wait: its process is there, and does something else, such as
    /// waiting for a disk.
    pub late: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { silent: Duration::from_secs(20), late: Duration::from_secs(600) }
    }
}

/// A rank that is lost, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The rank.
    pub rank: usize,
    /// The name of its host.
    pub host: String,
    /// Why, in words that follow on its name.
    pub reason: String,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rank {} on host {} {}", self.rank, self.host, self.reason)
    }
}

/// What one rank knows of those that it hears.
#[derive(Clone, Debug)]
pub struct Watch {
    limits: Limits,
    heard: Vec<Heard>,
}

#[derive(Clone, Debug)]
struct Heard {
    rank: usize,
    host: String,
    last: Instant,
    /// How often it has come where all meet.
    meetings: u64,
    /// Since when another has come there once more.
    late_since: Option<Instant>,
}

impl Watch {
    /// Starts to listen, now, to some ranks on their hosts.
    pub fn new(limits: Limits, ranks: impl IntoIterator<Item = (usize, String)>) -> Self {
        let last = Instant::now();
        let heard = ranks.into_iter().map(|(rank, host)| Heard {
            rank,
            host,
            last,
            meetings: 0,
            late_since: None,
        });
        Self { limits, heard: heard.collect() }
    }

    /// A rank was heard of, which has come so often where all meet.
    pub fn hear(&mut self, rank: usize, meetings: u64, now: Instant) {
        if let Some(heard) = self.heard.iter_mut().find(|heard| heard.rank == rank) {
            (heard.last, heard.meetings) = (now, meetings.max(heard.meetings));
        }
    }

    /// The rank that is lost, if one is, where this one has come so often where all meet.
    pub fn lost(&mut self, meetings: u64, now: Instant) -> Option<Lost> {
        let Limits { silent, late } = self.limits;
        let latest = self.heard.iter().map(|heard| heard.meetings).fold(meetings, u64::max);
        for heard in &mut self.heard {
            let is_late = heard.meetings < latest;
            heard.late_since = is_late.then(|| heard.late_since.unwrap_or(now));
        }
        let passed = |since: Instant| now.saturating_duration_since(since);
        let seconds = |since: Instant| passed(since).as_secs();
        let lost = |heard: &Heard| {
            let reason = match heard.late_since {
                _ if passed(heard.last) > silent => format!(
                    "was not heard of for {} s: its process was stopped, or its host or network is gone",
                    seconds(heard.last)
                ),
                Some(since) if passed(since) > late => {
                    format!("has not come for {} s to where others wait for it", seconds(since))
                }
                _ => return None,
            };
            Some(Lost { rank: heard.rank, host: heard.host.clone(), reason })
        };
        self.heard.iter().find_map(lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_silent_or_late_is_named() {
        let limits = Limits { silent: Duration::from_secs(20), late: Duration::from_secs(100) };
        let ranks = [(1, "a".to_owned()), (2, "b".to_owned())];
        let mut watch = Watch::new(limits, ranks);
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut after = |seconds: u64, own: u64, meetings: [Option<u64>; 2]| {
            for (rank, meetings) in [1, 2].into_iter().zip(meetings) {
                meetings.into_iter().for_each(|meetings| watch.hear(rank, meetings, at(seconds)));
            }
            watch.lost(own, at(seconds)).map(|lost| lost.to_string())
        };
        assert_eq!(after(10, 3, [Some(3), Some(3)]), None);
        // Rank 2 is late, and comes.
        assert_eq!(after(11, 4, [Some(4), Some(3)]), None);
        assert_eq!(after(30, 4, [Some(4), Some(3)]), None);
        assert_eq!(after(50, 4, [Some(4), Some(4)]), None);
        // This one is late itself, which others would say.
        assert_eq!(after(70, 4, [Some(5), Some(5)]), None);
        for seconds in (80..180).step_by(10) {
            assert_eq!(after(seconds, 6, [Some(6), Some(5)]), None, "{seconds}");
        }
        let said = after(181, 6, [Some(6), Some(5)]).unwrap();
        assert!(said.starts_with("rank 2 on host b has not come for 101 s"), "{said}");
        assert_eq!(after(182, 7, [Some(7), Some(7)]), None);
        let said = after(203, 7, [None, Some(7)]).unwrap();
        assert!(said.starts_with("rank 1 on host a was not heard of for 21 s"), "{said}");
    }
}
