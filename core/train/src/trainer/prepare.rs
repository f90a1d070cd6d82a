//! What is settled before the first step: how a batch is cut, and where its images are decoded.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{Trainer, decide::is_last, feed::Feed};
use crate::{Error, Observer};

impl Trainer {
    /// Batches from the present step on, with everything found that the experiment leaves open. Nothing
    /// is looked for if no step follows, or none can be made.
    pub(super) fn prepare(
        &mut self,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Feed, Error> {
        let mut feed = self.feed()?;
        let is_last = is_last(self.state.step, self.plan.total, self.stopped.is_some());
        if self.ranks.decide(is_last)? {
            return Ok(feed);
        }
        // What workers prepare meanwhile counts, too, when memory is measured.
        let batch = feed.first().filter(|_| !stop.load(Ordering::Relaxed));
        let are_ready = self.ranks.gather(batch.is_some())?;
        let Some(batch) = batch.filter(|_| are_ready.into_iter().all(|is_ready| is_ready)) else {
            return Ok(feed);
        };
        self.choose_micro_batch(observer)?;
        let before = self.decoder();
        self.choose_decoder(batch, observer)?;
        self.state.decoder = self.ranks.decide(self.state.decoder)?;
        if self.decoder() == before { Ok(feed) } else { self.feed() }
    }
}
