//! Makes the header from the Rust types.

use std::fs;
use std::path::Path;

use cbindgen::{Builder, Config, ExportConfig, Language};

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

/// The header's text, of the C types' source.
pub fn header(source: &str) -> String {
    let renamed = constants(source).map(|name| (name.to_owned(), format!("VITRAL_{name}")));
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
        header: Some(head(source)),
        usize_is_size_t: true,
        line_length: 100,
        tab_width: 4,
        export,
        ..Config::default()
    };
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("c.rs");
    fs::write(&path, source).unwrap();
    let mut bytes = Vec::new();
    Builder::new().with_config(config).with_src(path).generate().unwrap().write(&mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    let (types, _) = text.rsplit_once("\n#endif").unwrap();
    in_c_names(source, &format!("{types}\n{TRAILER}\n\n#endif  /* VITRAL_PLUGIN_H */\n"))
}

/// The documentation of the Rust types' module.
fn head(source: &str) -> String {
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    let text: String = lines.map(|line| format!(" *{line}\n")).collect();
    format!(
        "/*\n{text} *\n * Made from sdk/abi/src/contract.rs and c.rs by their tests; do not edit.\n */"
    )
}

fn items<'s>(source: &'s str, keyword: &'s str) -> impl Iterator<Item = &'s str> {
    let items =
        source.lines().filter_map(move |line| line.strip_prefix("pub ")?.strip_prefix(keyword));
    items.filter_map(|rest| {
        rest.trim_start().split(|it: char| !it.is_alphanumeric() && it != '_').next()
    })
}

fn constants(source: &str) -> impl Iterator<Item = &str> {
    items(source, "const ").filter(|name| name.chars().all(|it| it.is_uppercase() || it == '_'))
}

/// Names in comments as C has them: `FAILED` becomes `VITRAL_FAILED`, `Host::fail` becomes
/// `VitralHost::fail`, and links lose their brackets.
fn in_c_names(source: &str, text: &str) -> String {
    let constants: Vec<_> = constants(source).collect();
    let kinds = ["struct ", "union ", "type "].into_iter();
    let types: Vec<_> = kinds.flat_map(|kind| items(source, kind)).collect();
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
