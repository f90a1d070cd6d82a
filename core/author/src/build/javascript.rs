//! Plugins in JavaScript: componentize-js puts them into a component, with the interpreter.

use std::{ffi::OsStr, path::Path};

use vitral_files::Kind as FileKind;
use vitral_host::Kind;

use super::{
    sdk::{JAVASCRIPT, Unpacked, WIT},
    tool::{self, Tool},
};
use crate::{AuthorError, Language, Progress, files};

const TOOL: Tool = Tool {
    language: Language::JavaScript,
    variable: "VITRAL_COMPONENTIZE_JS",
    candidates: &["componentize-js"],
    trial: &["--version"],
    help: "install componentize-js, as by `npm install -g @bytecodealliance/componentize-js`",
};

/// What a monitor exports.
const MONITOR: &[&str] = &["monitors", "dataMonitors", "rollBackMonitors", "configurationMonitors"];

/// The plugin as a component.
///
/// # Errors
/// There is no componentize-js, or it fails.
pub(super) fn component(
    folder: &Path,
    kind: Kind,
    progress: Progress,
) -> Result<Vec<u8>, AuthorError> {
    let words = TOOL.find()?;
    let sdk = Unpacked::new(&[JAVASCRIPT, WIT])?;
    for path in files::entries(folder)? {
        if path.extension() == Some(OsStr::new("js"))
            && let Some(name) = path.file_name().and_then(OsStr::to_str)
        {
            let content = files::read(&path, SCRIPT)?;
            files::write(&sdk.path("javascript").join(name), &content)?;
        }
    }
    files::write(&sdk.path("javascript/vitral_entry.js"), entry(kind).as_bytes())?;
    let mut command = tool::command(&words);
    // It sees nothing outside of the folder that it runs in.
    command.current_dir(sdk.path("")).args(["javascript/vitral_entry.js", "--wit", "wit"]);
    command.args(["--world-name", kind.name(), "--out", "plugin.wasm"]);
    // Nothing of that is there in the sandbox.
    command.args(["--disable", "http", "fetch-event", "clocks"]);
    progress("componentize-js takes some seconds");
    tool::run(&mut command, "componentize-js", TOOL.help, progress)?;
    files::read(&sdk.path("plugin.wasm"), FileKind::COMPONENT)
}

/// The module that a component is made of: it exports what the kind's world does.
pub(super) fn entry(kind: Kind) -> String {
    let (major, minor) = vitral_abi::VERSION;
    let file = Language::JavaScript.file(kind);
    let (imports, exports): (_, &[&str]) = match kind {
        Kind::ImageAugmentation => (false, &["imageAugmentations"]),
        Kind::BatchAugmentation => (true, &["batchAugmentations"]),
        Kind::Attention => (true, &["attentions"]),
        Kind::Monitor => (false, MONITOR),
    };
    let mut text = format!(
        "import Plugin from \"./{file}\";\nimport {{ component }} from \"./component.js\";\n"
    );
    if imports {
        text += &format!(
            "import * as tensors from \"vitral:plugin/tensors@{major}.{minor}.0\";\n\
             import {{ connect }} from \"./tensor.js\";\nconnect(tensors);\n"
        );
    }
    text += "const made = component(Plugin);\n";
    for export in ["description"].iter().chain(exports) {
        text += &format!("export const {export} = made.{export};\n");
    }
    text
}

/// A script of the plugin's.
const SCRIPT: FileKind = FileKind::new("a script", 16 << 20);
