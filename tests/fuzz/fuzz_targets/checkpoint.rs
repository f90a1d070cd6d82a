//! A run's folder and the checkpoint in it: the name of the last one, the experiment, the state, tensors, a
//! program and the lock. The sums are right, so that what lies behind them is reached.
#![no_main]

use std::{fmt::Write as _, fs, path::PathBuf};

use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};
use vitral_fuzz::two;
use vitral_train::{checkpoint, checkpoint::Checkpoint, holds_run};

/// In the order of an input, each behind its length.
const FILES: [&str; 5] = [
    "state.ron",
    "config.ron",
    "attention-00.program.ron",
    "plugins.lock.ron",
    "model.safetensors",
];

fuzz_target!(|data: &[u8]| {
    let Some((last, mut rest)) = two(data) else { return };
    let run = std::env::temp_dir().join(format!("vitral-fuzz-{}-run", std::process::id()));
    let folder = run.join("checkpoints/step-00000001");
    fs::create_dir_all(&folder).expect("the temporary folder takes folders");
    let put = |path: PathBuf, bytes: &[u8]| fs::write(path, bytes).expect("it takes files");
    put(run.join("last"), last);
    let mut sums = String::new();
    for name in FILES {
        let Some((content, after)) = two(rest) else { break };
        put(folder.join(name), content);
        Sha256::digest(content).iter().for_each(|byte| write!(sums, "{byte:02x}").expect("memory"));
        writeln!(sums, "  {name}").expect("memory");
        rest = after;
    }
    put(folder.join("SHA256SUMS"), sums.as_bytes());
    let _ = holds_run(&run);
    if let Ok(found) = checkpoint::find(&run) {
        assert!(found.starts_with(&run), "{} is outside of the run", found.display());
    }
    let _ = (checkpoint::find(&run.join("last")), checkpoint::newest(&run));
    match Checkpoint::load(&folder) {
        Ok(checkpoint) => {
            let pretrained = checkpoint.into_pretrained();
            assert_eq!(pretrained.config.check(), Ok(()));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let _ = fs::remove_dir_all(&run);
});
