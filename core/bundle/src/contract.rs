//! The version of the contract that a plugin was built for.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A version of the contract between Vitral and its plugins, as in `1.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Contract {
    /// Changes where plugins of before do not fit any more.
    pub major: u16,
    /// Grows with what plugins of before do without.
    pub minor: u16,
}

impl Contract {
    /// The one of this build.
    pub const CURRENT: Self = Self { major: vitral_abi::VERSION.0, minor: vitral_abi::VERSION.1 };

    /// Whether this build opens plugins of that version.
    pub fn is_supported(self) -> bool {
        self.major == Self::CURRENT.major && (0..=Self::CURRENT.minor).contains(&self.minor)
    }
}

impl fmt::Display for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl TryFrom<String> for Contract {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parts = text.split_once('.');
        let parsed = parts.and_then(|(major, minor)| {
            Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
        });
        parsed
            .filter(|contract| contract.to_string() == text)
            .ok_or_else(|| format!("`{text}` is not a contract version, which looks like `1.0`"))
    }
}

impl From<Contract> for String {
    fn from(contract: Contract) -> String {
        contract.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_one_form() {
        assert_eq!(Contract::try_from("1.0".to_owned()), Ok(Contract { major: 1, minor: 0 }));
        for wrong in ["", "1", "1.", "1.0.0", "01.0", "+1.0", "1.70000"] {
            assert!(Contract::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_older_minor_versions_of_the_same_major_version_are_supported() {
        let Contract { major, minor } = Contract::CURRENT;
        assert!(Contract::CURRENT.is_supported());
        assert!(!Contract { major, minor: minor + 1 }.is_supported());
        assert!(!Contract { major: major + 1, minor: 0 }.is_supported());
    }
}
