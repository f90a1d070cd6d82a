use super::*;
use syn::parse_quote;

fn message(input: DeriveInput) -> String {
    derive(&input)
        .unwrap_err()
        .into_iter()
        .map(|error| error.to_string())
        .collect::<Vec<_>>()
        .join("; ")
}

fn field(attribute: TokenStream, r#type: TokenStream) -> String {
    message(parse_quote! { struct P { #[doc = "Doc."] #attribute size: #r#type } })
}

#[test]
fn documentation_is_required_of_every_field() {
    let message = message(parse_quote! { struct P { size: u32, #[doc = " "] bias: bool } });
    assert_eq!(
        message,
        "parameter `size` needs a doc comment, which is what users read; \
         parameter `bias` needs a doc comment, which is what users read"
    );
}

#[test]
fn ranges_are_checked() {
    let backwards = field(quote!(#[parameter(min = 7, max = -1)]), quote!(i32));
    assert_eq!(backwards, "the maximum -1 is below the minimum 7");
    let low = field(quote!(#[parameter(min = 1, default = 0)]), quote!(u32));
    assert_eq!(low, "the default 0 is below the minimum 1");
    let high = field(quote!(#[parameter(max = 0.5, default = [0.1, 0.7])]), quote!(Vec<f32>));
    assert_eq!(high, "the default 0.7 is above the maximum 0.5");
    let none = field(quote!(#[parameter(min = 1)]), quote!(bool));
    assert_eq!(none, "only integers and numbers, and lists of them, have a range");
}

#[test]
fn defaults_of_the_wrong_type_are_explained() {
    for (default, r#type, wanted) in [
        (quote!("7"), quote!(u32), "the default must be an integer"),
        (quote!(0.5), quote!(u32), "the default must be an integer"),
        (quote!(true), quote!(f64), "the default must be a number"),
        (quote!(1), quote!(bool), "the default must be true or false"),
        (quote!(1), quote!(String), "the default must be text"),
        (quote!(1), quote!(Vec<i64>), "the default must be integers like [1, 2]"),
        (quote!([1, 0.5]), quote!(Vec<u32>), "the default must be an integer"),
        (
            quote!("elu"),
            quote!(Kernel),
            "the default must be one of its variants, as in `Kernel::Elu`",
        ),
    ] {
        assert_eq!(field(quote!(#[parameter(default = #default)]), r#type), wanted);
    }
}

#[test]
fn unknown_and_repeated_keys_are_refused() {
    let unknown = field(quote!(#[parameter(minimum = 1)]), quote!(u32));
    assert_eq!(unknown, "a parameter has `default`, `min` and `max`");
    let repeated = field(quote!(#[parameter(min = 1, min = 2)]), quote!(u32));
    assert_eq!(repeated, "this is given twice");
}

#[test]
fn only_plain_structs_with_names_are_parameters() {
    assert!(message(parse_quote! { enum P { A } }).contains("an enum derives `Choice`"));
    assert!(message(parse_quote! { struct P(u32); }).contains("have names"));
    assert!(message(parse_quote! { struct P<T> { size: T } }).contains("no generics"));
    assert!(message(parse_quote! { struct P { #[doc = "D."] Size: u32 } }).contains("lower-case"));
}
