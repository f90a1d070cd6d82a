//! Sizes and places of the structs' fields, compared with those in Rust.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::mem::offset_of;

use vitral_abi::c;

/// A struct's size, and its fields with their places.
struct Layout {
    name: &'static str,
    c_name: String,
    size: usize,
    fields: Vec<(&'static str, usize)>,
}

macro_rules! layout {
    ($kind:literal $name:ident $(<$item:ty>)? { $($field:ident),* $(,)? }) => {{
        type This = c::$name $(<$item>)?;
        Layout {
            name: stringify!($name),
            c_name: format!("{}Vitral{}", $kind, stringify!($name)),
            size: size_of::<This>(),
            fields: vec![$((stringify!($field), offset_of!(This, $field))),*],
        }
    }};
}

/// What is written by hand.
fn irregular() -> Vec<Layout> {
    vec![
        Layout { c_name: "VitralText".to_owned(), ..layout!("" List<u8> { data, len }) },
        layout!("struct " Setting { name, value }),
        layout!("struct " ParameterType {
            tag, min_integer, max_integer, min_number, max_number, choices,
        }),
        layout!("struct " Parameter { name, doc, r#type, default_value }),
        layout!("struct " Image { width, height, channels, pixels }),
        layout!("struct " Initializer { tag, a, b }),
        layout!("struct " Step {
            step, epoch, images, has_figures, learning_rate, loss, accuracy, gradient_norm,
            timings, memory,
        }),
        layout!("struct " Action { tag, text, number }),
        layout!("struct " Host {
            struct_size, major, minor, context, log, fail, apply, parameter, tensor_type, result,
            new_image, act, state,
        }),
        layout!("struct " Plugin {
            struct_size, major, minor, kind, describe, create, destroy, augment, trace_batch,
            trace_attention, observe, save, restore,
        }),
    ]
}

macro_rules! values {
    ($($(#[$($about:tt)*])* $Case:ident($Type:ty): $TAG:ident = $tag:literal, $field:ident;)*) => {
        [layout!("union " ValueData { $($field),* }), layout!("struct " Value { tag, data })]
    };
}

macro_rules! events {
    ($($when:ident {$(
        $(#[$($about:tt)*])* $Case:ident($Type:ty): $TAG:ident = $tag:literal, $field:ident
        $(, since $minor:literal, $interface:ident::$function:ident)?;
    )*})*) => {
        [
            layout!("union " EventData { $($($field),*),* }),
            layout!("struct " Event { tag, data }),
        ]
    };
}

fn layouts() -> Vec<Layout> {
    let mut layouts = irregular();
    macro_rules! record {
        ($interface:ident: $(#[$($about:tt)*])* record $Name:ident, irregular $fields:tt) => {};
        ($interface:ident: $(#[$($about:tt)*])* record $Name:ident $(as $Wit:ident)? {
            $($(#[$($doc:tt)*])* $field:ident: $Type:ty,)*
        }) => {
            layouts.push(layout!("struct " $Name { $($field),* }));
        };
    }
    vitral_abi::contract_records!(record);
    layouts.extend(vitral_abi::contract_values!(values));
    layouts.extend(vitral_abi::contract_events!(events));
    layouts
}

/// A program that compiles only if C lays everything out as Rust does.
pub fn assertions(assert: &str) -> String {
    let mut program = String::new();
    for Layout { c_name, size, fields, .. } in layouts() {
        writeln!(program, "{assert}(sizeof({c_name}) == {size}, \"{c_name}\");").unwrap();
        for (field, offset) in fields {
            let field = field.trim_start_matches("r#");
            let place = format!("offsetof({c_name}, {field}) == {offset}");
            writeln!(program, "{assert}({place}, \"{c_name}.{field}\");").unwrap();
        }
    }
    program
}

/// Names of structs and their fields, as `Value.tag`.
pub fn compared() -> BTreeSet<String> {
    let layouts = layouts().into_iter();
    layouts
        .flat_map(|Layout { name, fields, .. }| {
            fields
                .into_iter()
                .map(move |(field, _)| format!("{name}.{}", field.trim_start_matches("r#")))
        })
        .collect()
}

/// The same, from the Rust source.
pub fn declared(source: &str) -> BTreeSet<String> {
    let mut owner = None;
    let mut fields = BTreeSet::new();
    for line in source.lines() {
        let item = line.strip_prefix("pub struct ").or_else(|| line.strip_prefix("pub union "));
        if let Some(item) = item {
            owner = item.split(|it: char| !it.is_alphanumeric()).next();
        } else if line == "}" {
            owner = None;
        } else if let (Some(owner), Some(field)) = (owner, line.strip_prefix("    pub ")) {
            let name = field.split(':').next().unwrap_or(field);
            fields.insert(format!("{owner}.{}", name.trim_start_matches("r#")));
        }
    }
    fields
}
