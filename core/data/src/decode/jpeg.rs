//! What the segments of a JPEG file say, before anything of it is decoded.

use image::metadata::Orientation;

const APP1: u8 = 0xe1;
const APP14: u8 = 0xee;
const SCAN: u8 = 0xda;
const END: u8 = 0xd9;

/// What has to be known of a JPEG file beside its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segments {
    /// How the image has to be turned to be upright.
    pub orientation: Orientation,
    /// Whether Adobe wrote it, whose CMYK values are inverted.
    #[cfg_attr(not(feature = "turbojpeg"), allow(dead_code, reason = "zune-jpeg sees it itself"))]
    pub adobe: bool,
    /// Whether it has the marker that ends its image. Decoders fill up missing data with grey, where
    /// Pillow refuses the file; so do we.
    pub complete: bool,
}

impl Segments {
    /// Reads the segments before the first scan, and looks for the end of the image after them: a
    /// thumbnail in them has its own end marker.
    pub fn read(bytes: &[u8]) -> Self {
        let mut found =
            Self { orientation: Orientation::NoTransforms, adobe: false, complete: false };
        let mut at = 2;
        while let Some(&[mark, kind, high, low]) = bytes.get(at..at + 4) {
            if mark != 0xff {
                break;
            }
            if kind == 0xff {
                at += 1; // a fill byte
                continue;
            }
            let end = at + 2 + usize::from(u16::from_be_bytes([high, low]));
            found.note(kind, bytes.get(at + 4..end).unwrap_or_default());
            at = end;
            if kind == SCAN {
                break;
            }
        }
        // In coded data 0xff is always followed by 0 or a restart marker, so this cannot be a pixel.
        let mut from_end = bytes.get(at..).unwrap_or_default().windows(2).rev();
        found.complete = from_end.any(|pair| pair == [0xff, END]);
        found
    }

    fn note(&mut self, kind: u8, content: &[u8]) {
        if let (APP1, Some(exif)) = (kind, content.strip_prefix(b"Exif\0\0")) {
            let orientation = Orientation::from_exif_chunk(exif);
            self.orientation = orientation.unwrap_or(self.orientation);
        }
        if kind == APP14 && content.starts_with(b"Adobe") {
            self.adobe = true;
        }
    }
}
