//! What surrounds a graph in a SavedModel: variables and how they are restored, signature, assets.

use super::graph::{FLOAT, HALF, STRING, TensorFlow, code, of_type, of_types, sizes_of};
use crate::protobuf::Message;

/// The asset with the classes' names.
pub(super) const CLASSES: &str = "classes.txt";
const FILENAME: &str = "save/filename";
const RESTORE: &str = "save/restore_all";
const SAVED: &str = "save/control_dependency";

impl TensorFlow {
    /// Texts as a constant.
    fn texts(&mut self, name: &str, sizes: &[usize], values: &[&str]) {
        let value = Message::new().int(1, STRING).message(2, &sizes_of(sizes));
        let value = values.iter().fold(value, |value, text| value.text(8, text));
        let attributes = [("dtype", of_type(STRING)), ("value", Message::new().message(8, &value))];
        self.add(name, "Const", &[], &attributes);
    }

    /// Adds the ops that save and restore all variables.
    fn saver(&mut self) -> Message {
        let stored = if self.f16 { HALF } else { FLOAT };
        let names: Vec<String> =
            self.variables.iter().map(|variable| variable.name.clone()).collect();
        let texts: Vec<_> = names.iter().map(String::as_str).collect();
        self.texts(FILENAME, &[], &["model"]);
        self.texts("save/names", &[names.len()], &texts);
        self.texts("save/slices", &[names.len()], &vec![""; names.len()]);
        let dtypes = || ("dtypes", of_types(&vec![stored; names.len()]));
        let given = [FILENAME, "save/names", "save/slices"];
        let values: Vec<_> = names.iter().map(|name| format!("{name}/Read")).collect();
        let values: Vec<_> = given.into_iter().chain(values.iter().map(String::as_str)).collect();
        self.add("save/save", "SaveV2", &values, &[dtypes()]);
        self.add(SAVED, "Identity", &[FILENAME, "^save/save"], &[("T", of_type(STRING))]);
        self.add("save/restore", "RestoreV2", &given, &[dtypes()]);
        let mut assigned = Vec::with_capacity(names.len());
        for (index, name) in names.iter().enumerate() {
            let assign = format!("save/assign_{index}");
            let value = format!("save/restore:{index}");
            self.add(&assign, "AssignVariableOp", &[name, &value], &[("dtype", of_type(stored))]);
            assigned.push(format!("^{assign}"));
        }
        let assigned: Vec<_> = assigned.iter().map(String::as_str).collect();
        self.add(RESTORE, "NoOp", &assigned, &[]);
        Message::new()
            .text(1, &format!("{FILENAME}:0"))
            .text(2, &format!("{SAVED}:0"))
            .text(3, RESTORE)
            .int(7, 2)
    }

    /// The whole of `saved_model.pb`.
    pub(super) fn finish(mut self, with_classes: bool) -> Message {
        let saver = self.saver();
        if with_classes {
            self.texts("classes", &[], &[CLASSES]);
        }
        let variables: Vec<_> = self
            .variables
            .iter()
            .map(|variable| {
                let name = &variable.name;
                Message::new()
                    .text(1, &format!("{name}:0"))
                    .text(2, &format!("{name}/Assign"))
                    .text(3, &format!("{name}/Read:0"))
                    .int(5, 1)
                    .text(6, &format!("{name}/zeros:0"))
                    .int(7, 1)
            })
            .collect();
        let collection = Message::new().message(2, &Message::new().messages(1, &variables));
        let info = Message::new().text(4, "serve").text(5, "2.0.0").int(7, 0);
        // The version of graphs since resource variables came.
        let versions = Message::new().int(1, 1087).int(2, 12);
        let graph = Message::new().messages(1, &self.nodes).message(4, &versions);
        let mut meta = Message::new()
            .message(1, &info)
            .message(2, &graph)
            .message(3, &saver)
            .entry(4, "variables", &collection)
            .entry(4, "trainable_variables", &collection)
            .entry(5, "serving_default", &self.signature());
        if with_classes {
            let tensor = Message::new().text(1, "classes:0");
            meta = meta.message(6, &Message::new().message(1, &tensor).text(2, CLASSES));
        }
        Message::new().int(1, 1).message(2, &meta)
    }

    fn signature(&self) -> Message {
        let tensor = |node: &str, code: i64, dims: &Message| {
            Message::new().text(1, &format!("{node}:0")).int(2, code).message(3, dims)
        };
        let mut signature = Message::new();
        if let Some((name, code, r#type)) = &self.input {
            let info = tensor("serving_default_images", *code, &self.dims_of(r#type));
            signature = signature.entry(1, name, &info);
        }
        if let Some((name, node, r#type)) = &self.output {
            let info = tensor(node, code(r#type.dtype), &self.dims_of(r#type));
            signature = signature.entry(2, name, &info);
        }
        signature.text(3, "tensorflow/serving/predict")
    }
}
