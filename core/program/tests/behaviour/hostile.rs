//! Bytes that are not what they claim to be: refused with a reason, never a panic or a hang.

use vitral_program::{Limits, Program, ProgramError};

use crate::every_op::every_op;
use crate::support::small;

fn load(bytes: &[u8]) -> Result<Program, ProgramError> {
    Program::from_bytes(bytes, &Limits::default())
}

/// The small program with a change.
fn changed(from: &str, to: &str) -> String {
    let text = String::from_utf8(small().to_bytes()).unwrap();
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1)
}

/// The small program's text with a change is refused with this in the message.
#[track_caller]
fn refused(from: &str, to: &str, message: &str) {
    let error = load(changed(from, to).as_bytes()).expect_err(to).to_string();
    assert!(error.contains(message), "{error}");
}

#[test]
fn truncated_programs_are_refused() {
    for program in [small(), every_op()] {
        let bytes = program.to_bytes();
        // The last two bytes are the closing parenthesis and a line's end.
        for length in (0..bytes.len() - 2).rev().step_by(bytes.len() / 1000 + 1) {
            assert!(load(&bytes[..length]).is_err(), "{length} of {} bytes", bytes.len());
        }
    }
}

#[test]
fn a_changed_bit_is_refused_or_makes_another_valid_program() {
    let bytes = small().to_bytes();
    for position in 0..bytes.len() {
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[position] ^= 1 << bit;
            if let Ok(program) = load(&bytes) {
                assert_eq!(load(&program.to_bytes()).as_ref(), Ok(&program));
            }
        }
    }
}

#[test]
fn changed_bytes_all_over_every_op_never_panic() {
    let bytes = every_op().to_bytes();
    for position in (0..bytes.len()).step_by(3) {
        let mut bytes = bytes.clone();
        bytes[position] ^= 1 << (position % 7);
        let _ = load(&bytes);
    }
}

#[test]
fn what_is_no_program_is_refused() {
    for (bytes, message) in [
        (&b""[..], "not a tensor program"),
        (b"\xff\xfe", "not a tensor program: invalid utf-8"),
        (b"()", "missing field named `format`"),
        (b"(format: 1)", "missing field named `name`"),
        (
            b"(format: 2, news: [])",
            "the program has format 2, but this version of Vitral reads formats 1 to 1",
        ),
        (b"(format: 0)", "format 0"),
        (b"(format: -1)", "not a tensor program"),
    ] {
        let error = load(bytes).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn deep_nesting_is_refused_without_recursion() {
    for (open, close) in [("[", "]"), ("(", ")"), ("Some(", ")"), ("{0:", "}")] {
        let deep = open.repeat(200_000) + &close.repeat(200_000);
        assert!(load(deep.as_bytes()).is_err());
        let error = load(format!("(format: 1, extra: {deep})").as_bytes()).unwrap_err().to_string();
        assert!(error.contains("nested deeper than 16 levels"), "{error}");
        assert!(!error.contains("recursion"), "{error}");
        assert!(load(changed("inputs: [", &format!("inputs: [{deep}, ")).as_bytes()).is_err());
    }
}

#[test]
fn more_bytes_than_the_limit_are_not_read() {
    let limits = Limits { serialised_bytes: 100, ..Limits::default() };
    let error = Program::from_bytes(&[b'('; 101], &limits).unwrap_err().to_string();
    assert_eq!(error, "a program of 101 bytes is too large: at most 100 are read");
}

#[test]
fn a_million_nodes_are_refused() {
    let node = "(op:\"abs\",operands:[0],types:[]),";
    let text = changed("nodes: [", &format!("nodes: [{}", node.repeat(1_000_000)));
    let limits = Limits { serialised_bytes: usize::MAX, nodes: usize::MAX, ..Limits::default() };
    let error = Program::from_bytes(text.as_bytes(), &limits).unwrap_err().to_string();
    assert!(error.contains("a list has more than 65536 items"), "{error}");
    let error = load(text.as_bytes()).unwrap_err();
    assert!(matches!(error, ProgramError::Size { .. }), "{error}");
    let few = changed("nodes: [", &format!("nodes: [{}", node.repeat(5000)));
    let error = load(few.as_bytes()).unwrap_err().to_string();
    assert_eq!(error, "nodes: 5004 nodes are too many: the limit is 4096");
}

#[test]
fn impossible_sizes_are_refused() {
    refused(
        "f32[B,3]",
        "f32[B,18446744073709551615]",
        "input `x`: [B, 18446744073709551615] has too many",
    );
    refused("f32[B,3]", "f32[B,4294967296,4294967296]", "too many elements");
    refused(
        "f32[B,3]",
        "f32[B,1000000000]",
        "1000000000 elements per batch item, but the limit is 67108864",
    );
    refused("f32[B,3]", "f32[B,B]", "the batch in two dimensions");
    refused("f32[B,3]", "f32[0]", "empty dimension");
    refused("f32[B,3]", "f32[1,1,1,1,1,1,1,1,1]", "9 dimensions are too many");
    refused("[3, 3]", "[B, 3]", "parameter `weight`: [B, 3] has the batch in it");
    refused(
        "Int(1)",
        "Int(9223372036854775807)",
        "attribute `axis`: 9223372036854775807 is not an integer",
    );
    refused("std: 0.02", "std: -1.0", "std is -1");
    refused("std: 0.02", "std: NaN", "std is NaN");
}

#[test]
fn wrong_structure_is_refused() {
    refused(
        "operands: [2]",
        "operands: [3]",
        "node 1, softmax `weights`: operand %3 does not precede its use",
    );
    refused("operands: [2]", "operands: [4294967295]", "operand %4294967295 does not precede");
    refused("operands: [2]", "operands: [2, 2]", "takes 1 operands (input), not 2");
    refused("value: 5", "value: 6", "output `y`: there is no value %6");
    refused("op: \"linear\"", "op: \"lineal\"", "node 0, lineal `mixed`: there is no op `lineal`");
    refused("(\"axis\", Int(1))", "(\"axes\", Int(1))", "attribute `axis` is missing");
    refused(
        "(\"axis\", Int(1))",
        "(\"axis\", Int(1)), (\"axis\", Int(1))",
        "repeated attribute `axis`",
    );
    refused("Int(1)", "Int(2)", "there is no axis 2");
    refused("Int(1)", "Text(\"1\")", "attribute `axis`: 1 is not an integer");
    refused("Floats([0.5])", "Floats([NaN])", "NaN is not a number that fits 32 bits");
    refused("decay: true", "decay: true, decays: true", "not a tensor program");
    refused(
        "(name: \"y\", value: 5),",
        "(name: \"y\", value: 5), (name: \"y\", value: 5),",
        "more than one output of that name",
    );
    refused("name: \"x\"", "name: \"\"", "`` is not a name");
    refused("name: \"x\"", "name: \"../x\"", "`../x` is not a name: use letters, digits");
    refused("label: \"mixed\"", "label: \"\\u{1b}[31m\"", "has control characters");
    refused("name: \"small\"", "name: \"a b\"", "name: `a b` is not a name");
}

#[test]
fn types_that_do_not_follow_are_refused() {
    let error = "node 0, linear `mixed`: is said to result in f32[B,4], but results in f32[B,3]";
    refused("[\"f32[B,3]\"], label: \"mixed\"", "[\"f32[B,4]\"], label: \"mixed\"", error);
    refused(
        "[\"f32[B,3]\"], label: \"mixed\"",
        "[], label: \"mixed\"",
        "is said to result in , but",
    );
}
