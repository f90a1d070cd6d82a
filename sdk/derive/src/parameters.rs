//! `#[derive(Parameters)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Expr, Field, Fields, Result};

use crate::attributes::{Written, documentation, wrong};
use crate::literal::{Shape, elements, number, value};

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Struct(data) = &input.data else {
        return wrong(&input.ident, "`Parameters` are a struct; an enum derives `Choice`");
    };
    if !input.generics.params.is_empty() {
        return wrong(&input.generics, "`Parameters` have no generics");
    }
    if let Fields::Unnamed(fields) = &data.fields {
        return wrong(fields, "parameters have names, so fields must too");
    }
    let mut names = Vec::new();
    let mut described = Vec::new();
    let mut read = Vec::new();
    let mut errors: Option<syn::Error> = None;
    for field in &data.fields {
        match parameter(field) {
            Ok((name, parameter)) => {
                names.push(&field.ident);
                described.push(parameter);
                read.push(name);
            }
            Err(error) => match &mut errors {
                Some(errors) => errors.combine(error),
                None => errors = Some(error),
            },
        }
    }
    if let Some(errors) = errors {
        return Err(errors);
    }
    let owner = &input.ident;
    let settings = if names.is_empty() { quote!(_) } else { quote!(settings) };
    Ok(quote! {
        #[automatically_derived]
        impl ::vitral_sdk::parameters::Parameters for #owner {
            fn describe() -> ::std::vec::Vec<::vitral_sdk::Parameter> {
                ::std::vec![#(#described),*]
            }

            fn read(
                #settings: &mut ::vitral_sdk::parameters::Settings,
            ) -> ::vitral_sdk::Result<Self> {
                ::core::result::Result::Ok(Self { #(#names: settings.take(#read)?),* })
            }
        }
    })
}

/// A parameter's name, and the expression of its description.
fn parameter(field: &Field) -> Result<(String, TokenStream)> {
    // Only fields with names come here.
    let ident = field.ident.as_ref().map(IdentExt::unraw);
    let name = ident.map(|ident| ident.to_string()).unwrap_or_default();
    if name != name.to_lowercase() || name.starts_with('_') {
        return wrong(field, "a parameter's name is lower-case words joined by `_`");
    }
    let doc = documentation(&field.attrs);
    if doc.is_empty() {
        let message = format!("parameter `{name}` needs a doc comment, which is what users read");
        return wrong(field, message);
    }
    let written = Written::read(field)?;
    let shape = Shape::of(&field.ty);
    check(&written, shape)?;
    let (r#type, range_check) = range(field, &written, shape)?;
    let default = default(field, &written, shape)?;
    Ok((
        name.clone(),
        quote!({
            #range_check
            ::vitral_sdk::Parameter {
                name: ::std::string::String::from(#name),
                doc: ::std::string::String::from(#doc),
                r#type: #r#type,
                default: #default,
            }
        }),
    ))
}

/// Checks literals against each other.
fn check(written: &Written, shape: Shape) -> Result<()> {
    for end in [&written.min, &written.max].into_iter().flatten() {
        if !shape.has_range() {
            return wrong(end, "only integers and numbers, and lists of them, have a range");
        }
    }
    let min = written.min.as_ref().and_then(number);
    let max = written.max.as_ref().and_then(number);
    if let (Some(least), Some(most)) = (min, max)
        && least > most
    {
        return wrong(&written.max, format!("the maximum {most} is below the minimum {least}"));
    }
    for element in written.default.iter().flat_map(elements) {
        let Some(default) = number(element) else { continue };
        if let Some(least) = min.filter(|&least| default < least) {
            return wrong(element, format!("the default {default} is below the minimum {least}"));
        }
        if let Some(most) = max.filter(|&most| default > most) {
            return wrong(element, format!("the default {default} is above the maximum {most}"));
        }
    }
    Ok(())
}

/// The parameter's type, and a check of ends that are not literals.
fn range(field: &Field, written: &Written, shape: Shape) -> Result<(TokenStream, TokenStream)> {
    let ty = &field.ty;
    let end = |what: &str, given: &Option<Expr>| -> Result<TokenStream> {
        match given {
            Some(given) => {
                let value = value(what, shape.element(), given)?;
                Ok(quote_spanned!(given.span()=> ::core::option::Option::Some(#value)))
            }
            None => Ok(quote!(::core::option::Option::None)),
        }
    };
    let (min, max) = (end("minimum", &written.min)?, end("maximum", &written.max)?);
    let r#type = quote_spanned! {ty.span()=>
        <#ty as ::vitral_sdk::parameters::Field>::range(#min, #max)
    };
    let check = match (&written.min, &written.max) {
        (Some(least), Some(most)) if number(least).is_none() || number(most).is_none() => {
            quote_spanned! {most.span()=>
                const _: () = assert!(#least <= #most, "the maximum is below the minimum");
            }
        }
        _ => quote!(),
    };
    Ok((r#type, check))
}

fn default(field: &Field, written: &Written, shape: Shape) -> Result<TokenStream> {
    let Some(given) = &written.default else {
        return Ok(quote!(::core::option::Option::None));
    };
    let ty = &field.ty;
    let value = value("default", shape, given)?;
    Ok(quote_spanned! {given.span()=>
        ::core::option::Option::Some({
            let default: #ty = #value;
            ::vitral_sdk::parameters::Field::into_value(default)
        })
    })
}

#[cfg(test)]
mod tests;
