//! What can be seen in a component without running it: what it imports, and its instructions.

use std::collections::BTreeSet;

use vitral_bundle::Permissions;
use vitral_host::Kind;
use wasmparser::{KnownCustom, Parser, Payload};

use super::finding::{Checked, Problem};

/// Whether a plugin asks for what it uses. Importing what was not asked for is no fault, as standard
/// libraries do; it gives nothing.
pub(super) fn permissions(component: &[u8], asked: Permissions) -> Checked {
    let imports = imports(component).map_err(|error| error.to_string())?;
    let imports_of = |prefixes: &[&str]| {
        let found = imports.iter().any(|it| prefixes.iter().any(|prefix| it.starts_with(prefix)));
        found.then_some(())
    };
    let mut unused = Vec::new();
    let mut ungranted = Vec::new();
    for (name, asked, prefixes) in [
        ("files", asked.files, &["wasi:filesystem/"][..]),
        ("network", asked.network, &["wasi:sockets/", "wasi:http/"]),
        ("clock", asked.clock, &["wasi:clocks/"]),
    ] {
        match (asked, imports_of(prefixes)) {
            (true, None) => unused.push(name),
            (false, Some(())) => ungranted.push(name),
            _ => {}
        }
    }
    if !unused.is_empty() {
        let problem = format!("it asks for {}, but does not use that", unused.join(" and "));
        return Err(Problem::Failed(problem));
    }
    Ok(match (ungranted.is_empty(), imports.iter().any(|it| it.starts_with("wasi:"))) {
        (true, false) => "it uses memory and time only".into(),
        (true, true) => "it asks for what it uses".into(),
        (false, _) => format!("it imports {} without asking, and gets none", ungranted.join(", ")),
    })
}

/// How many vector instructions there are. Image augmentations need them to be fast; other compilers than that of
/// Rust have ways of their own to make them, if they do.
pub(super) fn simd(component: &[u8], kind: Kind) -> Checked {
    let count = vector_instructions(component).map_err(|error| error.to_string())?;
    let is_rust = is_of_rust(component).map_err(|error| error.to_string())?;
    match (count, kind) {
        (0, Kind::ImageAugmentation) if !is_rust => Err(Problem::Skipped(
            "there are none, which may make it slow; in C it is `-msimd128` that gives them".into(),
        )),
        (0, Kind::ImageAugmentation) => Err(Problem::Failed(
            "there are none, which makes it slow: build it with `vitral plugin build`, or with \
             `-C target-feature=+simd128`"
                .into(),
        )),
        (0, _) => Err(Problem::Skipped("there are none, and this kind needs none".into())),
        _ => Ok(count.to_string()),
    }
}

/// The names of what a component imports.
fn imports(component: &[u8]) -> wasmparser::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(component) {
        match payload? {
            // What is nested imports from what is around it.
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    names.insert(import?.name.name.to_string());
                }
            }
            _ => {}
        }
    }
    Ok(names)
}

/// Whether it is a plugin in Rust as `plugin build` makes it: by Rust's compiler, and without a system. Interpreters
/// have parts in Rust, too.
fn is_of_rust(component: &[u8]) -> wasmparser::Result<bool> {
    if imports(component)?.iter().any(|import| import.starts_with("wasi:")) {
        return Ok(false);
    }
    for payload in Parser::new(0).parse_all(component) {
        let Payload::CustomSection(section) = payload? else { continue };
        let KnownCustom::Producers(fields) = section.as_known() else { continue };
        for field in fields {
            for value in field?.values {
                if value?.name == "rustc" {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

/// How instructions on vectors start.
const VECTOR: u8 = 0xfd;

fn vector_instructions(component: &[u8]) -> wasmparser::Result<usize> {
    let mut count = 0;
    for payload in Parser::new(0).parse_all(component) {
        let Payload::CodeSectionEntry(body) = payload? else { continue };
        let mut reader = body.get_operators_reader()?;
        while !reader.eof() {
            let start = reader.original_position();
            reader.read()?;
            count += usize::from(component.get(start) == Some(&VECTOR));
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] = b"\0asm\x01\0\0\0";

    /// A module of one function with this body.
    fn module(body: &[u8]) -> Vec<u8> {
        let section = |id: u8, content: &[u8]| [&[id, content.len() as u8], content].concat();
        // No locals, the body, the end.
        let body = [&[0], body, &[0x0b]].concat();
        let code = [&[1, body.len() as u8], &body[..]].concat();
        let types = section(1, &[1, 0x60, 0, 0]);
        [HEADER, &types, &section(3, &[1, 0]), &section(10, &code)].concat()
    }

    #[test]
    fn vector_instructions_are_counted() {
        for (body, count) in [
            (&[0x41, 0, 0x1a][..], 0),
            (&[0x41, 0, 0xfd, 0x0f, 0x1a], 1),
            (&[0x41, 0, 0xfd, 0x0f, 0x41, 1, 0xfd, 0x0f, 0xfd, 0x6e, 0x1a], 3),
        ] {
            assert_eq!(vector_instructions(&module(body)).unwrap(), count);
        }
        let hint = simd(&module(&[]), Kind::ImageAugmentation).unwrap_err();
        assert!(matches!(hint, Problem::Skipped(_)), "{hint:?}");
        // One field, of one value.
        let producers = b"\x09producers\x01\x0cprocessed-by\x01\x05rustc\x061.95.0";
        let of_rust = [&module(&[]), &[0, producers.len() as u8][..], &producers[..]].concat();
        let error = simd(&of_rust, Kind::ImageAugmentation).unwrap_err();
        assert!(matches!(error, Problem::Failed(_)), "{error:?}");
        let skipped = simd(&module(&[]), Kind::Monitor).unwrap_err();
        assert!(matches!(skipped, Problem::Skipped(_)));
    }

    #[test]
    fn what_is_asked_for_must_be_used() {
        let nothing = Permissions::default();
        assert!(permissions(HEADER, nothing).unwrap().contains("only"));
        let problem = permissions(HEADER, Permissions { clock: true, ..nothing }).unwrap_err();
        assert_eq!(problem, Problem::Failed("it asks for clock, but does not use that".into()));
    }
}
