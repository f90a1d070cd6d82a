//! What the segments of a JPEG file say, before anything of it is decoded.

use image::metadata::Orientation;

use crate::error::DecodeError;

const APP1: u8 = 0xe1;
const SCAN: u8 = 0xda;
const END: u8 = 0xd9;

/// Scans of images of any size; real files have about ten.
const USUAL_SCANS: usize = 24;
/// Pixels times scans of files with more.
const MOST_WORK: u64 = 1 << 28;

/// What has to be known of a JPEG file beside its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segments {
    /// How the image has to be turned to be upright.
    pub orientation: Orientation,
    /// What its kind is called, if nothing here decodes it.
    unread: Option<&'static str>,
    /// Whether it has the marker that ends its image. Decoders fill up missing data with grey, where
    /// Pillow refuses the file; so do we.
    pub complete: bool,
    /// Scans, all of which a progressive image has to be gone through for.
    scans: usize,
    /// Pixels, by the header.
    pixels: u64,
}

impl Segments {
    /// Reads the segments before the first scan, and looks for the end of the image after them: a
    /// thumbnail in them has its own end marker.
    pub fn read(bytes: &[u8]) -> Self {
        let mut found = Self {
            orientation: Orientation::NoTransforms,
            unread: None,
            complete: false,
            scans: 0,
            pixels: 0,
        };
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
        let rest = bytes.get(at..).unwrap_or_default();
        let mut from_end = rest.windows(2).rev();
        found.complete = from_end.any(|pair| pair == [0xff, END]);
        // Nor can this be one.
        found.scans += rest.windows(2).filter(|pair| *pair == [0xff, SCAN]).count();
        found
    }

    /// Refuses a file that is cut short, or that would take far more work than its pixels: a scan of a few
    /// bytes goes over all of them, and 140 KB can have it done for half a minute.
    pub fn check(&self) -> Result<(), DecodeError> {
        self.check_kind()?;
        if !self.complete {
            return Err(DecodeError("the JPEG file is cut short".into()));
        }
        if self.scans > USUAL_SCANS && self.pixels.saturating_mul(self.scans as u64) > MOST_WORK {
            return Err(DecodeError(format!(
                "the JPEG file has {} scans over {:.0} million pixels; more than {USUAL_SCANS} are \
                 only read from smaller images",
                self.scans,
                self.pixels as f64 / 1e6
            )));
        }
        Ok(())
    }

    /// Refuses a file of a kind that nothing here decodes.
    pub fn check_kind(&self) -> Result<(), DecodeError> {
        let Some(kind) = self.unread else { return Ok(()) };
        Err(DecodeError(format!(
            "the JPEG file is {kind}; only baseline and progressive files with Huffman codes and 8 \
             bits per value can be read, as most programs write them"
        )))
    }

    fn note(&mut self, kind: u8, content: &[u8]) {
        if let (APP1, Some(exif)) = (kind, content.strip_prefix(b"Exif\0\0")) {
            let orientation = Orientation::from_exif_chunk(exif);
            self.orientation = orientation.unwrap_or(self.orientation);
        }
        if kind == SCAN {
            self.scans += 1;
        }
        if let (0xc0..=0xc2, &[_, h1, h0, w1, w0, ..]) = (kind, content) {
            let [height, width] = [[h1, h0], [w1, w0]].map(u16::from_be_bytes);
            self.pixels = u64::from(width) * u64::from(height);
        }
        self.unread = self.unread.or(match (kind, content.first()) {
            (0xc9..=0xcb | 0xcd..=0xcf, _) => Some("arithmetic-coded"),
            (0xc3, _) => Some("lossless"),
            (0xc5..=0xc7, _) => Some("hierarchical"),
            (0xc0..=0xc2, Some(12)) => Some("of 12 bits a value"),
            _ => None,
        });
    }
}
