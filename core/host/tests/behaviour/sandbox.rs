//! What components get of the system, granted or not.

use vitral_host::{Cause, FileGrant, Image, Permissions, Plugin, Sample, WasmOptions};

use crate::{guests, support::*};

const UNCHANGED: &str = "(i32.store (i32.const 256) (i32.const 0)) (i32.const 256)";

/// Gives the four bytes at 512 as the image.
const GIVE: &str =
    "(i32.store (i32.const 256) (i32.const 0)) (i32.store (i32.const 260) (i32.const 1))
    (i32.store (i32.const 264) (i32.const 2)) (i32.store (i32.const 268) (i32.const 2))
    (i32.store (i32.const 272) (i32.const 1)) (i32.store (i32.const 276) (i32.const 512))
    (i32.store (i32.const 280) (i32.const 4)) (i32.const 256)";

fn granted(component: &[u8], permissions: Permissions) -> Plugin {
    let options = WasmOptions { permissions, ..options() };
    Plugin::wasm(engine(), component, None, options).unwrap()
}

fn run(component: &[u8], permissions: Permissions) -> Result<Vec<u8>, Cause> {
    let plugin = granted(component, permissions);
    let mut instance = plugin.image_augmentation(&defaults(&plugin)).unwrap();
    augment(&mut *instance).map(|image| image.pixels).map_err(|error| error.cause)
}

#[test]
fn the_clock_stands_still_unless_it_is_granted() {
    let imports = r#"
        (import "wasi:clocks/wall-clock@0.2.0" "now" (func $wall (param i32)))
        (import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $monotonic (result i64)))"#;
    let guest = guests::system(
        imports,
        &format!(
            "(call $wall (i32.const 600))
             (i32.store (i32.const 512) (i32.or
                 (i64.ne (i64.load (i32.const 600)) (i64.const 0))
                 (i32.shl (i64.ne (call $monotonic) (i64.const 0)) (i32.const 8))))
             {GIVE}"
        ),
    );
    assert_eq!(run(&guest, Permissions::default()).unwrap(), [0, 0, 0, 0]);
    let clock = Permissions { clock: true, ..Permissions::default() };
    assert_eq!(run(&guest, clock).unwrap(), [1, 1, 0, 0]);
}

#[test]
fn waiting_counts_as_time() {
    let imports = r#"
        (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration"
            (func $subscribe (param i64) (result i32)))
        (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))"#;
    let hour = 3_600_000_000_000_u64;
    let guest = guests::system(
        imports,
        &format!("(call $block (call $subscribe (i64.const {hour}))) {UNCHANGED}"),
    );
    for permissions in
        [Permissions::default(), Permissions { clock: true, ..Permissions::default() }]
    {
        assert!(matches!(run(&guest, permissions), Err(Cause::TimedOut(_))));
    }
}

#[test]
fn an_endless_loop_of_a_component_that_uses_wasi_is_stopped() {
    let imports = r#"(import "wasi:random/random@0.2.0" "get-random-u64" (func (result i64)))"#;
    let guest = guests::system(imports, "(loop $again (br $again)) (i32.const 256)");
    assert!(matches!(run(&guest, Permissions::default()), Err(Cause::TimedOut(_))));
}

#[test]
fn random_numbers_follow_from_the_sample_alone() {
    let imports =
        r#"(import "wasi:random/random@0.2.0" "get-random-u64" (func $random (result i64)))"#;
    let guest =
        guests::system(imports, &format!("(i64.store (i32.const 512) (call $random)) {GIVE}"));
    let plugin = granted(&guest, Permissions::default());
    let instance = || plugin.image_augmentation(&defaults(&plugin)).unwrap();
    let (mut first, mut second) = (instance(), instance());
    let random = |instance: &mut dyn vitral_host::ImageAugmentation, seed: u64| -> Image {
        let mut image = image();
        instance.augment(&mut image, &Sample { seed, ..SAMPLE }).unwrap();
        image
    };
    let ones = [1, 2, 1].map(|seed| random(&mut *first, seed));
    let others = [2, 1, 1].map(|seed| random(&mut *second, seed));
    assert_eq!(ones[0], ones[2]);
    assert_ne!(ones[0], ones[1]);
    assert_eq!([&others[1], &others[0], &others[2]], [&ones[0], &ones[1], &ones[2]]);
}

#[test]
fn what_imports_http_opens_and_fails_by_name_where_it_calls_it() {
    // Streams are those of another interface.
    let imports = r#"
        (import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))
        (import "wasi:http/types@0.2.0" "[method]body.write" (func $write (param i32) (result i32)))
        (import "wasi:http/types@0.2.0" "[constructor]fields" (func $fields (result i32)))"#;
    let importing = guests::system(imports, &format!("(drop (call $stdout)) {UNCHANGED}"));
    run(&importing, Permissions::default()).unwrap();
    let calling = guests::system(imports, &format!("(drop (call $fields)) {UNCHANGED}"));
    let network = Permissions { network: true, ..Permissions::default() };
    for permissions in [Permissions::default(), network] {
        let text = run(&calling, permissions).unwrap_err().to_string();
        assert!(text.contains("it called `wasi:http/types@0.2.0#[constructor]fields`"), "{text}");
        assert!(text.contains("--disable http"), "{text}");
    }
}

#[test]
fn a_trap_tells_what_was_written_to_the_standard_error() {
    let imports = r#"
        (import "wasi:cli/stderr@0.2.0" "get-stderr" (func $stderr (result i32)))
        (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush"
            (func $write (param i32 i32 i32 i32)))
        (data (i32.const 512) "Traceback\n\nValueError: \1b[31mheads are odd\n")"#;
    let write = "(call $write (call $stderr) (i32.const 512) (i32.const 42) (i32.const 600))";
    let guest = guests::system(imports, &format!("{write} unreachable"));
    let text = run(&guest, Permissions::default()).unwrap_err().to_string();
    assert!(text.contains("unreachable"), "{text}");
    assert!(text.ends_with("it said last:\nTraceback\nValueError: [31mheads are odd"), "{text:?}");
    let quiet = guests::system(imports, &format!("{write} {UNCHANGED}"));
    assert!(run(&quiet, Permissions::default()).is_ok());
}

#[test]
fn only_granted_folders_are_there() {
    let imports = r#"
        (import "wasi:filesystem/preopens@0.2.0" "get-directories" (func $folders (param i32)))"#;
    let guest = guests::system(
        imports,
        &format!(
            "(call $folders (i32.const 600))
             (i32.store (i32.const 512) (i32.load (i32.const 604))) {GIVE}"
        ),
    );
    assert_eq!(run(&guest, Permissions::default()).unwrap()[0], 0);
    let folder = tempfile::tempdir().unwrap();
    let files = vec![FileGrant { path: folder.path().into(), write: false }];
    let permissions = Permissions { files, ..Permissions::default() };
    assert_eq!(run(&guest, permissions).unwrap()[0], 1);
    let files = vec![FileGrant { path: folder.path().join("absent"), write: false }];
    let options =
        WasmOptions { permissions: Permissions { files, ..Permissions::default() }, ..options() };
    let text = Plugin::wasm(engine(), &guest, None, options).err().unwrap().to_string();
    assert!(text.contains("the granted folder") && text.contains("absent"), "{text}");
}
