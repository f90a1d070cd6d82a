//! What plugins are called with, in words for errors.

use vitral_abi::Event;

use crate::{Settings, log::clean};

/// The most bytes of what is said of an input.
const MAX_WORDS: usize = 1 << 10;

/// Settings in words, for errors.
pub(crate) fn settings_words(settings: &Settings) -> String {
    let settings = settings.as_slice().iter();
    let words: Vec<_> =
        settings.map(|setting| format!("{}: {}", setting.name, setting.value)).collect();
    if words.is_empty() { "without settings".into() } else { clean(&words.join(", "), MAX_WORDS) }
}

/// An event in words, for errors.
pub(crate) fn event_words(event: &Event) -> String {
    match event {
        Event::Started(run) => format!("started at step {}", run.start_step),
        Event::Stepped(step) => format!("step {}", step.step),
        Event::Layers(layers) => format!("statistics of step {}", layers.step),
        Event::Evaluated(evaluation) => format!("evaluation at step {}", evaluation.step),
        Event::Saved(checkpoint) => format!("checkpoint {}", checkpoint.name),
        Event::Ended(reason) => format!("end of the run: {reason}"),
        Event::Data(report) => format!("data report of step {}", report.step),
        Event::RolledBack(back) => {
            format!("return from step {} to {}", back.from_step, back.to_step)
        }
        Event::Configured(configuration) => format!("experiment of run {}", configuration.run),
        _ => "an event".into(),
    }
}
