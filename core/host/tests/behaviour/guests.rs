//! Plugins as WebAssembly text, for whatever a plugin should not do.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

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
    (func (export "vitral:plugin/description@1.0.0#describe") (result i32) (i32.const 64))
"#;

/// An image augmentation whose `augment` has this body. Its locals are the image (0 width, 1 height,
/// 2 channels, 3 pixels, 4 their count) and the sample (5 seed, 6 epoch, 7 size), `$i` is free, and
/// it returns the address of a `result<option<image>, string>`; 256 holds "no change".
pub fn image(augment: &str) -> Vec<u8> {
    image_with(augment, "")
}

/// The same with more in the module.
pub fn image_with(augment: &str, more: &str) -> Vec<u8> {
    let module = format!(
        r#"(module
            {more}
            {COMMON}
            (func (export "vitral:plugin/image-augmentations@1.0.0#configure")
                (param i32 i32) (result i32) (i32.const 256))
            (func $augment (export "vitral:plugin/image-augmentations@1.0.0#augment")
                (param i32 i32 i32 i32 i32 i64 i32 i32) (result i32)
                (local $i i32)
                {augment}))"#
    );
    component(&module, "image-augmentation")
}

/// An attention whose `trace` has this body: locals 8, 9 and 10 are query, key and value, `$i` is
/// free; it returns the address of a `result<tensor, string>`. `$apply` takes an op's name, no
/// attributes and one operand, and gives its first result; `$gives` lets go of query, key and value.
pub fn attention(trace: &str) -> Vec<u8> {
    let module = format!(
        r#"(module
            (import "vitral:plugin/tensors@1.0.0" "apply"
                (func $raw (param i32 i32 i32 i32 i32 i32 i32 i32 i32)))
            (import "vitral:plugin/tensors@1.0.0" "[resource-drop]tensor"
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
            (func (export "vitral:plugin/attentions@1.0.0#configure")
                (param i32 i32) (result i32) (i32.const 1024))
            (func (export "vitral:plugin/attentions@1.0.0#trace")
                (param i32 i32 i32 i32 i32 i32 i32 f64 i32 i32 i32) (result i32)
                (local $i i32)
                (global.set $query (local.get 8))
                {trace}))"#
    );
    component(&module, "attention")
}

/// A component of a module, for a world of the contract.
pub fn component(module: &str, world: &str) -> Vec<u8> {
    let mut module = wat::parse_str(module).unwrap();
    let mut resolve = Resolve::default();
    let wit = concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/wit");
    let (package, _) = resolve.push_path(wit).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
}
