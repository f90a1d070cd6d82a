//! What components get of the system, granted or not.

use std::net::TcpListener;

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
    let network =
        Permissions { network: vec!["lab:80".parse().unwrap()], ..Permissions::default() };
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

/// What WASI calls what is not allowed.
const DENIED: u8 = 1;

fn reaching(peers: &[String]) -> Permissions {
    let network = peers.iter().map(|peer| peer.parse().unwrap()).collect();
    Permissions { network, ..Permissions::default() }
}

/// An augmentation that connects to a port of this machine. Its image is 0 if it could, or else 1 and why,
/// and 2 if it gets no socket.
fn connecting(port: u16) -> Vec<u8> {
    let imports = r#"
        (import "wasi:sockets/instance-network@0.2.0" "instance-network"
            (func $network (result i32)))
        (import "wasi:sockets/tcp-create-socket@0.2.0" "create-tcp-socket"
            (func $create (param i32 i32)))
        (import "wasi:sockets/tcp@0.2.0" "[method]tcp-socket.start-connect" (func $connect
            (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
        (import "wasi:sockets/tcp@0.2.0" "[method]tcp-socket.subscribe"
            (func $subscribe (param i32) (result i32)))
        (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
        (import "wasi:sockets/tcp@0.2.0" "[method]tcp-socket.finish-connect"
            (func $finish (param i32 i32)))"#;
    let connect = format!(
        "(local $socket i32)
         (i32.store (i32.const 512) (i32.const 2))
         (call $create (i32.const 0) (i32.const 600))
         (if (i32.eqz (i32.load8_u (i32.const 600))) (then
             (local.set $socket (i32.load (i32.const 604)))
             (call $connect (local.get $socket) (call $network) (i32.const 0) (i32.const {port})
                 (i32.const 127) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0)
                 (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 616))
             (call $block (call $subscribe (local.get $socket)))
             (call $finish (local.get $socket) (i32.const 624))
             (i32.store8 (i32.const 512) (i32.load8_u (i32.const 624)))
             (i32.store8 (i32.const 513) (i32.load8_u (i32.const 628)))))
         {GIVE}"
    );
    guests::system(imports, &connect)
}

#[test]
fn only_granted_ports_of_granted_hosts_are_connected_to() {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [port, other] = listeners.each_ref().map(|it| it.local_addr().unwrap().port());
    let granted = reaching(&[format!("127.0.0.1:{port}")]);
    assert_eq!(run(&connecting(port), granted.clone()).unwrap()[0], 0);
    listeners[0].accept().unwrap();
    assert_eq!(run(&connecting(other), granted).unwrap()[..2], [1, DENIED]);
    // Of a name only what a lookup of it has found is known.
    let by_name = reaching(&[format!("localhost:{port}")]);
    assert_eq!(run(&connecting(port), by_name).unwrap()[..2], [1, DENIED]);
    assert_eq!(run(&connecting(port), Permissions::default()).unwrap()[0], 2);
    for listener in &listeners {
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "nobody else has connected");
    }
}

#[test]
fn only_granted_names_are_looked_up() {
    let imports = r#"
        (import "wasi:sockets/instance-network@0.2.0" "instance-network"
            (func $network (result i32)))
        (import "wasi:sockets/ip-name-lookup@0.2.0" "resolve-addresses"
            (func $resolve (param i32 i32 i32 i32)))"#;
    let guest = |name: &str| {
        let bytes = name.bytes().enumerate();
        let name_at =
            |(at, byte)| format!("(i32.store8 (i32.const {}) (i32.const {byte}))", 640 + at);
        let stores: String = bytes.map(name_at).collect();
        let length = name.len();
        let resolve = format!(
            "{stores}
             (call $resolve (call $network) (i32.const 640) (i32.const {length}) (i32.const 600))
             (i32.store8 (i32.const 512) (i32.load8_u (i32.const 600)))
             (i32.store8 (i32.const 513) (i32.load8_u (i32.const 604)))
             {GIVE}"
        );
        guests::system(imports, &resolve)
    };
    let granted = reaching(&["localhost:80".into()]);
    assert_eq!(run(&guest("LocalHost"), granted.clone()).unwrap()[0], 0);
    assert_eq!(run(&guest("vitral.invalid"), granted).unwrap()[..2], [1, DENIED]);
}
