//! What is told of an image, and what its columns are called.

use std::path::Path;

use serde_json::{Value, json};

use super::ranking::Ranked;

/// What is known of an image.
pub struct Answer<'a> {
    pub image: &'a str,
    /// Its file, where it has one of its own.
    pub file: Option<&'a Path>,
    /// The most probable first.
    pub classes: &'a [Ranked<'a>],
}

impl Answer<'_> {
    pub fn print(&self) {
        println!("{}", self.image);
        for class in self.classes {
            println!("  {:6.2}%  {}", class.probability * 100.0, class.name);
        }
    }

    /// A file name that is not Unicode, which JSON must be, is there in bytes, too.
    pub fn to_json(&self) -> Value {
        let class = |class: &Ranked<'_>| {
            json!({
                "class": class.name,
                "index": class.index,
                "probability": class.probability,
            })
        };
        let classes: Vec<Value> = self.classes.iter().map(class).collect();
        let mut answer = json!({ "image": self.image, "classes": classes });
        if let Some(file) = self.file.filter(|file| file.to_str().is_none()) {
            answer["image"] = json!(file.to_string_lossy());
            answer["image_bytes"] = json!(file.as_os_str().as_encoded_bytes());
        }
        answer
    }
}

/// The columns of a class; those of the first have no number.
pub fn columns(place: usize) -> [String; 3] {
    let number = if place == 0 { String::new() } else { format!("_{}", place + 1) };
    ["class", "class_index", "probability"].map(|column| format!("{column}{number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_text_and_where_they_are_none_bytes() {
        let answer = |file: &Path| {
            let image = &file.display().to_string();
            Answer { image, file: Some(file), classes: &[] }.to_json().to_string()
        };
        assert_eq!(answer(Path::new("ä.png")), r#"{"classes":[],"image":"ä.png"}"#);
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStrExt as _;

            let odd = Path::new(std::ffi::OsStr::from_bytes(b"\xe4."));
            let expected = "{\"classes\":[],\"image\":\"\u{fffd}.\",\"image_bytes\":[228,46]}";
            assert_eq!(answer(odd), expected);
        }
    }
}
