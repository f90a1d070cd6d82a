//! Settings are checked before a plugin sees them.

use vitral_host::{Description, Parameter, ParameterType, Setting, Settings, Value};

fn description() -> Description {
    let parameter = |name: &str, r#type, default| Parameter {
        name: name.into(),
        doc: format!("The {name}."),
        r#type,
        default,
    };
    let number = ParameterType::Number { min: 0.0, max: 1.0 };
    let choice = ParameterType::Choice(vec!["elu".into(), "favor".into()]);
    Description {
        name: "guest".into(),
        version: "1.0.0".into(),
        summary: String::new(),
        parameters: vec![
            parameter("size", ParameterType::Integer { min: 1, max: 64 }, Some(Value::Integer(7))),
            parameter("rate", number, Some(Value::Number(0.5))),
            parameter("kernel", choice, Some(Value::Text("elu".into()))),
            parameter("steps", ParameterType::Integers { min: 0, max: 9 }, None),
        ],
        examples: vec![],
    }
}

fn check(given: &[(&str, Value)]) -> Result<Vec<Value>, String> {
    let given: Vec<_> =
        given.iter().map(|(name, value)| Setting::new(*name, value.clone())).collect();
    let settings = Settings::check(&description(), &given);
    let settings = settings.map_err(|error| format!("{error} ({})", error.help))?;
    Ok(settings.as_slice().iter().map(|setting| setting.value.clone()).collect())
}

#[test]
fn defaults_are_filled_in_and_integers_are_numbers() {
    let steps = ("steps", Value::Integers(vec![]));
    let found = check(&[steps.clone(), ("rate", Value::Integer(1))]).unwrap();
    let elu = Value::Text("elu".into());
    let none = Value::Integers(vec![]);
    assert_eq!(found, [Value::Integer(7), Value::Number(1.0), elu, none.clone()]);
    assert_eq!(check(&[("steps", Value::Numbers(vec![]))]).unwrap()[3], none);
}

#[test]
fn what_a_plugin_does_not_take_is_refused_in_words() {
    let steps = ("steps", Value::Integers(vec![]));
    for (given, wanted) in [
        (vec![steps.clone(), ("sise", Value::Integer(1))], "did you mean `size`?"),
        (
            vec![steps.clone(), ("size", Value::Integer(65))],
            "`size` is 65, but must be an integer from 1 to 64",
        ),
        (vec![steps.clone(), ("size", Value::Number(2.5))], "`size` is 2.5"),
        (vec![steps.clone(), ("rate", Value::Number(f64::NAN))], "a number from 0 to 1"),
        (vec![steps.clone(), ("kernel", Value::Text("gauss".into()))], "one of elu, favor"),
        (vec![steps.clone(), steps.clone()], "`steps` is set twice"),
        (vec![("steps", Value::Integers(vec![3, 10]))], "integers from 0 to 9"),
        (vec![], "`steps` must be set"),
    ] {
        let text = check(&given).unwrap_err();
        assert!(text.contains("plugin `guest`") && text.contains(wanted), "{text}");
    }
}
