//! The contract's lists, as text.

/// A record, its fields and what is said of them.
pub struct Record {
    pub interface: String,
    pub doc: String,
    pub name: &'static str,
    /// In WIT, if it is called otherwise there.
    pub wit: Option<&'static str>,
    /// Whether its C form is written by hand.
    pub is_irregular: bool,
    pub fields: Vec<Field>,
}

/// A record's field.
pub struct Field {
    pub doc: String,
    pub name: &'static str,
    /// As in `Vec<StageTime>`.
    pub r#type: String,
}

/// A case of a value or of an event.
pub struct Case {
    pub doc: String,
    pub name: &'static str,
    pub r#type: String,
    pub tag: &'static str,
    pub number: u32,
    pub field: &'static str,
    /// Since when, and the function of a component that hears of it.
    pub later: Option<Later>,
}

/// What components have for an event that came later.
pub struct Later {
    pub minor: u16,
    pub interface: String,
    pub function: String,
}

/// In the words of WIT: `StageTime` and `stage_time` are `stage-time`.
pub fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for letter in name.chars() {
        match letter {
            '_' => kebab.push('-'),
            'A'..='Z' if kebab.is_empty() => kebab.push(letter.to_ascii_lowercase()),
            'A'..='Z' => kebab.extend(['-', letter.to_ascii_lowercase()]),
            _ => kebab.push(letter),
        }
    }
    kebab
}

/// Lines of documentation, each ending.
fn lines(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("{}\n", line.trim())).collect()
}

fn spaceless(text: &str) -> String {
    text.split_whitespace().collect()
}

/// All records, in the order of the list.
pub fn records() -> Vec<Record> {
    let mut records = Vec::new();
    macro_rules! add {
        ($interface:ident:
            $(#[doc = $doc:literal])* $(#[derive($($more:ident),*)])?
            record $Name:ident $(as $Wit:ident)? $(, $irregular:ident)? {
                $($(#[doc = $about:literal])* $field:ident: $Type:ty,)*
            }
        ) => {
            records.push(Record {
                interface: kebab(stringify!($interface)),
                doc: lines(&[$($doc),*]),
                name: stringify!($Name),
                wit: [$(stringify!($Wit))?].first().copied(),
                is_irregular: [$(stringify!($irregular))?].contains(&"irregular"),
                fields: vec![$(Field {
                    doc: lines(&[$($about),*]),
                    name: stringify!($field),
                    r#type: spaceless(stringify!($Type)),
                }),*],
            });
        };
    }
    vitral_abi::contract_records!(add);
    records
}

macro_rules! cases {
    ($(
        $(#[doc = $doc:literal])*
        $Case:ident($Type:ty): $TAG:ident = $tag:literal, $field:ident
        $(, since $minor:literal, $interface:ident::$function:ident)?;
    )*) => {
        vec![$(Case {
            doc: lines(&[$($doc),*]),
            name: stringify!($Case),
            r#type: spaceless(stringify!($Type)),
            tag: stringify!($TAG),
            number: $tag,
            field: stringify!($field),
            later: [$(Later {
                minor: $minor,
                interface: kebab(stringify!($interface)),
                function: kebab(stringify!($function)),
            })?].into_iter().next(),
        }),*]
    };
}

/// The kinds of values.
pub fn values() -> Vec<Case> {
    vitral_abi::contract_values!(cases)
}

/// Events of contract 1.0, and those that came later.
pub fn events() -> (Vec<Case>, Vec<Case>) {
    macro_rules! both {
        (first {$($first:tt)*} later {$($later:tt)*}) => {
            (cases!($($first)*), cases!($($later)*))
        };
    }
    vitral_abi::contract_events!(both)
}
