//! Who made a bundle.

use vitral_bundle::{BundleError, Signature, SignatureError, pack};

use crate::support::{Archive, input, keys, open, packed};

#[test]
fn a_bundle_is_trusted_if_a_trusted_key_signed_it() {
    let ((secret, pair), (_, other)) = (keys(), keys());
    let id = pair.public().fingerprint();
    let trusted = [other.public().clone(), pair.public().clone()];
    for bytes in [
        pack(&input("1.2.0"), Some(&secret)).unwrap(),
        open(&packed("1.2.0")).unwrap().signed(&secret).unwrap(),
    ] {
        let bundle = open(&bytes).unwrap();
        assert_eq!(bundle.signature(&trusted).unwrap(), Signature::Trusted(id));
        assert_eq!(bundle.require_trusted(&trusted).unwrap(), id);
        assert_eq!(bundle.digest(), open(&packed("1.2.0")).unwrap().digest());
    }
}

#[test]
fn signing_again_replaces_the_signature() {
    let ((first, _), (second, pair)) = (keys(), keys());
    let bundle = open(&pack(&input("1.2.0"), Some(&first)).unwrap()).unwrap();
    let bundle = open(&bundle.signed(&second).unwrap()).unwrap();
    bundle.require_trusted(std::slice::from_ref(pair.public())).unwrap();
}

#[test]
fn without_a_signature_where_one_is_required_the_error_says_so() {
    let (_, pair) = keys();
    let bundle = open(&packed("1.2.0")).unwrap();
    let trusted = std::slice::from_ref(pair.public());
    assert_eq!(bundle.signature(trusted).unwrap(), Signature::Unsigned);
    let error = bundle.require_trusted(trusted).unwrap_err().to_string();
    assert_eq!(
        error,
        "test.vitral: the bundle is not signed, but a signature of a trusted key is required"
    );
}

#[test]
fn an_unknown_key_is_named_beside_the_trusted_ones() {
    let ((secret, pair), (_, other)) = (keys(), keys());
    let bundle = open(&pack(&input("1.2.0"), Some(&secret)).unwrap()).unwrap();
    let trusted = std::slice::from_ref(other.public());
    assert_eq!(bundle.signature(trusted).unwrap(), Signature::Unknown(pair.public().id()));
    let error = bundle.require_trusted(trusted).unwrap_err().to_string();
    for key in [pair.public().id().to_string(), other.public().fingerprint().to_string()] {
        assert!(error.contains(&key), "{error}");
    }
    assert!(bundle.require_trusted(&[]).unwrap_err().to_string().contains("trusted is nothing"));
}

#[test]
fn the_signature_of_another_bundle_is_wrong() {
    let (secret, pair) = keys();
    let one = open(&pack(&input("1.2.0"), Some(&secret)).unwrap()).unwrap();
    let two = open(&pack(&input("1.2.1"), Some(&secret)).unwrap()).unwrap();
    let mut mixed = Archive::of(&one);
    let foreign = String::from_utf8(two.file("SHA256SUMS.minisig").unwrap().to_vec()).unwrap();
    mixed.replace("SHA256SUMS.minisig", |_| foreign);
    let mixed = open(&mixed.bundle()).unwrap();
    let error = mixed.signature(std::slice::from_ref(pair.public())).unwrap_err();
    let is_wrong = |error: &BundleError| {
        matches!(error, BundleError::Signature { error: SignatureError::Wrong { .. }, .. })
    };
    assert!(is_wrong(&error), "{error}");
    assert!(error.to_string().contains(&pair.public().id().to_string()));
}

#[test]
fn changed_contents_with_new_checksums_keep_no_trust() {
    let (secret, pair) = keys();
    let bundle = open(&pack(&input("1.2.0"), Some(&secret)).unwrap()).unwrap();
    let mut changed = Archive::of(&bundle);
    changed.replace("README.md", |text| text + "more");
    changed.sum();
    let changed = open(&changed.bundle()).unwrap();
    assert!(changed.require_trusted(std::slice::from_ref(pair.public())).is_err());
}
