//! Whether a bundle may run, and what it may do.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use vitral_bundle::{
    Allowance, Bundle, Digest, Distrusted, Form, Local, Package, Permit, Store, Trust, TrustError,
    TrustedKey, pack,
};

use crate::support::{input, keys, open};

struct Home {
    _folder: tempfile::TempDir,
    store: Store,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().join("plugins"));
        Self { _folder: folder, store }
    }

    fn trust(&self) -> Trust {
        Trust::new(Some(self.store.clone()), ["linear".to_owned()])
    }

    fn trusting(self, keys: &[&TrustedKey]) -> Self {
        keys.iter().for_each(|key| drop(self.store.trust(key).unwrap()));
        self
    }
}

fn bundle(version: &str, key: Option<&vitral_bundle::SigningKey>) -> Bundle {
    open(&pack(&input(version), key).unwrap()).unwrap()
}

fn package(version: &str, key: Option<&vitral_bundle::SigningKey>) -> Package {
    bundle(version, key).into()
}

fn allow(text: &str) -> Vec<Allowance> {
    vec![text.parse().unwrap()]
}

fn refused(trust: &Trust, package: &Package, wanted: &[Permit]) -> String {
    match trust.check(package, wanted) {
        Err(TrustError::NotAllowed(request)) => request.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_bundle_runs_if_the_key_vouches_that_owns_its_name() {
    let ((secret, pair), (other, other_pair)) = (keys(), keys());
    let home = Home::new().trusting(&[pair.public()]);
    assert!(home.trust().check(&package("1.0.0", Some(&secret)), &[]).is_ok());
    let shown = refused(&home.trust(), &package("1.0.0", None), &[]);
    assert!(shown.contains("it is not signed"), "{shown}");
    let shown = refused(&home.trust(), &package("1.0.0", Some(&other)), &[]);
    assert!(shown.contains(&other_pair.public().id().to_string()), "{shown}");
    assert!(shown.contains("which you do not trust"), "{shown}");
    // Without a store there are no keys.
    let nobody = Trust::new(None, []);
    assert!(refused(&nobody, &package("1.0.0", Some(&secret)), &[]).contains("do not trust"));
}

#[test]
fn a_name_belongs_to_the_key_whose_bundle_was_installed_first() {
    let ((first, first_pair), (second, second_pair)) = (keys(), keys());
    let home = Home::new().trusting(&[first_pair.public(), second_pair.public()]);
    // Nobody's yet.
    assert!(home.trust().check(&package("9.0.0", Some(&second)), &[]).is_ok());
    home.trust().install(&bundle("1.0.0", Some(&first))).unwrap();
    let shown = refused(&home.trust(), &package("9.0.0", Some(&second)), &[]);
    assert!(shown.contains("the name `window` belongs to key"), "{shown}");
    for pair in [&first_pair, &second_pair] {
        assert!(shown.contains(&pair.public().fingerprint().to_string()), "{shown}");
    }
    assert!(home.trust().install(&bundle("9.0.0", Some(&second))).is_err());
    // Who takes it all the same does not take the name away.
    let allowing = home.trust().allowing(allow("window:run"));
    allowing.install(&bundle("9.0.0", Some(&second))).unwrap();
    assert!(home.trust().check(&package("2.0.0", Some(&first)), &[]).is_ok());
    assert!(home.trust().check(&package("9.0.1", Some(&second)), &[]).is_err());
    // A key that is trusted no more has no names.
    home.store.distrust(&first_pair.public().fingerprint().to_string()).unwrap();
    assert!(home.trust().check(&package("9.0.1", Some(&second)), &[]).is_ok());
}

#[test]
fn a_name_of_the_programs_own_is_nobodys() {
    let (secret, pair) = keys();
    let home = Home::new().trusting(&[pair.public()]);
    let trust = Trust::new(Some(home.store.clone()), ["window".to_owned()]);
    let shown = refused(&trust, &package("9.0.0", Some(&secret)), &[]);
    assert!(shown.contains("a plugin that comes with Vitral"), "{shown}");
    assert!(trust.install(&bundle("9.0.0", Some(&secret))).is_err());
}

#[test]
fn every_permit_needs_a_decision_of_its_own() {
    let (secret, pair) = keys();
    let home = Home::new().trusting(&[pair.public()]);
    let signed = package("1.0.0", Some(&secret));
    for (allowed, wanted) in [
        ("window:run", Permit::Native),
        ("window:native", Permit::Network("lab:80".into())),
        ("window:network=lab:80", Permit::Network("lab:81".into())),
        ("window:memory_mib=256", Permit::MemoryMib(257)),
        ("window:call_ms=2000", Permit::MemoryMib(128)),
        ("window:read=/data", Permit::Write("/data".into())),
        ("windows:native", Permit::Native),
    ] {
        let trust = home.trust().allowing(allow(allowed));
        let shown = refused(&trust, &signed, std::slice::from_ref(&wanted));
        assert!(shown.contains(&wanted.words()), "{shown}");
        let request = trust.request(&signed, &[wanted]).unwrap().unwrap();
        let trust = home.trust().allowing(request.allowances());
        assert!(trust.check(&signed, &request.permits).is_ok(), "what is offered allows it");
    }
}

#[test]
fn what_is_allowed_holds_for_one_content() {
    let home = Home::new();
    let (one, other) = (package("1.0.0", None), package("1.0.1", None));
    let network = [Permit::Network("lab:80".into())];
    let request = home.trust().request(&one, &network).unwrap().unwrap();
    assert_eq!(request.permits, [Permit::Run, network[0].clone()]);
    let trust = home.trust().allowing(request.allowances());
    assert!(trust.check(&one, &network).is_ok());
    assert!(trust.check(&other, &network).is_err());
    // The command line is not kept.
    assert!(home.trust().check(&one, &network).is_err());
    assert!(!home.store.root().exists(), "asking what would be needed writes nothing");
}

#[test]
fn the_user_is_asked_once_and_can_take_it_back() {
    let home = Home::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let asking = |answer: bool| {
        let asked = Arc::clone(&asked);
        home.trust().asking(Box::new(move |request| {
            asked.fetch_add(1, Ordering::Relaxed);
            assert_eq!(request.permits, [Permit::Native]);
            answer
        }))
    };
    let unsigned = package("1.0.0", None);
    assert!(asking(false).check(&unsigned, &[Permit::Native]).is_err());
    assert!(asking(false).check(&unsigned, &[Permit::Native]).is_err());
    assert_eq!(asked.load(Ordering::Relaxed), 2, "a no is not kept");
    assert!(asking(true).check(&unsigned, &[Permit::Native]).is_ok());
    assert!(asking(true).check(&unsigned, &[Permit::Native]).is_ok());
    assert_eq!(asked.load(Ordering::Relaxed), 3);
    assert!(home.trust().check(&unsigned, &[Permit::Native]).is_ok(), "it is kept");
    home.store.distrust(&unsigned.digest().to_string()).unwrap();
    assert!(home.trust().check(&unsigned, &[Permit::Native]).is_err());
}

/// Whether the key was trusted then or not; what others have signed stays.
#[test]
fn what_was_allowed_ends_with_the_trust_in_the_key_that_signed_it() {
    let ((secret, pair), (other, other_pair)) = (keys(), keys());
    let home = Home::new().trusting(&[pair.public()]);
    let yes = || home.trust().asking(Box::new(|_| true));
    let signed = package("1.0.0", Some(&secret));
    let (unknown, unsigned) = (package("1.0.1", Some(&other)), package("1.0.2", None));
    for package in [&signed, &unknown, &unsigned] {
        yes().check(package, &[Permit::Native]).unwrap();
    }
    let allowing = home.trust().allowing(allow("window:clock"));
    allowing.install(&bundle("1.1.0", Some(&secret))).unwrap();
    home.store.trust(other_pair.public()).unwrap();
    let is_allowed = |package: &Package| home.trust().check(package, &[Permit::Native]).is_ok();
    let distrusted = |key: &TrustedKey| match home.store.distrust(&key.fingerprint().to_string()) {
        Ok(Distrusted::Key { bundles, .. }) => {
            bundles.into_iter().map(|(plugin, _)| plugin).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(distrusted(pair.public()), ["window 1.0.0", "window 1.1.0"]);
    assert_eq!([&signed, &unknown, &unsigned].map(is_allowed), [false, true, true]);
    assert_eq!(distrusted(other_pair.public()), ["window 1.0.1"]);
    assert_eq!([&signed, &unknown, &unsigned].map(is_allowed), [false, false, true]);
    // Nor does it come back with the key.
    home.store.trust(pair.public()).unwrap();
    assert!(!is_allowed(&signed));
    assert_eq!(home.store.decisions().unwrap().allowed.len(), 1);
}

#[test]
fn what_was_decided_before_signers_were_noted_is_asked_again() {
    let (secret, _) = keys();
    let home = Home::new();
    let signed = package("1.0.0", Some(&secret));
    let yes = || home.trust().asking(Box::new(|_| true));
    yes().check(&signed, &[Permit::Native]).unwrap();
    // As it was written then.
    let file = home.store.root().join("trust.ron");
    let text = std::fs::read_to_string(&file).unwrap();
    let older = text.lines().filter(|line| !line.trim().starts_with("key:"));
    let older = older.collect::<Vec<_>>().join("\n");
    assert_ne!(older, text.trim_end());
    std::fs::write(&file, older).unwrap();
    let shown = refused(&home.trust(), &signed, &[Permit::Native]);
    assert!(shown.contains("no longer holds") && shown.contains("run native code"), "{shown}");
    yes().check(&signed, &[Permit::Native]).unwrap();
    assert!(home.trust().check(&signed, &[Permit::Native]).is_ok(), "it is kept");
}

#[test]
fn an_installed_plugin_is_looked_at_each_time() {
    let (secret, pair) = keys();
    let home = Home::new().trusting(&[pair.public()]);
    let signed = home.trust().install(&bundle("1.0.0", Some(&secret))).unwrap();
    let read = || Package::from(home.store.open("window", signed.version()).unwrap());
    assert!(home.trust().check(&read(), &[]).is_ok());
    // Without its signature, and with it but without the key.
    let signature = signed.folder().join("SHA256SUMS.minisig");
    let text = std::fs::read(&signature).unwrap();
    std::fs::remove_file(&signature).unwrap();
    assert!(refused(&home.trust(), &read(), &[]).contains("not signed"));
    std::fs::write(&signature, text).unwrap();
    assert!(home.trust().check(&read(), &[]).is_ok());
    home.store.distrust(&pair.public().fingerprint().to_string()).unwrap();
    assert!(refused(&home.trust(), &read(), &[]).contains("do not trust"));
}

#[test]
fn what_the_command_line_allows_at_installing_is_kept() {
    let home = Home::new();
    let unsigned = bundle("1.0.0", None);
    assert!(home.trust().install(&unsigned).is_err());
    let trust = home.trust().allowing(allow("window:run,clock"));
    let installed = Package::from(trust.install(&unsigned).unwrap());
    assert!(home.trust().check(&installed, &[Permit::Clock]).is_ok());
    assert!(home.trust().check(&installed, &[Permit::Network("lab:80".into())]).is_err());
}

#[test]
fn a_wrong_signature_of_a_trusted_key_cannot_be_allowed() {
    let (secret, pair) = keys();
    let home = Home::new().trusting(&[pair.public()]);
    let (one, two) = (bundle("1.0.0", Some(&secret)), bundle("1.0.1", Some(&secret)));
    let mut mixed = crate::support::Archive::of(&one);
    let foreign = String::from_utf8(two.file("SHA256SUMS.minisig").unwrap().to_vec()).unwrap();
    mixed.replace("SHA256SUMS.minisig", |_| foreign);
    let mixed = open(&mixed.bundle()).unwrap().into();
    let trust = home.trust().allowing(allow("window:run"));
    assert!(matches!(trust.check(&mixed, &[]), Err(TrustError::Bundle(_))));
}

#[test]
fn a_plugins_source_needs_the_users_word_which_ends_with_a_change_unless_it_is_to_last() {
    let home = Home::new();
    let source = |content: &[u8]| Local {
        name: "blur".into(),
        place: "/lab/blur".into(),
        form: Form::Sources,
        digest: Digest::of(content),
    };
    let (one, other) = (source(b"1"), source(b"2"));
    let wanted = [Permit::Build];
    let Err(TrustError::NotAllowed(request)) = home.trust().check_local(&one, &wanted) else {
        panic!("nobody has allowed it")
    };
    let shown = request.to_string();
    for part in ["`blur`", "/lab/blur", "SHA-256 of its source", "in the sandbox", "build scripts"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let of_these = home.trust().allowing(request.allowances());
    assert!(of_these.check_local(&one, &wanted).is_ok());
    assert!(of_these.check_local(&other, &wanted).is_err());
    let lasting = request.lasting().unwrap();
    assert_eq!(lasting[0].to_string(), "blur:run,build");
    assert!(home.trust().allowing(lasting).check_local(&other, &wanted).is_ok());
    // An answer is kept, for what it was given.
    assert!(home.trust().asking(Box::new(|_| true)).check_local(&one, &wanted).is_ok());
    assert!(home.trust().check_local(&one, &wanted).is_ok());
    assert!(home.trust().check_local(&one, &[Permit::Build, Permit::Clock]).is_err());
    assert!(home.trust().check_local(&other, &wanted).is_err());
    // What may run need not be built.
    let run = home.trust().allowing(allow("blur:run"));
    assert!(run.check_local(&other, &[]).is_ok() && run.check_local(&other, &wanted).is_err());
}
