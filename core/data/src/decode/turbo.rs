//! JPEG by libjpeg-turbo, decoding no more than a part of an image needs, in the smallest size that
//! is large enough: at 1/2, 1/4 or 1/8 the inverse DCT itself makes fewer pixels.

use std::ffi::{CStr, c_int};
use std::ptr::NonNull;

use turbojpeg_sys as tj;

use super::jpeg::Segments;
use super::part::{check_size, in_file, scale, turned, upright_size};
use super::{Decoded, Request, too_large};
use crate::error::DecodeError;
use crate::pixels::{Channels, Image, MAX_IMAGE_BYTES};
use crate::region::Area;

/// Most memory for the coefficients of a progressive image, in MiB: three of 16 bits for each value of
/// the largest image.
const MAX_MEMORY_MIB: c_int = ((3 * MAX_IMAGE_BYTES) >> 20) as c_int;

/// Most scans of a progressive image. Real files have about ten; a hostile one takes minutes.
const MAX_SCANS: c_int = 100;

/// A decoder, with memory that it keeps from image to image.
pub(super) struct Turbo {
    handle: NonNull<std::ffi::c_void>,
}

// SAFETY: libjpeg-turbo's instances have no thread of their own; they may be used by any thread, one
// at a time, which `&mut self` ensures.
unsafe impl Send for Turbo {}

impl Turbo {
    pub fn new() -> Result<Self, DecodeError> {
        // SAFETY: it may be called at any time, and gives null if there is no memory.
        let handle = unsafe { tj::tj3Init(tj::TJINIT_TJINIT_DECOMPRESS as c_int) };
        let handle = NonNull::new(handle)
            .ok_or_else(|| DecodeError("no memory for a JPEG decoder".into()))?;
        let mut turbo = Self { handle };
        turbo.set(tj::TJPARAM_TJPARAM_SCANLIMIT, MAX_SCANS)?;
        turbo.set(tj::TJPARAM_TJPARAM_MAXMEMORY, MAX_MEMORY_MIB)?;
        Ok(turbo)
    }

    /// Width, height and channels of an image that is turned upright.
    pub fn size(
        &mut self,
        bytes: &[u8],
        segments: Segments,
    ) -> Result<(u32, u32, Channels), DecodeError> {
        let header = self.header(bytes)?;
        let (width, height) = upright_size(header.width, header.height, segments.orientation);
        let channels = match header.format(None) {
            Format::Grey => Channels::Grey,
            Format::Rgb | Format::Cmyk => Channels::Rgb,
        };
        Ok((width, height, channels))
    }

    /// Decodes what `choose` wants of an image whose upright width and height it is given. The image's
    /// pixels lie in `buffer`, which keeps its memory.
    pub fn part(
        &mut self,
        bytes: &[u8],
        segments: Segments,
        channels: Option<Channels>,
        choose: impl FnOnce(u32, u32) -> Result<Request, DecodeError>,
        buffer: Vec<u8>,
    ) -> Result<Decoded, DecodeError> {
        let header = self.header(bytes)?;
        let format = header.format(channels);
        let turn = segments.orientation;
        let (width, height) = upright_size(header.width, header.height, turn);
        let request = choose(width, height)?;
        let scale = scale(request);
        let area = in_file(request, turn, width, height, scale);
        let full = (header.width.div_ceil(scale), header.height.div_ceil(scale));
        let (region, area) = self.choose_region(&header, area, full, scale)?;
        let pixels = self.pixels(bytes, region, format, buffer)?;
        let (region_width, region_height) = (region.w as u32, region.h as u32);
        let image = match format {
            Format::Grey => Image::new(region_width, region_height, Channels::Grey, pixels)?,
            Format::Rgb => Image::new(region_width, region_height, Channels::Rgb, pixels)?,
            Format::Cmyk => {
                let rgb = rgb_from_cmyk(pixels, segments.adobe);
                let image = Image::new(region_width, region_height, Channels::Rgb, rgb)?;
                image.into_channels(channels.unwrap_or(Channels::Rgb))
            }
        };
        let area = area.turned(turn, region_width, region_height);
        Ok(Decoded { image: turned(image, turn)?, area })
    }

    fn header(&mut self, bytes: &[u8]) -> Result<Header, DecodeError> {
        // SAFETY: the handle is live, and pointer and length are those of one slice.
        let result = unsafe {
            tj::tj3DecompressHeader(self.handle.as_ptr(), bytes.as_ptr(), bytes.len() as _)
        };
        self.check(result)?;
        let size = [tj::TJPARAM_TJPARAM_JPEGWIDTH, tj::TJPARAM_TJPARAM_JPEGHEIGHT];
        let [width, height] = size.map(|parameter| u32::try_from(self.get(parameter)).unwrap_or(0));
        check_size(width, height)?;
        let precision = self.get(tj::TJPARAM_TJPARAM_PRECISION);
        if precision != 8 {
            return Err(DecodeError(format!("the JPEG file has {precision} bits a value, not 8")));
        }
        Ok(Header {
            width,
            height,
            colours: self.get(tj::TJPARAM_TJPARAM_COLORSPACE),
            subsampling: self.get(tj::TJPARAM_TJPARAM_SUBSAMP),
            lossless: self.get(tj::TJPARAM_TJPARAM_LOSSLESS) == 1,
        })
    }

    /// Sets scale and region, and gives the region and where the area lies in it.
    fn choose_region(
        &mut self,
        header: &Header,
        area: Area,
        full: (u32, u32),
        scale: u32,
    ) -> Result<(tj::tjregion, Area), DecodeError> {
        let scale_factor = tj::tjscalingfactor { num: 1, denom: scale as c_int };
        let whole = tj::tjregion { x: 0, y: 0, w: full.0 as c_int, h: full.1 as c_int };
        // SAFETY: the handle is live, and the structs are passed by value.
        let set = |handle, region| unsafe {
            match tj::tj3SetScalingFactor(handle, scale_factor) {
                0 => tj::tj3SetCroppingRegion(handle, region),
                failed => failed,
            }
        };
        let nothing = tj::tjregion { x: 0, y: 0, w: 0, h: 0 };
        let Some(block) = header.block_width().filter(|_| !header.lossless) else {
            self.check(set(self.handle.as_ptr(), nothing))?;
            return Ok((whole, area));
        };
        let wanted = area.cover(full.0, full.1);
        // Columns start at a whole block (iMCU); one more pixel on each side keeps what upsampling of
        // chroma does at edges out of the part.
        let block = block / scale;
        let left = wanted.left.saturating_sub(1) / block * block;
        let right = (wanted.left + wanted.width + 1).min(full.0);
        let top = wanted.top.saturating_sub(1);
        let bottom = (wanted.top + wanted.height + 1).min(full.1);
        let region = tj::tjregion {
            x: left as c_int,
            y: top as c_int,
            w: (right - left) as c_int,
            h: (bottom - top) as c_int,
        };
        self.check(set(self.handle.as_ptr(), region))?;
        Ok((region, area.seen_from(1.0, left, top)))
    }

    fn pixels(
        &mut self,
        bytes: &[u8],
        region: tj::tjregion,
        format: Format,
        mut buffer: Vec<u8>,
    ) -> Result<Vec<u8>, DecodeError> {
        let values = region.w as usize * format.values();
        let length = values * region.h as usize;
        if length as u64 > MAX_IMAGE_BYTES {
            return Err(too_large("the image"));
        }
        let more = length.saturating_sub(buffer.len());
        buffer.try_reserve_exact(more).map_err(|_| too_large("the image"))?;
        // What an image before left in it need not be cleared: every value is written.
        buffer.resize(length, 0);
        // SAFETY: the handle is live, `bytes` is one slice, and `buffer` has `h` rows of `values` bytes,
        // which is what the region that was set before takes in this format.
        let result = unsafe {
            tj::tj3Decompress8(
                self.handle.as_ptr(),
                bytes.as_ptr(),
                bytes.len() as _,
                buffer.as_mut_ptr(),
                values as c_int,
                format.code(),
            )
        };
        self.check(result)?;
        Ok(buffer)
    }

    fn set(&mut self, parameter: tj::TJPARAM, value: c_int) -> Result<(), DecodeError> {
        // SAFETY: the handle is live; an unknown parameter or value is refused.
        let result = unsafe { tj::tj3Set(self.handle.as_ptr(), parameter as c_int, value) };
        self.check(result)
    }

    fn get(&self, parameter: tj::TJPARAM) -> c_int {
        // SAFETY: the handle is live; an unknown parameter gives -1.
        unsafe { tj::tj3Get(self.handle.as_ptr(), parameter as c_int) }
    }

    /// Whether a call succeeded. As in Pillow, warnings do not count, such as unneeded bytes between
    /// segments, except for missing data.
    fn check(&self, result: c_int) -> Result<(), DecodeError> {
        if result == 0 {
            return Ok(());
        }
        // SAFETY: the handle is live, and the text belongs to it and ends with a zero.
        let (code, text) = unsafe {
            let text = CStr::from_ptr(tj::tj3GetErrorStr(self.handle.as_ptr()));
            (tj::tj3GetErrorCode(self.handle.as_ptr()), text.to_string_lossy().into_owned())
        };
        if code == tj::TJERR_TJERR_WARNING as c_int && !text.contains("Premature end") {
            return Ok(());
        }
        Err(DecodeError(text))
    }
}

impl Drop for Turbo {
    fn drop(&mut self) {
        // SAFETY: the handle is live, and nothing uses it afterwards.
        unsafe { tj::tj3Destroy(self.handle.as_ptr()) }
    }
}

struct Header {
    width: u32,
    height: u32,
    colours: c_int,
    subsampling: c_int,
    lossless: bool,
}

impl Header {
    fn format(&self, channels: Option<Channels>) -> Format {
        let of_four = [tj::TJCS_TJCS_CMYK, tj::TJCS_TJCS_YCCK].map(|colours| colours as c_int);
        let grey = self.colours == tj::TJCS_TJCS_GRAY as c_int;
        match channels {
            _ if of_four.contains(&self.colours) => Format::Cmyk,
            Some(Channels::Grey) => Format::Grey,
            None if grey => Format::Grey,
            _ => Format::Rgb,
        }
    }

    /// Width in pixels of the blocks (iMCU) that are coded together, if it is a usual one.
    fn block_width(&self) -> Option<u32> {
        match self.subsampling as tj::TJSAMP {
            tj::TJSAMP_TJSAMP_444 | tj::TJSAMP_TJSAMP_GRAY | tj::TJSAMP_TJSAMP_440 => Some(8),
            tj::TJSAMP_TJSAMP_422 | tj::TJSAMP_TJSAMP_420 => Some(16),
            tj::TJSAMP_TJSAMP_411 => Some(32),
            _ => None,
        }
    }
}

#[derive(Clone, Copy)]
enum Format {
    Grey,
    Rgb,
    Cmyk,
}

impl Format {
    fn values(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Rgb => 3,
            Self::Cmyk => 4,
        }
    }

    fn code(self) -> c_int {
        match self {
            Self::Grey => tj::TJPF_TJPF_GRAY as c_int,
            Self::Rgb => tj::TJPF_TJPF_RGB as c_int,
            Self::Cmyk => tj::TJPF_TJPF_CMYK as c_int,
        }
    }
}

/// Colours from the four values of print, as Pillow converts them.
fn rgb_from_cmyk(mut values: Vec<u8>, inverted: bool) -> Vec<u8> {
    let count = values.len() / 4;
    for pixel in 0..count {
        let [c, m, y, k] = [0, 1, 2, 3].map(|at| {
            let value = values[pixel * 4 + at];
            u32::from(if inverted { value } else { 255 - value })
        });
        for (at, ink) in [c, m, y].into_iter().enumerate() {
            // At most 255 * 255 / 255.
            values[pixel * 3 + at] = ((ink * k + 127) / 255) as u8;
        }
    }
    values.truncate(count * 3);
    values
}
