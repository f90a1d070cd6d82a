//! Checks a parsed value against the ranges in its JSON schema.
//!
//! serde has checked names and types; here the schema and the value, written as
//! JSON, are walked side by side. JSON names the variant of an enum
//! (`{"AdamW": {...}}`), a path does not.

use std::ops::Range;

use serde_json::Value;

use crate::branch::{fits, has_type, list};
use crate::error::Finding;
use crate::path::{Path, Segment};
use crate::place::place;
use crate::schema::{alternatives, description, target, variant};
use crate::tree::{Shape, Source};

/// How many references and choices may lead from one schema to the next for the same value.
const MAX_DEPTH: usize = 32;

/// All violations by values of the text, in its order.
pub(crate) fn violations(source: &Source<'_>, root: &Value, value: &Value) -> Vec<Finding> {
    let found = all(source, root, value).into_iter();
    found.filter(|violation| violation.given).map(|violation| violation.finding).collect()
}

/// The same, and where there are none, those by defaults, which follow from what the text gives.
pub(crate) fn violations_or_defaults(
    source: &Source<'_>,
    root: &Value,
    value: &Value,
) -> Vec<Finding> {
    let mut found = all(source, root, value);
    let any_given = found.iter().any(|violation| violation.given);
    found.retain(|violation| violation.given == any_given);
    found.into_iter().map(|violation| violation.finding).collect()
}

fn all(source: &Source<'_>, root: &Value, value: &Value) -> Vec<Violation> {
    let mut check = Check { source, root, path: Path::default(), found: Vec::new() };
    check.walk(root, value, description(root, root).as_deref(), 0);
    let mut found = check.found;
    found.sort_by_key(|violation| violation.finding.span.start);
    found
}

/// The bound that a number breaks, as in "at least 1".
pub(crate) fn broken_bound(schema: &Value, number: f64) -> Option<String> {
    let single = is_single(schema);
    // An f32 is compared as such: 0.1f32 is more than 0.1f64.
    let rounded = |number: f64| if single { f64::from(number as f32) } else { number };
    let number = rounded(number);
    let broken = |key: &str, words: &str, holds: fn(&f64, &f64) -> bool| {
        let bound = schema.get(key)?;
        (!holds(&number, &rounded(bound.as_f64()?))).then(|| format!("{words} {bound}"))
    };
    broken("minimum", "at least", f64::ge)
        .or_else(|| broken("maximum", "at most", f64::le))
        .or_else(|| broken("exclusiveMinimum", "more than", f64::gt))
        .or_else(|| broken("exclusiveMaximum", "less than", f64::lt))
}

struct Check<'c> {
    source: &'c Source<'c>,
    root: &'c Value,
    path: Path,
    found: Vec<Violation>,
}

struct Violation {
    finding: Finding,
    /// Whether the text gives the value, rather than a default.
    given: bool,
}

impl Check<'_> {
    fn walk(&mut self, schema: &Value, value: &Value, doc: Option<&str>, depth: usize) {
        // A schema may refer to itself without a value in between.
        if depth > MAX_DEPTH {
            return;
        }
        let own = description(self.root, schema);
        let doc = doc.or(own.as_deref());
        match value {
            Value::Null => return self.null(schema, doc),
            Value::Number(number) => self.number(schema, number, doc),
            Value::String(text) => self.length(schema, text.chars().count(), "character", doc),
            Value::Array(items) => self.items(schema, items, doc),
            Value::Object(fields) => self.fields(schema, fields),
            Value::Bool(_) => {}
        }
        if let Some(target) = target(self.root, schema) {
            self.walk(target, value, doc, depth + 1);
        }
        for part in list(schema, "allOf") {
            self.walk(part, value, doc, depth + 1);
        }
        for key in ["anyOf", "oneOf"] {
            let mut branches = list(schema, key).iter();
            if let Some(branch) = branches.find(|branch| fits(self.root, branch, value)) {
                self.branch(branch, value, doc, depth);
            }
        }
    }

    /// A branch of an enum: its contents stand at the enum's own path.
    fn branch(&mut self, branch: &Value, value: &Value, doc: Option<&str>, depth: usize) {
        if let Some((name, contents)) = variant(branch)
            && let Some(value) = value.get(name)
            && !self.has_field(name)
        {
            self.walk(contents, value, doc, depth + 1);
        } else {
            self.walk(branch, value, doc, depth + 1);
        }
    }

    /// Whether the text has a field of that name here, which a variant's name is not.
    fn has_field(&mut self, name: &str) -> bool {
        self.path.0.push(Segment::Field(name.to_owned()));
        let has = self.source.exact(&self.path).is_some();
        self.path.0.pop();
        has
    }

    /// JSON has null for `None`, and also for NaN and infinities.
    fn null(&mut self, schema: &Value, doc: Option<&str>) {
        let branches = alternatives(self.root, schema);
        let may_be = |kind| branches.iter().any(|branch| has_type(branch, kind));
        let given = self.given();
        let is_none = match &given {
            Some(span) => &self.source.text[span.clone()] == "None",
            None => may_be("null"),
        };
        if may_be("number") && !is_none {
            let shown = given.map_or("not a number", |span| &self.source.text[span]);
            let what = format!("is {shown}, but must be a finite number");
            self.report(&what, "not finite", doc);
        }
    }

    fn number(&mut self, schema: &Value, number: &serde_json::Number, doc: Option<&str>) {
        let Some(float) = number.as_f64() else { return };
        if let Some(bound) = broken_bound(schema, float) {
            let shown = match self.given() {
                Some(span) => self.source.text[span].to_owned(),
                None if is_single(schema) => (float as f32).to_string(),
                None => number.to_string(),
            };
            self.report(
                &format!("is {shown}, but must be {bound}"),
                &format!("must be {bound}"),
                doc,
            );
        }
    }

    fn items(&mut self, schema: &Value, items: &[Value], doc: Option<&str>) {
        self.length(schema, items.len(), "item", doc);
        let first = list(schema, "prefixItems");
        for (index, item) in items.iter().enumerate() {
            if let Some(schema) = first.get(index).or_else(|| schema.get("items")) {
                self.enter(Segment::Index(index), schema, item, doc);
            }
        }
    }

    fn fields(&mut self, schema: &Value, fields: &serde_json::Map<String, Value>) {
        for (name, value) in fields {
            let property = schema.get("properties").and_then(|all| all.get(name));
            if let Some(schema) = property.or_else(|| schema.get("additionalProperties")) {
                self.enter(Segment::Field(name.clone()), schema, value, None);
            }
        }
    }

    fn enter(&mut self, segment: Segment, schema: &Value, value: &Value, doc: Option<&str>) {
        let own = description(self.root, schema);
        self.path.0.push(segment);
        self.walk(schema, value, own.as_deref().or(doc), 0);
        self.path.0.pop();
    }

    /// The number of characters or items.
    fn length(&mut self, schema: &Value, length: usize, unit: &str, doc: Option<&str>) {
        let (least, most) = match unit {
            "item" => ("minItems", "maxItems"),
            _ => ("minLength", "maxLength"),
        };
        let bound = |key| schema.get(key).and_then(Value::as_u64);
        let broken = match (bound(least), bound(most)) {
            (Some(least), _) if (length as u64) < least => ("at least", least),
            (_, Some(most)) if (length as u64) > most => ("at most", most),
            _ => return,
        };
        let (words, bound) = broken;
        let plural = if bound == 1 { "" } else { "s" };
        let has = match length {
            0 => "is empty".to_owned(),
            1 => format!("has 1 {unit}"),
            _ => format!("has {length} {unit}s"),
        };
        let needs = format!("must have {words} {bound} {unit}{plural}");
        self.report(&format!("{has}, but {needs}"), &needs, doc);
    }

    /// Where the text has the value, inside `Some(...)` and the like.
    fn given(&self) -> Option<Range<usize>> {
        let node = self.source.exact(&self.path)?.inner();
        let simple = matches!(node.shape, Shape::Number | Shape::Word | Shape::Text);
        simple.then(|| node.span.clone())
    }

    fn report(&mut self, what: &str, label: &str, doc: Option<&str>) {
        let (span, missing) = place(self.source, &self.path);
        let exact = self.source.exact(&self.path).is_some();
        let subject = match self.path.is_empty() {
            true => "the configuration".to_owned(),
            false => format!("`{}`", self.source.written(&self.path)),
        };
        let finding = Finding {
            span: self.given().unwrap_or(span),
            message: format!("{subject} {what}"),
            label: if exact { label.to_owned() } else { missing },
            help: doc.map(str::to_owned),
        };
        let same = |other: &Violation| other.finding.message == finding.message;
        if !self.found.iter().any(same) {
            self.found.push(Violation { finding, given: exact });
        }
    }
}

/// Whether a schema is that of an `f32`.
fn is_single(schema: &Value) -> bool {
    schema.get("format").and_then(Value::as_str) == Some("float")
}
