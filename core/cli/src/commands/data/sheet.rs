//! A contact sheet: a row for each of some classes, with images before and after what training does
//! to them.

use std::{io::Cursor, path::Path};

use image::{ImageFormat, RgbImage, imageops};
use vitral_data::{Channels, Image, Pipeline, Source, Transform};
use vitral_seed::Seed;
use vitral_train::{
    Experiment,
    plugins::{Registry, open_stages},
};

use super::subject::{Split, Subject, Subjects};
use crate::{
    experiment::Loaded, failure::Failure, files::write, plugins::registry, progress::counting,
    words::counted,
};

/// Most classes that are shown, evenly chosen.
const ROWS: usize = 16;
/// Images of each class.
const COLUMNS: u32 = 4;
/// Side of the square that an image is shown in, in pixels.
const CELL: u32 = 112;
/// Pixels between an image and what became of it.
const NEAR: u32 = 2;
/// Pixels between two images.
const FAR: u32 = 12;
/// The background, which no image is likely to have at its border.
const BACKGROUND: image::Rgb<u8> = image::Rgb([40, 44, 52]);

/// Draws the data sets below each other, and says what is in which row.
pub fn draw(subjects: &Subjects, path: &Path) -> Result<(), Failure> {
    let plugins = registry(&[])?;
    let own = subjects.experiment.as_ref().map(|loaded| own_only(loaded, &plugins)).transpose()?;
    let (mut rows, mut unread) = (Vec::new(), 0);
    for subject in &subjects.sets {
        let pipeline = match subjects.experiment.as_ref().zip(own.as_ref()) {
            Some((loaded, own)) => {
                let made = pipeline(own, subject, &plugins);
                Some(made.map_err(|error| loaded.locate(error))?)
            }
            None => None,
        };
        let seed = subjects.experiment.as_ref().map_or(0, |loaded| loaded.experiment.seed);
        rows.extend(class_rows(subject, pipeline.as_ref(), Seed::new(seed), &mut unread));
    }
    let width = rows.iter().map(|row| row.picture.width()).max().unwrap_or(1);
    let height = rows.len() as u32 * (CELL + FAR) + FAR;
    let mut sheet = RgbImage::from_pixel(width, height, BACKGROUND);
    for (number, row) in (0..).zip(&rows) {
        imageops::replace(&mut sheet, &row.picture, 0, i64::from(FAR + number * (CELL + FAR)));
    }
    let error = |error: image::ImageError| Failure::Other(format!("{}: {error}", path.display()));
    let mut encoded = Cursor::new(Vec::new());
    sheet.write_to(&mut encoded, format_of(path)?).map_err(error)?;
    write(path, encoded.get_ref())?;
    println!("{} shows, from the top:", path.display());
    rows.iter().for_each(|row| println!("  {}", row.title));
    if subjects.experiment.is_some() {
        println!("  each image beside what the model sees of it");
    }
    if unread > 0 {
        println!("  {unread} places are empty, as their images could not be read");
    }
    Ok(())
}

/// The format that the file's name stands for.
pub fn format_of(path: &Path) -> Result<ImageFormat, Failure> {
    match ImageFormat::from_path(path) {
        Ok(format @ (ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::WebP)) => Ok(format),
        _ => Err(Failure::Other(format!(
            "{}: a contact sheet can be a .png, .jpg or .webp file",
            path.display()
        ))),
    }
}

/// What happens to the images of a data set before the model sees them.
fn pipeline(
    experiment: &Experiment,
    subject: &Subject,
    plugins: &Registry,
) -> Result<Pipeline, vitral_train::Error> {
    let (channels, size) = experiment.input()?;
    Ok(match subject.split {
        Some(Split::Train) => Pipeline::new(channels, size, open_stages(experiment, plugins)?)?,
        _ => experiment.data.eval_pipeline(channels, size)?,
    })
}

/// The experiment without other plugins' stages: a command that only shows things runs nobody's code.
fn own_only(loaded: &Loaded, plugins: &Registry) -> Result<Experiment, Failure> {
    let mut own = loaded.experiment.clone();
    own.data.augment.clear();
    for (index, transform) in loaded.experiment.data.augment.iter().enumerate() {
        if let Transform::Plugin(used) = transform {
            let field = format!("data.augment[{index}]");
            let is_own = plugins.is_own(&loaded.experiment, used, &field);
            if !is_own.map_err(|error| loaded.locate(error))? {
                let name = &used.name;
                eprintln!("{name:?} is left out: only plugins that come with Vitral run here");
                continue;
            }
        }
        own.data.augment.push(transform.clone());
    }
    Ok(own)
}

/// One class.
struct Row {
    picture: RgbImage,
    title: String,
}

fn class_rows(
    subject: &Subject,
    pipeline: Option<&Pipeline>,
    seed: Seed,
    unread: &mut u32,
) -> Vec<Row> {
    let source = &*subject.source;
    let classes = source.class_names();
    let shown = classes.len().min(ROWS);
    let bar = counting("drawing");
    bar.set_length(shown as u64);
    let rows = (0..shown).map(|row| {
        let class = row * classes.len() / shown;
        let members: Vec<u32> = (0..source.len() as u32)
            .filter(|&index| source.label(index as usize) as usize == class)
            .take(1 << 16)
            .collect();
        bar.inc(1);
        Row {
            picture: class_row(source, &members, pipeline, seed, unread),
            title: format!(
                "{}: {} ({})",
                subject.name,
                classes[class],
                counted(members.len(), "image", "images")
            ),
        }
    });
    let rows = rows.collect();
    bar.finish_and_clear();
    rows
}

/// Some images of a class side by side, evenly chosen. What cannot be read is left empty and counted.
fn class_row(
    source: &dyn Source,
    members: &[u32],
    pipeline: Option<&Pipeline>,
    seed: Seed,
    unread: &mut u32,
) -> RgbImage {
    let each = CELL + FAR + if pipeline.is_some() { CELL + NEAR } else { 0 };
    let mut row = RgbImage::from_pixel(COLUMNS * each + FAR, CELL, BACKGROUND);
    let columns = COLUMNS.min(members.len() as u32);
    for column in 0..columns {
        let sample = members[column as usize * members.len() / columns as usize];
        let Ok(image) = source.read(sample as usize) else {
            *unread += 1;
            continue;
        };
        let left = FAR + column * each;
        place(&mut row, left, &image);
        let Some(pipeline) = pipeline else { continue };
        let seed = Pipeline::sample_seed(seed, 0, sample);
        match pipeline.run(image, seed, 0) {
            Ok(image) => place(&mut row, left + CELL + NEAR, &image),
            Err(_) => *unread += 1,
        }
    }
    row
}

/// Puts an image into a cell, as large as it fits. Small ones keep their pixels visible.
fn place(row: &mut RgbImage, left: u32, image: &Image) {
    let colour = image.clone().into_channels(Channels::Rgb);
    let (width, height) = (colour.width(), colour.height());
    let Some(colour) = RgbImage::from_raw(width, height, colour.into_pixels()) else { return };
    let longer = width.max(height);
    let scaled = |side: u32| (u64::from(side) * u64::from(CELL) / u64::from(longer)).max(1) as u32;
    let (width, height) = (scaled(width), scaled(height));
    let filter = match longer < CELL {
        true => imageops::FilterType::Nearest,
        false => imageops::FilterType::Triangle,
    };
    let shown = imageops::resize(&colour, width, height, filter);
    let (x, y) = (left + (CELL - width) / 2, (CELL - height) / 2);
    imageops::replace(row, &shown, x.into(), y.into());
}
