//! What the WIT says of the contract's lists. It stands between lines that begin and end a part; the rest
//! is written by hand.

use std::fmt::Write;

use crate::list::{Case, Record, events, kebab, records};

/// Begins a part, whose name follows.
const BEGIN: &str = "// From sdk/abi/src/contract.rs: ";
/// Ends it.
const END: &str = "// End.";

/// The WIT with its parts as the contract gives them.
pub fn wit(committed: &str) -> String {
    let (major, minor) = vitral_abi::VERSION;
    let mut wit = String::new();
    let mut is_in_part = false;
    for line in committed.lines() {
        let text = line.trim_start();
        if text.starts_with("package ") {
            writeln!(wit, "package vitral:plugin@{major}.{minor}.0;").unwrap();
        } else if let Some(name) = text.strip_prefix(BEGIN) {
            writeln!(wit, "{line}").unwrap();
            wit += &part(name, &line[..line.len() - text.len()]);
            is_in_part = true;
        } else if text == END || !is_in_part {
            writeln!(wit, "{line}").unwrap();
            is_in_part = false;
        }
    }
    wit
}

fn part(name: &str, indent: &str) -> String {
    let (first, later) = events();
    let records = records();
    let of = |interface: &str| -> Vec<String> {
        records.iter().filter(|record| record.interface == interface).map(self::record).collect()
    };
    let blocks = match name.split_once(" of ") {
        Some(("records", interface)) => of(interface),
        _ if name == "events" => vec![variant(&first)],
        _ if name == "later events" => {
            later.iter().map(|event| interface(event, &of(&at(event).0))).collect()
        }
        _ if name == "what hears of later events" => {
            vec![later.iter().map(|event| format!("export {};\n", at(event).0)).collect()]
        }
        _ => panic!("the contract has no {name}"),
    };
    assert!(!blocks.is_empty(), "the contract has no {name}");
    let line = |line: &str| match line {
        "" => "\n".to_owned(),
        line => format!("{indent}{line}\n"),
    };
    blocks.join("\n").lines().map(line).collect()
}

/// The interface and the function of a later event.
fn at(event: &Case) -> (String, &str, u16) {
    let later = event.later.as_ref().unwrap();
    (later.interface.clone(), &later.function, later.minor)
}

fn documented(text: &mut String, indent: &str, doc: &str) {
    for line in doc.lines() {
        writeln!(text, "{indent}/// {line}").unwrap();
    }
}

fn record(record: &Record) -> String {
    let mut text = String::new();
    documented(&mut text, "", &record.doc);
    writeln!(text, "record {} {{", kebab(record.wit.unwrap_or(record.name))).unwrap();
    for field in &record.fields {
        documented(&mut text, "    ", &field.doc);
        writeln!(text, "    {}: {},", kebab(field.name), wit_type(&field.r#type)).unwrap();
    }
    text + "}\n"
}

fn variant(events: &[Case]) -> String {
    let mut text = String::from("/// What happened.\nvariant event {\n");
    for event in events {
        documented(&mut text, "    ", &event.doc);
        writeln!(text, "    {}({}),", kebab(event.name), wit_type(&event.r#type)).unwrap();
    }
    text + "}\n"
}

/// The interface of a later event: its records and its function.
fn interface(event: &Case, records: &[String]) -> String {
    let (name, function, minor) = at(event);
    let mut text = format!(
        "/// Since 1.{minor}.0; a monitor that is a component may leave it out.\n\
         interface {name} {{\n    use monitors.{{action}};\n\n"
    );
    for line in records.join("\n").lines() {
        writeln!(text, "{}{line}", if line.is_empty() { "" } else { "    " }).unwrap();
    }
    text.push('\n');
    documented(&mut text, "    ", &event.doc);
    let report = wit_type(&event.r#type);
    writeln!(text, "    {function}: func(report: {report}) -> result<list<action>, string>;")
        .unwrap();
    text + "}\n"
}

fn wit_type(plain: &str) -> String {
    let inner = |outer: &str| plain.strip_prefix(outer).and_then(|it| it.strip_suffix('>'));
    if let Some(item) = inner("Vec<") {
        return format!("list<{}>", wit_type(item));
    }
    if let Some(item) = inner("Option<") {
        return format!("option<{}>", wit_type(item));
    }
    match plain {
        "String" => "string".into(),
        "[u64;18]" => "list<u64>".into(),
        "bool" | "u32" | "u64" | "f64" => plain.into(),
        "i64" => "s64".into(),
        name => {
            let records = records();
            let named = records.iter().find(|record| record.name == name);
            kebab(named.and_then(|record| record.wit).unwrap_or(name))
        }
    }
}
