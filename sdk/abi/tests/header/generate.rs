//! Makes the header from the Rust types.

use std::path::Path;

use cbindgen::{Builder, Config, ExportConfig, Language};

/// The Rust types.
pub const SOURCE: &str = include_str!("../../src/c.rs");

/// What follows the types.
const TRAILER: &str = "\
#ifdef __cplusplus
extern \"C\" {
#endif

/**
 * The one symbol that a plugin exports: its table, which is valid for ever.
 */
const struct VitralPlugin *vitral_plugin(void);

#ifdef __cplusplus
}
#endif";

/// The header's text.
pub fn header() -> String {
    let renamed = constants().map(|name| (name.to_owned(), format!("VITRAL_{name}")));
    let export = ExportConfig {
        include: vec!["Plugin".to_owned()],
        exclude: vec!["ENTRY".to_owned(), "Entry".to_owned()],
        prefix: Some("Vitral".to_owned()),
        rename: renamed.collect(),
        renaming_overrides_prefixing: true,
        ..ExportConfig::default()
    };
    let config = Config {
        language: Language::C,
        include_guard: Some("VITRAL_PLUGIN_H".to_owned()),
        no_includes: true,
        sys_includes: vec!["stddef.h".to_owned(), "stdint.h".to_owned()],
        header: Some(head()),
        usize_is_size_t: true,
        line_length: 100,
        tab_width: 4,
        export,
        ..Config::default()
    };
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/c.rs");
    let mut bytes = Vec::new();
    Builder::new().with_config(config).with_src(source).generate().unwrap().write(&mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    let (types, _) = text.rsplit_once("\n#endif").unwrap();
    in_c_names(&format!("{types}\n{TRAILER}\n\n#endif  /* VITRAL_PLUGIN_H */\n"))
}

/// The documentation of the Rust types' module.
fn head() -> String {
    let lines = SOURCE.lines().map_while(|line| line.strip_prefix("//!"));
    let text: String = lines.map(|line| format!(" *{line}\n")).collect();
    format!("/*\n{text} *\n * Made from sdk/abi/src/c.rs by its tests; do not edit.\n */")
}

fn items(keyword: &str) -> impl Iterator<Item = &'static str> {
    let items =
        SOURCE.lines().filter_map(move |line| line.strip_prefix("pub ")?.strip_prefix(keyword));
    items.filter_map(|rest| {
        rest.trim_start().split(|it: char| !it.is_alphanumeric() && it != '_').next()
    })
}

fn constants() -> impl Iterator<Item = &'static str> {
    items("const ").filter(|name| name.chars().all(|it| it.is_uppercase() || it == '_'))
}

/// Names in comments as C has them: `FAILED` becomes `VITRAL_FAILED`, `Host::fail` becomes
/// `VitralHost::fail`, and links lose their brackets.
fn in_c_names(text: &str) -> String {
    let constants: Vec<_> = constants().collect();
    let types: Vec<_> = ["struct ", "union ", "type "].into_iter().flat_map(items).collect();
    let text = text.replace("[`", "`").replace("`]", "`");
    let names = text.split('`').enumerate().map(|(index, part)| {
        let first = part.split("::").next().unwrap_or(part);
        match index % 2 == 1 {
            true if part == "ENTRY" => "`vitral_plugin`".to_owned(),
            true if constants.contains(&part) => format!("`VITRAL_{part}`"),
            true if types.contains(&first) => format!("`Vitral{part}`"),
            true => format!("`{part}`"),
            false => part.to_owned(),
        }
    });
    names.collect()
}
