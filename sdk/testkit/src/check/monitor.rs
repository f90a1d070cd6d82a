//! What any monitor must do.

use vitral_host::{Event, Interests, Plugin, RollBack};

use super::configurations;
use crate::events;
use crate::monitor::Monitor;
use crate::opened::{Failure, Opened};
use crate::report::Report;

/// Tells a monitor of an ordinary and of a troubled run: it fails at nothing, and a monitor that is
/// saved and restored at any point asks for the same afterwards. State that is cut short or changed
/// is an error or taken as it is, but no panic; a state of no bytes is a new start.
pub fn monitor(plugin: &Plugin) -> Report {
    let mut report = Report::new(plugin);
    for configuration in configurations(plugin) {
        let tested = Monitor::with(Opened::with(plugin, &configuration.settings));
        for (name, run) in [("ordinary", events::ordinary()), ("troubled", events::troubled())] {
            let place = format!("{}, {name} run", configuration.title);
            let interests = tested.try_start().map(|running| running.interests());
            let interests = report.note(&place, interests.map_err(|failure| failure.to_string()));
            let Some(interests) = interests else { continue };
            let run = spaced(run, interests);
            report.note(&place, tested.resumes(&run));
            report.note(&place, survives_damage(&tested, &run));
        }
    }
    report
}

/// A run whose steps lie so far apart that the monitor hears of each.
fn spaced(mut run: Vec<Event>, interests: Interests) -> Vec<Event> {
    let apart = u64::from(interests.steps.max(1)) * u64::from(interests.layers.max(1));
    for event in &mut run {
        match event {
            Event::Stepped(step) => step.step *= apart,
            Event::Layers(layers) => layers.step *= apart,
            Event::Evaluated(evaluation) => evaluation.step *= apart,
            Event::Data(report) => report.step *= apart,
            Event::RolledBack(RollBack { from_step, to_step, .. }) => {
                *from_step *= apart;
                *to_step *= apart;
            }
            _ => {}
        }
    }
    run
}

/// Whether damaged state makes nothing panic.
fn survives_damage(tested: &Monitor, events: &[Event]) -> Result<(), String> {
    let text = |failure: Failure| failure.to_string();
    let mut running = tested.try_start().map_err(text)?;
    for event in events {
        running.try_observe(event).map_err(text)?;
    }
    let state = running.try_save().map_err(text)?;
    let cut = (1..state.len()).map(|length| state[..length].to_vec());
    let changed = (0..state.len()).map(|at| {
        let mut state = state.clone();
        state[at] ^= 0x15;
        state
    });
    let new = tested.try_start().and_then(|mut running| running.try_restore(&[]));
    new.map_err(|failure| format!("with a state of no bytes, {failure}"))?;
    for damaged in cut.chain(changed) {
        let mut running = tested.try_start().map_err(text)?;
        let outcome = running.try_restore(&damaged).and_then(|()| {
            events.iter().take(4).try_for_each(|event| running.try_observe(event).map(drop))
        });
        match outcome {
            Err(failure) if !failure.is_refusal() => {
                return Err(format!("with damaged state, {failure}"));
            }
            _ => {}
        }
    }
    Ok(())
}
