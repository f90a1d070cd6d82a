//! A bundle's manifest, and the lock file of a run.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vitral_bundle::{Lock, Manifest, TrustedKey};
use vitral_config::{Document, to_ron};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    match Manifest::parse(&Document::new("plugin.ron", text)) {
        Ok(manifest) => {
            let text = to_ron(&manifest).expect("what was read can be written");
            let again = Manifest::parse(&Document::new("again.ron", text));
            assert_eq!(again.unwrap_or_else(|error| panic!("{error}")), manifest);
            let _ = (manifest.id(), manifest.description());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(lock) = Lock::from_text(text) {
        let again = Lock::from_text(&lock.to_text());
        assert_eq!(again.unwrap_or_else(|error| panic!("{error}")), lock);
    }
    if let Ok(key) = TrustedKey::parse("x.pub", text) {
        let again = TrustedKey::parse("x.pub", &key.to_text());
        assert_eq!(again.unwrap_or_else(|error| panic!("{error}")).id(), key.id());
    }
});
