//! The threads of a loader.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender};
use vitral_sandbox::Leave;

use crate::error::{DataError, panic_message};
use crate::scratch::Scratch;
use crate::worker::{BatchPlan, ImageBatch, Worker};

/// A batch with its number.
pub(super) type Numbered = (u64, Result<ImageBatch, DataError>);

/// Which samples the batch of a number has.
pub(super) type Plan = dyn Fn(u64) -> BatchPlan + Send + Sync;

/// What a new worker thread is given.
pub(super) struct Crew {
    pub worker: Arc<Worker>,
    pub plan: Arc<Plan>,
    pub jobs: Receiver<u64>,
    pub results: Sender<Numbered>,
}

impl Crew {
    /// Starts a thread that makes batches until there are no more jobs.
    pub fn start(&self, number: usize) -> std::io::Result<JoinHandle<()>> {
        let (jobs, results) = (self.jobs.clone(), self.results.clone());
        // The pool that others use is not to be started by a thread that can do less than they.
        rayon::current_num_threads();
        let (worker, plan) = (Arc::clone(&self.worker), Arc::clone(&self.plan));
        thread::Builder::new()
            .name(format!("vitral-data-{number}"))
            .spawn(move || work(&worker, &*plan, &jobs, &results))
    }
}

/// Makes batches until there are no more jobs or nobody wants them.
fn work(
    worker: &Worker,
    plan: &dyn Fn(u64) -> BatchPlan,
    jobs: &Receiver<u64>,
    results: &Sender<Numbered>,
) {
    // Files, and the sandboxed plugins that see them, are a stranger's: whatever they lead to, this thread reads
    // and computes. A kernel without such a filter leaves that to the decoders.
    if !worker.pipeline.needs_system() {
        vitral_sandbox::enter(Leave::ReadAndCompute);
    }
    let mut scratch = Scratch::new(&worker.clock);
    for number in jobs {
        // What a panic leaves behind is not used: the batch is dropped, and what scratch memory holds
        // between images does not matter.
        let made = catch_unwind(AssertUnwindSafe(|| worker.make(&plan(number), &mut scratch)));
        let result = match made {
            Ok(Some(result)) => result,
            Ok(None) => return,
            Err(panic) => Err(DataError::Worker(panic_message(&*panic).to_owned())),
        };
        if results.send((number, result)).is_err() {
            return;
        }
    }
}
