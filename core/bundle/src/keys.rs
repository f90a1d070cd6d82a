//! Keys for signatures, in the text formats of the `minisign` tool.

use std::fmt;
use std::fs;
use std::path::Path;

use minisign::{ErrorKind, PublicKey, PublicKeyBox, SecretKey, SecretKeyBox};

use crate::digest::Digest;
use crate::error::BundleError;
use crate::files;
use crate::key_id::{Fingerprint, KeyId};

/// How the second line of a secret key with a password starts: the algorithms in base64.
const ENCRYPTED: &str = "RWRTY0Iy";

/// A public key whose signatures the user trusts.
#[derive(Clone, Debug)]
pub struct TrustedKey(PublicKey);

impl TrustedKey {
    /// Reads a public key's file.
    pub fn read(path: &Path) -> Result<Self, BundleError> {
        Self::parse(&path.display().to_string(), &read(path)?)
    }

    /// Reads a public key from its text: a comment and the key, or the key alone. `name` is what
    /// messages call it.
    pub fn parse(name: &str, text: &str) -> Result<Self, BundleError> {
        let text = text.trim();
        let key = match text.contains('\n') {
            true => PublicKeyBox::from_string(text).and_then(PublicKeyBox::into_public_key),
            false => PublicKey::from_base64(text),
        };
        match key {
            Ok(key) if key.to_bytes().starts_with(b"Ed") => Ok(Self(key)),
            _ => Err(BundleError::key(
                name,
                "this is not a minisign public key, which is a comment and a line of 56 characters \
                 that starts with `RW`",
            )),
        }
    }

    /// The key's text, as the `minisign` tool reads it.
    pub fn to_text(&self) -> String {
        format!("untrusted comment: minisign public key {}\n{}\n", self.id(), self.0.to_base64())
    }

    /// Whose key it is.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new(Digest::of(&self.0.to_bytes()))
    }

    /// What its signatures name.
    pub fn id(&self) -> KeyId {
        KeyId::from_bytes(self.0.keynum())
    }

    pub(crate) fn key(&self) -> &PublicKey {
        &self.0
    }
}

/// A secret key that can sign.
#[derive(Clone)]
pub struct SigningKey(SecretKey);

impl SigningKey {
    /// Reads a secret key's file. Nothing is asked: a key with a password needs it given.
    pub fn read(path: &Path, password: Option<&str>) -> Result<Self, BundleError> {
        Self::parse(&path.display().to_string(), &read(path)?, password)
    }

    /// Reads a secret key from its text; `name` is what messages call it.
    pub fn parse(name: &str, text: &str, password: Option<&str>) -> Result<Self, BundleError> {
        let key = SecretKeyBox::from(text.to_owned());
        let encrypted = text.lines().nth(1).is_some_and(|line| line.starts_with(ENCRYPTED));
        let key = match (encrypted, password) {
            (false, _) => key.into_unencrypted_secret_key(),
            (true, Some(password)) => key.into_secret_key(Some(password.to_owned())),
            (true, None) => return Err(BundleError::PasswordNeeded { key: name.to_owned() }),
        };
        key.map(Self).map_err(|error| match error.kind() {
            ErrorKind::Verify if encrypted => BundleError::WrongPassword { key: name.to_owned() },
            _ => BundleError::key(
                name,
                format!("this is not a minisign secret key that can be used: {error}"),
            ),
        })
    }

    /// The public key that belongs to it.
    pub fn public(&self) -> Result<TrustedKey, BundleError> {
        let key = PublicKey::from_secret_key(&self.0);
        key.map(TrustedKey).map_err(|error| BundleError::key("secret key", error.to_string()))
    }

    pub(crate) fn key(&self) -> &SecretKey {
        &self.0
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// A new pair of keys.
pub struct KeyPair {
    public: TrustedKey,
    secret: String,
}

impl KeyPair {
    /// Makes a pair of keys. With a password, the secret key's text is encrypted.
    pub fn generate(password: Option<&str>) -> Result<Self, BundleError> {
        let wrong = |error: minisign::PError| BundleError::key("new key", error.to_string());
        let (pair, comment) = match password {
            Some(password) => (
                minisign::KeyPair::generate_encrypted_keypair(Some(password.to_owned())),
                "minisign encrypted secret key",
            ),
            None => (
                minisign::KeyPair::generate_unencrypted_keypair(),
                "minisign secret key without a password",
            ),
        };
        let pair = pair.map_err(wrong)?;
        let secret = pair.sk.to_box(Some(comment)).map_err(wrong)?.into_string();
        Ok(Self { public: TrustedKey(pair.pk), secret })
    }

    /// The public key, to give away.
    pub fn public(&self) -> &TrustedKey {
        &self.public
    }

    /// The secret key's text, to keep.
    pub fn secret_text(&self) -> &str {
        &self.secret
    }

    /// Writes both into files that must not be there yet, or none. Only their owner can read the
    /// secret one.
    pub fn write(&self, public: &Path, secret: &Path) -> Result<(), BundleError> {
        let write = |path, text: &str, access| {
            files::write(path, text.as_bytes(), files::Existing::Refuse, access)
        };
        write(secret, &self.secret, files::Access::Private)?;
        write(public, &self.public.to_text(), files::Access::Shared).inspect_err(|_| {
            // It was made just now, and is of no use to anyone.
            let _ = fs::remove_file(secret);
        })
    }
}

fn read(path: &Path) -> Result<String, BundleError> {
    let bytes = files::read(path, files::Kind::KEY)?;
    let wrong =
        |_| BundleError::key(&path.display().to_string(), "this is not a key: it is not text");
    String::from_utf8(bytes).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_their_files() {
        let folder = tempfile::tempdir().unwrap();
        let (public, secret) = (folder.path().join("k.pub"), folder.path().join("k.key"));
        let pair = KeyPair::generate(None).unwrap();
        pair.write(&public, &secret).unwrap();
        let key = SigningKey::read(&secret, None).unwrap();
        assert_eq!(key.public().unwrap().id(), pair.public().id());
        assert_eq!(TrustedKey::read(&public).unwrap().id(), pair.public().id());
        assert!(pair.write(&public, &secret).is_err(), "keys are not overwritten");
        assert_eq!(TrustedKey::read(&public).unwrap().id(), pair.public().id());
        let other = folder.path().join("other.key");
        assert!(pair.write(&public, &other).is_err(), "keys are not overwritten");
        assert!(!other.exists(), "half a pair is left");
        #[cfg(unix)]
        {
            let mode = std::fs::metadata(&secret).unwrap().permissions();
            assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
        }
        assert!(!format!("{key:?}").contains("RW"));
    }

    #[test]
    fn a_fingerprint_is_the_digest_of_the_key_and_not_of_its_number() {
        let text =
            "untrusted comment: x\nRWQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n";
        let key = TrustedKey::parse("k", text).unwrap();
        // `tail -n 1 KEY.pub | base64 -d | sha256sum`
        assert_eq!(
            key.fingerprint().to_string(),
            "5328e14e5ace65af400e48686e453709d22a909043b47ae8030cce0a6c34418f"
        );
        assert_eq!(key.fingerprint().to_string().parse(), Ok(key.fingerprint()));
        let other = KeyPair::generate(None).unwrap();
        assert_ne!(key.fingerprint(), other.public().fingerprint());
    }

    #[test]
    fn a_password_is_asked_for_where_it_is_needed_and_checked() {
        let pair = KeyPair::generate(Some("sesame")).unwrap();
        let open = |password| SigningKey::parse("k", pair.secret_text(), password);
        assert!(matches!(open(None), Err(BundleError::PasswordNeeded { .. })));
        assert!(matches!(open(Some("wrong")), Err(BundleError::WrongPassword { .. })));
        assert_eq!(open(Some("sesame")).unwrap().public().unwrap().id(), pair.public().id());
    }

    #[test]
    fn a_public_key_may_stand_alone() {
        let pair = KeyPair::generate(None).unwrap();
        let text = pair.public().to_text();
        let alone = text.lines().nth(1).unwrap();
        assert_eq!(TrustedKey::parse("k", alone).unwrap().id(), pair.public().id());
    }

    #[test]
    fn other_texts_are_no_keys() {
        let pair = KeyPair::generate(None).unwrap();
        let public = pair.public().to_text();
        for text in ["", "x", "a\nb\n", &public[..60], pair.secret_text(), "äöü\näöü"] {
            assert!(TrustedKey::parse("k", text).is_err(), "{text}");
        }
        for text in ["", "x", "a\nb\n", &public, "untrusted comment: x\nRWRTY0Iy\n"] {
            assert!(SigningKey::parse("k", text, Some("p")).is_err(), "{text}");
        }
    }
}
