//! Signatures of `SHA256SUMS` in minisign's format, so that the `minisign` tool can make and check
//! them too.

use std::io::Cursor;

use minisign::SignatureBox;

use crate::error::BundleError;
use crate::key_id::KeyId;
use crate::keys::{SigningKey, TrustedKey};
use crate::signature::{Signature, SignatureError};
use crate::text::shown;

/// A signature's file.
pub(crate) const FILE: crate::files::Kind = crate::files::Kind::new("a signature", 16 << 10);

/// The text of a signature's file, which has one form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignatureFile {
    text: String,
    key: KeyId,
}

impl SignatureFile {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, SignatureError> {
        let text = str::from_utf8(bytes)
            .map_err(|_| SignatureError::Malformed("it is not UTF-8".to_owned()))?;
        let signature = parse(text)?;
        Ok(Self { text: text.to_owned(), key: KeyId::from_bytes(signature.keynum()) })
    }

    /// The key that it names.
    pub(crate) fn key(&self) -> KeyId {
        self.key
    }

    pub(crate) fn verify(
        &self,
        checksums: &[u8],
        trusted: &[TrustedKey],
    ) -> Result<Signature, SignatureError> {
        let signature = parse(&self.text)?;
        let is_right = |key: &&TrustedKey| {
            minisign::verify(key.key(), &signature, Cursor::new(checksums), true, false, false)
                .is_ok()
        };
        // Two keys may have one number.
        let mut named = trusted.iter().filter(|key| key.id() == self.key).peekable();
        if named.peek().is_none() {
            return Ok(Signature::Unknown(self.key));
        }
        match named.find(is_right) {
            Some(key) => Ok(Signature::Trusted(key.fingerprint())),
            None => Err(SignatureError::Wrong { key: self.key }),
        }
    }
}

/// Signs checksums. The trusted comment names the bundle.
pub(crate) fn sign(key: &SigningKey, checksums: &[u8], id: &str) -> Result<String, BundleError> {
    sign_text(key, checksums, &format!("vitral plugin {id}"), "SHA256SUMS")
}

/// Signs a text, which is called `what`; the comment is signed, too.
pub fn sign_text(
    key: &SigningKey,
    text: &[u8],
    comment: &str,
    what: &str,
) -> Result<String, BundleError> {
    let untrusted = format!("minisign signature of {what}");
    let text = Cursor::new(text);
    let signature = minisign::sign(None, key.key(), text, Some(comment), Some(&untrusted));
    let wrong = |error: minisign::PError| BundleError::key("secret key", error.to_string());
    signature.map(SignatureBox::into_string).map_err(wrong)
}

/// Who has signed a text. A signature that claims to be of a trusted key but is not is an error.
pub fn verify_text(
    text: &[u8],
    signature: &str,
    trusted: &[TrustedKey],
) -> Result<Signature, SignatureError> {
    SignatureFile::parse(signature.as_bytes())?.verify(text, trusted)
}

/// A signature whose text is exactly what it says, which also makes sure that its parts are long
/// enough to be looked at.
fn parse(text: &str) -> Result<SignatureBox, SignatureError> {
    let malformed = |problem: &str| Err(SignatureError::Malformed(problem.to_owned()));
    let signature = SignatureBox::from_string(text)
        .map_err(|error| SignatureError::Malformed(shown(error.to_string().as_bytes())))?;
    // 64 bytes in base64.
    let is_whole = |line: &str| line.len() == 88 && line.ends_with("==");
    if !text.lines().nth(3).is_some_and(is_whole) {
        return malformed("the signature of its comment does not have 64 bytes");
    }
    if signature.to_string() != text {
        return malformed("it does not have exactly four lines");
    }
    match signature.is_prehashed() {
        true => Ok(signature),
        false => malformed("it is of the old kind; sign with `minisign -S`, without `-l`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeyPair;

    fn key() -> (SigningKey, TrustedKey) {
        let pair = KeyPair::generate(None).unwrap();
        (SigningKey::parse("k", pair.secret_text(), None).unwrap(), pair.public().clone())
    }

    #[test]
    fn only_the_trusted_keys_signature_of_the_same_bytes_is_right() {
        let ((secret, public), (_, other)) = (key(), key());
        let text = sign(&secret, b"sums", "x-1.0.0").unwrap();
        let signature = SignatureFile::parse(text.as_bytes()).unwrap();
        let (id, fingerprint) = (public.id(), public.fingerprint());
        let trusted = [other.clone(), public];
        assert_eq!(signature.verify(b"sums", &trusted), Ok(Signature::Trusted(fingerprint)));
        assert_eq!(signature.verify(b"sums", &[other]), Ok(Signature::Unknown(id)));
        let wrong = Err(SignatureError::Wrong { key: id });
        assert_eq!(signature.verify(b"other sums", &trusted), wrong);
    }

    #[test]
    fn a_changed_signature_is_never_right() {
        let (secret, public) = key();
        let text = sign(&secret, b"sums", "x-1.0.0").unwrap();
        let first_line = text.find('\n').unwrap();
        for index in first_line..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[index] ^= 1;
            let verified = SignatureFile::parse(&changed)
                .and_then(|signature| signature.verify(b"sums", std::slice::from_ref(&public)));
            assert!(!matches!(verified, Ok(Signature::Trusted(_))), "byte {index}");
        }
    }

    #[test]
    fn what_is_not_exactly_a_signature_is_refused() {
        let (secret, _) = key();
        let good = sign(&secret, b"sums", "x-1.0.0").unwrap();
        let lines: Vec<&str> = good.lines().collect();
        let with_last = |last: &str| [lines[0], lines[1], lines[2], last, ""].join("\n");
        for text in [
            String::new(),
            good.trim_end().to_owned(),
            good.clone() + "more\n",
            good.replace('\n', "\r\n"),
            with_last(""),
            with_last("AAAA"),
            with_last(&lines[3][..84]),
            [lines[0], &lines[1][..40], lines[2], lines[3], ""].join("\n"),
            [lines[0], "ä", lines[2], lines[3], ""].join("\n"),
        ] {
            let parsed = SignatureFile::parse(text.as_bytes());
            assert!(matches!(parsed, Err(SignatureError::Malformed(_))), "{text}");
        }
        assert!(SignatureFile::parse(b"\xff").is_err());
    }
}
