//! Plugins as WebAssembly text, for whatever a plugin should not do.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{PackageId, Resolve};

/// What every module here begins with: a memory, an allocator that only goes forward, and a
/// description at 64 that names the plugin `guest`.
const COMMON: &str = r#"
    (memory (export "memory") 2)
    (global $next (mut i32) (i32.const 4096))
    (data (i32.const 16) "guest1.0.0A guest.")
    (data (i32.const 64)
        "\10\00\00\00\05\00\00\00" "\15\00\00\00\05\00\00\00" "\1a\00\00\00\08\00\00\00"
        "\00\00\00\00\00\00\00\00" "\00\00\00\00\00\00\00\00")
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
        (global.set $next (i32.add (local.get $at) (local.get 3)))
        (block $enough
            (br_if $enough
                (i32.le_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
            (drop (memory.grow (i32.add (i32.div_u (local.get 3) (i32.const 65536)) (i32.const 1)))))
        (local.get $at))
    (func (export "vitral:plugin/description@CONTRACT#describe") (result i32) (i32.const 64))
"#;

/// An image augmentation whose `augment` has this body. Its locals are the image (0 width, 1 height,
/// 2 channels, 3 pixels, 4 their count) and the sample (5 seed, 6 epoch, 7 size), `$i` is free, and
/// it returns the address of a `result<option<image>, string>`; 256 holds "no change".
pub fn image(augment: &str) -> Vec<u8> {
    image_with(augment, "")
}

/// The same with more in the module.
pub fn image_with(augment: &str, more: &str) -> Vec<u8> {
    component(&image_module(augment, more), "image-augmentation")
}

fn image_module(augment: &str, more: &str) -> String {
    format!(
        r#"(module
            {more}
            {COMMON}
            (func (export "vitral:plugin/image-augmentations@CONTRACT#configure")
                (param i32 i32) (result i32) (i32.const 256))
            (func $augment (export "vitral:plugin/image-augmentations@CONTRACT#augment")
                (param i32 i32 i32 i32 i32 i64 i32 i32) (result i32)
                (local $i i32)
                {augment}))"#
    )
}

/// An attention whose `trace` has this body: locals 8, 9 and 10 are query, key and value, `$i` is
/// free; it returns the address of a `result<tensor, string>`. `$apply` takes an op's name, no
/// attributes and one operand, and gives its first result; `$gives` lets go of query, key and value.
pub fn attention(trace: &str) -> Vec<u8> {
    let module = format!(
        r#"(module
            (import "vitral:plugin/tensors@CONTRACT" "apply"
                (func $raw (param i32 i32 i32 i32 i32 i32 i32 i32 i32)))
            (import "vitral:plugin/tensors@CONTRACT" "[resource-drop]tensor"
                (func $drop (param i32)))
            (global $query (mut i32) (i32.const 0))
            {COMMON}
            (data (i32.const 512) "abs")
            (func $apply (param $operand i32) (result i32)
                (global.set $next (i32.const 4096))
                (i32.store (i32.const 520) (local.get $operand))
                (call $raw (i32.const 512) (i32.const 3) (i32.const 0) (i32.const 0)
                    (i32.const 520) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 528))
                (i32.load (i32.load (i32.const 528))))
            (func $gives (param $tensor i32) (result i32)
                (call $drop (global.get $query))
                (call $drop (i32.add (global.get $query) (i32.const 1)))
                (call $drop (i32.add (global.get $query) (i32.const 2)))
                (i32.store (i32.const 256) (i32.const 0))
                (i32.store (i32.const 260) (local.get $tensor))
                (i32.const 256))
            (func (export "vitral:plugin/attentions@CONTRACT#configure")
                (param i32 i32) (result i32) (i32.const 1024))
            (func (export "vitral:plugin/attentions@CONTRACT#trace")
                (param i32 i32 i32 i32 i32 i32 i32 f64 i32 i32 i32) (result i32)
                (local $i i32)
                (global.set $query (local.get 8))
                {trace}))"#
    );
    component(&module, "attention")
}

/// A monitor that counts in `$count` what it hears, what the data path did as 10, a return to a
/// checkpoint as 100, and the experiment as 50; this is the body of `observe` after counting. It returns the address of a `result<list<action>, string>`; 256 holds "no
/// actions". Its state is its count.
pub fn monitor(observe: &str) -> Vec<u8> {
    let module = format!(
        r#"(module
            (global $count (mut i32) (i32.const 0))
            {COMMON}
            (func (export "vitral:plugin/monitors@CONTRACT#configure")
                (param i32 i32) (result i32)
                (i32.store (i32.const 1028) (i32.const 2)) (i32.const 1024))
            (func (export "vitral:plugin/monitors@CONTRACT#observe") (param i32) (result i32)
                (global.set $next (i32.const 4096))
                (global.set $count (i32.add (global.get $count) (i32.const 1)))
                {observe})
            (func (export "vitral:plugin/data-monitors@CONTRACT#observe-data")
                (param i64 f64 f64 f64 i32 i32 i32 i32) (result i32)
                (global.set $next (i32.const 4096))
                (global.set $count (i32.add (global.get $count) (i32.const 10)))
                (i32.const 256))
            (func (export "vitral:plugin/roll-back-monitors@CONTRACT#observe-roll-back")
                (param i64 i64 i32 i32) (result i32)
                (global.set $next (i32.const 4096))
                (global.set $count (i32.add (global.get $count) (i32.const 100)))
                (i32.const 256))
            (func (export "vitral:plugin/configuration-monitors@CONTRACT#observe-configuration")
                (param i32 i32 i32 i32) (result i32)
                (global.set $next (i32.const 4096))
                (global.set $count (i32.add (global.get $count) (i32.const 50)))
                (i32.const 256))
            (func (export "vitral:plugin/monitors@CONTRACT#save") (result i32)
                (i32.store (i32.const 512) (global.get $count))
                (i32.store (i32.const 520) (i32.const 512))
                (i32.store (i32.const 524) (i32.const 1))
                (i32.const 520))
            (func (export "vitral:plugin/monitors@CONTRACT#restore") (param i32 i32) (result i32)
                (if (i32.ne (local.get 1) (i32.const 1)) (then unreachable))
                (global.set $count (i32.load8_u (local.get 0)))
                (i32.const 1040)))"#
    );
    component(&module, "monitor")
}

/// An image augmentation, as [`image_with`], that imports interfaces of WASI.
pub fn system(imports: &str, augment: &str) -> Vec<u8> {
    let wit = "package test:guest;
        world guest {
            include vitral:plugin/image-augmentation@CONTRACT;
            import wasi:cli/stdout@0.2.0;
            import wasi:cli/stderr@0.2.0;
            import wasi:http/types@0.2.0;
            import wasi:clocks/wall-clock@0.2.0;
            import wasi:clocks/monotonic-clock@0.2.0;
            import wasi:filesystem/preopens@0.2.0;
            import wasi:random/random@0.2.0;
            import wasi:sockets/instance-network@0.2.0;
            import wasi:sockets/ip-name-lookup@0.2.0;
            import wasi:sockets/tcp@0.2.0;
            import wasi:sockets/tcp-create-socket@0.2.0;
        }";
    let mut resolve = contract();
    for package in WASI {
        resolve.push_str("wasi.wit", package).unwrap();
    }
    let package = resolve.push_str("guest.wit", &of_contract(wit)).unwrap();
    encode(&image_module(augment, imports), resolve, package, "guest")
}

/// What tests use of WASI.
const WASI: [&str; 7] = [
    "package wasi:io@0.2.0;
     interface error { resource error; }
     interface poll { resource pollable { block: func(); } }
     interface streams {
         use error.{error};
         variant stream-error { last-operation-failed(error), closed }
         resource output-stream {
             blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
         }
         resource input-stream;
     }",
    "package wasi:cli@0.2.0;
     interface stdout {
         use wasi:io/streams@0.2.0.{output-stream};
         get-stdout: func() -> output-stream;
     }
     interface stderr {
         use wasi:io/streams@0.2.0.{output-stream};
         get-stderr: func() -> output-stream;
     }",
    "package wasi:clocks@0.2.0;
     interface wall-clock {
         record datetime { seconds: u64, nanoseconds: u32 }
         now: func() -> datetime;
     }
     interface monotonic-clock {
         use wasi:io/poll@0.2.0.{pollable};
         now: func() -> u64;
         subscribe-duration: func(when: u64) -> pollable;
     }",
    "package wasi:filesystem@0.2.0;
     interface types { resource descriptor; }
     interface preopens {
         use types.{descriptor};
         get-directories: func() -> list<tuple<descriptor, string>>;
     }",
    "package wasi:random@0.2.0;
     interface random { get-random-u64: func() -> u64; }",
    "package wasi:http@0.2.0;
     interface types {
         use wasi:io/streams@0.2.0.{output-stream};
         resource fields { constructor(); }
         resource body { write: func() -> output-stream; }
      }",
    "package wasi:sockets@0.2.0;
     interface network {
         resource network;
         enum error-code {
             unknown, access-denied, not-supported, invalid-argument, out-of-memory, timeout,
             concurrency-conflict, not-in-progress, would-block, invalid-state, new-socket-limit,
             address-not-bindable, address-in-use, remote-unreachable, connection-refused,
             connection-reset, connection-aborted, datagram-too-large, name-unresolvable,
             temporary-resolver-failure, permanent-resolver-failure,
         }
         enum ip-address-family { ipv4, ipv6 }
         type ipv4-address = tuple<u8, u8, u8, u8>;
         type ipv6-address = tuple<u16, u16, u16, u16, u16, u16, u16, u16>;
         record ipv4-socket-address { port: u16, address: ipv4-address }
         record ipv6-socket-address {
             port: u16, flow-info: u32, address: ipv6-address, scope-id: u32,
         }
         variant ip-socket-address { ipv4(ipv4-socket-address), ipv6(ipv6-socket-address) }
     }
     interface instance-network {
         use network.{network};
         instance-network: func() -> network;
     }
     interface ip-name-lookup {
         use network.{network, error-code};
         resource resolve-address-stream;
         resolve-addresses: func(network: borrow<network>, name: string)
             -> result<resolve-address-stream, error-code>;
     }
     interface tcp {
         use network.{network, error-code, ip-socket-address};
         use wasi:io/poll@0.2.0.{pollable};
         use wasi:io/streams@0.2.0.{input-stream, output-stream};
         resource tcp-socket {
             start-connect: func(network: borrow<network>, remote-address: ip-socket-address)
                 -> result<_, error-code>;
             finish-connect: func() -> result<tuple<input-stream, output-stream>, error-code>;
             subscribe: func() -> pollable;
         }
     }
     interface tcp-create-socket {
         use network.{error-code, ip-address-family};
         use tcp.{tcp-socket};
         create-tcp-socket: func(family: ip-address-family) -> result<tcp-socket, error-code>;
     }",
];

/// A component of a module, for a world of the contract.
pub fn component(module: &str, world: &str) -> Vec<u8> {
    let resolve = contract();
    let package = resolve.packages.iter().next().unwrap().0;
    encode(module, resolve, package, world)
}

/// A text with the contract's version.
fn of_contract(text: &str) -> String {
    let (major, minor) = vitral_abi::VERSION;
    text.replace("CONTRACT", &format!("{major}.{minor}.0"))
}

fn contract() -> Resolve {
    let mut resolve = Resolve::default();
    resolve.push_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/wit")).unwrap();
    resolve
}

fn encode(module: &str, resolve: Resolve, package: PackageId, world: &str) -> Vec<u8> {
    let mut module = wat::parse_str(of_contract(module)).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
}
