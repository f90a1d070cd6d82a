//! `plugin.ron` of a bundle: what the plugin is, asks for, and consists of.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use semver::Version;
use serde::{Deserialize, Serialize};
use vitral_abi::{Description, Kind};
use vitral_config::{ConfigError, Document};
use vitral_program::ops::VERSION;

use crate::MAX_UNPACKED_BYTES;
use crate::contract::Contract;
use crate::describe::{ManifestExample, ManifestKind, ManifestParameter};
use crate::digest::Digest;
use crate::error::BundleError;
use crate::target::Target;
use crate::{paths, text};

/// A manifest.
pub(crate) const FILE: crate::files::Kind = crate::files::Kind::new("a manifest", 1 << 20);

/// What a plugin is, asks for, and consists of. Packing writes it; it is known before any of the
/// plugin's code runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Lower-case words joined by `-`.
    pub name: String,
    /// A semantic version.
    #[schemars(with = "String")]
    pub version: Version,
    /// The version of the plugin contract that it was built for, as in `1.0`.
    #[schemars(with = "String")]
    pub contract: Contract,
    /// The version of the ops of tensor programs that the program had that packed it. Kinds that trace programs have
    /// it; one without is from before there was more than the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub ops: Option<u32>,
    /// What it does.
    pub kind: ManifestKind,
    /// What it does, in one line.
    pub summary: String,
    /// What users may set.
    #[serde(default)]
    pub parameters: Vec<ManifestParameter>,
    /// Documented configurations.
    #[serde(default)]
    pub examples: Vec<ManifestExample>,
    /// What it asks for, beside memory and time.
    #[serde(default)]
    pub permissions: Permissions,
    /// What it needs of memory and time.
    #[serde(default)]
    pub limits: Limits,
    /// What it consists of, one for each target.
    pub artifacts: Vec<Artifact>,
    /// SPDX expression of its licence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Who wrote it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authors: Vec<String>,
    /// Where to read more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub homepage: Option<String>,
}

/// What a sandboxed plugin asks for. It gets what the user grants of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Permissions {
    /// Files in folders that the user names.
    pub files: bool,
    /// Connections to other machines.
    pub network: bool,
    /// The time of day.
    pub clock: bool,
}

/// What each instance of a sandboxed plugin needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Memory in MiB.
    #[schemars(range(min = 1, max = 4096))]
    pub memory_mib: u32,
    /// Time of one call in milliseconds.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub call_ms: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_mib: 64, call_ms: 1000 }
    }
}

/// One form of the plugin's code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// What it runs on.
    pub kind: Target,
    /// Its file in the bundle.
    pub path: String,
    /// Digest of its bytes.
    #[schemars(with = "String")]
    pub sha256: Digest,
    /// How many bytes it has.
    pub bytes: u64,
}

/// The fields that every version of the manifest has, whatever else is in it.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Preamble {
    name: String,
    #[schemars(with = "String")]
    contract: Contract,
    #[serde(default)]
    ops: Option<u32>,
}

impl Manifest {
    /// Reads a manifest; errors underline what is wrong.
    pub fn parse(document: &Document) -> Result<Self, BundleError> {
        let preamble = document.parse::<Preamble>().ok();
        if let Some(Preamble { name, contract, ops }) = preamble {
            let plugin = text::shown(name.as_bytes());
            if !contract.is_supported() {
                let (needs, has) = (contract, Contract::CURRENT);
                return Err(BundleError::Contract { plugin, needs, has });
            }
            if let Some(needs) = ops.filter(|ops| *ops > VERSION) {
                return Err(BundleError::Ops { plugin, needs, has: VERSION });
            }
        }
        let manifest: Self = document.parse()?;
        manifest.check(document)?;
        Ok(manifest)
    }

    /// What the plugin does.
    pub fn kind(&self) -> Kind {
        self.kind.into()
    }

    /// The version of the ops of tensor programs that it needs at most, if it is of a kind that traces programs.
    pub fn needed_ops(&self) -> Option<u32> {
        traces(self.kind()).then(|| self.ops.unwrap_or(1))
    }

    /// What the plugin says of itself.
    pub fn description(&self) -> Description {
        Description {
            name: self.name.clone(),
            version: self.version.to_string(),
            summary: self.summary.clone(),
            parameters: self.parameters.iter().map(Into::into).collect(),
            examples: self.examples.iter().map(|e| e.to_example(&self.parameters)).collect(),
        }
    }

    /// `name-version`, which is the name of its folder and, with an extension, of its bundle.
    pub fn id(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }

    /// The artifact for a target.
    pub fn artifact(&self, target: &Target) -> Result<&Artifact, BundleError> {
        let found = self.artifacts.iter().find(|artifact| artifact.kind == *target);
        found.ok_or_else(|| BundleError::NoArtifact {
            plugin: self.name.clone(),
            version: self.version.clone(),
            target: target.clone(),
            has: self.artifacts.iter().map(|artifact| artifact.kind.clone()).collect(),
        })
    }

    /// What types and ranges do not say.
    fn check(&self, document: &Document) -> Result<(), ConfigError> {
        let wrong = |path: &str, message: String, help: &str| {
            Err(document.error_at(path, message, Some(help.to_owned())))
        };
        if !text::is_plugin_name(&self.name) {
            let help = "a name has lower-case words joined by `-`, at most 64 characters";
            let message =
                format!("a plugin cannot be called `{}`", text::shown(self.name.as_bytes()));
            return wrong("name", message, help);
        }
        self.check_texts(document)?;
        self.check_parameters(document)?;
        if self.artifacts.is_empty() {
            let help = "a bundle has a WebAssembly component or native libraries";
            return wrong("artifacts", "there is no artifact".to_owned(), help);
        }
        let mut targets = BTreeSet::new();
        for (index, artifact) in self.artifacts.iter().enumerate() {
            let place = format!("artifacts[{index}]");
            if !targets.insert(&artifact.kind) {
                let message = format!("there are two artifacts for {}", artifact.kind);
                return wrong(&place, message, "each target has one artifact");
            }
            if let Err(problem) = paths::check_artifact(&artifact.path, &artifact.kind, &self.name)
            {
                let help = "artifacts are wasm/<name>.wasm and native/<target triple>/<library>";
                return wrong(&format!("{place}.path"), text::shown(problem.as_bytes()), help);
            }
            if artifact.bytes > MAX_UNPACKED_BYTES {
                let message = format!("`{}` would have {} bytes", artifact.path, artifact.bytes);
                let help = format!("a bundle has at most {MAX_UNPACKED_BYTES} bytes");
                return wrong(&format!("{place}.bytes"), message, &help);
            }
        }
        Ok(())
    }

    fn check_texts(&self, document: &Document) -> Result<(), ConfigError> {
        let lines = [("summary".to_owned(), &self.summary)];
        let license = self.license.iter().map(|text| ("license".to_owned(), text));
        let homepage = self.homepage.iter().map(|text| ("homepage".to_owned(), text));
        let authors = self.authors.iter().enumerate();
        let authors = authors.map(|(index, text)| (format!("authors[{index}]"), text));
        let examples = self.examples.iter().enumerate();
        let titles = examples.map(|(index, e)| (format!("examples[{index}].title"), &e.title));
        let lines = lines.into_iter().chain(license).chain(homepage).chain(authors).chain(titles);
        for (path, line) in lines {
            if !text::is_one_line(line) {
                let message = format!("`{path}` has control characters or line breaks");
                return Err(document.error_at(&path, message, "it is one line of text".to_owned()));
            }
        }
        Ok(())
    }

    fn check_parameters(&self, document: &Document) -> Result<(), ConfigError> {
        let mut names = BTreeSet::new();
        for (index, parameter) in self.parameters.iter().enumerate() {
            let place = format!("parameters[{index}]");
            let name = text::shown(parameter.name.as_bytes());
            let (field, message, help) = if !text::is_parameter_name(&parameter.name) {
                let help = "a name has lower-case words joined by `_`, at most 64 characters";
                ("name", format!("a parameter cannot be called `{name}`"), help)
            } else if !names.insert(&parameter.name) {
                let help = "each parameter has a name of its own";
                ("name", format!("there are two parameters `{name}`"), help)
            } else if !text::is_plain(&parameter.doc) {
                let help = "it is text in one line or several";
                ("doc", format!("the text about `{name}` has control characters"), help)
            } else {
                continue;
            };
            return Err(document.error_at(&format!("{place}.{field}"), message, help.to_owned()));
        }
        Ok(())
    }
}

/// Whether a kind's plugins trace tensor programs.
pub(crate) fn traces(kind: Kind) -> bool {
    matches!(kind, Kind::Attention | Kind::BatchAugmentation)
}

#[cfg(test)]
mod tests {
    use vitral_abi::{Example, Parameter, ParameterType, Setting, Value};

    use super::*;

    fn manifest(description: &Description) -> Manifest {
        Manifest {
            name: description.name.clone(),
            version: description.version.parse().unwrap(),
            contract: Contract::CURRENT,
            ops: Some(VERSION),
            kind: ManifestKind::Attention,
            summary: description.summary.clone(),
            parameters: description.parameters.iter().map(Into::into).collect(),
            examples: description.examples.iter().map(Into::into).collect(),
            permissions: Permissions::default(),
            limits: Limits::default(),
            artifacts: vec![Artifact {
                kind: Target::Wasm,
                path: "wasm/window.wasm".into(),
                sha256: Digest::of(b""),
                bytes: 0,
            }],
            license: None,
            authors: vec![],
            homepage: None,
        }
    }

    fn description() -> Description {
        let parameter = |name: &str, kind, default| Parameter {
            name: name.into(),
            doc: "What it does.\nMore \"of\" it.".into(),
            r#type: kind,
            default,
        };
        let number = ParameterType::Number { min: 0.1, max: f64::INFINITY };
        let numbers = ParameterType::Numbers { min: f64::NEG_INFINITY, max: 1e300 };
        let integer = ParameterType::Integer { min: i64::MIN, max: i64::MAX };
        let integers = ParameterType::Integers { min: 0, max: u32::MAX.into() };
        let words = ParameterType::Choice(vec!["elu".into(), "relu".into()]);
        Description {
            name: "window".into(),
            version: "1.2.0-rc.1+linux".into(),
            summary: "Attention in \"windows\" of größe n".into(),
            parameters: vec![
                parameter("a", ParameterType::Boolean, Some(Value::Boolean(true))),
                parameter("b", integer, Some(Value::Integer(i64::MIN))),
                parameter("c", number.clone(), Some(Value::Number(7.0))),
                parameter("c2", number.clone(), Some(Value::Number(1e20))),
                parameter("c3", number, Some(Value::Number(1.0 / 3.0))),
                parameter("d", words, Some(Value::Text("elu".into()))),
                parameter("e", ParameterType::Text, None),
                parameter("f", integers, Some(Value::Integers(vec![1, 2]))),
                parameter("g", numbers.clone(), Some(Value::Numbers(vec![]))),
                parameter("h", numbers, Some(Value::Numbers(vec![1.0, -2.0, 5e-324]))),
            ],
            examples: vec![Example {
                title: "Swin's".into(),
                settings: vec![
                    Setting { name: "g".into(), value: Value::Numbers(vec![]) },
                    Setting { name: "e".into(), value: Value::Text("a\nb".into()) },
                ],
            }],
        }
    }

    fn read(text: &str) -> Result<Manifest, BundleError> {
        Manifest::parse(&Document::new("plugin.ron", text))
    }

    #[test]
    fn a_description_survives_the_manifest() {
        let written = manifest(&description());
        let text = vitral_config::to_ron(&written).unwrap();
        let read = read(&text).unwrap();
        assert_eq!(read, written);
        assert_eq!(read.description(), description());
    }

    #[test]
    fn errors_underline_what_is_wrong() {
        let good = vitral_config::to_ron(&manifest(&description())).unwrap();
        for (from, to, expected) in [
            ("name: \"window\"", "name: \"../x\"", "a plugin cannot be called `../x`"),
            ("summary: ", "sumary: ", "sumary"),
            ("summary: \"", "summary: \"\\u{1b}", "control characters"),
            ("name: \"b\"", "name: \"a\"", "two parameters `a`"),
            ("name: \"b\"", "name: \"B\"", "cannot be called `B`"),
            ("kind: Attention", "kind: Atention", "Atention"),
            ("version: \"1.2", "version: \"1", "version"),
            ("path: \"wasm/window", "path: \"wasm/other", "belongs to `wasm/window.wasm`"),
            ("path: \"wasm/window.wasm", "path: \"../../x", "leaves the bundle"),
            ("bytes: 0", "bytes: 999999999999", "would have 999999999999 bytes"),
            ("sha256: \"e3", "sha256: \"zz", "hexadecimal"),
            ("memory_mib: 64", "memory_mib: 5000", "at most 4096"),
            ("max: 1e300", "max: inf", "finite"),
            ("contract: \"1.", "contract: \"one.", "contract version"),
        ] {
            assert!(good.contains(from), "{from} not in {good}");
            let error = read(&good.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(expected), "{from}: {error}");
            assert!(error.starts_with("plugin.ron:"), "{error}");
        }
    }

    #[test]
    fn a_newer_contract_is_refused_with_both_versions_whatever_else_is_in_the_manifest() {
        let text = r#"(name: "window", contract: "2.3", kind: Telepathy(9), new: [Field(a: 1)])"#;
        let error = read(text).unwrap_err().to_string();
        let this = format!("this build has {}", Contract::CURRENT);
        assert!(
            error.contains("`window`") && error.contains("2.3") && error.contains(&this),
            "{error}"
        );
    }

    #[test]
    fn a_newer_op_set_is_refused_with_both_versions_and_what_says_none_has_the_first() {
        let written = manifest(&description());
        let good = vitral_config::to_ron(&written).unwrap();
        let own = format!("ops: Some({VERSION})");
        let plain = good.replacen(&own, &format!("ops: {VERSION}"), 1);
        let newer = VERSION + 1;
        let text = plain.replacen(&format!("ops: {VERSION}"), &format!("ops: {newer}, new: 1"), 1);
        let error = read(&text).unwrap_err().to_string();
        for part in ["`window`", &format!("version {newer} of the ops"), &format!("has {VERSION}")]
        {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert_eq!(read(&good).unwrap().needed_ops(), Some(VERSION));
        let older = Manifest { ops: None, ..written };
        let text = vitral_config::to_ron(&older).unwrap();
        assert!(!text.contains("ops"), "{text}");
        assert_eq!(read(&text).unwrap().needed_ops(), Some(1));
        let monitor = Manifest { kind: ManifestKind::Monitor, ..older };
        assert_eq!(monitor.needed_ops(), None);
    }

    #[test]
    fn deeply_nested_manifests_are_errors_and_no_stack_overflows() {
        for open in ["(", "[", "(name: ", "Some("] {
            assert!(read(&open.repeat(100_000)).is_err());
        }
    }

    #[test]
    fn an_artifact_that_is_missing_is_named_with_those_that_are_there() {
        let manifest = manifest(&description());
        let target = Target::Native("riscv64gc-unknown-linux-gnu".into());
        let error = manifest.artifact(&target).unwrap_err().to_string();
        assert!(error.contains("riscv64gc") && error.contains("WebAssembly"), "{error}");
    }
}
