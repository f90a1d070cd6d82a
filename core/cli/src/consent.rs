//! The user's word: asking for it at a terminal, or saying how to give it.

use std::{
    ffi::OsString,
    io::{self, BufRead, IsTerminal, Write},
};

use clap::Args;
use vitral_bundle::{Allowance, Request, Store, Trust};
use vitral_config::{is_deceptive, visible};

/// What the user allows plugins, beside what they have been asked before.
#[derive(Debug, Args)]
pub struct Allowed {
    /// Allow a plugin what needs your permission: to run although nobody you trust has signed it,
    /// native code, being built from its folder, files, the network, more memory or time.
    /// `blur:run,network=lab:80` applies to any plugin of that name, `blur@DIGEST:run` to one bundle,
    /// component or source; a refusal shows what to give here.
    /// Applies to this command only; can be given several times.
    #[arg(long = "allow", value_name = "PLUGIN:WHAT")]
    pub allow: Vec<Allowance>,
}

/// What the user trusts, with what this command allows. Who sits at a terminal is asked.
/// `own` are the names of the program's own plugins.
pub fn trust(allowed: &[Allowance], own: impl IntoIterator<Item = String>) -> Trust {
    let trust = Trust::new(Store::of_user().ok(), own).allowing(allowed.to_vec());
    let is_terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
    let ask = |request: &Request| ask(request, io::stdin().lock(), io::stderr().lock());
    if is_terminal { trust.asking(Box::new(ask)) } else { trust }
}

/// Asks whether a plugin may do something. Whatever is no clear yes is a no.
fn ask(request: &Request, mut from: impl BufRead, mut to: impl Write) -> bool {
    let request = request.to_string();
    let request = visible(&request);
    let asked = write!(to, "{request}\nallow this, for exactly these files, from now on? [y/N] ");
    let mut answer = String::new();
    let heard = asked.and_then(|()| to.flush()).and_then(|()| from.read_line(&mut answer));
    heard.is_ok() && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

/// How to run this very command so that it may do what it was refused.
pub fn how_to_allow(requests: &[Request]) -> String {
    command(std::env::args_os(), requests)
}

/// How to allow a plugin's source what it was refused whatever becomes of it, for who writes it.
pub fn lasting(request: &Request) -> Option<String> {
    let all = request.lasting()?.into_iter();
    let words = all.flat_map(|given| ["--allow".into(), given.to_string()]);
    let words = words.map(|word| quoted(&word)).collect::<Vec<_>>().join(" ");
    Some(format!("or, if it is you who writes {:?}, also for its changes: {words}", request.place))
}

fn command(arguments: impl IntoIterator<Item = OsString>, requests: &[Request]) -> String {
    let arguments = arguments.into_iter().map(|word| word.to_string_lossy().into_owned());
    let allowances = requests.iter().flat_map(Request::allowances);
    let allowances = allowances.flat_map(|given| ["--allow".into(), given.to_string()]);
    arguments.chain(allowances).map(|word| quoted(&word)).collect::<Vec<_>>().join(" ")
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_=+/.,:@%".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        // Nothing that moves the cursor reaches the terminal.
        false => {
            let shown: String = word.chars().filter(|&c| !is_deceptive(c)).collect();
            format!("'{}'", shown.replace('\'', "'\\''"))
        }
    }
}

#[cfg(test)]
mod tests {
    use vitral_bundle::{Form, Permit};

    use super::*;

    fn request() -> Request {
        Request {
            name: "blur".into(),
            plugin: "blur 1.0.0".into(),
            place: "/a\u{1b}[2J.vitral".into(),
            form: Form::Bundle,
            digest: "0".repeat(64).parse().unwrap(),
            doubt: Some("it is not signed".into()),
            permits: vec![Permit::Run, Permit::Read("/my data".into())],
            has_lapsed: false,
        }
    }

    #[test]
    fn only_a_clear_yes_is_one_and_the_question_shows_everything() {
        for (answer, expected) in
            [("y\n", true), (" Yes \n", true), ("\n", false), ("", false), ("yeah\n", false)]
        {
            let mut shown = Vec::new();
            assert_eq!(ask(&request(), answer.as_bytes(), &mut shown), expected, "{answer:?}");
            let shown = String::from_utf8(shown).unwrap();
            for part in ["blur 1.0.0", &"0".repeat(64), "not signed", "sandbox", "\"/my data\""] {
                assert!(shown.contains(part), "{part}: {shown}");
            }
            assert!(!shown.contains('\u{1b}'), "{shown:?}");
        }
    }

    #[test]
    fn the_command_is_one_that_a_shell_takes() {
        let arguments = ["vitral", "train", "it's.ron", "--set", "a=(b: 1)"].map(OsString::from);
        let digest = "0".repeat(64);
        assert_eq!(
            command(arguments, &[request()]),
            format!(
                "vitral train 'it'\\''s.ron' --set 'a=(b: 1)' --allow blur@{digest}:run \
                 --allow 'blur@{digest}:read=/my data'"
            )
        );
    }
}
