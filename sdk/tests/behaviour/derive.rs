//! `#[derive(Parameters)]` and `#[derive(Choice)]` as authors use them.

use vitral_sdk::parameters::Settings;
use vitral_sdk::prelude::*;
use vitral_sdk::{Parameter, ParameterType, Setting, Value};

const LARGEST: u32 = 64;

/// How queries and keys are mapped.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
enum Kernel {
    Elu,
    ExponentialRandom,
}

#[derive(Debug, Parameters, PartialEq)]
struct Window {
    /// Side of a window,
    /// in patches.
    #[parameter(default = 7, min = 1, max = LARGEST)]
    size: u32,
    /// Whether there is a bias.
    #[parameter(default = true)]
    bias: bool,
    /// The kernel.
    #[parameter(default = Kernel::ExponentialRandom)]
    kernel: Kernel,
    /// A rate.
    #[parameter(default = 0.1, min = 0, max = 1)]
    rate: f32,
    /// Weights of parts.
    #[parameter(default = [1, 0.5], min = -1)]
    weights: Vec<f64>,
    /// A word.
    #[parameter(default = "none")]
    word: String,
    /// Of which type.
    r#type: i64,
}

fn parameter(name: &str, doc: &str, r#type: ParameterType, default: Option<Value>) -> Parameter {
    Parameter { name: name.into(), doc: doc.into(), r#type, default }
}

#[test]
fn fields_become_parameters() {
    let kernels = ParameterType::Choice(vec!["elu".into(), "exponential-random".into()]);
    let weights = ParameterType::Numbers { min: -1.0, max: f64::INFINITY };
    let wanted = [
        parameter(
            "size",
            "Side of a window, in patches.",
            ParameterType::Integer { min: 1, max: 64 },
            Some(7.into()),
        ),
        parameter("bias", "Whether there is a bias.", ParameterType::Boolean, Some(true.into())),
        parameter("kernel", "The kernel.", kernels, Some("exponential-random".into())),
        parameter(
            "rate",
            "A rate.",
            ParameterType::Number { min: 0.0, max: 1.0 },
            Some(0.1.into()),
        ),
        parameter("weights", "Weights of parts.", weights, Some([1.0, 0.5].into())),
        parameter("word", "A word.", ParameterType::Text, Some("none".into())),
        parameter(
            "type",
            "Of which type.",
            ParameterType::Integer { min: i64::MIN, max: i64::MAX },
            None,
        ),
    ];
    assert_eq!(Window::describe(), wanted);
}

#[test]
fn settings_become_fields() {
    let mut settings: Vec<_> = Window::describe()
        .into_iter()
        .filter_map(|it| Some(Setting { name: it.name, value: it.default? }))
        .collect();
    settings.push(Setting::new("type", -3));
    settings[2].value = "elu".into();
    let wanted = Window {
        size: 7,
        bias: true,
        kernel: Kernel::Elu,
        rate: 0.1,
        weights: vec![1.0, 0.5],
        word: "none".into(),
        r#type: -3,
    };
    assert_eq!(Window::read(&mut settings.clone().into()), Ok(wanted));
    settings[2].value = "selu".into();
    let error = Window::read(&mut Settings::from(settings)).unwrap_err().to_string();
    assert_eq!(error, "parameter `kernel` is \"selu\", but must be one of elu, exponential-random");
}

#[test]
fn a_plugin_may_have_nothing_to_set() {
    #[derive(Debug, Parameters, PartialEq)]
    struct Nothing {}

    assert_eq!(Nothing::describe(), []);
    assert_eq!(Nothing::read(&mut vec![].into()), Ok(Nothing {}));
}
