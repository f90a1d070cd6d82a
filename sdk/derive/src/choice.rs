//! `#[derive(Choice)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Fields, Result};

use crate::attributes::wrong;

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        return wrong(&input.ident, "a `Choice` is an enum");
    };
    if data.variants.is_empty() {
        return wrong(&input.ident, "a `Choice` has at least one variant");
    }
    if let Some(variant) = data.variants.iter().find(|it| !matches!(it.fields, Fields::Unit)) {
        return wrong(&variant.fields, "the variants of a `Choice` have no fields");
    }
    let owner = &input.ident;
    let variants: Vec<_> = data.variants.iter().map(|variant| &variant.ident).collect();
    let words: Vec<_> = variants.iter().map(|variant| kebab(&variant.to_string())).collect();
    Ok(quote! {
        #[automatically_derived]
        impl ::vitral_sdk::parameters::Field for #owner {
            type Bound = ();

            fn range(
                _: ::core::option::Option<()>,
                _: ::core::option::Option<()>,
            ) -> ::vitral_sdk::ParameterType {
                let words = [#(#words),*].map(::std::string::String::from);
                ::vitral_sdk::ParameterType::Choice(words.into())
            }

            fn into_value(self) -> ::vitral_sdk::Value {
                ::vitral_sdk::Value::from(match self {
                    #(Self::#variants => #words,)*
                })
            }

            fn from_value(value: ::vitral_sdk::Value) -> ::core::option::Option<Self> {
                let ::vitral_sdk::Value::Text(word) = value else {
                    return ::core::option::Option::None;
                };
                match word.as_str() {
                    #(#words => ::core::option::Option::Some(Self::#variants),)*
                    _ => ::core::option::Option::None,
                }
            }
        }
    })
}

/// `TalkingHeads` as `talking-heads`, `ReLU` as `re-lu`, `Top5` as `top5`.
fn kebab(name: &str) -> String {
    let mut word = String::new();
    let mut before = None;
    for letter in name.chars() {
        if letter.is_uppercase() && before.is_some_and(|it: char| !it.is_uppercase()) {
            word.push('-');
        }
        word.extend(letter.to_lowercase());
        before = Some(letter);
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    #[test]
    fn variants_become_words() {
        for (name, word) in [
            ("Elu", "elu"),
            ("TalkingHeads", "talking-heads"),
            ("Top5", "top5"),
            ("ReLU", "re-lu"),
            ("GELU", "gelu"),
        ] {
            assert_eq!(kebab(name), word);
        }
    }

    #[test]
    fn only_enums_without_fields_are_choices() {
        let message = |input: DeriveInput| derive(&input).unwrap_err().to_string();
        assert_eq!(message(parse_quote! { struct P; }), "a `Choice` is an enum");
        assert_eq!(message(parse_quote! { enum P {} }), "a `Choice` has at least one variant");
        assert_eq!(
            message(parse_quote! { enum P { A(u32) } }),
            "the variants of a `Choice` have no fields"
        );
    }
}
