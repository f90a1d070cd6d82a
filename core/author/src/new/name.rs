//! What a plugin may be called.

use std::{fmt, str::FromStr};

use crate::AuthorError;

/// The most bytes of a name.
const MAX: usize = 64;

/// Words that Rust keeps for itself, and crates that a plugin's would hide.
const TAKEN: &str = "\
    abstract alloc as async await become box break const continue core crate do dyn else enum \
    extern false final fn for gen if impl in let libm loop macro match mod move mut override \
    priv proc-macro pub rand rand-chacha ref return self static std struct super test trait \
    true try type typeof unsafe unsized use virtual vitral-abi vitral-host vitral-program \
    vitral-sdk vitral-sdk-derive vitral-seed vitral-testkit where while yield";

/// Types that the templates use.
const USED: &str = "\
    Action Attention B Batch BatchAugmentation Choice Convolution DType Default Dim \
    Distribution Err Error Event Example Figures Identity Image ImageAugmentation ImageCase \
    Initializer Interests Layer Layout Monitor None Ok Option Parameters Picture Plugin \
    RateChange Result Rng Sample SampleExt Self Settings Some String Tensor Tested Vec";

/// A plugin's name: lower-case words joined by `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the plugin's type.
    pub(super) fn type_name(&self) -> String {
        let mut name = String::new();
        for word in self.0.split('-') {
            let mut letters = word.chars();
            name.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
            name.extend(letters);
        }
        if has(USED, &name) { name + "Plugin" } else { name }
    }
}

impl FromStr for Name {
    type Err = AuthorError;

    fn from_str(name: &str) -> Result<Self, AuthorError> {
        let wrong = |problem: String| {
            let name = name.chars().take(MAX).flat_map(char::escape_debug).collect();
            Err(AuthorError::Name { name, problem })
        };
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        if !name.split('-').all(|word| !word.is_empty() && word.chars().all(plain)) {
            return wrong(
                "a name has lower-case words joined by `-`, such as `bright-spots`".into(),
            );
        }
        if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
            return wrong("a name starts with a letter".into());
        }
        if name.len() > MAX {
            return wrong(format!("it has {} letters, but may have {MAX}", name.len()));
        }
        if has(TAKEN, name) {
            return wrong("the word is taken in Rust, where the plugin is a crate".into());
        }
        Ok(Self(name.to_owned()))
    }
}

/// Whether a word is in a list.
fn has(list: &str, word: &str) -> bool {
    list.split(' ').any(|other| other == word)
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_that_rust_leaves_free() {
        for (name, type_name) in [
            ("blur", "Blur"),
            ("bright-spots-2", "BrightSpots2"),
            ("image", "ImagePlugin"),
            ("plugin", "PluginPlugin"),
        ] {
            assert_eq!(name.parse::<Name>().unwrap().type_name(), type_name);
        }
        for (name, problem) in [
            ("", "lower-case words"),
            ("Blur", "lower-case words"),
            ("a--b", "lower-case words"),
            ("../x", "lower-case words"),
            ("a_b", "lower-case words"),
            ("gr\u{f6}sse", "lower-case words"),
            ("3d", "starts with a letter"),
            ("match", "taken"),
            ("std", "taken"),
            (&"a".repeat(65), "65 letters"),
        ] {
            let error = name.parse::<Name>().unwrap_err().to_string();
            assert!(error.contains(problem), "{name}: {error}");
        }
    }
}
