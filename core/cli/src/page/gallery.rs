//! Images of an evaluation, and where the model looked.

use std::io::Cursor;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use image::{RgbImage, codecs::jpeg::JpegEncoder, imageops};

use super::escape;

/// Pixels of a picture's sides, at most.
const SIDE: u32 = 168;
const QUALITY: u8 = 82;

/// An image, and what the model says of it.
pub struct Picture {
    /// As JPEG files: the image and, where there is one, the map of attention over it.
    pub files: Vec<Vec<u8>>,
    /// What it is called.
    pub name: String,
    /// Its class.
    pub class: String,
    /// What it is taken for, the most probable first.
    pub taken_for: Vec<(String, f64)>,
}

/// The images of an evaluation that tell most.
#[derive(Default)]
pub struct Pictures {
    /// The most probable mistakes.
    pub mistakes: Vec<Picture>,
    /// What the model cannot decide.
    pub unsure: Vec<Picture>,
    /// What the user should know of them, in a sentence.
    pub note: Option<String>,
}

impl Pictures {
    /// All of them in HTML.
    pub fn html(&self) -> String {
        let note =
            self.note.iter().map(|note| format!("<p class=\"faint\">{}</p>\n", escape(note)));
        let none = match self.mistakes.is_empty() {
            true => "<p>None: every image is classified correctly.</p>\n",
            false => "",
        };
        format!(
            "{}<h3>Most confident mistakes</h3>\n{none}{}<h3>Most uncertain images</h3>\n{}",
            note.collect::<String>(),
            gallery(&self.mistakes),
            gallery(&self.unsure)
        )
    }
}

fn gallery(pictures: &[Picture]) -> String {
    let all: String = pictures.iter().map(Picture::html).collect();
    format!("<div class=\"pictures\">\n{all}</div>\n")
}

impl Picture {
    fn html(&self) -> String {
        let name = escape(&self.name);
        let short = escape(self.name.rsplit(['/', '\\']).next().unwrap_or_default());
        let images =
            ["the image", "attention to it"].into_iter().zip(&self.files).map(|(what, file)| {
                let file = STANDARD.encode(file);
                format!("<img alt=\"{what}: {name}\" src=\"data:image/jpeg;base64,{file}\">")
            });
        let images: String = images.collect();
        let one = if self.files.len() == 1 { " class=\"one\"" } else { "" };
        let taken_for = self.taken_for.iter().map(|(class, probability)| {
            format!("<b>{}</b> {:.1}%", escape(class), 100.0 * probability)
        });
        let taken_for = taken_for.collect::<Vec<_>>().join(", ");
        let class = escape(&self.class);
        format!(
            "<figure title=\"{name}\"><div{one}>{images}</div><figcaption>{taken_for}<br>is {class}\
             <br>{short}</figcaption></figure>\n"
        )
    }
}

/// A picture as a JPEG file, not larger than it is shown.
pub fn jpeg(picture: &RgbImage) -> Vec<u8> {
    let (width, height) = picture.dimensions();
    let longer = width.max(height);
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, QUALITY);
    // Memory takes all that is written.
    let _ = match longer > SIDE {
        true => {
            let scaled = |side: u32| (side * SIDE / longer).max(1);
            let filter = imageops::FilterType::Triangle;
            encoder.encode_image(&imageops::resize(picture, scaled(width), scaled(height), filter))
        }
        false => encoder.encode_image(picture),
    };
    bytes.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_small_and_what_they_are_called_is_text() {
        let file = jpeg(&RgbImage::new(500, 250));
        let size = image::load_from_memory(&file).unwrap();
        assert_eq!((size.width(), size.height()), (168, 84));
        let picture = Picture {
            files: vec![file.clone(), file],
            name: "folder/\"><script>.png".into(),
            class: "<b>".into(),
            taken_for: vec![("a&b".into(), 0.5), ("c".into(), 0.25)],
        };
        let pictures = Pictures { mistakes: vec![picture], ..Pictures::default() };
        let html = pictures.html();
        assert!(!html.contains("<script") && html.contains("is &lt;b&gt;<br>&quot;&gt;&lt;script"));
        assert!(html.contains("<b>a&amp;b</b> 50.0%, <b>c</b> 25.0%"), "{html}");
        assert_eq!(html.matches("src=\"data:image/jpeg;base64,/9j/").count(), 2);
        assert!(!html.contains("None:") && Pictures::default().html().contains("None:"));
    }
}
