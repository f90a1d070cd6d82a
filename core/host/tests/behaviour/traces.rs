//! Traces that go wrong.

use vitral_host::Cause;

use crate::{guests, support::*};

fn failure(body: &str) -> (Cause, String) {
    let plugin = open(&guests::attention(body)).unwrap();
    let error = trace(&plugin).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("layer 0 of 1, 2 heads of width 4"), "{text}");
    (error.cause, text)
}

#[test]
fn a_trace_becomes_a_program() {
    let plugin = open(&guests::attention("(call $gives (call $apply (local.get 8)))")).unwrap();
    let program = trace(&plugin).unwrap();
    assert_eq!(program.nodes().len(), 1);
    assert_eq!(program.inputs()[0].name, "query");
    assert_eq!(program, trace(&plugin).unwrap(), "the same each time");
}

#[test]
fn handles_that_are_none_are_traps() {
    for body in ["(call $gives (call $apply (i32.const 12345)))", "(call $gives (i32.const 77))"] {
        let (cause, _) = failure(body);
        assert!(matches!(cause, Cause::Trapped(_)), "{cause:?}");
    }
}

#[test]
fn an_op_that_there_is_not_poisons_what_follows() {
    // The name at 512 becomes `zbs`.
    let (cause, text) = failure(
        "(i32.store8 (i32.const 512) (i32.const 122))
         (local.set $i (call $apply (local.get 8)))
         (i32.store8 (i32.const 512) (i32.const 97))
         (call $gives (call $apply (local.get $i)))",
    );
    assert!(matches!(&cause, Cause::Trace(errors) if errors.errors.len() == 1), "{cause:?}");
    assert!(text.contains("there is no op `zbs`"), "{text}");
}

#[test]
fn a_program_of_a_million_nodes_is_refused() {
    let (cause, text) = failure(
        "(local.set 8 (call $apply (local.get 8)))
         (loop $again
             (local.set 8 (call $apply (local.get 8)))
             (local.set $i (i32.add (local.get $i) (i32.const 1)))
             (br_if $again (i32.lt_u (local.get $i) (i32.const 90000))))
         (call $gives (local.get 8))",
    );
    assert!(matches!(cause, Cause::Trace(_)), "{text}");
    assert!(text.contains("4097 nodes are too many: the limit is 4096"), "{text}");
}

#[test]
fn tensors_without_end_are_stopped() {
    let (cause, _) = failure(
        "(loop $again (drop (call $apply (local.get 8))) (br $again)) (call $gives (local.get 8))",
    );
    assert!(matches!(cause, Cause::Trapped(_) | Cause::TimedOut(_)), "{cause:?}");
}

#[test]
fn a_panic_while_tracing_is_a_trap() {
    let (cause, _) = failure("unreachable");
    assert!(matches!(cause, Cause::Trapped(_)), "{cause:?}");
}
