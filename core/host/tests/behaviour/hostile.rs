//! Calls that do what they should not: each fails by itself, and the next one works.

use vitral_host::{Call, Cause};

use crate::{guests, support::*};

/// Runs a body once, and says what the user sees.
fn failure(augment: &str) -> (Cause, String) {
    let error = crate::support::augment(&mut *augmentation(&guests::image(augment))).unwrap_err();
    assert_eq!((error.plugin.as_str(), error.call), ("guest", Call::Augment));
    let text = error.to_string();
    assert!(text.contains("image 2x2x1, epoch 1, seed 0x7"), "{text}");
    (error.cause, text)
}

#[test]
fn a_guest_that_leaves_the_image_alone_works() {
    let guest = guests::image("(i32.store (i32.const 256) (i32.const 0)) (i32.const 256)");
    assert_eq!(augment(&mut *augmentation(&guest)).unwrap(), image());
}

#[test]
fn an_endless_loop_is_stopped_by_the_time_limit() {
    let (cause, text) = failure("(loop $again (br $again)) (i32.const 256)");
    assert!(matches!(cause, Cause::TimedOut(_)), "{cause:?}");
    assert!(text.contains("took longer than its limit of 2s"), "{text}");
}

#[test]
fn a_memory_bomb_is_stopped_by_the_memory_limit() {
    let (cause, text) = failure(
        "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
         unreachable",
    );
    assert_eq!(cause, Cause::OutOfMemory(4 << 20));
    assert!(text.contains("4 MiB"), "{text}");
}

#[test]
fn an_augmentation_that_keeps_memory_at_each_call_goes_on_in_another_instance() {
    // A mebibyte a call, of the four that it has.
    let leak = "(if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))";
    let unchanged = "(i32.store (i32.const 256) (i32.const 0)) (i32.const 256)";
    let mut instance = augmentation(&guests::image(&format!("{leak} {unchanged}")));
    for call in 0..20 {
        assert_eq!(augment(&mut *instance).unwrap(), image(), "call {call}");
    }
    // An image that takes too much does so in any instance.
    let more = "(if (i64.eq (local.get 5) (i64.const 9)) (then
        (drop (memory.grow (i32.const 100))) unreachable))";
    let mut instance = augmentation(&guests::image(&format!("{more} {unchanged}")));
    augment(&mut *instance).unwrap();
    let sample = vitral_host::Sample { seed: 9, ..SAMPLE };
    let error = instance.augment(&mut image(), &sample).unwrap_err();
    assert_eq!(error.cause, Cause::OutOfMemory(4 << 20));
    augment(&mut *instance).unwrap();
}

#[test]
fn endless_recursion_runs_out_of_stack() {
    let (cause, _) = failure(
        "(call $augment (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4)
             (local.get 5) (local.get 6) (local.get 7))",
    );
    assert_eq!(cause, Cause::StackOverflow);
}

#[test]
fn pointers_and_lengths_out_of_bounds_are_traps() {
    let image_at = |pixels: &str, count: &str| {
        format!(
            "(i32.store (i32.const 256) (i32.const 0)) (i32.store (i32.const 260) (i32.const 1))
             (i32.store (i32.const 264) (i32.const 2)) (i32.store (i32.const 268) (i32.const 2))
             (i32.store (i32.const 272) (i32.const 1))
             (i32.store (i32.const 276) (i32.const {pixels}))
             (i32.store (i32.const 280) (i32.const {count})) (i32.const 256)"
        )
    };
    let bodies = [
        "(i32.const -16)".to_owned(),
        "(i32.const 131064)".to_owned(),
        "(i32.const 3)".to_owned(),
        "(i32.load (i32.const -4))".to_owned(),
        image_at("131070", "4"),
        image_at("-8", "4"),
        image_at("0", "-1"),
        image_at("0", "2147483647"),
    ];
    for body in bodies {
        let (cause, _) = failure(&body);
        assert!(matches!(cause, Cause::Trapped(_)), "{body}: {cause:?}");
    }
}

#[test]
fn an_unknown_variant_is_a_trap() {
    let (cause, _) = failure("(i32.store (i32.const 256) (i32.const 9)) (i32.const 256)");
    assert!(matches!(cause, Cause::Trapped(_)), "{cause:?}");
}

#[test]
fn more_output_than_allowed_is_refused() {
    // 2 MiB of error message, where 1 MiB may be given.
    let (cause, text) = failure(
        "(drop (memory.grow (i32.const 40)))
         (i32.store (i32.const 256) (i32.const 1)) (i32.store (i32.const 260) (i32.const 0))
         (i32.store (i32.const 264) (i32.const 2097152)) (i32.const 256)",
    );
    assert!(matches!(cause, Cause::TooLarge { limit: 1_048_576, .. }), "{text}");
}

#[test]
fn images_of_wrong_shapes_are_refused() {
    let gives = |width: u32, height: u32, channels: u32, count: u32| {
        format!(
            "(i32.store (i32.const 256) (i32.const 0)) (i32.store (i32.const 260) (i32.const 1))
             (i32.store (i32.const 264) (i32.const {width}))
             (i32.store (i32.const 268) (i32.const {height}))
             (i32.store (i32.const 272) (i32.const {channels}))
             (i32.store (i32.const 276) (i32.const 0))
             (i32.store (i32.const 280) (i32.const {count})) (i32.const 256)"
        )
    };
    for (body, wanted) in [
        (gives(2, 2, 1, 5), "5 bytes for an image of 2x2x1, which has 4"),
        (gives(2, 2, 3, 12), "3 channels for one of 1"),
        (gives(0, 2, 1, 0), "sides may be 1 to 16384"),
        (gives(65_536, 65_536, 1, 0), "sides may be 1 to 16384"),
    ] {
        let (cause, text) = failure(&body);
        assert!(matches!(cause, Cause::BadResult(_)) && text.contains(wanted), "{text}");
    }
    let fine = guests::image(&gives(1, 3, 1, 3));
    let changed = augment(&mut *augmentation(&fine)).unwrap();
    assert_eq!((changed.width, changed.height, changed.pixels.len()), (1, 3, 3));
}

/// The second call after a trap finds the guest as it was at first: its counter is 0 again.
#[test]
fn after_a_trap_the_next_call_gets_a_fresh_instance() {
    let guest = guests::image_with(
        "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
         (if (i32.eq (global.get $calls) (i32.const 2)) (then unreachable))
         (i32.store (i32.const 256) (i32.const 0)) (i32.store (i32.const 260) (i32.const 0))
         (i32.const 256)",
        "(global $calls (mut i32) (i32.const 0))",
    );
    let mut instance = augmentation(&guest);
    let outcomes = [0; 6].map(|_| augment(&mut *instance).is_ok());
    assert_eq!(outcomes, [true, false, true, false, true, false]);
}

#[test]
fn one_plugins_failure_is_not_anothers() {
    let bad = guests::image("unreachable");
    let good = guests::image("(i32.store (i32.const 256) (i32.const 0)) (i32.const 256)");
    let (mut bad, mut good) = (augmentation(&bad), augmentation(&good));
    for _ in 0..20 {
        assert!(augment(&mut *bad).is_err());
        assert_eq!(augment(&mut *good).unwrap(), image());
    }
}

#[test]
fn memory_is_given_back_after_each_failure() {
    let bomb = guests::image(
        "(drop (memory.grow (i32.const 60))) (memory.fill (i32.const 0) (i32.const 1)
             (i32.mul (memory.size) (i32.const 65536))) unreachable",
    );
    let mut instance = augmentation(&bomb);
    let before = resident();
    for _ in 0..300 {
        assert!(augment(&mut *instance).is_err());
    }
    // 300 instances of nearly 4 MiB each would be more than a gigabyte.
    assert!(resident() < before + (200 << 20), "{before} to {}", resident());
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches("kB").trim().parse::<usize>().unwrap() * 1024
}
