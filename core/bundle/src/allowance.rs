//! What the command line allows a plugin: `blur@DIGEST:run,clock`.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;
use crate::permit::Permit;
use crate::text;

/// What a plugin may do, as the command line says it: `NAME@DIGEST:PERMIT,...`, or `NAME:PERMIT,...`
/// for whatever has that name. A permit with a folder is the last of its list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The plugin's name.
    pub plugin: String,
    /// The bundle for which it holds, by the digest of its checksums; any if none.
    pub digest: Option<Digest>,
    /// What it may do.
    pub permits: Vec<Permit>,
}

impl Allowance {
    /// The allowances, as few as there can be, that give a bundle some permits.
    pub(crate) fn of(plugin: &str, digest: Digest, permits: &[Permit]) -> Vec<Self> {
        let of = |permits| Self { plugin: plugin.to_owned(), digest: Some(digest), permits };
        let (last, words): (Vec<Permit>, Vec<Permit>) =
            permits.iter().cloned().partition(Permit::ends_a_list);
        let words = (!words.is_empty()).then_some(words);
        words.into_iter().chain(last.into_iter().map(|permit| vec![permit])).map(of).collect()
    }

    /// Whether it is about a bundle.
    pub(crate) fn is_for(&self, plugin: &str, digest: Digest) -> bool {
        self.plugin == plugin && self.digest.is_none_or(|only| only == digest)
    }
}

impl fmt::Display for Allowance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.plugin)?;
        if let Some(digest) = self.digest {
            write!(f, "@{digest}")?;
        }
        for (index, permit) in self.permits.iter().enumerate() {
            write!(f, "{}{permit}", if index == 0 { ":" } else { "," })?;
        }
        Ok(())
    }
}

impl FromStr for Allowance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (of, mut list) = text.split_once(':').ok_or(
            "expected a plugin, a colon and what it may do, as in `blur:run`; a refusal says what \
             is needed",
        )?;
        let (plugin, digest) = match of.split_once('@') {
            Some((plugin, digest)) => (plugin, Some(digest.parse()?)),
            None => (of, None),
        };
        if !text::is_plugin_name(plugin) {
            return Err(format!("`{plugin}` is not the name of a plugin"));
        }
        let mut permits = Vec::new();
        loop {
            let has_folder = list.starts_with("read=") || list.starts_with("write=");
            match list.split_once(',').filter(|_| !has_folder) {
                Some((permit, rest)) => {
                    permits.push(permit.parse()?);
                    list = rest;
                }
                None => {
                    permits.push(list.parse()?);
                    return Ok(Self { plugin: plugin.to_owned(), digest, permits });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_has_one_text() {
        let digest = Digest::of(b"x");
        for text in [
            "blur:run".to_owned(),
            format!("blur@{digest}:native,network=[::1]:80,memory_mib=256"),
            "blur:clock,read=/a, b:c".to_owned(),
        ] {
            assert_eq!(text.parse::<Allowance>().unwrap().to_string(), text);
        }
        for wrong in ["", "blur", "blur:", "Blur:run", "blur@12:run", "blur:run,", ":run"] {
            assert!(wrong.parse::<Allowance>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn permits_are_written_in_as_few_allowances_as_there_can_be() {
        let permits = ["run", "read=/a", "clock", "write=/b"].map(|text| text.parse().unwrap());
        let digest = Digest::of(b"x");
        let all = Allowance::of("blur", digest, &permits);
        let texts: Vec<String> = all.iter().map(Allowance::to_string).collect();
        let expected = ["run,clock", "read=/a", "write=/b"].map(|t| format!("blur@{digest}:{t}"));
        assert_eq!(texts, expected);
        let back: Vec<Permit> =
            texts.iter().flat_map(|text| text.parse::<Allowance>().unwrap().permits).collect();
        assert!(permits.iter().all(|permit| back.contains(permit)) && back.len() == 4);
        assert!(all[0].is_for("blur", digest) && !all[0].is_for("blur", Digest::of(b"y")));
        assert!(!all[0].is_for("blurs", digest));
    }
}
