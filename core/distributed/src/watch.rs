//! Who is lost of those that train together. A rank that is gone, or hangs, would have all others wait for ever.
//!
//! Each rank says every second that it is there, how often it has come where all meet, and what it does meanwhile
//! ([`Beat`]). Rank 0 hears all of them, and they hear rank 0, so that whoever is lost, somebody notices.

use std::{
    fmt, mem,
    time::{Duration, Instant},
};

/// Which part of the time that a rank may be silent passes at most between two looks at the others: after a longer
/// one, this process itself was paused.
const LOOKS: u32 = 4;

/// How long is waited for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For a rank that is not heard of: its process was stopped, or its host or network is gone.
    pub silent: Duration,
    /// For a rank that does not come where others wait, and has not said how long it may take: its process is
    /// there, and does something else, such as waiting for a disk.
    pub late: Duration,
    /// For a rank that exchanges values with others, and whose thread does not run, where that of another does,
    /// which waits for as long.
    pub stalled: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            silent: Duration::from_secs(20),
            late: Duration::from_secs(600),
            stalled: Duration::from_secs(25),
        }
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

/// What a rank does until it comes where all meet the next time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doing {
    /// In words that follow on "it is".
    pub what: String,
    /// How long others wait for it at most, where it can say so.
    pub within: Option<Duration>,
}

/// What a rank tells others of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beat {
    /// How often it has come where all meet, and how often it has left again, together.
    pub meetings: u64,
    /// How often it has begun to do something else.
    pub changes: u64,
    /// For how long `meetings` has been that.
    pub stays: Duration,
    /// For how much of that, until now, the thread that trains has not run.
    pub stalled: Duration,
    /// What it does.
    pub doing: Doing,
}

impl Beat {
    /// The rank is where all meet, or on its way from there.
    fn is_meeting(&self) -> bool {
        self.meetings % 2 == 1
    }

    /// As it is sent.
    pub fn to_bytes(&self) -> Vec<u8> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let within = self.doing.within.map_or(u64::MAX, millis);
        let (stays, stalled) = (millis(self.stays), millis(self.stalled));
        let numbers = [self.meetings, self.changes, stays, stalled, within];
        let mut bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        bytes.extend_from_slice(self.doing.what.as_bytes());
        bytes
    }

    /// As it was sent; nothing, of what is none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (numbers, what) = bytes.split_at_checked(5 * size_of::<u64>())?;
        let mut numbers = numbers
            .chunks_exact(size_of::<u64>())
            .filter_map(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?)));
        let mut next = || numbers.next();
        let (meetings, changes) = (next()?, next()?);
        let (stays, stalled, within) = (next()?, next()?, next()?);
        let what = String::from_utf8_lossy(what).into_owned();
        let within = (within != u64::MAX).then(|| Duration::from_millis(within));
        let (stays, stalled) = (Duration::from_millis(stays), Duration::from_millis(stalled));
        Some(Self { meetings, changes, stays, stalled, doing: Doing { what, within } })
    }
}

/// What one rank knows of those that it hears.
#[derive(Clone, Debug)]
pub struct Watch {
    limits: Limits,
    looked: Instant,
    heard: Vec<Heard>,
}

#[derive(Clone, Debug)]
struct Heard {
    rank: usize,
    host: String,
    last: Instant,
    beat: Beat,
    /// Since when another has come there once more, and this one does the same thing.
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
            beat: Beat::default(),
            late_since: None,
        });
        Self { limits, looked: last, heard: heard.collect() }
    }

    /// Whether this process was paused since the last look, by a signal or with its container, and now goes on: it
    /// heard nobody meanwhile, and all others, which may have been paused with it, have their time anew.
    pub fn resumes(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(mem::replace(&mut self.looked, now));
        let was_paused = passed > self.limits.silent / LOOKS;
        if was_paused {
            self.heard.iter_mut().for_each(|heard| (heard.last, heard.late_since) = (now, None));
        }
        was_paused
    }

    /// A rank was heard of.
    pub fn hear(&mut self, rank: usize, beat: Beat, now: Instant) {
        let Some(heard) = self.heard.iter_mut().find(|heard| heard.rank == rank) else { return };
        if (beat.meetings, beat.changes) != (heard.beat.meetings, heard.beat.changes) {
            heard.late_since = None;
        }
        (heard.last, heard.beat) = (now, beat);
    }

    /// The rank that is lost, if one is, where this one has this to say of itself.
    pub fn lost(&mut self, own: &Beat, now: Instant) -> Option<Lost> {
        let Limits { silent, late, stalled } = self.limits;
        let latest =
            self.heard.iter().map(|heard| heard.beat.meetings).fold(own.meetings, u64::max);
        for heard in &mut self.heard {
            let is_late = heard.beat.meetings < latest;
            heard.late_since = is_late.then(|| heard.late_since.unwrap_or(now));
        }
        let passed = |since: Instant| now.saturating_duration_since(since);
        // Threads may sleep while they wait, so that one that does not run says nothing; unless another has waited
        // there for as long, or for this rank somewhere further on, and runs.
        let others_run = |meetings: u64| {
            let mut beats = self.heard.iter().map(|heard| &heard.beat).chain([own]);
            beats.any(|beat| {
                let waits = beat.is_meeting() && beat.meetings >= meetings;
                waits && beat.stays > stalled && beat.stalled < stalled / 2
            })
        };
        let lost = |heard: &Heard| {
            let Beat { meetings, doing, stalled: still, .. } = &heard.beat;
            let is_exchanging = heard.beat.is_meeting();
            let patience = match is_exchanging {
                true => late,
                false => doing.within.unwrap_or(late),
            };
            let reason = match heard.late_since {
                _ if passed(heard.last) > silent => format!(
                    "has not been heard from for {} s: its process was stopped, or its host or \
                     network is gone",
                    passed(heard.last).as_secs()
                ),
                _ if is_exchanging && *still > stalled && others_run(*meetings) => format!(
                    "hangs in an exchange with the others: its thread has not run for {} s",
                    still.as_secs()
                ),
                Some(since) if passed(since) > patience => {
                    let doing = match &doing.what[..] {
                        _ if is_exchanging => ", but exchanges values with them".into(),
                        "" => String::new(),
                        what => format!(": it is {what}"),
                    };
                    let seconds = passed(since).as_secs();
                    format!("has kept the others waiting for {seconds} s{doing}")
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

    const SECOND: Duration = Duration::from_secs(1);

    fn limits() -> Limits {
        Limits { silent: 20 * SECOND, late: 100 * SECOND, stalled: 25 * SECOND }
    }

    /// A rank that has met others so often, and is not there now.
    fn met(times: u64) -> Beat {
        Beat { meetings: 2 * times, ..Beat::default() }
    }

    /// One that waits there for others, or is stopped there, for a long time.
    fn meeting(times: u64, stalled: u32) -> Beat {
        let stays = stalled.max(60) * SECOND;
        Beat { meetings: 2 * times + 1, stays, stalled: stalled * SECOND, ..Beat::default() }
    }

    fn doing(times: u64, what: &str, within: u32, changes: u64) -> Beat {
        let doing = Doing { what: what.into(), within: Some(within * SECOND) };
        Beat { changes, doing, ..met(times) }
    }

    /// What is said after each of some seconds, where rank 1 and rank 2 are heard.
    struct Heard {
        watch: Watch,
        start: Instant,
    }

    impl Heard {
        fn new() -> Self {
            let ranks = [(1, "a".to_owned()), (2, "b".to_owned())];
            Self { watch: Watch::new(limits(), ranks), start: Instant::now() }
        }

        fn after(&mut self, seconds: u32, own: Beat, beats: [Option<Beat>; 2]) -> Option<String> {
            let now = self.start + seconds * SECOND;
            for (rank, beat) in [1, 2].into_iter().zip(beats) {
                beat.into_iter().for_each(|beat| self.watch.hear(rank, beat, now));
            }
            self.watch.lost(&own, now).map(|lost| lost.to_string())
        }
    }

    #[test]
    fn who_is_silent_or_late_is_named() {
        let mut heard = Heard::new();
        let mut after = |seconds: u32, own: u64, times: [Option<u64>; 2]| {
            heard.after(seconds, met(own), times.map(|times| times.map(met)))
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
        assert!(
            said.starts_with("rank 2 on host b has kept the others waiting for 101 s"),
            "{said}"
        );
        assert_eq!(after(182, 7, [Some(7), Some(7)]), None);
        let said = after(203, 7, [None, Some(7)]).unwrap();
        assert!(said.starts_with("rank 1 on host a has not been heard from for 21 s"), "{said}");
    }

    #[test]
    fn who_has_said_how_long_it_may_take_is_not_waited_for_longer() {
        let mut heard = Heard::new();
        let mut after = |seconds: u32, two: Beat| {
            heard.after(seconds, meeting(4, 0), [Some(meeting(4, 0)), Some(two)])
        };
        let computing = || doing(4, "computing step 5", 30, 1);
        assert_eq!(after(10, computing()), None);
        assert_eq!(after(40, computing()), None);
        // What it does next has a time of its own.
        let updating = || doing(4, "updating", 30, 2);
        assert_eq!(after(41, updating()), None);
        assert_eq!(after(71, updating()), None);
        let said = after(72, updating()).unwrap();
        let words = "rank 2 on host b has kept the others waiting for 31 s: it is updating";
        assert_eq!(said, words);
        // Before others wait, no time passes.
        let mut heard = Heard::new();
        for seconds in (10..200).step_by(10) {
            let all = [Some(computing()), Some(computing())];
            assert_eq!(heard.after(seconds, met(4), all), None);
        }
    }

    #[test]
    fn a_thread_that_hangs_in_an_exchange_is_named() {
        let all = |first: u32, second: u32| [Some(meeting(4, first)), Some(meeting(4, second))];
        let said = Heard::new().after(1, meeting(4, 0), all(0, 26)).unwrap();
        assert!(said.starts_with("rank 2 on host b hangs in an exchange"), "{said}");
        assert_eq!(Heard::new().after(1, meeting(4, 0), all(0, 25)), None, "it may run again");
        assert_eq!(Heard::new().after(1, meeting(4, 26), all(26, 26)), None, "so this MPI waits");
        let waits = [Some(meeting(4, 0)), Some(Beat { meetings: 8, ..meeting(4, 99) })];
        assert_eq!(Heard::new().after(1, meeting(4, 0), waits), None, "it waits for a disk");
    }

    #[test]
    fn a_thread_that_sleeps_while_it_waits_is_not_lost_when_a_late_one_comes() {
        let after =
            |own: Beat, two: Beat| Heard::new().after(1, own, [Some(meeting(4, 30)), Some(two)]);
        let here_for =
            |times: u64, seconds: u32| Beat { stays: seconds * SECOND, ..meeting(times, 0) };
        // Whoever comes runs, whichever rank it is.
        assert_eq!(after(here_for(4, 0), meeting(4, 30)), None);
        assert_eq!(after(meeting(4, 30), here_for(4, 1)), None);
        assert_eq!(after(here_for(4, 25), meeting(4, 30)), None);
        // It waits itself, for as long, and runs: so this MPI does not have its threads sleep.
        let said = after(here_for(4, 26), here_for(4, 26)).unwrap();
        assert!(said.starts_with("rank 1 on host a hangs in an exchange"), "{said}");
        // Also where it waits further on; but not where that has been before.
        assert!(after(here_for(5, 26), meeting(4, 30)).is_some());
        assert_eq!(after(here_for(5, 1), meeting(4, 30)), None);
        assert_eq!(after(here_for(3, 26), meeting(4, 30)), None);
    }

    #[test]
    fn all_have_their_time_anew_after_a_pause() {
        let mut heard = Heard::new();
        let mut after = |seconds: u32, beats: [Option<Beat>; 2]| {
            let was_paused = heard.watch.resumes(heard.start + seconds * SECOND);
            (was_paused, heard.after(seconds, meeting(4, 0), beats))
        };
        let waits = || Some(meeting(4, 0));
        let computes = || Some(doing(4, "computing step 5", 30, 1));
        for seconds in 1..30 {
            assert_eq!(after(seconds, [waits(), computes()]), (false, None), "{seconds}");
        }
        // Nobody was heard of for an hour, and one was expected before.
        assert_eq!(after(3600, [None, None]), (true, None));
        assert_eq!(after(3604, [None, None]), (false, None), "they may go on later");
        for seconds in 3605..3631 {
            assert_eq!(after(seconds, [waits(), computes()]), (false, None), "{seconds}");
        }
        let (was_paused, said) = after(3632, [waits(), computes()]);
        assert!(said.unwrap().starts_with("rank 2 on host b has kept the others waiting for 32 s"));
        assert!(!was_paused);
        // Who was not paused, or does not go on, is missed in the end.
        assert_eq!(after(4000, [None, None]), (true, None));
        for seconds in 4001..4021 {
            assert_eq!(after(seconds, [None, waits()]), (false, None), "{seconds}");
        }
        let said = after(4021, [None, waits()]).1.unwrap();
        assert!(said.starts_with("rank 1 on host a has not been heard from for 21 s"), "{said}");
    }

    #[test]
    fn what_is_sent_arrives() {
        for beat in [met(7), meeting(2, 26), doing(3, "computing step 4", 25, 9)] {
            assert_eq!(Beat::from_bytes(&beat.to_bytes()), Some(beat));
        }
        assert_eq!(Beat::from_bytes(&[0; 39]), None);
    }
}
