//! What is written on a field.

use syn::{Attribute, Error, Expr, ExprLit, Field, Lit, Meta, Result};

/// `#[parameter(default = .., min = .., max = ..)]`.
#[derive(Default)]
pub(crate) struct Written {
    pub(crate) default: Option<Expr>,
    pub(crate) min: Option<Expr>,
    pub(crate) max: Option<Expr>,
}

impl Written {
    pub(crate) fn read(field: &Field) -> Result<Self> {
        let mut written = Self::default();
        for attribute in field.attrs.iter().filter(|it| it.path().is_ident("parameter")) {
            attribute.parse_nested_meta(|meta| {
                let place = if meta.path.is_ident("default") {
                    &mut written.default
                } else if meta.path.is_ident("min") {
                    &mut written.min
                } else if meta.path.is_ident("max") {
                    &mut written.max
                } else {
                    return Err(meta.error("a parameter has `default`, `min` and `max`"));
                };
                if place.is_some() {
                    return Err(meta.error("this is given twice"));
                }
                *place = Some(meta.value()?.parse()?);
                Ok(())
            })?;
        }
        Ok(written)
    }
}

/// The documentation as one paragraph.
pub(crate) fn documentation(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) => Some(line.value()),
            _ => None,
        },
        _ => None,
    });
    let text = lines.collect::<Vec<_>>().join(" ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// An error that points to something.
pub(crate) fn wrong<T>(place: impl quote::ToTokens, message: impl std::fmt::Display) -> Result<T> {
    Err(Error::new_spanned(place, message))
}
