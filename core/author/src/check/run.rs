//! Runs a plugin on one input, and compares what comes of it.

use vitral_host::{
    Action, CallError, Cause, Event, Image, Interests, Plugin, Setting, SettingError, Settings,
};
use vitral_program::{Limits, Program};

use super::cases::Input;

/// What a plugin makes of an input.
#[derive(Clone, Debug)]
pub(super) enum Output {
    Program(Box<Program>),
    Image(Image),
    /// What it asks for at each event, and what it saves at the end.
    Heard(Vec<Vec<Action>>, Vec<u8>),
}

/// Why there is no output.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{}; {}", .0, .0.help)]
    Setting(#[from] SettingError),
    #[error(transparent)]
    Call(#[from] CallError),
}

impl Failure {
    /// Whether the user reads why: not so if the plugin broke down, or gave what it may not give.
    pub(super) fn is_refusal(&self) -> bool {
        let Self::Call(CallError { cause, .. }) = self else { return true };
        match cause {
            Cause::Failed(message) => !message.trim().is_empty(),
            Cause::Trace(_) => true,
            _ => false,
        }
    }
}

/// Runs a plugin, in a new instance.
pub(super) fn run(plugin: &Plugin, given: &[Setting], input: &Input) -> Result<Output, Failure> {
    let settings = Settings::check(plugin.description(), given)?;
    let limits = Limits::default();
    Ok(match input {
        Input::Layer(layer) => {
            Output::Program(plugin.trace_attention(&settings, layer, &limits)?.into())
        }
        Input::Batch(batch) => {
            Output::Program(plugin.trace_batch(&settings, batch, &limits)?.into())
        }
        Input::Image(image, sample) => {
            let mut image = image.clone();
            plugin.image_augmentation(&settings)?.augment(&mut image, sample)?;
            Output::Image(image)
        }
        Input::Events(_, events) => {
            let mut monitor = plugin.monitor(&settings)?;
            let interests = monitor.interests();
            let events = events.iter().filter(|event| is_of_interest(interests, event));
            let heard = events.map(|event| monitor.observe(event)).collect::<Result<_, _>>()?;
            Output::Heard(heard, monitor.save()?)
        }
    })
}

/// Whether a monitor hears of an event.
pub(crate) fn is_of_interest(interests: Interests, event: &Event) -> bool {
    let is_due = |every: u32, step: u64| every > 0 && step.is_multiple_of(every.into());
    match event {
        Event::Stepped(step) => is_due(interests.steps, step.step),
        Event::Layers(layers) => is_due(interests.layers, layers.step),
        _ => true,
    }
}

/// How what the WebAssembly form did differs from what the native form did, if it does.
pub(super) fn difference(
    wasm: &Result<Output, Failure>,
    native: &Result<Output, Failure>,
) -> Option<String> {
    match (wasm, native) {
        (Ok(wasm), Ok(native)) => outputs(wasm, native),
        (Err(wasm), Err(native)) => failures(wasm, native),
        (Err(failure), Ok(_)) => Some(format!("only as WebAssembly, {failure}")),
        (Ok(_), Err(failure)) => Some(format!("only as native code, {failure}")),
    }
}

/// Both may refuse an input, for the same reason.
fn failures(wasm: &Failure, native: &Failure) -> Option<String> {
    for (form, failure) in [("WebAssembly", wasm), ("native code", native)] {
        if !failure.is_refusal() {
            return Some(format!("as {form}, {failure}"));
        }
    }
    let (wasm, native) = (wasm.to_string(), native.to_string());
    (wasm != native).then(|| format!("as WebAssembly, {wasm}, but as native code, {native}"))
}

fn outputs(wasm: &Output, native: &Output) -> Option<String> {
    match (wasm, native) {
        (Output::Program(wasm), Output::Program(native)) => programs(wasm, native),
        (Output::Image(wasm), Output::Image(native)) => images(wasm, native),
        (Output::Heard(wasm, wasm_state), Output::Heard(native, native_state)) => {
            actions(wasm, native).or_else(|| {
                (wasm_state != native_state).then(|| "they save other states".to_owned())
            })
        }
        // One input gives one kind of output.
        _ => Some("they give something else".into()),
    }
}

fn programs(wasm: &Program, native: &Program) -> Option<String> {
    if wasm == native {
        return None;
    }
    let (wasm, native) = (wasm.to_string(), native.to_string());
    let differs = |(a, b): &(&str, &str)| a != b;
    let at = wasm.lines().zip(native.lines()).find(differs);
    let (a, b) = at.unwrap_or(("a program of another length", "this"));
    Some(format!("WebAssembly traces `{}`, native code `{}`", a.trim(), b.trim()))
}

fn images(wasm: &Image, native: &Image) -> Option<String> {
    let size = |image: &Image| format!("{}x{}x{}", image.width, image.height, image.channels);
    if size(wasm) != size(native) {
        return Some(format!("WebAssembly gives {}, native code {}", size(wasm), size(native)));
    }
    let pairs = || wasm.pixels.iter().zip(&native.pixels);
    let at = pairs().position(|(a, b)| a != b)?;
    let count = pairs().filter(|(a, b)| a != b).count();
    let (a, b) = (wasm.pixels[at], native.pixels[at]);
    Some(format!(
        "{count} bytes differ, the first at {at}: WebAssembly gives {a}, native code {b}. \
         Functions like `sin` and `exp` must come from `vitral_sdk::math`"
    ))
}

fn actions(wasm: &[Vec<Action>], native: &[Vec<Action>]) -> Option<String> {
    // As text, since NaN must equal NaN.
    let text = |actions: &Vec<Action>| format!("{actions:?}");
    let mut pairs = wasm.iter().map(text).zip(native.iter().map(text));
    let at = pairs.position(|(a, b)| a != b)?;
    let (a, b) = (&wasm[at], &native[at]);
    Some(format!("at event {at}, WebAssembly asks for {a:?}, native code for {b:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_may_refuse_for_the_same_reason() {
        let failed = |cause| {
            let (plugin, input) = ("x".to_owned(), "image 1x1x1".to_owned());
            Err(CallError { plugin, call: vitral_host::Call::Augment, input, cause }.into())
        };
        let refused = |reason: &str| failed(Cause::Failed(reason.into()));
        let differ = |a, b| difference(&a, &b).unwrap_or_default();
        assert_eq!(differ(refused("too small"), refused("too small")), "");
        assert!(differ(refused("too small"), refused("too large")).contains("too large"));
        let trapped = failed(Cause::Trapped("unreachable".into()));
        assert!(differ(trapped, refused("too small")).starts_with("as WebAssembly, "));
    }

    #[test]
    fn images_are_compared_by_size_and_bytes() {
        let image = |width, pixels: &[u8]| {
            Ok(Output::Image(Image { width, height: 1, channels: 1, pixels: pixels.into() }))
        };
        let differ = |a, b| difference(&a, &b).unwrap_or_default();
        assert_eq!(differ(image(2, &[1, 2]), image(2, &[1, 2])), "");
        assert!(differ(image(2, &[1, 2]), image(2, &[1, 3])).starts_with("1 bytes differ"));
        assert!(differ(image(2, &[1, 2]), image(1, &[1])).contains("2x1x1"));
    }

    #[test]
    fn actions_are_compared_one_by_one_and_nan_equals_nan() {
        let heard = |value: f64, state: u8| {
            let action = Action::Metric { name: "x".into(), value };
            Ok(Output::Heard(vec![vec![], vec![action]], vec![state]))
        };
        let differ = |a, b| difference(&a, &b).unwrap_or_default();
        assert_eq!(differ(heard(f64::NAN, 1), heard(f64::NAN, 1)), "");
        assert!(differ(heard(1.0, 1), heard(2.0, 1)).starts_with("at event 1"));
        assert!(differ(heard(1.0, 1), heard(1.0, 2)).contains("states"));
    }
}
