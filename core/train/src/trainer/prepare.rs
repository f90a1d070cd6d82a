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
        if is_last(self.state.step, self.plan.total, self.stopped.is_some()) {
            return Ok(feed);
        }
        // What workers prepare meanwhile counts, too, when memory is measured.
        let Some(batch) = feed.first() else { return Ok(feed) };
        if stop.load(Ordering::Relaxed) {
            return Ok(feed);
        }
        self.choose_micro_batch(observer)?;
        let is_other_decoder = self.choose_decoder(batch, observer)?;
        if is_other_decoder { self.feed() } else { Ok(feed) }
    }
}
