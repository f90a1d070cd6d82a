//! Plugins in Python: componentize-py puts them into a component, with the interpreter.

use std::path::Path;

use vitral_files::Kind as FileKind;
use vitral_host::Kind;

use super::{
    sdk::{PYTHON, Unpacked, WIT},
    tool::{self, Tool},
};
use crate::{AuthorError, Language, Progress, files};

const TOOL: Tool = Tool {
    language: Language::Python,
    variable: "VITRAL_COMPONENTIZE_PY",
    candidates: &["componentize-py"],
    trial: &["--version"],
    help: "install componentize-py, as by `pip install componentize-py`",
};

/// The plugin as a component.
///
/// # Errors
/// There is no componentize-py, or it fails.
pub(super) fn component(
    folder: &Path,
    kind: Kind,
    progress: Progress,
) -> Result<Vec<u8>, AuthorError> {
    let words = TOOL.find()?;
    let sdk = Unpacked::new(&[PYTHON, WIT])?;
    let entry = format!(
        "import {} as plugin\nfrom vitral_component import *\nbegin(plugin, \"{kind}\")\n",
        kind.name().replace('-', "_")
    );
    files::write(&sdk.path("python/vitral_entry.py"), entry.as_bytes())?;
    let output = sdk.path("plugin.wasm");
    let mut command = tool::command(&words);
    command.arg("-d").arg(sdk.path("wit")).args(["-w", kind.name(), "componentize"]);
    command.arg("vitral_entry").arg("-p").arg(sdk.path("python")).arg("-p").arg(folder);
    command.arg("-o").arg(&output);
    progress("componentize-py takes some seconds");
    tool::run(&mut command, "componentize-py", TOOL.help, progress)?;
    files::read(&output, FileKind::COMPONENT)
}
