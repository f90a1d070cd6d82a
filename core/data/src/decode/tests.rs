use super::*;
use crate::region::Crop;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};

fn encode(format: ImageFormat, image: &DynamicImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn gradient(width: u32, height: u32) -> DynamicImage {
    image::RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8 * 3, y as u8 * 4, 40]))
        .into()
}

/// A JPEG, 16 x 8, left half dark and right half bright, with an EXIF orientation.
fn oriented_jpeg(orientation: u8) -> Vec<u8> {
    let pixels: Vec<u8> = (0..128).map(|i| if i % 16 < 8 { 20 } else { 230 }).collect();
    let mut exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    let mut bytes = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 95);
    encoder.set_exif_metadata(exif).unwrap();
    encoder.write_image(&pixels, 16, 8, ExtendedColorType::L8).unwrap();
    bytes
}

#[test]
fn lossless_formats_keep_every_pixel() {
    let original = gradient(40, 30);
    for format in [ImageFormat::Png, ImageFormat::WebP] {
        let image = decode(&encode(format, &original)).unwrap();
        assert_eq!((image.width(), image.height()), (40, 30));
        assert_eq!(image.pixels(), original.as_bytes(), "{format:?}");
    }
}

#[test]
fn jpeg_is_close_to_its_original() {
    let original = gradient(40, 30);
    let image = decode(&encode(ImageFormat::Jpeg, &original)).unwrap();
    let pairs = image.pixels().iter().zip(original.as_bytes());
    let error: u32 = pairs.map(|(&a, &b)| u32::from(a.abs_diff(b))).sum();
    assert!(error / 3600 < 6, "mean error {}", error / 3600);
}

#[test]
fn exif_orientation_turns_the_image_upright() {
    let bright = |image: &Image, x: u32, y: u32| image.row(y)[x as usize] > 128;
    let upright = decode(&oriented_jpeg(1)).unwrap();
    assert!(!bright(&upright, 2, 4) && bright(&upright, 13, 4));
    let mirrored = decode(&oriented_jpeg(2)).unwrap();
    assert!(bright(&mirrored, 2, 4) && !bright(&mirrored, 13, 4));
    // 6: turn by 90 degrees clockwise, so that the dark left half comes to the top.
    let turned = decode(&oriented_jpeg(6)).unwrap();
    assert_eq!((turned.width(), turned.height()), (8, 16));
    assert!(!bright(&turned, 4, 2) && bright(&turned, 4, 13));
    let counter = decode(&oriented_jpeg(8)).unwrap();
    assert!(bright(&counter, 4, 2) && !bright(&counter, 4, 13));
}

#[test]
fn transparency_is_dropped_and_grey_stays_grey() {
    let clear = image::RgbaImage::from_pixel(2, 2, image::Rgba([9, 8, 7, 0]));
    let image = decode(&encode(ImageFormat::Png, &clear.into())).unwrap();
    assert_eq!(image.pixels(), [9, 8, 7].repeat(4));
    let grey = image::GrayAlphaImage::from_pixel(2, 1, image::LumaA([50, 3]));
    let image = decode(&encode(ImageFormat::Png, &grey.into())).unwrap();
    assert_eq!((image.channels(), image.pixels()), (Channels::Grey, &[50, 50][..]));
}

#[test]
fn of_16_bits_the_upper_8_are_kept() {
    let deep = image::ImageBuffer::from_pixel(1, 1, image::Rgb([0x12ff_u16, 0x8000, 0xffff]));
    let image = decode(&encode(ImageFormat::Png, &deep.into())).unwrap();
    assert_eq!(image.pixels(), [0x12, 0x80, 0xff]);
    let deep = image::ImageBuffer::from_pixel(1, 1, image::Luma([0x12ff_u16]));
    let image = decode(&encode(ImageFormat::Png, &deep.into())).unwrap();
    assert_eq!(image.pixels(), [0x12]);
}

#[test]
fn damaged_files_are_refused() {
    let original = gradient(64, 64);
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
        let bytes = encode(format, &original);
        for length in [12, bytes.len() / 2, bytes.len() - 20] {
            assert!(decode(&bytes[..length]).is_err(), "{format:?} cut to {length}");
        }
    }
    let gif = decode(b"GIF89a\x01\0\x01\0").unwrap_err();
    assert!(gif.to_string().contains("JPEG, PNG and WebP"), "{gif}");
    assert!(decode(b"hello").is_err());
    assert!(decode(b"").unwrap_err().to_string().contains("empty"));
}

#[test]
fn the_end_of_a_thumbnail_is_not_the_end_of_the_image() {
    let whole = oriented_jpeg(1);
    // An application segment of 8 bytes with an end marker in it, right after the start marker.
    let mut bytes = vec![0xff, 0xd8, 0xff, 0xec, 0, 8, 1, 0xff, 0xd9, 2, 3, 4];
    bytes.extend(&whole[2..]);
    assert!(decode(&bytes).is_ok());
    bytes.truncate(bytes.len() - 2);
    let error = decode(&bytes).unwrap_err();
    assert!(error.to_string().contains("cut short"), "{error}");
}

#[test]
fn a_small_file_that_claims_to_be_huge_is_refused() {
    let mut bytes = encode(ImageFormat::Png, &gradient(4, 4));
    bytes[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]); // 65536 x 65536
    let header_crc = crc32(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&header_crc.to_be_bytes());
    let error = decode(&bytes).unwrap_err();
    assert!(error.to_string().contains("16384 pixels a side"), "{error}");
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

const PHOTO: &[u8] = include_bytes!("fixtures/photo.jpg");
const PROGRESSIVE: &[u8] = include_bytes!("fixtures/progressive.jpg");
const CMYK: &[u8] = include_bytes!("fixtures/cmyk.jpg");

/// Mean difference in grey levels.
fn difference(a: &Image, b: &Image) -> f64 {
    assert_eq!((a.width(), a.height(), a.channels()), (b.width(), b.height(), b.channels()));
    let pairs = a.pixels().iter().zip(b.pixels());
    pairs.map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.pixels().len() as f64
}

#[test]
fn photos_are_as_pillow_decodes_them() {
    let reference = decode(include_bytes!("fixtures/photo.png")).unwrap();
    for bytes in [PHOTO, PROGRESSIVE] {
        let found = difference(&decode(bytes).unwrap(), &reference);
        assert!(found < 0.5, "mean difference {found}");
    }
}

/// What one decoder takes, another may refuse: a segment that is longer than its content.
#[test]
fn sizes_are_told_by_the_decoder_that_reads_the_rest() {
    let mut loose = PHOTO.to_vec();
    loose.splice(2..2, [0xff, 0xec, 0, 3, 7, 0, 0, 0]);
    for bytes in [PHOTO, PROGRESSIVE, CMYK, &loose, &with_orientation(PHOTO, 6)] {
        // What stands between segments may be refused, too.
        let Ok(image) = decode(bytes) else { continue };
        let size = (image.width(), image.height(), image.channels());
        assert_eq!(encoded_size(bytes), Ok(size));
    }
}

#[test]
fn inks_become_colours_as_in_pillow() {
    let reference = decode(include_bytes!("fixtures/cmyk.png")).unwrap();
    let found = difference(&decode(CMYK).unwrap(), &reference);
    assert!(found < 1.5, "mean difference {found}");
}

/// Parts of all kinds, in all orientations: where less than all is decoded, the pixels of the part are those
/// of the whole image, but for chroma at the edges.
#[test]
fn parts_are_as_in_the_whole_image() {
    let mut decoder = Decoder::default();
    for (bytes, exif) in [(PHOTO, 1..=8), (PROGRESSIVE, 1..=1), (CMYK, 1..=1)] {
        for exif in exif {
            let bytes = with_orientation(bytes, exif);
            let whole = decode(&bytes).unwrap();
            let (width, height) = (whole.width(), whole.height());
            for part in [
                Crop::whole(width, height),
                Crop { left: 0, top: 0, width: 17, height: 9 },
                Crop { left: width - 20, top: height - 11, width: 20, height: 11 },
                Crop { left: 23, top: 13, width: 24, height: 18 },
            ] {
                let request = Request { part, width: part.width, height: part.height };
                let decoded = decoder.part(&bytes, None, |w, h| {
                    assert_eq!((w, h), (width, height));
                    Ok(request)
                });
                let Decoded { image, area } = decoded.unwrap();
                let found = area.cover(image.width(), image.height());
                assert_eq!(found.area(), area, "{exif}: {part:?}");
                let difference = difference(&cut(&image, found), &cut(&whole, part));
                assert!(difference < 0.01, "{exif}: {part:?} differs by {difference}");
                decoder.recycle(image);
            }
        }
    }
}

fn cut(image: &Image, part: Crop) -> Image {
    let count = image.channels().count();
    let (start, length) = (part.left as usize * count, part.width as usize * count);
    let rows = part.top..part.top + part.height;
    let pixels = rows.flat_map(|y| image.row(y)[start..][..length].to_vec()).collect();
    Image::new(part.width, part.height, image.channels(), pixels).unwrap()
}

/// The same JPEG file with an EXIF orientation.
fn with_orientation(bytes: &[u8], exif: u8) -> Vec<u8> {
    let mut marked = vec![0xff, 0xd8, 0xff, 0xe1, 0, 34];
    marked.extend(b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0");
    marked.extend([exif, 0, 0, 0, 0, 0, 0, 0]);
    marked.extend(&bytes[2..]);
    marked
}

#[test]
fn no_more_is_decoded_than_is_needed() {
    let mut decoder = Decoder::default();
    let mut size = |bytes, part, width, height| {
        let request = Request { part, width, height };
        let Decoded { image, .. } = decoder.part(bytes, None, |_, _| Ok(request)).unwrap();
        (image.width(), image.height())
    };
    let part = Crop { left: 70, top: 50, width: 40, height: 30 };
    for file in [PHOTO, PROGRESSIVE] {
        assert_eq!(size(file, part, 40, 30), (40, 30));
        assert_eq!(size(file, part, 20, 15), (20, 15));
        assert_eq!(size(file, part, 21, 1), (40, 30));
        assert_eq!(size(file, Crop::whole(160, 120), 20, 15), (20, 15));
    }
    // Of kinds that only zune-jpeg reads, all is decoded.
    assert_eq!(size(CMYK, Crop { width: 3, ..Crop::whole(9, 9) }, 3, 9), sides(CMYK));
}

fn sides(bytes: &[u8]) -> (u32, u32) {
    let image = decode(bytes).unwrap();
    (image.width(), image.height())
}

/// Data that is damaged in its middle is no reason to refuse an image, as in other programs.
#[test]
fn damaged_data_is_decoded_as_far_as_zune_jpeg_does() {
    let mut bytes = PHOTO.to_vec();
    let middle = bytes.len() * 2 / 3;
    bytes[middle..middle + 8].fill(0x55);
    let all = |width, height| Ok(Request::whole(width, height));
    let found = Decoder::default().part(&bytes, None, all).map(|found| found.image);
    let expected = whole(&bytes, ImageFormat::Jpeg, None);
    match (found, expected) {
        (Ok(found), Ok(expected)) => {
            let difference = difference(&found, &expected);
            assert!(difference < 0.5, "differs by {difference}");
        }
        (found, expected) => assert_eq!(found.is_ok(), expected.is_ok()),
    }
}

#[test]
fn kinds_that_nothing_decodes_are_named() {
    let frame = PHOTO.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    for (at, value, name) in [
        (1, 0xc9, "arithmetic-coded"),
        (1, 0xca, "arithmetic-coded"),
        (1, 0xc3, "lossless"),
        (1, 0xc5, "hierarchical"),
        (4, 12, "of 12 bits a value"),
    ] {
        let mut bytes = PHOTO.to_vec();
        bytes[frame + at] = value;
        for error in [decode(&bytes).unwrap_err(), encoded_size(&bytes).unwrap_err()] {
            let error = error.to_string();
            assert!(error.contains(&format!("is {name}; only baseline and prog")), "{error}");
        }
    }
}

#[test]
fn a_jpeg_that_claims_to_be_huge_is_refused() {
    let mut bytes = PHOTO.to_vec();
    let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    bytes[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xdc, 0xff, 0xdc]);
    let error = decode(&bytes).unwrap_err();
    assert!(error.to_string().contains("larger than allowed"), "{error}");
}

/// Whatever is done to a file, there is an image or an error.
#[test]
fn altered_files_do_no_harm() {
    let mut decoder = Decoder::default();
    let mut state = 1_u32;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    for round in 0..300 {
        let mut bytes = [PHOTO, PROGRESSIVE, CMYK][round % 3].to_vec();
        // Headers first, where a change does most; then anywhere.
        let reach = if round % 2 == 0 { 700 } else { bytes.len() };
        for _ in 0..=random(4) {
            let at = random(reach);
            bytes[at] = random(256) as u8;
        }
        let _ = decoder.part(&bytes, None, |width, height| {
            let part =
                Crop { left: width / 3, top: height / 4, width: width.div_ceil(2), height: 1 };
            Ok(Request { part, width: 1 + width / 5, height: 1 })
        });
    }
}

/// Without tables of its own, a file (a frame of Motion JPEG, say) has the standard's, or is refused.
#[test]
fn a_file_is_decoded_as_if_no_other_was_before_it() {
    let mut bytes = encode(ImageFormat::Jpeg, &gradient(64, 48));
    while let Some(at) = bytes.windows(2).position(|marker| marker == [0xff, 0xc4]) {
        let length = u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]);
        bytes.drain(at..at + 2 + usize::from(length));
    }
    let all = |width, height| Ok(Request::whole(width, height));
    let decode = |decoder: &mut Decoder| decoder.part(&bytes, None, all).ok().map(|it| it.image);
    let alone = decode(&mut Decoder::default());
    let mut decoder = Decoder::default();
    for _ in 0..2 {
        decoder.part(PROGRESSIVE, None, all).unwrap();
        assert_eq!(decode(&mut decoder), alone);
    }
}

/// A PNG file's chunk.
fn chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let kind_and_content = [&kind[..], content].concat();
    let length = (content.len() as u32).to_be_bytes();
    [&length[..], &kind_and_content, &crc32(&kind_and_content).to_be_bytes()].concat()
}

#[test]
fn a_colour_profile_that_becomes_gigabytes_is_not_read() {
    use std::io::Write as _;

    let plain = encode(ImageFormat::Png, &gradient(4, 4));
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    let megabyte = vec![0; 1 << 20];
    (0..600).for_each(|_| zlib.write_all(&megabyte).unwrap());
    let profile = [b"name\0\0", &zlib.finish().unwrap()[..]].concat();
    // Right behind the header.
    let hostile =
        [&plain[..33], &chunk(b"iCCP", &profile), &chunk(b"zTXt", &profile), &plain[33..]].concat();
    let start = std::time::Instant::now();
    assert_eq!(decode(&hostile).unwrap(), decode(&plain).unwrap());
    assert_eq!(encoded_size(&hostile).unwrap(), encoded_size(&plain).unwrap());
    // Decompressing it takes half a second each time.
    assert!(start.elapsed() < std::time::Duration::from_millis(300), "{:?}", start.elapsed());
}

#[test]
fn a_large_image_in_more_scans_than_any_needs_is_refused_before_it_is_decoded() {
    let start = |bytes: &[u8]| bytes.windows(2).rposition(|pair| pair == [0xff, 0xda]).unwrap();
    let (head, rest) = PROGRESSIVE.split_at(start(PROGRESSIVE));
    let scan = &rest[..rest.len() - 2];
    let mut bytes = [head, &scan.repeat(40), &[0xff, 0xd9]].concat();
    assert!(decode(&bytes).is_ok(), "a small one is read all the same");
    let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc2]).unwrap();
    bytes[frame + 5..frame + 9].copy_from_slice(&[0x2e, 0xe0, 0x2e, 0xe0]); // 12000 x 12000
    let error = decode(&bytes).unwrap_err().to_string();
    assert!(error.contains("scans over 144 million pixels"), "{error}");
}
