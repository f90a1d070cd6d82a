use vitral_host::Plugin as Opened;
use vitral_sdk::native;
use vitral_sdk::prelude::*;
use vitral_testkit::{Report, check, check_monitor, events};

use crate::{assert_finds, plugin};

fn report<P: Monitor>() -> Report {
    check::monitor(&Opened::compiled_in(native::monitor::<P>()).unwrap())
}

/// Counts steps, and says so at every tenth.
#[derive(Default)]
struct Counts(u32);

plugin!(Counts, "counts");

impl Monitor for Counts {
    fn interests(&self) -> Interests {
        Interests { steps: 2, layers: 0 }
    }

    fn observe(&mut self, event: &Event) -> Result<Vec<Action>> {
        self.0 += u32::from(matches!(event, Event::Stepped(_)));
        let speaks = self.0.is_multiple_of(10);
        Ok(speaks.then(|| Action::Warn(format!("{} steps", self.0))).into_iter().collect())
    }

    fn save(&self) -> Vec<u8> {
        self.0.to_string().into_bytes()
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        if !state.is_empty() {
            self.0 = std::str::from_utf8(state)?.parse()?;
        }
        Ok(())
    }
}

#[test]
fn a_good_one_passes() {
    check_monitor::<Counts>();
    assert_eq!(report::<Counts>().tried(), 6);
}

#[test]
fn it_hears_of_the_steps_that_it_wants() {
    let heard = vitral_testkit::Monitor::of::<Counts>().observe((1..=41).map(events::step));
    assert_eq!(heard.warnings(), ["10 steps", "20 steps"]);
}

#[test]
fn forgetting_is_found() {
    #[derive(Default)]
    struct Forgets(u32);
    plugin!(Forgets, "forgets");
    impl Monitor for Forgets {
        fn interests(&self) -> Interests {
            Interests::default()
        }

        fn observe(&mut self, _: &Event) -> Result<Vec<Action>> {
            self.0 += 1;
            Ok(vec![Action::Metric { name: "events".into(), value: self.0.into() }])
        }
    }
    assert_finds(&report::<Forgets>(), "restored after 1 events, it asks for");
}

#[test]
fn damaged_state_that_makes_it_panic_is_found() {
    #[derive(Default)]
    struct Trusts(u32);
    plugin!(Trusts, "trusts");
    impl Monitor for Trusts {
        fn interests(&self) -> Interests {
            Interests::default()
        }

        fn observe(&mut self, _: &Event) -> Result<Vec<Action>> {
            self.0 += 1;
            Ok(vec![])
        }

        fn save(&self) -> Vec<u8> {
            self.0.to_le_bytes().to_vec()
        }

        fn restore(&mut self, state: &[u8]) -> Result<()> {
            if !state.is_empty() {
                self.0 = u32::from_le_bytes(state.try_into().unwrap());
            }
            Ok(())
        }
    }
    assert_finds(&report::<Trusts>(), "with damaged state, plugin `trusts` failed in restore");
}
