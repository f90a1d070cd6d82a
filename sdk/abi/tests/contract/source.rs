//! The C types as Rust source, which the header is made of: what is written by hand, and what follows
//! from the contract's lists, for a tool that expands no macros.

use std::fmt::Write;

use crate::list::{Case, Record, events, records, values};

/// What is written by hand comes from these, the documentation of the first included.
const HAND_WRITTEN: [&str; 6] = [
    include_str!("../../src/c.rs"),
    include_str!("../../src/c/list.rs"),
    include_str!("../../src/c/description.rs"),
    include_str!("../../src/c/trace.rs"),
    include_str!("../../src/c/monitor.rs"),
    include_str!("../../src/c/tables.rs"),
];

/// All of it.
pub fn source() -> String {
    let (major, minor) = vitral_abi::VERSION;
    let mut source: String = HAND_WRITTEN[0]
        .lines()
        .take_while(|line| line.starts_with("//!"))
        .flat_map(|line| [line, "\n"])
        .collect();
    for text in HAND_WRITTEN {
        source += &without_uses(text);
    }
    source = source
        .replace("crate::VERSION.0", &major.to_string())
        .replace("crate::VERSION.1", &minor.to_string());
    let (first, later) = events();
    let events: Vec<_> = first.into_iter().chain(later).collect();
    tagged(
        &mut source,
        "Value",
        "The value of a parameter or of an op's attribute",
        "The value",
        &values(),
    );
    for record in records().iter().filter(|record| !record.is_irregular) {
        structure(&mut source, record);
    }
    let event = "Something that happened in a run. A plugin ignores tags that it does not know";
    tagged(&mut source, "Event", event, "What happened", &events);
    source
}

/// Without imports and the documentation of modules.
fn without_uses(text: &str) -> String {
    let is_import = |line: &str| ["mod ", "use ", "pub use "].iter().any(|it| line.starts_with(it));
    let mut kept = String::new();
    let mut is_in_import = false;
    for line in text.lines() {
        if is_in_import || is_import(line) {
            is_in_import = !line.ends_with(';');
        } else if !line.starts_with("//!") {
            kept += line;
            kept += "\n";
        }
    }
    kept
}

fn documented(source: &mut String, indent: &str, doc: &str) {
    for line in doc.lines() {
        writeln!(source, "{indent}/// {line}").unwrap();
    }
}

fn structure(source: &mut String, record: &Record) {
    documented(source, "", &record.doc);
    writeln!(source, "#[repr(C)]\npub struct {} {{", record.name).unwrap();
    for field in &record.fields {
        documented(source, "    ", &field.doc);
        documented(source, "    ", unknown(&field.r#type));
        writeln!(source, "    pub {}: {},", field.name, c_type(&field.r#type)).unwrap();
    }
    source.push_str("}\n");
}

/// A tag, and a union of what it may stand for.
fn tagged(source: &mut String, name: &str, doc: &str, data: &str, cases: &[Case]) {
    for case in cases {
        writeln!(source, "/// `{name}::tag`: `{}` is set.", case.field).unwrap();
        if let Some(later) = &case.later {
            writeln!(source, "/// Since contract 1.{}.", later.minor).unwrap();
        }
        writeln!(source, "pub const {}: u32 = {};", case.tag, case.number).unwrap();
    }
    writeln!(source, "/// What a [`{name}`] holds, by its tag.\n#[repr(C)]").unwrap();
    writeln!(source, "pub union {name}Data {{").unwrap();
    for case in cases {
        documented(source, "    ", &case.doc);
        writeln!(source, "    pub {}: {},", case.field, c_type(&case.r#type)).unwrap();
    }
    write!(
        source,
        "}}\n/// {doc}.\n#[repr(C)]\npub struct {name} {{\n    \
         /// Which field of `data` is set.\n    pub tag: u32,\n    \
         /// {data}.\n    pub data: {name}Data,\n}}\n"
    )
    .unwrap();
}

/// What stands in C for what is not known.
fn unknown(plain: &str) -> &'static str {
    match plain {
        "Option<f64>" => "NaN if it is not known.",
        "Option<u64>" => "`UINT64_MAX` if it is not known.",
        _ => "",
    }
}

/// What [`Form`](vitral_abi::c::Form) makes of a type; the compiled structs are compared with it.
fn c_type(plain: &str) -> String {
    if let Some(item) = plain.strip_prefix("Vec<").and_then(|it| it.strip_suffix('>')) {
        return format!("List<{}>", c_type(item));
    }
    match plain {
        "String" => "Text",
        "bool" => "u8",
        "Option<f64>" => "f64",
        "Option<u64>" => "u64",
        other => other,
    }
    .to_owned()
}
