//! Values of the wrong type, of the wrong length, or out of a type's range.

use ron::error::Error;

use super::view::View;
use crate::error::Finding;
use crate::limits::broken_bound;
use crate::schema;
use crate::token::{Kind, Token};

const INTEGER: &str = "an integer";

pub(crate) fn explain(view: &View<'_>, error: &Error) -> Option<Finding> {
    Some(match error {
        Error::ExpectedInteger => wrong_type(view, INTEGER),
        Error::InvalidIntegerDigit { digit, base } => invalid_digit(view, *digit, *base),
        Error::IntegerOutOfBounds => out_of_bounds(view),
        Error::ExpectedComma if fraction(view) => wrong_type(view, INTEGER),
        Error::ExpectedFloat => wrong_type(view, "a number"),
        Error::ExpectedBoolean => wrong_type(view, "`true` or `false`"),
        Error::ExpectedString => wrong_type(view, "a string"),
        Error::ExpectedByteString => wrong_type(view, "a byte string"),
        Error::ExpectedChar => wrong_type(view, "a character"),
        Error::ExpectedArray => wrong_type(view, "a list `[ ... ]`"),
        Error::ExpectedMap => wrong_type(view, "a map `{ ... }`"),
        Error::ExpectedUnit => wrong_type(view, "`()`"),
        Error::ExpectedOption => wrong_type(view, "a value or `None`"),
        Error::ExpectedStructLike | Error::ExpectedNamedStructLike(_) => no_group(view),
        Error::ExpectedDifferentStructName { found, .. } => named_group(view, found),
        Error::ExpectedIdentifier => no_name(view),
        Error::ExpectedDifferentLength { expected, found } => wrong_length(view, expected, *found),
        Error::InvalidValueForType { expected, found } => Finding {
            span: view.value_behind(),
            message: format!("expected {expected}, found {found}"),
            label: format!("expected {expected}"),
            help: view.description(),
        },
        Error::ExpectedStructLikeEnd => too_many(view)?,
        _ => return None,
    })
}

fn wrong_type(view: &View<'_>, expected: &str) -> Finding {
    // A sign alone is already behind the cursor.
    let sign = view.before().filter(|before| {
        before.span.end == view.at && before.kind == Kind::Number && before.span.len() == 1
    });
    let token = sign.or_else(|| view.here());
    if let Some(missing) = missing_value(view, token) {
        return missing;
    }
    let path = view.path(token);
    let is_key = token.is_some_and(|token| view.is_key(token));
    let label = match path.is_empty() || is_key {
        true => format!("expected {expected}"),
        false => format!("`{}` takes {expected}", view.source.written(&path)),
    };
    Finding {
        span: match token {
            Some(token) => view.value_from(token),
            None => view.end(),
        },
        message: format!("expected {expected}, found {}", view.words(token)),
        label,
        help: token
            .and_then(|token| rewritten(view, token, expected))
            .or_else(|| description_at(view, token)),
    }
}

/// `depth: ,`
fn missing_value(view: &View<'_>, token: Option<&Token>) -> Option<Finding> {
    let ends = matches!(token?.kind, Kind::Comma | Kind::Close(_));
    let colon = view.before().filter(|before| before.kind == Kind::Colon)?;
    let tokens = &view.source.tokens;
    let at = tokens.iter().position(|token| token == colon)?;
    let name = tokens.get(at.checked_sub(1)?)?;
    ends.then(|| Finding {
        span: name.span.start..colon.span.end,
        message: format!("`{}` has no value", view.text(name)),
        label: "a value is missing after this".to_owned(),
        help: None,
    })
}

/// How to write the value that was meant.
fn rewritten(view: &View<'_>, token: &Token, expected: &str) -> Option<String> {
    let text = view.text(token);
    match (expected, token.kind) {
        ("a string", Kind::Word | Kind::Number) => {
            let run = view.run(token.span.start);
            let text = view.source.text[run].trim_end_matches(':');
            Some(format!("write it in quotes: \"{text}\""))
        }
        (INTEGER, Kind::Number) => {
            let number: f64 = text.replace('_', "").parse().ok()?;
            let whole = number.fract() == 0.0 && number.abs() < 1e15;
            whole.then(|| format!("write it as {number:.0}"))
        }
        (INTEGER | "a number" | "`true` or `false`", Kind::Text { .. }) => {
            let bare = text.trim_matches('"');
            let fits = |bare: &str| match expected {
                INTEGER => bare.parse::<i64>().is_ok(),
                "a number" => bare.parse::<f64>().is_ok_and(f64::is_finite),
                _ => bare == "true" || bare == "false",
            };
            let point = bare.replace(',', ".");
            match (fits(bare), fits(&point)) {
                (true, _) => Some(format!("write it without quotes: {bare}")),
                (false, true) => Some(format!("write it with a point: {point}")),
                (false, false) => None,
            }
        }
        ("`true` or `false`", Kind::Word) => match text.to_lowercase().as_str() {
            "yes" | "on" | "true" => Some("write `true`".to_owned()),
            "no" | "off" | "false" => Some("write `false`".to_owned()),
            _ => None,
        },
        ("a list `[ ... ]`", Kind::Open('(')) => Some("a list has square brackets".to_owned()),
        ("a list `[ ... ]`", Kind::Text { .. } | Kind::Number) => {
            Some(format!("write it in square brackets: [{text}]"))
        }
        _ => None,
    }
}

fn description_at(view: &View<'_>, token: Option<&Token>) -> Option<String> {
    let path = view.path(token);
    if path.is_empty() {
        return None;
    }
    schema::description(view.schema, view.schema_at(&path)?)
}

/// Whether ron took the `0` of `0.5` for an integer and now stands in the middle.
fn fraction(view: &View<'_>) -> bool {
    view.inside() && view.here().is_some_and(|token| token.kind == Kind::Number)
}

fn invalid_digit(view: &View<'_>, digit: char, base: u8) -> Finding {
    if base == 10 {
        return wrong_type(view, INTEGER);
    }
    Finding {
        span: view.span(view.touching()),
        message: format!("`{digit}` is not a digit of a number in base {base}"),
        label: "not a number".to_owned(),
        help: view.description(),
    }
}

fn out_of_bounds(view: &View<'_>) -> Finding {
    let token = view.touching();
    let span = view.span(token);
    let shown = &view.source.text[span.clone()];
    let path = view.path(token);
    let bound = view.schema_at(&path).and_then(|schema| {
        let number = shown.replace('_', "").parse().ok()?;
        let all = schema::alternatives(view.schema, schema);
        all.into_iter().find_map(|schema| broken_bound(schema, number))
    });
    let (message, label) = match bound {
        Some(bound) => {
            let path = view.source.written(&path);
            (format!("`{path}` is {shown}, but must be {bound}"), format!("must be {bound}"))
        }
        None => (format!("the number {shown} is out of range"), "out of range".to_owned()),
    };
    Finding { span, message, label, help: view.description() }
}

/// Something else where `( ... )` should be, or a choice without the values that it needs.
fn no_group(view: &View<'_>) -> Finding {
    if view.source.tokens.is_empty() {
        return Finding {
            span: 0..0,
            message: "the configuration is empty".to_owned(),
            label: "nothing here".to_owned(),
            help: Some(format!("write at least `{}`", least(view.schema, view.schema, 0))),
        };
    }
    let here = view.here();
    let starts_value = |kind| !matches!(kind, Kind::Comma | Kind::Close(_) | Kind::Colon);
    let bare = here.is_none_or(|token| !starts_value(token.kind));
    let word = view.before().filter(|token| bare && token.kind == Kind::Word);
    match word {
        Some(word) => {
            let text = view.text(word);
            Finding {
                span: word.span.clone(),
                message: format!("`{text}` needs values in parentheses"),
                label: "needs parentheses after it".to_owned(),
                help: Some(how_to_fill(view, word, text)),
            }
        }
        None => wrong_type(view, "a group `( ... )`"),
    }
}

/// The least that a group needs: its required fields, and theirs.
fn least(root: &serde_json::Value, schema: &serde_json::Value, depth: usize) -> String {
    let all = schema::alternatives(root, schema);
    let group = all.iter().find(|option| option.get("properties").is_some());
    let is_choice = !schema::variants(root, schema).is_empty();
    let Some(group) = group.filter(|_| !is_choice && depth < 4) else {
        return "...".to_owned();
    };
    let required = crate::branch::list(group, "required").iter().filter_map(|name| name.as_str());
    let field = |name: &str| {
        let property = group.get("properties").and_then(|all| all.get(name));
        let value = property.map_or("...".to_owned(), |schema| least(root, schema, depth + 1));
        format!("{name}: {value}")
    };
    format!("({})", required.map(field).collect::<Vec<_>>().join(", "))
}

/// What to write behind a choice that stands alone.
fn how_to_fill(view: &View<'_>, word: &Token, name: &str) -> String {
    let path = view.path(Some(word));
    let contents =
        view.schema_at(&path).and_then(|schema| schema::contents(view.schema, schema, name));
    let has_defaults = contents.is_some_and(|contents| {
        let all = schema::alternatives(view.schema, contents);
        let group = |schema: &&serde_json::Value| schema.get("properties").is_some();
        all.iter().any(group) && all.iter().all(|schema| schema.get("required").is_none())
    });
    match has_defaults {
        true => format!("write `{name}()` for the defaults"),
        false => format!("write `{name}( ... )` with its values"),
    }
}

/// `Name( ... )` where the group has no name, or fields without parentheses around them.
fn named_group(view: &View<'_>, found: &str) -> Finding {
    let next = view.here().map(|token| token.kind);
    let span = view.span(view.touching());
    let path = view.path(view.touching());
    if path.is_empty() && next == Some(Kind::Colon) {
        return Finding {
            span,
            message: "the configuration has no parentheses around it".to_owned(),
            label: "a `(` is missing before this".to_owned(),
            help: Some("put all fields in one pair of parentheses: ( ... )".to_owned()),
        };
    }
    let help = match next {
        Some(Kind::Open('(')) => Some("leave out the name and write only `( ... )`".to_owned()),
        _ => view.description(),
    };
    Finding {
        span,
        message: format!("expected a group `( ... )`, found the word `{found}`"),
        label: "not a group of fields".to_owned(),
        help,
    }
}

/// Something else where a field's name or a choice should be.
pub(crate) fn no_name(view: &View<'_>) -> Finding {
    let token = view.here();
    let path = view.path(token);
    let schema = view.schema_at(&path);
    let choices = schema.map(|schema| schema::variants(view.schema, schema));
    let before = view.before().map(|token| token.kind);
    let in_list = view.source.exact(&path).is_some() && before != Some(Kind::Open('('));
    if let Some(choices) = choices.filter(|choices| !choices.is_empty() && in_list) {
        return no_choice(view, token, &choices);
    }
    if let Some(finding) = decimal_comma(view) {
        return finding;
    }
    let twice = before == Some(Kind::Open('(')) && token.is_some_and(|t| t.kind == Kind::Open('('));
    Finding {
        span: view.span(token),
        message: format!("expected a field's name, found {}", view.words(token)),
        label: "expected `name: value`".to_owned(),
        help: twice.then(|| "one pair of parentheses is enough here".to_owned()),
    }
}

/// `rate: 0,05`
fn decimal_comma(view: &View<'_>) -> Option<Finding> {
    let tokens = &view.source.tokens;
    let here = view.here()?;
    let at = tokens.iter().position(|token| token == here)?;
    let [whole, comma, fraction] = tokens.get(at.checked_sub(2)?..=at)? else { return None };
    let kinds = [whole.kind, comma.kind, fraction.kind];
    let touch = whole.span.end == comma.span.start && comma.span.end == fraction.span.start;
    let digits = view.text(fraction).bytes().all(|byte| byte.is_ascii_digit());
    (kinds == [Kind::Number, Kind::Comma, Kind::Number] && touch && digits).then(|| {
        let span = whole.span.start..fraction.span.end;
        let written = &view.source.text[span.clone()];
        Finding {
            message: format!("`{written}` is not a number"),
            label: "numbers take a decimal point".to_owned(),
            help: Some(format!("write {}", written.replace(',', "."))),
            span,
        }
    })
}

fn no_choice(view: &View<'_>, token: Option<&Token>, choices: &[&str]) -> Finding {
    let finding = wrong_type(view, "a choice");
    let bare = token.map_or("", |token| view.text(token).trim_matches('"'));
    let meant = crate::suggest::nearest(bare, choices);
    let is_text = token.is_some_and(|token| matches!(token.kind, Kind::Text { .. }));
    let list = format!("choices here: {}", choices.join(", "));
    Finding {
        help: Some(match meant.filter(|_| is_text) {
            Some(name) => format!("write it without quotes: {name} ({list})"),
            None => list,
        }),
        ..finding
    }
}

fn wrong_length(view: &View<'_>, expected: &str, found: usize) -> Finding {
    let around = view.here().and_then(|token| view.source.around(token.span.start));
    let span = match &around {
        Some((_, found)) => view.source.head(found),
        None => view.span(view.touching()),
    };
    let count = expected.rsplit(' ').next().unwrap_or_default();
    let message = match count.parse::<usize>() {
        Ok(count) => format!("expected {count} values, found {found}"),
        Err(_) => format!("expected {expected}, found {found} values"),
    };
    Finding { span, message, label: "too few values".to_owned(), help: view.description() }
}

/// More values in `( ... )` than the type has.
fn too_many(view: &View<'_>) -> Option<Finding> {
    let token = view.here()?;
    let (path, _) = view.source.around(token.span.start)?;
    let mut group = path.clone();
    let in_tuple = matches!(group.0.pop(), Some(crate::path::Segment::Index(_)));
    in_tuple.then(|| Finding {
        span: view.value_from(token),
        message: "these parentheses hold too many values".to_owned(),
        label: "one too many".to_owned(),
        help: schema::at(view.schema, &group, view.source)
            .and_then(|schema| schema::description(view.schema, schema)),
    })
}
