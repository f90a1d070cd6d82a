//! The ranks that MPI has started.

use std::{
    cell::Cell,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use mpi::{
    Threading,
    collective::{CommunicatorCollectives as _, Root as _},
    datatype::PartitionMut,
    environment::Universe,
    point_to_point::{Destination as _, MatchedReceiveVec as _, Source as _},
    topology::{Communicator as _, SimpleCommunicator},
};

use crate::{
    mpi_exchange::{Beside, placed},
    peers::{Exchange, Peers},
    thread_time::{Stall, ThreadTime},
    watch::{Beat, Doing, Limits, Lost, Watch},
};

/// How often a rank says that it is there.
const BEAT: Duration = Duration::from_secs(1);
/// How often it listens.
const TICK: Duration = Duration::from_millis(50);
/// How long a rank that fails waits for rank 0 to say why, and end all.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Exit code of a job that has lost a rank.
const FAILED: i32 = 1;
/// Messages between the threads that watch: what a rank does, and why it fails.
const BEATS: i32 = 1;
const FAILURE: i32 = 2;

/// Why a job cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// MPI was started before, or was not made for it.
    #[error("MPI cannot be started in this process")]
    NotStarted,
    /// It may be called by one thread only.
    #[error(
        "this MPI ({0}) cannot be called from several threads (MPI_THREAD_MULTIPLE), which \
         watching the other ranks requires; use one that can"
    )]
    OneThread(String),
    /// No thread can be made.
    #[error("cannot start the thread that watches the other ranks: {0}")]
    Thread(#[from] std::io::Error),
}

/// What the thread that trains and the one that watches have in common.
#[derive(Default)]
pub(crate) struct Shared {
    /// How often this rank has come where all meet, and left again.
    meetings: AtomicU64,
    /// What it does, and how often that was something else.
    doing: Mutex<(u64, Doing)>,
    /// The time of the thread that has come there last.
    meeting: Mutex<Option<ThreadTime>>,
    is_over: AtomicBool,
    failure: Mutex<Option<String>>,
}

/// All ranks of a job, as one of them sees them. Where one of them is lost, or lets go of this before
/// [`finish`](Self::finish), all end.
pub struct World {
    local_rank: usize,
    local_size: usize,
    hosts: Vec<String>,
    pub(crate) shared: Arc<Shared>,
    watching: Option<JoinHandle<()>>,
    /// Whether it has come to its end.
    is_whole: Cell<bool>,
    beside: Arc<Beside>,
    pub(crate) world: SimpleCommunicator,
    // Ended last.
    _universe: Universe,
}

impl World {
    /// Joins the others that a launcher has started; without one, this is the only rank. `report` is given the
    /// rank that is lost before all end, on the rank that says so.
    ///
    /// # Errors
    /// MPI cannot be used here.
    pub fn start(
        limits: Limits,
        report: impl Fn(&Lost) + Send + 'static,
    ) -> Result<Self, StartError> {
        let (universe, threading) =
            mpi::initialize_with_threading(Threading::Multiple).ok_or(StartError::NotStarted)?;
        if threading < Threading::Multiple {
            return Err(StartError::OneThread(library()));
        }
        let world = universe.world();
        let local = world.split_shared(world.rank());
        let shared = Arc::<Shared>::default();
        let beside = Beside::new(Handle(world.duplicate()), Arc::clone(&shared));
        let mut joined = Self {
            local_rank: local.rank() as usize,
            local_size: local.size() as usize,
            hosts: Vec::new(),
            shared,
            watching: None,
            is_whole: Cell::new(false),
            beside: Arc::new(beside),
            world,
            _universe: universe,
        };
        let host = mpi::environment::processor_name().unwrap_or_else(|_| "unknown".into());
        let hosts = joined.all_gather(host.as_bytes());
        joined.hosts =
            hosts.iter().map(|host| String::from_utf8_lossy(host).into_owned()).collect();
        let watcher = Watcher {
            all: Handle(joined.world.duplicate()),
            hosts: joined.hosts.clone(),
            shared: Arc::clone(&joined.shared),
            limits,
            report: Box::new(report),
        };
        let thread = thread::Builder::new().name("vitral-watch".into());
        joined.watching = Some(thread.spawn(move || watcher.watch())?);
        Ok(joined)
    }

    /// Which of the ranks on its host this is.
    pub fn local_rank(&self) -> usize {
        self.local_rank
    }

    /// What the MPI library calls itself.
    pub fn library(&self) -> String {
        library()
    }

    /// How many ranks there are on its host.
    pub fn local_size(&self) -> usize {
        self.local_size
    }

    /// The names of the hosts, by rank.
    pub fn hosts(&self) -> &[String] {
        &self.hosts
    }

    /// Ends all ranks, as this one cannot go on. Rank 0 says why.
    pub fn fail(&self, reason: &str) -> ! {
        *self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(reason.to_owned());
        thread::sleep(LAST_WORDS);
        self.world.abort(FAILED)
    }

    /// This rank has done its part: letting go of it ends the job once all have come there.
    pub fn finish(&self) {
        self.is_whole.set(true);
    }

    /// Ends all ranks at once, as this one cannot go on and has said itself why.
    pub fn abort(&self) -> ! {
        self.world.abort(FAILED)
    }
}

impl Shared {
    /// Notes that this rank is where all meet, until this thread lets go of what it is given.
    pub(crate) fn meet(&self) -> Meeting<'_> {
        let thread = ThreadTime::of_this_thread();
        *self.meeting.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        self.meetings.fetch_add(1, Ordering::Relaxed);
        Meeting(&self.meetings)
    }
}

/// That a thread is where all meet.
pub(crate) struct Meeting<'a>(&'a AtomicU64);

impl Drop for Meeting<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !self.is_whole.get() && self.size() > 1 {
            self.fail(match thread::panicking() {
                true => "has panicked, as it says itself",
                false => "has ended before the others",
            });
        }
        // Nobody is missed any more after this.
        self.barrier();
        self.shared.is_over.store(true, Ordering::Release);
        // What it panicked about it has told.
        let _ = self.watching.take().map(JoinHandle::join);
    }
}

impl Peers for World {
    fn host(&self, rank: usize) -> Option<String> {
        self.hosts.get(rank).cloned()
    }

    fn begin(&self, what: &str, within: Option<Duration>) {
        let mut doing = self.shared.doing.lock().unwrap_or_else(PoisonError::into_inner);
        *doing = (doing.0 + 1, Doing { what: what.into(), within });
    }

    fn beside(&self) -> Option<Arc<dyn Exchange + Send + Sync>> {
        Some(Arc::clone(&self.beside) as Arc<dyn Exchange + Send + Sync>)
    }

    fn barrier(&self) {
        let _meeting = self.shared.meet();
        self.world.barrier();
    }

    fn broadcast(&self, from: usize, bytes: &mut Vec<u8>) {
        let _meeting = self.shared.meet();
        let root = self.world.process_at_rank(from as i32);
        let mut length = bytes.len() as u64;
        root.broadcast_into(&mut length);
        bytes.resize(length as usize, 0);
        root.broadcast_into(&mut bytes[..]);
    }

    fn all_gather(&self, own: &[u8]) -> Vec<Vec<u8>> {
        let _meeting = self.shared.meet();
        let mut lengths = vec![0_u64; self.size()];
        self.world.all_gather_into(&(own.len() as u64), &mut lengths[..]);
        let lengths: Vec<usize> = lengths.into_iter().map(|length| length as usize).collect();
        let mut all = vec![0_u8; lengths.iter().sum()];
        let (counts, places) = placed(&lengths);
        let mut into = PartitionMut::new(&mut all[..], counts, places);
        self.world.all_gather_varcount_into(own, &mut into);
        let mut rest = &all[..];
        let mut next = |length: usize| {
            let (one, others) = rest.split_at(length);
            rest = others;
            one.to_vec()
        };
        lengths.into_iter().map(&mut next).collect()
    }
}

/// What the MPI library calls itself.
fn library() -> String {
    let said = mpi::environment::library_version().unwrap_or_default();
    said.lines().next().unwrap_or_default().trim_matches(['\0', ' ']).to_owned()
}

/// A communicator for another thread.
pub(crate) struct Handle(pub(crate) SimpleCommunicator);

// SAFETY: a communicator is a handle that MPI looks up; it was made sure that any thread may call MPI at any time
// (`Threading::Multiple`).
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

/// The thread that says that this rank is there, and listens to others.
struct Watcher {
    all: Handle,
    hosts: Vec<String>,
    shared: Arc<Shared>,
    limits: Limits,
    report: Box<dyn Fn(&Lost) + Send>,
}

impl Watcher {
    fn watch(self) {
        let all = &self.all.0;
        let (rank, size) = (all.rank(), all.size());
        let heard = if rank == 0 { 1..size } else { 0..1 };
        let others = heard.map(|rank| (rank as usize, self.hosts[rank as usize].clone()));
        let mut watch = Watch::new(self.limits, others.collect::<Vec<_>>());
        let mut next_beat = Instant::now();
        let mut stall = Stall::new(0, None, next_beat);
        while !self.shared.is_over.load(Ordering::Acquire) {
            // One time for all of it: a pause in the middle shows the next time.
            let now = Instant::now();
            if watch.resumes(now) {
                stall.restart(now);
                next_beat = now;
            }
            let beat = self.beat(&mut stall, now);
            let failure = self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(reason) = failure {
                match rank {
                    0 => self.end(&self.lost(0, reason)),
                    _ => all.process_at_rank(0).send_with_tag(reason.as_bytes(), FAILURE),
                }
            }
            if now >= next_beat {
                let (to, bytes) = (if rank == 0 { 1..size } else { 0..1 }, beat.to_bytes());
                to.for_each(|to| all.process_at_rank(to).send_with_tag(&bytes[..], BEATS));
                next_beat += BEAT;
            }
            while let Some(found) = all.any_process().immediate_matched_probe_with_tag(BEATS) {
                let (bytes, status) = found.matched_receive_vec::<u8>();
                if let Some(beat) = Beat::from_bytes(&bytes) {
                    watch.hear(status.source_rank() as usize, beat, now);
                }
            }
            if let Some(found) = all.any_process().immediate_matched_probe_with_tag(FAILURE) {
                let (reason, status) = found.matched_receive_vec::<u8>();
                let reason = String::from_utf8_lossy(&reason).into_owned();
                self.end(&self.lost(status.source_rank() as usize, reason));
            }
            if let Some(lost) = watch.lost(&beat, now) {
                self.end(&lost);
            }
            thread::sleep(TICK);
        }
    }

    fn beat(&self, stall: &mut Stall, now: Instant) -> Beat {
        let doing = self.shared.doing.lock().unwrap_or_else(PoisonError::into_inner);
        let (changes, doing) = doing.clone();
        let meetings = self.shared.meetings.load(Ordering::Relaxed);
        let thread = *self.shared.meeting.lock().unwrap_or_else(PoisonError::into_inner);
        let (stays, stalled) = stall.look(meetings, thread.and_then(ThreadTime::now), now);
        Beat { meetings, changes, stays, stalled, doing }
    }

    fn lost(&self, rank: usize, reason: String) -> Lost {
        Lost { rank, host: self.hosts[rank].clone(), reason }
    }

    fn end(&self, lost: &Lost) -> ! {
        (self.report)(lost);
        self.all.0.abort(FAILED)
    }
}
