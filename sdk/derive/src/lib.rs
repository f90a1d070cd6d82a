//! Derives the typed parameters of Vitral plugins.

mod attributes;
mod choice;
mod literal;
mod parameters;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// What users of a plugin set, from a struct: a parameter for each field.
///
/// The field's documentation becomes the parameter's, and is required. Types are `bool`, `u8`,
/// `u16`, `u32`, `i32`, `i64`, `f32`, `f64`, `String`, `Vec` of `u32`, `i32`, `i64`, `f32` or `f64`,
/// and enums that derive [`Choice`](macro@Choice). `#[parameter(default = .., min = .., max = ..)]` gives a
/// default, without which users must set it, and a range, which includes its ends and holds for each
/// element of a list.
#[proc_macro_derive(Parameters, attributes(parameter))]
pub fn derive_parameters(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    parameters::derive(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// A parameter that is one of several words, from an enum without fields: the words are its variants
/// in kebab-case.
#[proc_macro_derive(Choice)]
pub fn derive_choice(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    choice::derive(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}
