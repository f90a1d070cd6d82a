//! Literals as defaults and ends of ranges, which are checked here, where the message can be better
//! than the compiler's.

use proc_macro2::{Literal, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{
    Expr, ExprArray, ExprLit, ExprUnary, GenericArgument, Lit, PathArguments, Result, Type, UnOp,
};

use crate::attributes::wrong;

/// What a field's type is, as far as its name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Boolean,
    Integer,
    Number,
    Text,
    Integers,
    Numbers,
    /// A choice, or a type under another name.
    Other,
}

impl Shape {
    pub(crate) fn of(r#type: &Type) -> Self {
        let Type::Path(path) = r#type else { return Self::Other };
        let Some(last) = path.path.segments.last() else { return Self::Other };
        match last.ident.to_string().as_str() {
            "bool" => Self::Boolean,
            "u8" | "u16" | "u32" | "i32" | "i64" => Self::Integer,
            "f32" | "f64" => Self::Number,
            "String" => Self::Text,
            "Vec" => match &last.arguments {
                PathArguments::AngleBracketed(arguments) => match arguments.args.first() {
                    Some(GenericArgument::Type(element)) => match Self::of(element) {
                        Self::Integer => Self::Integers,
                        Self::Number => Self::Numbers,
                        _ => Self::Other,
                    },
                    _ => Self::Other,
                },
                _ => Self::Other,
            },
            _ => Self::Other,
        }
    }

    /// Of one element.
    pub(crate) fn element(self) -> Self {
        match self {
            Self::Integers => Self::Integer,
            Self::Numbers => Self::Number,
            other => other,
        }
    }

    pub(crate) fn has_range(self) -> bool {
        matches!(self.element(), Self::Integer | Self::Number | Self::Other)
    }

    fn takes(self) -> &'static str {
        match self {
            Self::Boolean => "true or false",
            Self::Integer => "an integer",
            Self::Number => "a number",
            Self::Text => "text",
            Self::Integers => "integers like [1, 2]",
            Self::Numbers => "numbers like [0.5, 1.0]",
            Self::Other => "one of its variants, as in `Kernel::Elu`",
        }
    }
}

/// A value as an expression of the field's type.
pub(crate) fn value(what: &str, shape: Shape, given: &Expr) -> Result<TokenStream> {
    let mismatch = || wrong(given, format!("the {what} must be {}", shape.takes()));
    match given {
        Expr::Lit(ExprLit { lit, .. }) => match (shape, lit) {
            (Shape::Boolean, Lit::Bool(_)) | (Shape::Integer, Lit::Int(_)) => Ok(quote!(#given)),
            (Shape::Number, Lit::Float(_)) => Ok(quote!(#given)),
            (Shape::Number, Lit::Int(digits)) if digits.suffix().is_empty() => {
                let mut number = Literal::f64_unsuffixed(digits.base10_parse()?);
                number.set_span(digits.span());
                Ok(quote!(#number))
            }
            (Shape::Text, Lit::Str(_)) => {
                Ok(quote_spanned!(given.span()=> ::std::string::String::from(#given)))
            }
            _ => mismatch(),
        },
        Expr::Unary(ExprUnary { op: UnOp::Neg(minus), expr, .. })
            if matches!(shape, Shape::Integer | Shape::Number) =>
        {
            let positive = value(what, shape, expr)?;
            Ok(quote!(#minus #positive))
        }
        Expr::Array(ExprArray { elems, .. }) => {
            if !matches!(shape, Shape::Integers | Shape::Numbers) {
                return mismatch();
            }
            let elements = elems.iter().map(|element| value(what, shape.element(), element));
            let elements = elements.collect::<Result<Vec<_>>>()?;
            Ok(quote_spanned!(given.span()=> ::std::vec::Vec::from([#(#elements),*])))
        }
        other => Ok(quote!(#other)),
    }
}

/// The number of a literal; `None` if it is something else.
pub(crate) fn number(given: &Expr) -> Option<f64> {
    match given {
        Expr::Lit(ExprLit { lit: Lit::Int(digits), .. }) => digits.base10_parse().ok(),
        Expr::Lit(ExprLit { lit: Lit::Float(digits), .. }) => digits.base10_parse().ok(),
        Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) => number(expr).map(|it| -it),
        _ => None,
    }
}

/// The literals of a default: itself, or a list's elements.
pub(crate) fn elements(given: &Expr) -> Vec<&Expr> {
    match given {
        Expr::Array(ExprArray { elems, .. }) => elems.iter().collect(),
        other => vec![other],
    }
}
