//! The serialised form: what it looks like, and that it comes back the same.

use std::path::Path;

use vitral_program::{Limits, Program, ProgramError};

use crate::attention::window_attention;
use crate::every_op::every_op;
use crate::support::small;

fn load(bytes: &[u8]) -> Result<Program, ProgramError> {
    Program::from_bytes(bytes, &Limits::default())
}

#[test]
fn programs_come_back_the_same() {
    for program in [small(), every_op(), window_attention()] {
        assert_eq!(load(&program.to_bytes()).unwrap(), program);
    }
}

/// Checkpoints hold programs in this form. Whatever changes here must be a new format, or an op or
/// attribute that format 1 did not have. The file has every op in it.
#[test]
fn format_1_is_pinned() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/every_op.v1.ron");
    let golden = std::fs::read(&path).unwrap_or_default();
    let written = every_op().to_bytes();
    if golden != written {
        let found = Path::new(env!("CARGO_TARGET_TMPDIR")).join("every_op.v1.ron");
        std::fs::write(&found, &written).unwrap();
        panic!("{} is not what is written now, which is in {}", path.display(), found.display());
    }
    assert_eq!(load(&golden).unwrap(), every_op());
}

#[test]
fn a_small_program_is_readable() {
    assert_eq!(
        String::from_utf8(small().to_bytes()).unwrap(),
        r#"(
  format: 1,
  name: "small",
  inputs: [
    (name: "x", type: "f32[B,3]"),
  ],
  parameters: [
    (name: "weight", shape: "[3, 3]", initializer: TruncatedNormal(std: 0.02), decay: true),
  ],
  nodes: [
    (op: "linear", operands: [0, 1], types: ["f32[B,3]"], label: "mixed"),
    (op: "softmax", operands: [2], attributes: [("axis", Int(1))], types: ["f32[B,3]"], label: "weights"),
    (op: "constant", attributes: [("type", Text("f32[]")), ("values", Floats([0.5]))], types: ["f32[]"], label: "half"),
    (op: "mul", operands: [3, 4], types: ["f32[B,3]"]),
  ],
  outputs: [
    (name: "y", value: 5),
    (name: "weights", value: 3),
  ],
)
"#
    );
}

#[test]
fn same_structure_ignores_names_and_initial_values() {
    let program = small();
    let text = String::from_utf8(program.to_bytes()).unwrap();
    let changed = |from: &str, to: &str| load(text.replace(from, to).as_bytes()).unwrap();
    for (from, to) in [
        (r#"name: "small""#, r#"name: "other""#),
        (r#"label: "mixed""#, r#"label: "remixed""#),
        ("std: 0.02", "std: 0.5"),
        ("decay: true", "decay: false"),
        (r#"name: "weight""#, r#"name: "kernel""#),
    ] {
        let other = changed(from, to);
        assert_ne!(other, program);
        assert!(other.same_structure(&program), "{to}");
    }
    for (from, to) in [
        ("Floats([0.5])", "Floats([0.25])"),
        ("Int(1)", "Int(0)"),
        ("operands: [3, 4]", "operands: [2, 4]"),
        ("value: 5", "value: 2"),
        (r#"op: "mul""#, r#"op: "add""#),
    ] {
        assert!(!changed(from, to).same_structure(&program), "{to}");
    }
}
