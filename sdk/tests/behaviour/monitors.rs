//! Monitors through their table.

use vitral_sdk::abi::c::{self, List};
use vitral_sdk::abi::convert::{InC, list_of};
use vitral_sdk::native;
use vitral_sdk::prelude::*;

use crate::host::Recorder;

/// Counts reasons to end.
struct Counter(u8);

impl Plugin for Counter {
    type Parameters = ();
    const IDENTITY: Identity = identity!("counter", "Counts reasons to end");

    fn new((): ()) -> Result<Self> {
        Ok(Self(0))
    }
}

impl Monitor for Counter {
    fn interests(&self) -> Interests {
        Interests { steps: 5, layers: 0 }
    }

    fn observe(&mut self, event: &Event) -> Result<Vec<Action>> {
        let Event::Ended(reason) = event else { bail!("unexpected") };
        self.0 += 1;
        Ok(vec![Action::Warn(reason.clone()), Action::Stop("twice".into())])
    }

    fn save(&self) -> Vec<u8> {
        vec![self.0]
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        let &[count] = state else { bail!("{} bytes are no count", state.len()) };
        self.0 = count;
        Ok(())
    }
}

#[test]
fn a_monitor_hears_acts_and_keeps_its_state() {
    let plugin = native::monitor::<Counter>();
    let mut recorder = Recorder::new();
    let host = recorder.table();
    let mut instance = std::ptr::null_mut();
    let mut interests = c::Interests { steps: 0, layers: 0 };
    let ended = Event::Ended("no reason".into());
    let unknown = c::Event { tag: 99, data: c::EventData { ended: List::EMPTY } };
    // SAFETY: everything that is passed lives until the calls return.
    unsafe {
        let created = plugin.create.unwrap()(&host, List::EMPTY, &mut instance, &mut interests);
        assert_eq!(created, c::OK);
        assert_eq!(plugin.restore.unwrap()(instance, &host, list_of(&[4])), c::OK);
        let observe = plugin.observe.unwrap();
        assert_eq!(observe(instance, &host, InC::new(&ended).as_c()), c::OK);
        assert_eq!(observe(instance, &host, &unknown), c::OK);
        assert_eq!(plugin.save.unwrap()(instance, &host), c::OK);
        assert_eq!(plugin.restore.unwrap()(instance, &host, List::EMPTY), c::FAILED);
        plugin.destroy.unwrap()(instance);
    }
    assert_eq!((interests.steps, interests.layers), (5, 0));
    assert_eq!(recorder.actions, [Action::Warn("no reason".into()), Action::Stop("twice".into())]);
    assert_eq!(recorder.state, [5]);
    assert_eq!(recorder.failure.as_deref(), Some("0 bytes are no count"));
}
