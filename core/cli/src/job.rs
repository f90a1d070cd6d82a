//! The job that this process is a part of: it is on its own, or one of the ranks that `mpirun` or `srun` has
//! started, of which the first one speaks for all.

use std::fmt::Display;

use serde::{Serialize, de::DeserializeOwned};
use vitral_train::Ranks;

use crate::failure::Failure;

/// The ranks of a job, as one of them has them.
pub struct Job {
    ranks: Ranks,
    #[cfg(feature = "mpi")]
    world: Option<std::rc::Rc<vitral_distributed::World>>,
}

impl Job {
    /// A process that is on its own.
    pub fn alone() -> Self {
        Self {
            ranks: Ranks::default(),
            #[cfg(feature = "mpi")]
            world: None,
        }
    }

    /// The ranks that train together.
    pub fn ranks(&self) -> &Ranks {
        &self.ranks
    }

    /// Goes on only if all ranks do. Where the first one could, it fails with what another says.
    pub fn all_succeed<T>(&self, own: Result<T, Failure>) -> Result<T, Failure> {
        let own = own.map_err(Held);
        self.ranks.all_succeed_or(own, |error| Held(error.into())).map_err(|held| held.0)
    }

    /// What the first rank finds, which is all that counts.
    pub fn of_first<T: Serialize + DeserializeOwned>(
        &self,
        find: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let own = self.all_succeed(self.ranks.is_first().then(find).transpose())?;
        let found = self.ranks.decide(own)?;
        found.ok_or_else(|| Failure::Other("the first rank has not said what it found".into()))
    }
}

/// A failure that is told to other ranks in a sentence.
struct Held(Failure);

impl Display for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.in_a_sentence(f)
    }
}

#[cfg(not(feature = "mpi"))]
impl Job {
    /// Makes sure that there is no job.
    pub fn join() -> Result<Self, Failure> {
        crate::launcher::Start::of_this_process().check_single()?;
        Ok(Self::alone())
    }

    /// Which of the job's processes on this machine it is.
    pub fn local_rank(&self) -> Option<usize> {
        None
    }

    /// How many ranks there are, in words.
    pub fn size(&self) -> Option<String> {
        None
    }

    /// This process has done its part.
    pub fn finish(&self) {}

    /// It cannot go on.
    pub fn lost(&self, failure: Failure) -> Failure {
        failure
    }
}

#[cfg(feature = "mpi")]
mod with_mpi {
    use std::rc::Rc;

    use vitral_distributed::{Exchange as _, Limits, World, take_cores};
    use vitral_train::Ranks;

    use super::{Held, Job};
    use crate::{
        failure::Failure,
        launcher::Start,
        print::{be_silent, err_of_job},
        progress::be_quiet,
        version,
        words::counted,
    };

    impl Job {
        /// Joins the ranks that a launcher has started, and shares the cores with those on this host.
        pub fn join() -> Result<Self, Failure> {
            let start = Start::of_this_process();
            let (launcher, rank, size) = match start {
                Start::Launched { launcher, rank, size, .. } => (launcher, rank, size),
                start => {
                    start.check_single()?;
                    return Ok(Self::alone());
                }
            };
            let report =
                |lost: &vitral_distributed::Lost| err_of_job(format_args!("error: {lost}"));
            let world = World::start(Limits::default(), report)
                .map_err(|error| Failure::Other(error.to_string()))?;
            let found = world.size();
            // Where a launcher does not say how many there are, ranks that MPI does not know of end the job.
            let is_other = size.map_or(rank as usize >= found, |size| size as usize != found);
            if is_other {
                let size = size.map_or_else(|| "several".into(), |size| size.to_string());
                let library = world.library();
                world.finish();
                return Err(Failure::Usage(format!(
                    "{launcher} started this process as rank {rank} of {size}, but MPI reports \
                     {found}: several processes would train the same run\n  help: this vitral was \
                     built with {library}; start it with that library's `mpirun`, or with `srun \
                     --mpi=...` if SLURM supports it; independent runs, each with its own \
                     `output`, take `--single-process`"
                )));
            }
            let world = Rc::new(world);
            if world.rank() > 0 {
                be_quiet();
                be_silent();
            }
            take_cores(&*world, world.hosts())
                .map_err(|error| Failure::Other(format!("cores cannot be shared out: {error}")))?;
            let ranks = Ranks::new(Rc::clone(&world) as Rc<dyn vitral_distributed::Peers>);
            let job = Self { ranks, world: Some(world) };
            let build = version::LONG.replace('\n', "; ");
            if let Err(error) = job.ranks.check_same(&[("build".to_owned(), build)]) {
                job.finish();
                return Err(error.into());
            }
            Ok(job)
        }

        /// Which of the job's processes on this machine it is.
        pub fn local_rank(&self) -> Option<usize> {
            self.world.as_ref().map(|world| world.local_rank())
        }

        /// How many ranks there are, in words.
        pub fn size(&self) -> Option<String> {
            let world = self.world.as_ref()?;
            let mut hosts = world.hosts().to_vec();
            hosts.sort();
            hosts.dedup();
            let hosts = counted(hosts.len(), "host", "hosts");
            Some(format!("{} on {hosts}", counted(world.size(), "rank", "ranks")))
        }

        /// This rank has done its part, as all have.
        pub fn finish(&self) {
            if let Some(world) = &self.world {
                world.finish();
            }
        }

        /// This rank cannot go on, and so ends all of them. Alone, it ends as any other process.
        pub fn lost(&self, failure: Failure) -> Failure {
            let Some(world) = self.world.as_ref().filter(|world| world.size() > 1) else {
                self.finish();
                return failure;
            };
            if world.rank() == 0 {
                failure.report();
                world.abort();
            }
            world.fail(&format!("cannot go on: {}", Held(failure)))
        }
    }
}
