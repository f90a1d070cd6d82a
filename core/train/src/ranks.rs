//! The ranks of a job, of which this process is one: what they tell each other, and how a run is shared out
//! among them.
//!
//! All ranks make the same calls in the same order. Rank 0 decides, and the others do what it says.

use std::{fmt, rc::Rc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use vitral_data::Shard;
use vitral_distributed::{Exchange, Peers, check_agreement};
use vitral_model::ConfigProblem;

use crate::{Error, Experiment, device_exchange::DeviceExchange};

/// The ranks that train together; by default this process alone.
///
/// With [`Ranks::new`] gradients are summed in an order that does not depend on the number of ranks, be it one.
#[derive(Clone, Default)]
pub struct Ranks {
    peers: Option<Rc<dyn Peers>>,
    /// How their GPUs exchange values, where they do so directly.
    device_exchange: Option<Rc<dyn DeviceExchange>>,
}

impl fmt::Debug for Ranks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rank {} of {}", self.rank(), self.size())
    }
}

impl Ranks {
    /// Those of a job.
    pub fn new(peers: Rc<dyn Peers>) -> Self {
        Self { peers: Some(peers), device_exchange: None }
    }

    /// The same, whose GPUs exchange values directly, if there is a way.
    pub(crate) fn with_device_exchange(self, by: Option<Rc<dyn DeviceExchange>>) -> Self {
        Self { device_exchange: by, ..self }
    }

    /// How their GPUs exchange values directly.
    pub(crate) fn device_exchange(&self) -> Option<&dyn DeviceExchange> {
        self.device_exchange.as_deref()
    }

    /// The ranks, where there is a job.
    pub(crate) fn peers(&self) -> Option<&dyn Peers> {
        self.peers.as_deref()
    }

    /// Which of them this is.
    pub fn rank(&self) -> usize {
        self.peers().map_or(0, Exchange::rank)
    }

    /// How many there are.
    pub fn size(&self) -> usize {
        self.peers().map_or(1, Exchange::size)
    }

    /// Whether this is the one that decides, writes and tells.
    pub fn is_first(&self) -> bool {
        self.rank() == 0
    }

    /// The host of a rank, where that is known.
    pub(crate) fn host(&self, rank: usize) -> Option<String> {
        self.peers().and_then(|peers| peers.host(rank))
    }

    /// Says what this rank does until it comes where all meet the next time, in words that follow on "it is", and how
    /// long others wait for it then, where that can be said: what waits for a disk may take long.
    pub(crate) fn begin(&self, what: fmt::Arguments<'_>, within: Option<Duration>) {
        if let Some(peers) = self.peers() {
            peers.begin(&what.to_string(), within);
        }
    }

    /// A rank as it is named to people.
    pub(crate) fn name(&self, rank: usize) -> String {
        match self.host(rank) {
            Some(host) => format!("rank {rank} on host {host}"),
            None => format!("rank {rank}"),
        }
    }

    /// This rank's part of images.
    pub(crate) fn shard(&self) -> Result<Shard, Error> {
        // More ranks than a `u32` counts no launcher starts.
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Ok(Shard::new(number(self.rank()), number(self.size()))?)
    }

    /// What rank 0 has.
    ///
    /// # Errors
    /// It cannot be told.
    pub fn decide<T: Serialize + DeserializeOwned>(&self, own: T) -> Result<T, Error> {
        let Some(peers) = self.peers().filter(|peers| peers.size() > 1) else { return Ok(own) };
        let mut bytes = if self.is_first() { written(&own)? } else { Vec::new() };
        peers.broadcast(0, &mut bytes);
        read(&bytes)
    }

    /// What each rank has, by rank.
    ///
    /// # Errors
    /// It cannot be told.
    pub fn gather<T: Serialize + DeserializeOwned>(&self, own: T) -> Result<Vec<T>, Error> {
        let Some(peers) = self.peers().filter(|peers| peers.size() > 1) else {
            return Ok(vec![own]);
        };
        peers.all_gather(&written(&own)?).iter().map(|bytes| read(bytes)).collect()
    }

    /// Goes on only if all ranks do. One that does not fails as it does; the others name it.
    ///
    /// # Errors
    /// A rank has one.
    pub fn all_succeed<T>(&self, own: Result<T, Error>) -> Result<T, Error> {
        self.all_succeed_or(own, |error| error)
    }

    /// The same with other errors.
    ///
    /// # Errors
    /// A rank has one.
    pub fn all_succeed_or<T, E: fmt::Display>(
        &self,
        own: Result<T, E>,
        error: impl Fn(Error) -> E,
    ) -> Result<T, E> {
        let failures = self.gather(own.as_ref().err().map(ToString::to_string)).map_err(&error)?;
        let own = own?;
        match failures.into_iter().enumerate().find_map(|(rank, failed)| Some((rank, failed?))) {
            None => Ok(own),
            Some((rank, reason)) => Err(error(Error::Rank { name: self.name(rank), reason })),
        }
    }

    /// Makes sure that all ranks have the same of each thing.
    ///
    /// # Errors
    /// What differs.
    pub fn check_same(&self, things: &[(String, String)]) -> Result<(), Error> {
        let Some(peers) = self.peers() else { return Ok(()) };
        check_agreement(peers, things).map_err(Error::Disagreement)
    }

    /// Refuses an experiment of which not every rank has an equal part.
    ///
    /// # Errors
    /// What does not divide, and what would.
    pub(crate) fn check_shared(&self, experiment: &Experiment, images: usize) -> Result<(), Error> {
        let (size, train) = (self.size(), &experiment.train);
        let batch = train.batch.effective();
        let refused = |field: &str, message: String, help: String| {
            Err(Error::Experiment(ConfigProblem { field: field.into(), message, help }))
        };
        if self.peers().is_none() {
            return Ok(());
        }
        if train.batch.is_auto() {
            // All that a plugin looks at may be another rank's.
            if !train.batch_augment.is_empty() {
                let steps = size.max(batch.div_ceil(64)).next_multiple_of(size);
                return refused(
                    "train.batch_augment",
                    "with `batch: Auto` plugins see the whole batch at once, but each rank has \
                     only a part of it"
                        .into(),
                    format!(
                        "give the batch as a number and cut it, as in `batch: {}, accum_steps: {steps}`: they \
                         then see each micro-batch",
                        batch.next_multiple_of(steps)
                    ),
                );
            }
            if train.mix.is_on() && batch.div_ceil(2) < size {
                return refused(
                    "train.batch",
                    format!("a batch of {batch} images has too few pairs to mix for {size} ranks"),
                    format!("give it at least {}, or start fewer ranks", 2 * size),
                );
            }
        } else {
            let steps = train.accum_steps;
            if !steps.is_multiple_of(size) {
                return refused(
                    "train.accum_steps",
                    format!(
                        "{steps} micro-batches of a step cannot be shared out among {size} ranks equally"
                    ),
                    format!(
                        "give it a multiple of {size}, such as {}, so that each rank has as many; or start as \
                         many ranks as divide it",
                        steps.next_multiple_of(size)
                    ),
                );
            }
            if !batch.is_multiple_of(steps) {
                return refused(
                    "train.batch",
                    format!(
                        "a batch of {batch} images cannot be cut into {steps} equal micro-batches"
                    ),
                    format!(
                        "give it a multiple of {steps}, such as {}",
                        batch.next_multiple_of(steps)
                    ),
                );
            }
        }
        if images < batch {
            return refused(
                "train.batch",
                format!(
                    "ranks share out whole batches of {batch}, but there are only {images} \
                         images"
                ),
                "give it at most as many as there are training images".into(),
            );
        }
        Ok(())
    }
}

fn written<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|error| Error::Message(error.to_string()))
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| Error::Message(error.to_string()))
}

#[cfg(test)]
mod tests {
    use vitral_distributed::threads::ranks;

    use super::*;
    use crate::batch_size::BatchSize;

    fn experiment(train: &str) -> Experiment {
        let text = format!(
            r#"(data: (train: Cifar10(files: ["a"]), val: Cifar10(files: ["b"])), train: ({train}))"#
        );
        vitral_config::Document::new("test", text).parse().unwrap()
    }

    #[test]
    fn what_does_not_divide_is_refused_with_what_would() {
        let refused = |size: usize, train: &str, images: usize| {
            let experiment = experiment(train);
            let all = ranks(size, |rank| {
                let ranks = Ranks::new(Rc::new(rank.clone()));
                let checked = ranks.check_shared(&experiment, images);
                checked.err().map(|error| match error {
                    Error::Experiment(problem) => format!("{}: {}", problem.field, problem.help),
                    other => panic!("{other}"),
                })
            });
            assert!(all.iter().all(|one| *one == all[0]));
            all.into_iter().next().unwrap()
        };
        assert_eq!(refused(2, "batch: 8, accum_steps: 4", 8), None);
        let told = refused(3, "batch: 8, accum_steps: 4", 8).unwrap();
        assert!(
            told.starts_with("train.accum_steps: give it a multiple of 3, such as 6"),
            "{told}"
        );
        let told = refused(2, "batch: 9, accum_steps: 4", 9).unwrap();
        assert!(told.starts_with("train.batch: give it a multiple of 4, such as 12"), "{told}");
        assert!(refused(2, "batch: 8, accum_steps: 4", 7).unwrap().starts_with("train.batch"));
        assert_eq!(refused(2, "batch: Auto(effective: 8)", 8), None);
        let mixed = "batch: Auto(effective: 250), mix: (mixup: 0.2)";
        assert_eq!(refused(2, mixed, 999), None);
        let told = refused(4, &mixed.replace("250", "6"), 999).unwrap();
        assert!(told.contains("at least 8"), "{told}");
        let plugin = "batch: Auto(effective: 250), batch_augment: [(name: \"token-mix\")]";
        let told = refused(2, plugin, 999).unwrap();
        assert!(told.contains("`batch: 252, accum_steps: 4`"), "{told}");
        let pruned = "batch: 8, accum_steps: 4, shard_optimizer: true, prune: (flops: 0.5, from_epoch: 0, until_epoch: 1)";
        assert_eq!(refused(2, pruned, 8), None);
        let any = Experiment {
            train: crate::experiment::TrainConfig {
                batch: BatchSize::Fixed(7),
                accum_steps: 3,
                ..Default::default()
            },
            ..experiment("")
        };
        assert!(Ranks::default().check_shared(&any, 2).is_ok(), "one process takes any");
    }

    #[test]
    fn ranks_do_what_the_first_says_and_name_one_that_fails() {
        let found = ranks(3, |rank| {
            let ranks = Ranks::new(Rc::new(rank.clone()));
            let decided = ranks.decide(10 + ranks.rank()).unwrap();
            let own =
                if ranks.rank() == 2 { Err(Error::Device("it burns".into())) } else { Ok(()) };
            (
                decided,
                ranks.gather(ranks.rank()).unwrap(),
                ranks.all_succeed(own).unwrap_err().to_string(),
            )
        });
        for (rank, (decided, gathered, failed)) in found.into_iter().enumerate() {
            assert_eq!((decided, gathered), (10, vec![0, 1, 2]));
            let own = "the device failed: it burns";
            let told = if rank == 2 { own.to_owned() } else { format!("rank 2: {own}") };
            assert_eq!(failed, told);
        }
    }
}
