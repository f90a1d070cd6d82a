//! What has started this process: a launcher of parallel jobs, as `mpirun` and `srun` are, which starts several
//! of them, or nobody. It is known by the variables that each of them sets.

use std::fmt;

use crate::failure::Failure;

/// A launcher, and what it tells each process: how many there are, and which of them this is, in the job and
/// on its host.
struct Known {
    name: &'static str,
    size: &'static str,
    rank: &'static str,
    local_rank: &'static str,
}

const KNOWN: [Known; 6] = [
    Known {
        name: "Open MPI's mpirun",
        size: "OMPI_COMM_WORLD_SIZE",
        rank: "OMPI_COMM_WORLD_RANK",
        local_rank: "OMPI_COMM_WORLD_LOCAL_RANK",
    },
    Known {
        name: "srun",
        size: "SLURM_STEP_NUM_TASKS",
        rank: "SLURM_PROCID",
        local_rank: "SLURM_LOCALID",
    },
    // Also of Intel MPI and of Cray's PALS.
    Known {
        name: "MPICH's mpiexec",
        size: "PMI_SIZE",
        rank: "PMI_RANK",
        local_rank: "MPI_LOCALRANKID",
    },
    Known {
        name: "MVAPICH's mpirun",
        size: "MV2_COMM_WORLD_SIZE",
        rank: "MV2_COMM_WORLD_RANK",
        local_rank: "MV2_COMM_WORLD_LOCAL_RANK",
    },
    Known {
        name: "flux run",
        size: "FLUX_JOB_SIZE",
        rank: "FLUX_TASK_RANK",
        local_rank: "FLUX_TASK_LOCAL_ID",
    },
    // Also of Kubeflow's PyTorchJob.
    Known { name: "torchrun", size: "WORLD_SIZE", rank: "RANK", local_rank: "LOCAL_RANK" },
];

/// What PMIx tells each process; it has no variable for how many there are.
const PMIX_RANK: &str = "PMIX_RANK";

/// How this process was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// By nobody who starts several.
    Alone,
    /// By a launcher.
    Launched {
        /// What it is called.
        launcher: &'static str,
        /// Which of its processes this is.
        rank: u32,
        /// How many there are, where it says so.
        size: Option<u32>,
        /// Which of those on its host this is, where it says so.
        local_rank: Option<u32>,
    },
    /// In a job of SLURM that has several tasks, but not by `srun`, which starts as many processes.
    InJob {
        /// How many tasks the job has.
        tasks: u32,
    },
}

impl Start {
    /// How this process was started, by its environment.
    pub fn of_this_process() -> Self {
        Self::of(|name| std::env::var(name).ok())
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let number = |name: &str| variable(name)?.trim().parse::<u32>().ok();
        let launched = KNOWN.iter().filter_map(|known| {
            let (size, rank) = (number(known.size)?, number(known.rank)?);
            let local_rank = number(known.local_rank);
            (rank < size).then_some((known.name, rank, size, local_rank))
        });
        // One launcher may start the processes of another, of which there are then fewer.
        let outermost = launched.reduce(|one, other| if other.2 > one.2 { other } else { one });
        if let Some((launcher, rank, size, local_rank)) = outermost {
            return Self::Launched { launcher, rank, size: Some(size), local_rank };
        }
        if let Some(rank) = number(PMIX_RANK) {
            return Self::Launched { launcher: "a launcher", rank, size: None, local_rank: None };
        }
        let tasks = number("SLURM_NTASKS").unwrap_or_else(|| {
            // Where it is not said how many tasks there are, there is one for each node.
            let nodes = number("SLURM_JOB_NUM_NODES").unwrap_or(1);
            nodes.saturating_mul(number("SLURM_NTASKS_PER_NODE").unwrap_or(1))
        });
        match variable("SLURM_JOB_ID").is_some() && tasks > 1 {
            true => Self::InJob { tasks },
            false => Self::Alone,
        }
    }

    /// Makes sure that no launcher has started others that would do the same as this process, which does what is
    /// for one. In a job of several tasks of which it is the only process, it is right.
    ///
    /// # Errors
    /// There are others.
    pub fn check_first(self) -> Result<(), Failure> {
        let Self::Launched { launcher, rank, size, .. } = self else { return Ok(()) };
        if size == Some(1) {
            return Ok(());
        }
        let count = size.map_or("several".into(), |size| size.to_string());
        Err(Failure::Usage(format!(
            "{launcher} started this process as rank {rank} of {count}, but this command is for \
             one process: {count} processes would do the same at once, in the same files\n  help: \
             start it without {launcher}, or as one process; only `train` divides its work among \
             ranks; with `--single-process` a command runs independently of the other processes"
        )))
    }

    /// Makes sure that this process is the only one of its job, which is all that it knows to train in, unless it
    /// is one of the ranks of MPI.
    ///
    /// # Errors
    /// There are others, or there were to be.
    pub fn check_single(self) -> Result<(), Failure> {
        match self {
            Self::Alone | Self::Launched { size: Some(1), .. } => Ok(()),
            Self::Launched { launcher, rank, size, .. } => {
                let count = size.map_or("several".into(), |size| size.to_string());
                Err(Failure::Usage(format!(
                    "{launcher} started this process as rank {rank} of {count}, but this vitral \
                     was built to train in one process: {count} processes would train the same \
                     run\n  help: build it with `cargo build --release --features mpi` to train in \
                     all of them; or start it without {launcher}, or as one process; independent \
                     runs, each with its own `output`, take `--single-process`"
                )))
            }
            Self::InJob { tasks } => Err(Failure::Usage(format!(
                "this SLURM job has {tasks} tasks, but `srun` has started none of them: one \
                 process would train, and the others' resources would be idle\n  help: start it \
                 with `srun` and a vitral that was built with `--features mpi`, which trains in \
                 all tasks; or ask for one task with all of the cores, `#SBATCH --ntasks=1 \
                 --cpus-per-task=...`; or, if you want one process in this job, give it \
                 `--single-process`"
            ))),
        }
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Alone => f.write_str("none: this process is on its own"),
            Self::Launched { launcher, rank, size, local_rank } => {
                write!(f, "{launcher}: rank {rank}")?;
                match size {
                    Some(size) => write!(f, " of {size}")?,
                    None => f.write_str(" of an unknown number")?,
                }
                local_rank.map_or(Ok(()), |local| write!(f, ", local rank {local} on its host"))
            }
            Self::InJob { tasks } => {
                write!(f, "SLURM: a job of {tasks} tasks, none of which `srun` has started")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(set: &[(&str, &str)]) -> Start {
        let find = |name: &str| set.iter().find(|(other, _)| *other == name);
        Start::of(|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    fn launched(launcher: &'static str, rank: u32, size: u32, local_rank: u32) -> Start {
        Start::Launched { launcher, rank, size: Some(size), local_rank: Some(local_rank) }
    }

    const BATCH: [(&str, &str); 3] =
        [("SLURM_JOB_ID", "7"), ("SLURM_NTASKS", "4"), ("SLURM_PROCID", "0")];

    #[test]
    fn every_launcher_is_known_by_what_it_sets() {
        for known in &KNOWN {
            let set = [(known.size, "4"), (known.rank, "3"), (known.local_rank, "1")];
            assert_eq!(start(&set), launched(known.name, 3, 4, 1));
            assert!(start(&set).check_single().is_err());
            assert!(start(&set).check_first().is_err());
            let only = start(&[(known.size, "1"), (known.rank, "0")]);
            assert!(only.check_single().is_ok() && only.check_first().is_ok());
            // What is no rank, or no number, says nothing.
            assert_eq!(start(&[(known.size, "4")]), Start::Alone);
            assert_eq!(start(&[(known.size, "4"), (known.rank, "4")]), Start::Alone);
            assert_eq!(start(&[(known.size, "four"), (known.rank, "0")]), Start::Alone);
        }
        assert_eq!(start(&[]), Start::Alone);
        assert!(start(&[(PMIX_RANK, "0")]).check_single().is_err());
    }

    #[test]
    fn a_launcher_within_a_job_of_slurm_counts() {
        let mpirun = [("OMPI_COMM_WORLD_SIZE", "8"), ("OMPI_COMM_WORLD_RANK", "5")];
        // One daemon on each of two hosts, as steps of `srun`.
        let step = [("SLURM_STEP_NUM_TASKS", "2"), ("SLURM_PROCID", "1"), ("SLURM_JOB_ID", "7")];
        for set in [[&mpirun[..], &step].concat(), [&step[..], &mpirun].concat()] {
            assert!(matches!(start(&set), Start::Launched { rank: 5, size: Some(8), .. }));
        }
        let pmi = [("PMI_SIZE", "2"), ("PMI_RANK", "1")];
        assert!(matches!(
            start(&[&step[..], &pmi].concat()),
            Start::Launched { launcher: "srun", rank: 1, size: Some(2), .. }
        ));
    }

    #[test]
    fn a_batch_script_with_several_tasks_is_none_of_them() {
        assert_eq!(start(&BATCH), Start::InJob { tasks: 4 });
        assert!(start(&BATCH).check_single().is_err());
        assert!(start(&BATCH).check_first().is_ok(), "there is one process");
        let of_nodes = [("SLURM_JOB_ID", "7"), ("SLURM_JOB_NUM_NODES", "2")];
        assert_eq!(start(&of_nodes), Start::InJob { tasks: 2 });
        let per_node = [&of_nodes[..], &[("SLURM_NTASKS_PER_NODE", "8")]].concat();
        assert_eq!(start(&per_node), Start::InJob { tasks: 16 });
        // One task, be it all of the job or the one that was asked for.
        assert_eq!(start(&[("SLURM_JOB_ID", "7"), ("SLURM_NTASKS", "1")]), Start::Alone);
        let one = [&BATCH[..], &[("SLURM_STEP_NUM_TASKS", "1")]].concat();
        assert!(start(&one).check_single().is_ok());
    }
}
