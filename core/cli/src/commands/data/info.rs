//! `vitral data info`: what is in a data set.

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

use clap::Args;
use indicatif::HumanCount;
use rayon::prelude::*;
use serde::Serialize;
use vitral_data::{Channels, OnError, Source};

use super::{
    sheet,
    subject::{DataArguments, Subjects},
};
use crate::{
    failure::Failure,
    json,
    progress::counting,
    words::{columns, counted, padded},
};

/// Images whose size is looked at, unless all are checked.
const LOOKED_AT: usize = 10_000;
/// Damaged images that are named.
const NAMED: usize = 10;
/// Classes that are listed; of the others, there is a line with their number.
const LISTED: usize = 40;
/// Characters of the longest bar.
const BAR: f64 = 30.0;

#[derive(Debug, Args)]
pub struct DataInfoArguments {
    #[command(flatten)]
    pub data: DataArguments,
    /// Draw images of some classes into a PNG, JPEG or WebP file, each before and, given an
    /// experiment, after augmentation.
    #[arg(long, value_name = "FILE.png")]
    pub sheet: Option<PathBuf>,
    /// Decode every image, and list those that cannot be decoded.
    #[arg(long)]
    pub check: bool,
    /// Print one JSON object for each data set.
    #[arg(long)]
    pub json: bool,
}

pub fn run(arguments: &DataInfoArguments) -> Result<ExitCode, Failure> {
    if let Some(path) = &arguments.sheet {
        sheet::format_of(path)?;
    }
    let subjects = Subjects::open(&arguments.data, OnError::Skip)?;
    let mut damaged = false;
    for subject in &subjects.sets {
        let info = Info::of(&subject.name, &*subject.source, arguments.check);
        damaged |= !info.damaged.is_empty();
        if arguments.json {
            json::print(&info)?;
        } else {
            info.print();
        }
    }
    if let Some(path) = &arguments.sheet {
        sheet::draw(&subjects, path)?;
    }
    Ok(if damaged { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What is known of one data set.
#[derive(Serialize)]
struct Info {
    name: String,
    images: usize,
    classes: Vec<Class>,
    /// Of the images that were looked at.
    sizes: Option<Sizes>,
    looked_at: usize,
    damaged_images: usize,
    /// Which these are, and why, behind shards and row groups that are damaged.
    damaged: Vec<String>,
    /// What was found and is not read.
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Class {
    name: String,
    images: u64,
}

/// Sides in pixels.
#[derive(Serialize)]
struct Sizes {
    smallest: (u32, u32),
    median: (u32, u32),
    largest: (u32, u32),
    different: usize,
    grey: usize,
    rgb: usize,
}

type Size = (u32, u32, Channels);

impl Info {
    fn of(name: &str, source: &dyn Source, check: bool) -> Self {
        let mut images_of = vec![0; source.class_names().len()];
        for index in 0..source.len() {
            // A label is a position in the list of classes.
            images_of[source.label(index) as usize] += 1;
        }
        let classes = source.class_names().iter().zip(images_of);
        let classes = classes.map(|(name, images)| Class { name: name.clone(), images }).collect();
        let looked_at = if check { source.len() } else { source.len().min(LOOKED_AT) };
        let bar = counting(if check { "decoding" } else { "reading sizes" });
        bar.set_length(looked_at as u64);
        let found: Vec<Result<Size, String>> = (0..looked_at)
            .into_par_iter()
            .map(|number| {
                // Evenly from all, in the order in which they lie on disk.
                let index = (number as u64 * source.len() as u64 / looked_at as u64) as usize;
                let size = look(source, index, check);
                bar.inc(1);
                size
            })
            .collect();
        bar.finish_and_clear();
        let sizes: Vec<Size> =
            found.iter().filter_map(|size| size.as_ref().ok()).copied().collect();
        let damaged: Vec<String> = found.into_iter().filter_map(Result::err).collect();
        Self {
            name: name.to_owned(),
            images: source.len(),
            classes,
            sizes: Sizes::of(sizes),
            looked_at,
            damaged_images: damaged.len(),
            damaged: source.damaged().iter().cloned().chain(damaged).collect(),
            notes: source.notes().to_vec(),
        }
    }

    fn print(&self) {
        let count = |number: usize| HumanCount(number as u64);
        let classes = match self.classes.as_slice() {
            [_] => "only one class, so there is nothing to learn".to_owned(),
            classes => counted(classes.len(), "class", "classes"),
        };
        println!("{}: {}, {classes}", self.name, counted(count(self.images), "image", "images"));
        if let Some(sizes) = &self.sizes {
            let of = |(width, height): (u32, u32)| format!("{width} x {height}");
            let shown = match sizes.different {
                1 => format!("all {}", of(sizes.median)),
                _ => format!(
                    "{} to {}, median {}",
                    of(sizes.smallest),
                    of(sizes.largest),
                    of(sizes.median)
                ),
            };
            println!("  pixels    {shown}; {} RGB, {} grey", count(sizes.rgb), count(sizes.grey));
            if self.looked_at < self.images {
                println!("            (of {} evenly chosen images)", count(self.looked_at));
            }
        }
        if !self.damaged.is_empty() {
            println!("  damaged   {}", count(self.damaged.len()));
            let named = self.damaged.iter().take(NAMED);
            named.for_each(|image| println!("            {image}"));
            if self.damaged.len() > NAMED {
                let more = count(self.damaged.len() - NAMED);
                println!("            and {more} more (`--json` lists them all)");
            }
        }
        self.notes.iter().for_each(|note| println!("  note      {note}"));
        self.print_classes();
    }

    fn print_classes(&self) {
        let counts = self.classes.iter().map(|class| class.images);
        let (most, least) = (counts.clone().max().unwrap_or(0), counts.min().unwrap_or(0));
        println!(
            "  balance   from {} to {} in a class",
            HumanCount(least),
            counted(HumanCount(most), "image", "images")
        );
        let shown = &self.classes[..self.classes.len().min(LISTED)];
        let width = shown.iter().map(|class| columns(&class.name)).max().unwrap_or(0);
        for Class { name, images } in shown {
            let share = *images as f64 / self.images.max(1) as f64;
            let length = (*images as f64 / most.max(1) as f64 * BAR).round() as usize;
            let name = padded(name, width);
            let (images, bar) = (HumanCount(*images).to_string(), "█".repeat(length));
            println!("  {name}  {images:>9}  {:5.2}%  {bar}", share * 100.0);
        }
        if self.classes.len() > shown.len() {
            let more = self.classes.len() - shown.len();
            println!("  and {}", counted(more, "more class", "more classes"));
        }
    }
}

impl Sizes {
    fn of(sizes: Vec<Size>) -> Option<Self> {
        let rgb = sizes.iter().filter(|(_, _, channels)| *channels == Channels::Rgb).count();
        let grey = sizes.len() - rgb;
        let mut counts: BTreeMap<(u64, u32, u32), usize> = BTreeMap::new();
        for (width, height, _) in sizes {
            *counts.entry((u64::from(width) * u64::from(height), width, height)).or_default() += 1;
        }
        let sides = |(_, width, height): (u64, u32, u32)| (width, height);
        let mut left = (rgb + grey).div_ceil(2);
        let mut by_area = counts.iter();
        let median = by_area.find(|(_, count)| {
            left = left.saturating_sub(**count);
            left == 0
        });
        Some(Self {
            smallest: sides(*counts.keys().next()?),
            median: sides(*median?.0),
            largest: sides(*counts.keys().next_back()?),
            different: counts.len(),
            grey,
            rgb,
        })
    }
}

/// An image's size, or its name and why it is damaged.
fn look(source: &dyn Source, index: usize, decode: bool) -> Result<Size, String> {
    let name = || source.name(index);
    let mut buffer = Vec::new();
    let stored = source.load(index, &mut buffer);
    let stored = stored.map_err(|error| format!("{}: {}", error.name, error.reason))?;
    let wrong = |error| format!("{}: {error}", name());
    let size = stored.size().map_err(wrong)?;
    if decode {
        stored.decode().map_err(wrong)?;
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_in_the_order_of_their_area() {
        let grey = Channels::Grey;
        let sizes = vec![(4, 4, grey), (10, 1, grey), (2, 2, Channels::Rgb), (4, 4, grey)];
        let sizes = Sizes::of(sizes).unwrap();
        assert_eq!((sizes.smallest, sizes.median, sizes.largest), ((2, 2), (10, 1), (4, 4)));
        assert_eq!((sizes.different, sizes.grey, sizes.rgb), (3, 3, 1));
        assert!(Sizes::of(Vec::new()).is_none());
    }
}
