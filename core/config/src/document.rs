//! One configuration text, and what can be asked of it.

use std::ops::Range;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{ConfigError, Finding};
use crate::path::Path;
use crate::place::place;
use crate::schema::schema;
use crate::tree::Source;
use crate::written::Written;
use crate::{base, findings, set};

/// Added to the name of a text that `--set` has changed.
const CHANGED: &str = " with --set";

/// One configuration text being read: its name for messages, and the text after overrides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    name: String,
    text: String,
    /// Where its parts were written, which is where errors point.
    written: Written,
    /// The fields that [`set`](Self::set) has given a value.
    assigned: Vec<Path>,
    plugins: Vec<String>,
}

impl Document {
    /// A document from a text at hand; `name` is what messages call it.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let text = match text.strip_prefix('\u{feff}') {
            Some(without_mark) => without_mark.to_owned(),
            None => text,
        };
        let name = name.into();
        let written = Written::all_of(&name, &text);
        Self { name, text, written, assigned: Vec::new(), plugins: Vec::new() }
    }

    /// A document from a text that nobody wrote, so that no error points into it once it is a part of another.
    pub fn made(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { written: Written::default(), ..Self::new(name, text) }
    }

    /// Reads a file.
    pub fn read(path: &std::path::Path) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        match vitral_files::read_text(path, vitral_files::Kind::CONFIGURATION) {
            Ok(text) => Ok(Self::new(name, text)),
            Err(error) => {
                Err(ConfigError::without_place(&name, format!("cannot read this file: {error}")))
            }
        }
    }

    /// The same, with the names of plugins that can be used in it: a plugin that is written like a
    /// choice of its own, `RandAugment()`, is told how to be written.
    #[must_use]
    pub fn with_plugins(self, names: impl IntoIterator<Item = String>) -> Self {
        Self { plugins: names.into_iter().collect(), ..self }
    }

    /// What messages call this document.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text, after overrides.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Applies `path.to.field=value`, the value in RON.
    ///
    /// The field's value is replaced, or the field is inserted together with
    /// the groups around it that are missing. Where such a group is a choice, it is the one that is
    /// `T`'s default. Comments stay. Where the old value is a string, quotes around the new one may be
    /// left out.
    pub fn set<T: JsonSchema>(&mut self, assignment: &str) -> Result<(), ConfigError> {
        let text = set::set(&self.text, assignment, &schema::<T>())
            .map_err(|finding| ConfigError::at("--set", assignment, finding))?;
        self.written = self.written.edited(&self.text, &text);
        self.text = text;
        if !self.name.ends_with(CHANGED) {
            self.name.push_str(CHANGED);
        }
        // It was read before.
        let field = assignment.split_once('=').map_or(assignment, |(field, _)| field).trim();
        self.assigned.extend(Path::parse(field));
        Ok(())
    }

    /// This document's fields on top of another one's, which count where this one gives none: groups of fields
    /// are put together field by field, and everything else, lists included, takes the place of what there was.
    /// Errors found later point into the one of both in which the field was written.
    pub fn over<T>(self, base: &Self) -> Result<Self, ConfigError>
    where
        T: DeserializeOwned + Serialize + JsonSchema,
    {
        self.check_syntax::<T>()?;
        let parts = base::merged(&base.text, &self.text).map_err(|finding| self.error(finding))?;
        let (mut text, mut written) = (String::new(), Written::default());
        for part in parts {
            let (part, from) = match part {
                base::Part::Base(span) => (&base.text[span.clone()], base.written.slice(span)),
                base::Part::Changes(span) => (&self.text[span.clone()], self.written.slice(span)),
                base::Part::New(text) => (text, Written::default()),
            };
            written.append(text.len(), from);
            text += part;
        }
        Ok(Self { name: format!("{} on {}", self.name, base.name), text, written, ..self })
    }

    /// Whether the text is one at all, so that nothing is lost where parts of it are put elsewhere.
    ///
    /// # Errors
    /// The first mistake in its brackets, commas or quotes.
    pub fn check_syntax<T>(&self) -> Result<(), ConfigError>
    where
        T: DeserializeOwned + Serialize + JsonSchema,
    {
        match crate::format::options().from_str::<serde::de::IgnoredAny>(&self.text) {
            Ok(_) => Ok(()),
            Err(_) => self.parse::<T>().map(|_| ()),
        }
    }

    /// The same without a field.
    #[must_use]
    pub fn without(self, field: &str) -> Self {
        let text = crate::format::without(&self.text, field);
        Self { written: self.written.edited(&self.text, &text), text, ..self }
    }

    /// The name of a field's value, as `Folder` of `Folder("photos")`.
    pub fn name_of(&self, field: &str) -> Option<String> {
        let source = Source::new(&self.text);
        let node = source.exact(&Path::parse(field).ok()?)?;
        Some(self.text[node.name.clone()?].to_owned())
    }

    /// What a field's value has in its brackets: the names of fields, and none for what is without one.
    pub fn items_of(&self, field: &str) -> Vec<Option<String>> {
        let source = Source::new(&self.text);
        let node = Path::parse(field).ok().and_then(|path| source.exact(&path));
        let items = node.map_or(&[][..], |node| &node.items);
        items.iter().map(|item| item.key.as_ref().map(|key| key.name.clone())).collect()
    }

    /// A field's value as the document `(field: value)`, whose errors point where the value was written;
    /// without a name before its brackets.
    pub fn value_alone(&self, field: &str) -> Option<Self> {
        let source = Source::new(&self.text);
        let node = source.exact(&Path::parse(field).ok()?)?;
        let start = node.name.as_ref().map_or(node.span.start, |name| name.end);
        let opening = format!("({field}: ");
        let mut written = Written::default();
        written.append(opening.len(), self.written.slice(start..node.span.end));
        let text = format!("{opening}{})", &self.text[start..node.span.end]);
        Some(Self { text, written, ..self.clone() })
    }

    /// The same with another value of a field that it has: the one that the field has in another document, or
    /// where that was not written by anybody, what took the place of the value here.
    #[must_use]
    pub fn with_value_of(self, field: &str, other: &Self) -> Self {
        let path = Path::parse(field).unwrap_or_default();
        let (own, others) = (Source::new(&self.text), Source::new(&other.text));
        let (Some(old), Some(new)) = (own.exact(&path), others.exact(&path)) else {
            return self;
        };
        let (old, new) = (old.span.clone(), new.span.clone());
        let mut written = self.written.slice(0..old.start);
        written.append(old.start, other.written.slice(new.clone()));
        written.append(old.start, self.written.instead(old.clone(), new.len()));
        written.append(old.start + new.len(), self.written.slice(old.end..self.text.len()));
        let mut text = self.text;
        text.replace_range(old, &other.text[new]);
        Self { text, written, ..self }
    }

    /// A field that is a string.
    pub fn string(&self, field: &str) -> Option<String> {
        let source = Source::new(&self.text);
        let node = source.exact(&Path::parse(field).ok()?)?;
        crate::format::options().from_str(&self.text[node.span.clone()]).ok()
    }

    /// The fields that [`set`](Self::set) has given a value, as `model.heads`, in the order of the
    /// assignments.
    pub fn assigned(&self) -> impl Iterator<Item = String> {
        self.assigned.iter().map(ToString::to_string)
    }

    /// Whether [`set`](Self::set) has given this field its value, by itself or with what it is a part of.
    pub fn is_assigned(&self, field: &str) -> bool {
        let field = Path::parse(field).unwrap_or_default();
        self.assigned.iter().any(|assigned| field.0.starts_with(&assigned.0))
    }

    /// Whether the text gives this field a value other than `None`.
    pub fn gives(&self, field: &str) -> bool {
        let source = Source::new(&self.text);
        let path = Path::parse(field).unwrap_or_default();
        source.exact(&path).is_some_and(|node| &self.text[node.span.clone()] != "None")
    }

    /// Deserialises the text, then checks the ranges in the JSON schema of `T`. An error tells all
    /// names, types and ranges that are wrong, and no more than the first mistake in brackets, commas
    /// and quotes, behind which nothing is certain.
    ///
    /// serde reports an unknown field only where the type says `#[serde(deny_unknown_fields)]`,
    /// which every struct and enum of a configuration therefore should.
    pub fn parse<T>(&self) -> Result<T, ConfigError>
    where
        T: DeserializeOwned + Serialize + JsonSchema,
    {
        findings::parse(&self.text, &self.plugins).map_err(|found| {
            let mut found = found.into_iter();
            match found.next() {
                Some(first) => self.error(first).and(found.map(|other| self.error(other))),
                None => ConfigError::without_place(&self.name, "cannot be read".to_owned()),
            }
        })
    }

    /// Whether the text gives a field (`model.heads`), be it at its default.
    pub fn has(&self, path: &str) -> bool {
        let source = Source::new(&self.text);
        Path::parse(path).is_ok_and(|path| source.exact(&path).is_some())
    }

    /// The bytes of a field's value (`model.heads`, `data.augment[2].probability`),
    /// or of the nearest parent that the text has.
    pub fn span_of(&self, path: &str) -> Range<usize> {
        let source = Source::new(&self.text);
        let path = Path::parse(path).unwrap_or_default();
        let found = source.find(&path);
        found.map_or(0..0, |found| found.node.span.clone())
    }

    /// An error at a field, for a check that the caller made, such as one that compares fields.
    ///
    /// Underlines the field's value; if the text leaves the field out, what opens the group
    /// that it belongs to.
    pub fn error_at(
        &self,
        path: &str,
        message: impl Into<String>,
        help: impl Into<Option<String>>,
    ) -> ConfigError {
        let source = Source::new(&self.text);
        let parsed = Path::parse(path).unwrap_or_default();
        let (span, label) = place(&source, &parsed);
        self.error(Finding { span, message: message.into(), label, help: help.into() })
    }

    /// [`error_at`](Self::error_at), underlining the field's name in place of its value.
    pub fn error_at_name(
        &self,
        path: &str,
        message: impl Into<String>,
        help: impl Into<Option<String>>,
    ) -> ConfigError {
        let source = Source::new(&self.text);
        let parsed = Path::parse(path).unwrap_or_default();
        let found = source.find(&parsed).filter(|found| found.depth == parsed.0.len());
        match found.and_then(|found| found.key) {
            Some(span) => self.error(Finding {
                span,
                message: message.into(),
                label: "no such name".to_owned(),
                help: help.into(),
            }),
            None => self.error_at(path, message, help),
        }
    }

    /// An error at the longest string of the text for which `is_meant` holds, such as the path of a
    /// file that is missing; none where there is no such string.
    pub fn error_at_string(
        &self,
        is_meant: impl Fn(&str) -> bool,
        message: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<Option<String>>,
    ) -> Option<ConfigError> {
        let source = Source::new(&self.text);
        let strings = source.tokens.iter().filter_map(|token| {
            let written: String = ron::from_str(&self.text[token.span.clone()]).ok()?;
            is_meant(&written).then_some((written.len(), token.span.clone()))
        });
        let (_, span) = strings.max_by_key(|(length, _)| *length)?;
        let (message, label) = (message.into(), label.into());
        Some(self.error(Finding { span, message, label, help: help.into() }))
    }

    fn error(&self, finding: Finding) -> ConfigError {
        match self.written.place(&finding.span) {
            Some((origin, span)) => {
                ConfigError::at(&origin.name, &origin.text, Finding { span, ..finding })
            }
            None => ConfigError::at(&self.name, &self.text, finding),
        }
    }
}
