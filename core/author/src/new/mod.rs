//! `vitral plugin new`: a plugin to start from, of each kind and in each language, which builds and passes its
//! checks.
//!
//! The templates under `templates/` are code as it stands: with placeholders that are names. Those in Rust have no
//! line that exports the plugin, and this crate's tests run their tests.

mod name;
#[cfg(test)]
mod templates;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use vitral_abi::Kind;

use crate::{AuthorError, Language, Progress, files};
pub use name::Name;

/// Where a new plugin takes the SDK from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sdk {
    /// The `sdk` folder of a checkout.
    Path(PathBuf),
    /// A repository, at a revision or a tag.
    Git {
        /// Its address.
        repository: String,
        /// Which of its states.
        at: At,
    },
}

/// A state of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// A commit.
    Revision(String),
    /// The release of a version.
    Tag(String),
}

impl Default for Sdk {
    /// The repository, at the revision that this program was built from, or else at its version's
    /// release. A plugin then builds wherever it is taken.
    fn default() -> Self {
        let at = match option_env!("VITRAL_REVISION") {
            Some(revision) => At::Revision(revision.to_owned()),
            None => At::Tag(concat!("v", env!("CARGO_PKG_VERSION")).to_owned()),
        };
        Self::Git { repository: env!("CARGO_PKG_REPOSITORY").to_owned(), at }
    }
}

impl fmt::Display for Sdk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Git { repository, at: At::Revision(at) | At::Tag(at) } => {
                write!(f, "{repository} at {at}")
            }
        }
    }
}

impl Sdk {
    /// The dependency in `Cargo.toml`, without its braces; `part` is a folder of the SDK's.
    fn dependency(&self, part: &str) -> String {
        // A Rust string's escapes are TOML's, too.
        match self {
            Self::Path(path) => format!("path = {:?}", path.join(part).display().to_string()),
            Self::Git { repository, at: At::Revision(revision) } => {
                format!("git = {repository:?}, rev = {revision:?}")
            }
            Self::Git { repository, at: At::Tag(tag) } => {
                format!("git = {repository:?}, tag = {tag:?}")
            }
        }
    }

    /// The lock file of the SDK's checkout: what it has been tested with.
    fn lock(&self) -> Option<PathBuf> {
        let Self::Path(path) = self else { return None };
        Some(path.parent()?.join("Cargo.lock")).filter(|lock| lock.is_file())
    }
}

/// What differs between the kinds.
struct Template {
    summary: &'static str,
    /// How an experiment uses the plugin.
    usage: &'static str,
    /// Its parameters, for the README.
    table: &'static str,
}

const MANIFEST: &str = include_str!("../../templates/rust/manifest.toml");
const OTHERS: [(&str, &str); 4] = [
    ("plugin.ron", include_str!("../../templates/plugin.ron")),
    ("README.md", include_str!("../../templates/README.md")),
    ("LICENSE-MIT", include_str!("../../templates/LICENSE-MIT")),
    (".gitignore", include_str!("../../templates/gitignore")),
];
const EXPORT: &str = "// TEMPLATE_EXPORT";

macro_rules! codes {
    ($language:literal $extension:literal) => {
        [
            include_str!(concat!(
                "../../templates/",
                $language,
                "/image_augmentation.",
                $extension
            )),
            include_str!(concat!(
                "../../templates/",
                $language,
                "/batch_augmentation.",
                $extension
            )),
            include_str!(concat!("../../templates/", $language, "/attention.", $extension)),
            include_str!(concat!("../../templates/", $language, "/monitor.", $extension)),
        ]
    };
}

/// The code of a kind in a language.
fn code(language: Language, kind: Kind) -> &'static str {
    let [image, batch, attention, monitor] = match language {
        Language::Rust => codes!("rust" "rs"),
        Language::C => codes!("c" "c"),
        Language::Python => codes!("python" "py"),
        Language::JavaScript => codes!("javascript" "js"),
    };
    match kind {
        Kind::ImageAugmentation => image,
        Kind::BatchAugmentation => batch,
        Kind::Attention => attention,
        Kind::Monitor => monitor,
    }
}

/// What the README says of the work on a plugin, each with its command.
fn work(language: Language) -> String {
    let forms = match language.has_native() {
        true => "a WebAssembly component and a native library, in dist/",
        false => "a WebAssembly component, in dist/",
    };
    let held = match language.has_native() {
        true => "whether both do what any plugin must do, and do the same",
        false => "whether it does what any plugin must do",
    };
    let mut lines = vec![
        ("vitral plugin build", forms),
        ("vitral plugin check", held),
        ("vitral plugin bench", "how long they take"),
        ("vitral plugin pack", "template-name-0.1.0.vitral, to give away"),
    ];
    if language == Language::Rust {
        lines.insert(0, ("cargo test", "the plugin's own tests"));
    }
    lines.iter().map(|(command, what)| format!("{command:23} # {what}\n")).collect()
}

fn template(kind: Kind) -> Template {
    match kind {
        Kind::ImageAugmentation => Template {
            summary: "Inverts the bright parts of images",
            usage: "data: (augment: [Plugin(name: \"template-name\", settings: {\"probability\": 0.5})]),",
            table: "| `probability` | 0 to 1 | 0.2 | how likely an image is changed |\n\
                    | `threshold` | 0 to 255 | 128 | values from this one on are inverted |",
        },
        Kind::BatchAugmentation => Template {
            summary: "Mixes images and their targets in pairs",
            usage: "train: (batch_augment: [(name: \"template-name\", settings: {\"alpha\": 0.2})]),",
            table: "| `alpha` | 0.01 to 100 | 0.2 | the larger, the more even the mix |",
        },
        Kind::Attention => Template {
            summary: "Softmax attention with a learned temperature in each head",
            usage: "model: (attention: [(layers: (0, 5), attention: Plugin(\n    \
                    name: \"template-name\", settings: {\"start\": 0.5},\n))]),",
            table: "| `start` | 0.01 to 100 | 1 | the temperature that each head starts with |",
        },
        Kind::Monitor => Template {
            summary: "Stops a run whose loss stays no number",
            usage: "monitors: [(name: \"template-name\", settings: {\"patience\": 3})],",
            table: "| `patience` | 1 to 1000 | 3 | steps in a row whose loss may be no number |",
        },
    }
}

/// Writes a new plugin into a folder, which must not be there or be empty. `sdk` is what a crate takes; other
/// languages have theirs from the program that builds them.
///
/// # Errors
/// The folder is not empty, or cannot be written to.
pub fn new(
    kind: Kind,
    name: &Name,
    language: Language,
    folder: &Path,
    sdk: &Sdk,
    progress: Progress,
) -> Result<(), AuthorError> {
    if fs::symlink_metadata(folder).is_ok() && !is_empty_folder(folder) {
        return Err(AuthorError::NotEmpty(folder.to_owned()));
    }
    if let Sdk::Path(path) = sdk
        && path.to_str().is_none()
    {
        let problem = "this folder of the SDK cannot be written in Cargo.toml, which is Unicode";
        return Err(AuthorError::Source { folder: path.clone(), problem: problem.into() });
    }
    for (path, content) in contents(kind, name, language, sdk) {
        progress(&format!("write {}", folder.join(&path).display()));
        files::write(&folder.join(path), content.as_bytes())?;
    }
    if let Some(lock) = sdk.lock().filter(|_| language == Language::Rust) {
        files::write(
            &folder.join("Cargo.lock"),
            &files::read(&lock, vitral_files::Kind::SETTINGS)?,
        )?;
    }
    Ok(())
}

fn is_empty_folder(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

/// The files of a new plugin.
fn contents(kind: Kind, name: &Name, language: Language, sdk: &Sdk) -> Vec<(String, String)> {
    let Template { summary, usage, table } = template(kind);
    let work = work(language);
    let type_name = name.type_name();
    let fill = |text: &str| {
        text.replace("TEMPLATE_USE", usage)
            .replace("TEMPLATE_TABLE", table)
            .replace("TEMPLATE_WORK\n", &work)
            .replace("TEMPLATE_SUMMARY", summary)
            .replace("TEMPLATE_KIND", kind.name())
            .replace("TEMPLATE_SDK", &sdk.dependency(""))
            .replace("TEMPLATE_TESTKIT", &sdk.dependency("testkit"))
            .replace("TemplateType", &type_name)
            .replace("template-name", name.as_str())
    };
    let exported = kind.name().replace('-', "_");
    let code = fill(code(language, kind));
    let mut contents = match language {
        Language::Rust => {
            let export = format!("vitral_sdk::export!({type_name}: {exported});");
            vec![
                ("Cargo.toml".to_owned(), fill(MANIFEST)),
                ("src/lib.rs".to_owned(), code.replace(EXPORT, &export)),
            ]
        }
        _ => vec![(language.file(kind), code)],
    };
    contents.extend(OTHERS.map(|(path, text)| (path.to_owned(), fill(text))));
    contents
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Source;

    fn name() -> Name {
        "bright-spots".parse().unwrap()
    }

    fn every_template() -> impl Iterator<Item = (Language, Kind)> {
        let kinds = |language| Kind::ALL.map(|kind| (language, kind));
        Language::ALL.into_iter().flat_map(kinds)
    }

    #[test]
    fn a_new_plugin_is_found_as_one_of_its_language_and_kind() {
        for (language, kind) in every_template() {
            let root = tempfile::tempdir().unwrap();
            let sdk = Sdk::default();
            new(kind, &name(), language, root.path(), &sdk, &mut |_| ()).unwrap();
            let wanted = match language {
                Language::Rust => Source::Rust,
                _ => Source::File { language, kind },
            };
            assert_eq!(Source::find(root.path()).unwrap(), wanted);
        }
    }

    #[test]
    fn every_placeholder_is_filled() {
        for sdk in [Sdk::Path("/a \"b\"/sdk".into()), Sdk::default()] {
            for (language, kind) in every_template() {
                for (path, text) in contents(kind, &name(), language, &sdk) {
                    let rest = text.to_lowercase().contains("template");
                    assert!(!rest, "{kind}: {path}\n{text}");
                }
            }
        }
    }

    #[test]
    fn code_exports_its_type_as_its_kind() {
        for (kind, export) in [
            (Kind::ImageAugmentation, "vitral_sdk::export!(BrightSpots: image_augmentation);"),
            (Kind::BatchAugmentation, "vitral_sdk::export!(BrightSpots: batch_augmentation);"),
            (Kind::Attention, "vitral_sdk::export!(BrightSpots: attention);"),
            (Kind::Monitor, "vitral_sdk::export!(BrightSpots: monitor);"),
        ] {
            let contents = contents(kind, &name(), Language::Rust, &Sdk::default());
            let (_, code) = contents.iter().find(|(path, _)| *path == "src/lib.rs").unwrap();
            assert!(code.contains(export), "{code}");
            assert!(code.contains("identity!(\"bright-spots\", "), "{code}");
        }
    }

    #[test]
    fn dependencies_are_paths_or_repositories() {
        let manifest = |sdk| contents(Kind::Monitor, &name(), Language::Rust, &sdk)[0].1.clone();
        let path = manifest(Sdk::Path("/x/sdk".into()));
        assert!(path.contains("vitral-sdk = { path = \"/x/sdk/\" }"), "{path}");
        assert!(path.contains("vitral-testkit = { path = \"/x/sdk/testkit\" }"), "{path}");
        let git = |at| manifest(Sdk::Git { repository: "https://host/x".into(), at });
        let pinned = git(At::Revision("0abc".into()));
        let expected = "vitral-testkit = { git = \"https://host/x\", rev = \"0abc\" }";
        assert!(pinned.contains(expected), "{pinned}");
        let pinned = git(At::Tag("v1.2.3".into()));
        let expected = "vitral-sdk = { git = \"https://host/x\", tag = \"v1.2.3\" }";
        assert!(pinned.contains(expected), "{pinned}");
    }

    #[test]
    fn the_machine_that_built_the_program_is_not_in_a_new_plugin() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        for (path, text) in contents(Kind::Monitor, &name(), Language::Rust, &Sdk::default()) {
            assert!(!text.contains(&here.display().to_string()), "{path}\n{text}");
            assert!(path != "Cargo.toml" || text.contains("rev = ") || text.contains("tag = "));
        }
    }

    #[test]
    fn nothing_is_written_over() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("plugin");
        let write = |folder: &Path| {
            new(Kind::Monitor, &name(), Language::Rust, folder, &Sdk::default(), &mut |_| ())
        };
        fs::create_dir(&folder).unwrap();
        write(&folder).unwrap();
        let manifest = fs::read(folder.join("Cargo.toml")).unwrap();
        let error = write(&folder).unwrap_err().to_string();
        assert!(error.contains("not empty"), "{error}");
        assert_eq!(fs::read(folder.join("Cargo.toml")).unwrap(), manifest);
        let error = write(&folder.join("README.md")).unwrap_err();
        assert!(matches!(error, AuthorError::NotEmpty(_)), "{error}");
    }

    #[test]
    fn its_plugin_ron_is_one() {
        let root = tempfile::tempdir().unwrap();
        let sdk = Sdk::default();
        new(Kind::Attention, &name(), Language::C, root.path(), &sdk, &mut |_| ()).unwrap();
        let source = vitral_bundle::SourceManifest::read(root.path()).unwrap();
        assert_eq!(source.license.as_deref(), Some("MIT"));
        assert_eq!(source.limits, vitral_bundle::Limits::default());
    }
}
