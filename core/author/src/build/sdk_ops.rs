//! The methods of tensors in Python and JavaScript are the ops of tensor programs: they are made from what these
//! declare, and this test holds the files to it.

use std::{fmt::Write, path::Path};

use vitral_program::{
    AttributeKind,
    ops::{self, Arity, OpInfo},
};

/// Set to rewrite them.
const BLESS: &str = "VITRAL_BLESS";

/// How many results the ops have that have several, in terms of their attributes in Python and JavaScript.
const SEVERAL: [(&str, &str, &str); 2] =
    [("split", "len(splits)", "splits.length"), ("topK", "2", "2")];

fn kind(kind: AttributeKind) -> &'static str {
    match kind {
        AttributeKind::Bool => "boolean",
        AttributeKind::Int => "integer",
        AttributeKind::Float => "number",
        AttributeKind::Ints => "integers",
        AttributeKind::Floats => "numbers",
        AttributeKind::Text => "text",
    }
}

fn snake(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

/// A name in Python.
fn python_name(name: &str) -> String {
    free(snake(name), &["input", "range", "type"])
}

/// A name in JavaScript.
fn javascript_name(name: &str) -> String {
    free(name.to_owned(), &["default", "false", "new", "true", "with"])
}

/// A name that the language leaves free.
fn free(name: String, taken: &[&str]) -> String {
    if taken.contains(&name.as_str()) { name + "_" } else { name }
}

/// What an op's method or function is made of.
struct Parts {
    /// The operands, the first of which is the tensor itself, if there is one.
    operands: Vec<String>,
    is_repeated: bool,
    /// Names that must be given, operands and attributes.
    needed: Vec<String>,
    /// Names that may be left out.
    optional: Vec<String>,
    /// Names in files, kinds, and names here.
    attributes: Vec<(&'static str, &'static str, String)>,
}

fn parts(op: &OpInfo, named: fn(&str) -> String) -> Parts {
    let is_repeated = op.operands.iter().any(|operand| operand.arity == Arity::Repeated);
    let mut operands: Vec<String> = op.operands.iter().map(|it| named(it.name)).collect();
    let (mut needed, mut optional) = (Vec::new(), Vec::new());
    for (at, operand) in op.operands.iter().enumerate() {
        match operand.arity {
            Arity::Optional => optional.push(named(operand.name)),
            Arity::Required if at == 0 => {}
            _ => needed.push(named(operand.name)),
        }
    }
    if let Some(first) = operands.first_mut().filter(|_| !is_repeated) {
        *first = "self".into();
    }
    let mut attributes = Vec::new();
    for attribute in op.attributes {
        let name = named(attribute.name);
        if attribute.required { &mut needed } else { &mut optional }.push(name.clone());
        attributes.push((attribute.name, kind(attribute.kind), name));
    }
    Parts { operands, is_repeated, needed, optional, attributes }
}

/// Ops that are methods of tensors, then those that are functions.
fn sorted() -> (Vec<OpInfo>, Vec<OpInfo>) {
    let mut all = ops::all().to_vec();
    all.sort_by_key(|op| op.name);
    all.into_iter()
        .partition(|op| op.operands.first().is_some_and(|operand| operand.arity == Arity::Required))
}

/// A text as lines of at most this width, each after an indent.
fn wrapped(text: &str, indent: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        if lines[last].len() + word.len() + indent.len() > 110 {
            lines.push(word.to_owned());
        } else {
            let space = if lines[last].is_empty() { "" } else { " " };
            lines[last] = format!("{}{space}{word}", lines[last]);
        }
    }
    lines.join(&format!("\n{indent}"))
}

/// What an op computes, and what its attributes mean.
fn about(op: &OpInfo, named: fn(&str) -> String, indent: &str) -> String {
    let mut text = wrapped(&op.doc(), indent);
    for attribute in op.attributes {
        let name = named(attribute.name);
        let line = wrapped(&format!("`{name}`: {}", attribute.doc()), indent);
        write!(text, "\n{indent}{line}").unwrap();
    }
    text
}

fn python_of(op: &OpInfo, indent: &str) -> String {
    let Parts { operands, is_repeated, needed, optional, attributes } = parts(op, python_name);
    let is_method = operands.first().is_some_and(|first| first == "self");
    let mut given = Vec::new();
    given.extend(is_method.then(|| "self".to_owned()));
    given.extend(needed);
    given.extend(optional.iter().map(|name| format!("{name}=None")));
    let operands = match is_repeated {
        true => format!("list({})", operands[0]),
        false => format!("_there({})", operands.join(", ")),
    };
    let attributes: Vec<String> = attributes
        .iter()
        .map(|(wire, kind, name)| format!("(\"{wire}\", \"{kind}\", {name})"))
        .collect();
    let (name, several) = (op.name, SEVERAL.iter().find(|it| it.0 == op.name));
    let (function, count) =
        several.map_or(("_one", String::new()), |it| ("_several", format!(", {}", it.1)));
    let doc = about(op, python_name, &format!("{indent}    "));
    let end = if doc.contains('\n') { format!("\n{indent}    ") } else { String::new() };
    format!(
        "{indent}def {}({}):\n{indent}    \"\"\"{doc}{end}\"\"\"\n{indent}    return {function}(\"{name}\", \
         {operands}, [{}]{count})\n",
        python_name(name),
        given.join(", "),
        attributes.join(", "),
    )
}

fn python() -> String {
    let (methods, functions) = sorted();
    let mut text = String::from(PYTHON);
    text +=
        "class Ops:\n    \"\"\"Ops whose first operand is a tensor.\"\"\"\n\n    __slots__ = ()\n";
    for op in &methods {
        write!(text, "\n{}", python_of(op, "    ")).unwrap();
    }
    for op in &functions {
        write!(text, "\n\n{}", python_of(op, "")).unwrap();
    }
    text
}

fn javascript_of(op: &OpInfo, indent: &str) -> String {
    let Parts { operands, is_repeated, needed, optional, attributes } = parts(op, javascript_name);
    let is_method = operands.first().is_some_and(|first| first == "self");
    let mut given = needed;
    if !optional.is_empty() {
        given.push(format!("{{ {} }} = {{}}", optional.join(", ")));
    }
    let operands: Vec<String> = operands
        .into_iter()
        .map(|name| if name == "self" { "this".to_owned() } else { name })
        .collect();
    let operands = match is_repeated {
        true => operands[0].clone(),
        false => format!("there([{}])", operands.join(", ")),
    };
    let attributes: Vec<String> = attributes
        .iter()
        .map(|(wire, kind, name)| format!("[\"{wire}\", \"{kind}\", {name}]"))
        .collect();
    let (name, several) = (op.name, SEVERAL.iter().find(|it| it.0 == op.name));
    let (function, count) =
        several.map_or(("one", String::new()), |it| ("several", format!(", {}", it.2)));
    let before = if is_method { String::new() } else { "export function ".into() };
    let name_here = if is_method { name.to_owned() } else { javascript_name(name) };
    format!(
        "{indent}/**\n{indent} * {}\n{indent} */\n{indent}{before}{name_here}({}) {{\n{indent}  return \
         {function}(\"{name}\", {operands}, [{}]{count});\n{indent}}}\n",
        about(op, javascript_name, &format!("{indent} * ")),
        given.join(", "),
        attributes.join(", "),
    )
}

fn javascript() -> String {
    let (methods, functions) = sorted();
    let mut text = String::from(JAVASCRIPT);
    text += "/** Ops whose first operand is a tensor. */\nexport class Ops {\n";
    text += &methods.iter().map(|op| javascript_of(op, "  ")).collect::<Vec<_>>().join("\n");
    text += "}\n";
    for op in &functions {
        write!(text, "\n{}", javascript_of(op, "")).unwrap();
    }
    text
}

const PYTHON: &str = r#""""The ops of tensor programs. Made from vitral-program by the tests of vitral-author; do not edit."""


def _there(*operands):
    return [operand for operand in operands if operand is not None]


def _several(op, operands, attributes, count):
    from .tensor import apply

    results = apply(op, operands, attributes)
    # Where an op does not fit there may be fewer, each of which is an error.
    return results + results[:1] * (count - len(results))


def _one(op, operands, attributes):
    return _several(op, operands, attributes, 1)[0]


"#;

const JAVASCRIPT: &str = r#"// The ops of tensor programs. Made from vitral-program by the tests of vitral-author; do not edit.

let apply;

/** Says what applies an op; the module of tensors does, which imports this one. */
export function appliedBy(function_) {
  apply = function_;
}

function there(operands) {
  return operands.filter((operand) => operand !== undefined);
}

function several(op, operands, attributes, count) {
  const results = apply(op, operands, attributes);
  // Where an op does not fit there may be fewer, each of which is an error.
  while (results.length < count) results.push(results[0]);
  return results;
}

function one(op, operands, attributes) {
  return several(op, operands, attributes, 1)[0];
}

"#;

#[test]
fn the_ops_of_other_languages_are_those_of_programs() {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk");
    for (name, made) in [("python/vitral/ops.py", python()), ("javascript/ops.js", javascript())] {
        let file = sdk.join(name);
        if std::env::var_os(BLESS).is_some() {
            std::fs::write(&file, &made).unwrap();
        }
        assert!(
            std::fs::read_to_string(&file).is_ok_and(|committed| committed == made),
            "{name} is not what the ops give; run this test with {BLESS}=1 to rewrite it"
        );
    }
}
