//! The search for the largest micro-batch that fits into memory.
//!
//! Only the sizes of [`sizes`] are used, so that a few probes decide. On the CPU a line
//! `memory = base + per_image * images` through the probes says which size fits into the limit, and
//! one more probe verifies it. On a GPU its own failure to allocate is the limit.

use crate::{Error, batch_size::MemorySize};

/// How closely a line must foretell a probe to be believed, as a share of the probe.
const GOOD_FIT: f64 = 0.02;
/// Share of a probe's memory that must be the micro-batch's own before a line through the probes says
/// anything about much larger ones.
const OWN_SHARE: f64 = 0.2;
/// Share of the limit that the chosen size may reach: peaks of the same size differ a little.
const FILL: f64 = 0.97;

/// What a probe of a micro-batch found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    /// It ran. The most memory that the process used meanwhile in bytes, where that is known.
    Fits(Option<u64>),
    /// Memory ran out.
    OutOfMemory,
}

/// Memory by the size of a micro-batch, in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) base: f64,
    pub(crate) per_image: f64,
}

impl Line {
    /// Through the newest point, as steep as it is between any two neighbours of the newest three:
    /// what is foretold errs to more memory. Older points say little, as below a few images something
    /// else than the micro-batch may decide the peak. None through fewer than two points.
    fn through(points: &[(usize, u64)]) -> Option<Self> {
        let newest = &points[points.len().saturating_sub(3)..];
        let slope = |pair: &[(usize, u64)]| {
            (pair[1].1 as f64 - pair[0].1 as f64) / (pair[1].0 - pair[0].0) as f64
        };
        let per_image = newest.windows(2).map(slope).reduce(f64::max)?.max(0.0);
        let (images, bytes) = *newest.last()?;
        Some(Self { base: bytes as f64 - per_image * images as f64, per_image })
    }

    /// Bytes for so many images.
    pub(crate) fn at(&self, images: usize) -> f64 {
        self.base + self.per_image * images as f64
    }
}

/// What a search found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    /// The micro-batch.
    pub(crate) size: usize,
    /// Most memory used with it, where that is known.
    pub(crate) peak: Option<u64>,
    /// The line through the probes, where it was needed.
    pub(crate) line: Option<Line>,
    /// Every probe, in order.
    pub(crate) probes: Vec<(usize, Probe)>,
}

/// The sizes that a micro-batch may have, ascending: the powers of two up to the batch, and what
/// divides it.
pub(crate) fn sizes(effective: usize) -> Vec<usize> {
    let powers = (0..usize::BITS).map(|bit| 1_usize << bit).take_while(|&size| size <= effective);
    let divisors = (1..=effective.isqrt()).filter(|size| effective.is_multiple_of(*size));
    let mut sizes: Vec<usize> =
        powers.chain(divisors.flat_map(|size| [size, effective / size])).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// Finds the largest micro-batch for a batch of `effective` images that stays within `limit` bytes,
/// or, without a limit, runs at all. `probe` runs one of a given size, and leaves no trace.
///
/// # Errors
/// A probe fails for another reason than memory, or even one image is too much
/// ([`Error::OutOfMemory`]).
pub(crate) fn search(
    effective: usize,
    limit: Option<u64>,
    probe: &mut dyn FnMut(usize) -> Result<Probe, Error>,
) -> Result<Found, Error> {
    let mut search =
        Search { target: limit.map(|limit| limit as f64 * FILL), probes: Vec::new(), probe };
    let growing = search.grow(effective)?;
    let sizes = sizes(effective);
    // What the line promises; without one, what has run.
    let mut candidates: Vec<usize> = match (search.target, growing.line) {
        (Some(target), Some(line)) => {
            let below = |size: &usize| growing.too_large.is_none_or(|large| *size < large);
            sizes.into_iter().filter(below).filter(|&size| line.at(size) <= target).collect()
        }
        _ => Vec::new(),
    };
    candidates.retain(|&size| size > growing.fits);
    while let Some(size) = candidates.pop() {
        if search.fits(size)? {
            return Ok(search.found(size, growing.line));
        }
    }
    if growing.fits == 0 {
        let needed = search.probes.iter().find_map(|&(_, probe)| match probe {
            Probe::Fits(bytes) => bytes,
            Probe::OutOfMemory => None,
        });
        return Err(Error::OutOfMemory(match (needed, limit) {
            (Some(needed), Some(limit)) => format!(
                "a micro-batch of one image takes {} with everything around it, but the limit is \
                 {}",
                MemorySize::new(needed).rounded(),
                MemorySize::new(limit).rounded()
            ),
            _ => "even a micro-batch of one image does not fit".into(),
        }));
    }
    Ok(search.found(growing.fits, growing.line))
}

struct Search<'p> {
    /// The most bytes that a size may take.
    target: Option<f64>,
    probes: Vec<(usize, Probe)>,
    probe: &'p mut dyn FnMut(usize) -> Result<Probe, Error>,
}

/// What growing by doubling has shown.
struct Growing {
    /// The largest size that has run within the limit; 0 where none has.
    fits: usize,
    /// A size that has not.
    too_large: Option<usize>,
    line: Option<Line>,
}

impl Search<'_> {
    /// Doubles until it is known what fits: the batch is whole, memory has run out, or a line
    /// foretells the rest.
    fn grow(&mut self, effective: usize) -> Result<Growing, Error> {
        let mut points: Vec<(usize, u64)> = Vec::new();
        let mut growing = Growing { fits: 0, too_large: None, line: None };
        let mut size = 1;
        loop {
            let foretold = growing.line.map(|line| line.at(size));
            if !self.fits(size)? {
                growing.too_large = Some(size);
                return Ok(growing);
            }
            growing.fits = size;
            if let Some(&(_, Probe::Fits(Some(bytes)))) = self.probes.last() {
                points.push((size, bytes));
                growing.line = Line::through(&points);
                let error = foretold.map(|foretold| (foretold / bytes as f64 - 1.0).abs());
                let own = growing.line.map_or(0.0, |line| line.per_image * size as f64);
                let is_good =
                    error.is_some_and(|e| e <= GOOD_FIT) && own >= OWN_SHARE * bytes as f64;
                if self.target.is_some() && is_good {
                    return Ok(growing);
                }
            }
            if size == effective {
                return Ok(growing);
            }
            size = (2 * size).min(effective);
            // What the line says to be far too much is not tried.
            if let (Some(target), Some(line)) = (self.target, growing.line)
                && line.at(size) > target
            {
                return Ok(growing);
            }
        }
    }

    fn fits(&mut self, size: usize) -> Result<bool, Error> {
        let found = (self.probe)(size)?;
        tracing::info!(size, ?found, "probed a micro-batch");
        self.probes.push((size, found));
        Ok(match (found, self.target) {
            (Probe::OutOfMemory, _) => false,
            (Probe::Fits(Some(bytes)), Some(target)) => bytes as f64 <= target,
            (Probe::Fits(_), _) => true,
        })
    }

    fn found(self, size: usize, line: Option<Line>) -> Found {
        let probe = self.probes.iter().rev().find(|&&(probed, _)| probed == size);
        let peak = match probe {
            Some(&(_, Probe::Fits(peak))) => peak,
            _ => None,
        };
        Found { size, peak, line, probes: self.probes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// A machine that takes `base` and so much per image, in MiB, up to a hard end.
    fn machine(base: u64, per_image: u64, end: u64) -> impl FnMut(usize) -> Result<Probe, Error> {
        move |size| {
            let bytes = (base + per_image * size as u64) * MIB;
            Ok(if bytes > end * MIB { Probe::OutOfMemory } else { Probe::Fits(Some(bytes)) })
        }
    }

    fn sizes_of(found: &Found) -> Vec<usize> {
        found.probes.iter().map(|probe| probe.0).collect()
    }

    #[test]
    fn sizes_are_powers_of_two_and_divisors() {
        assert_eq!(sizes(1), [1]);
        assert_eq!(sizes(12), [1, 2, 3, 4, 6, 8, 12]);
        assert_eq!(sizes(1024), (0..=10).map(|bit| 1 << bit).collect::<Vec<_>>());
    }

    #[test]
    fn a_line_chooses_the_largest_size_below_the_limit_and_one_probe_verifies_it() {
        // 100 + 30 n: 31 images take 1030 MiB, of which 97% are allowed below 1 GiB.
        let found = search(960, Some(1 << 30), &mut machine(100, 30, 99_999)).unwrap();
        assert_eq!((found.size, found.peak), (24, Some(820 * MIB)));
        assert_eq!(sizes_of(&found), [1, 2, 4, 24], "24 divides 960, and 30 takes 1000 MiB");
        let line = found.line.unwrap();
        assert!((line.base - 100.0 * MIB as f64).abs() < 1.0);
        assert!((line.per_image - 30.0 * MIB as f64).abs() < 1.0);
    }

    #[test]
    fn a_line_is_as_steep_as_the_steepest_of_the_newest_points() {
        let line = Line::through(&[(1, 500), (2, 520), (4, 525), (8, 605)]).unwrap();
        assert_eq!((line.per_image, line.base, line.at(16)), (20.0, 445.0, 765.0));
        let line = Line::through(&[(2, 500), (4, 560), (8, 600)]).unwrap();
        assert_eq!((line.per_image, line.at(8), line.at(16)), (30.0, 600.0, 840.0));
        assert_eq!(Line::through(&[(1, 9)]), None);
        assert_eq!(Line::through(&[(1, 9), (2, 7)]).unwrap().at(100), 7.0);
    }

    /// A line through small probes, which something else decides, would promise everything.
    #[test]
    fn no_line_is_believed_before_micro_batches_count() {
        let mut probe = |size: usize| Ok(Probe::Fits(Some((500 + 2 * size as u64) * MIB)));
        let found = search(4096, Some(1 << 30), &mut probe).unwrap();
        assert_eq!((found.size, sizes_of(&found)), (128, vec![1, 2, 4, 8, 16, 32, 64, 128]));
    }

    #[test]
    fn a_batch_that_fits_is_not_cut() {
        let found = search(8, Some(1 << 30), &mut machine(100, 30, 99_999)).unwrap();
        assert_eq!((found.size, sizes_of(&found)), (8, vec![1, 2, 4, 8]));
    }

    #[test]
    fn verification_backs_off_when_the_line_promised_too_much() {
        // Flat at first, and steeper where nobody has looked.
        let mut probe = |size: usize| {
            let mib = if size > 16 { 2000 } else { 100 + 10 * size as u64 };
            Ok(Probe::Fits(Some(mib * MIB)))
        };
        let found = search(256, Some(1 << 30), &mut probe).unwrap();
        assert_eq!((found.size, found.peak), (16, Some(260 * MIB)));
        assert_eq!(sizes_of(&found), [1, 2, 4, 64, 32, 16]);
    }

    #[test]
    fn without_a_limit_the_last_size_that_ran_is_taken() {
        let found = search(1024, None, &mut machine(1000, 300, 20_000)).unwrap();
        assert_eq!(found.size, 32);
        assert_eq!(sizes_of(&found), [1, 2, 4, 8, 16, 32, 64]);
        let whole = search(48, None, &mut machine(1000, 300, 99_000)).unwrap();
        assert_eq!((whole.size, sizes_of(&whole)), (48, vec![1, 2, 4, 8, 16, 32, 48]));
    }

    #[test]
    fn a_model_that_never_fits_is_told_with_what_it_takes() {
        let error = search(8, Some(64 * MIB), &mut machine(100, 30, 99_999)).unwrap_err();
        let said = error.to_string();
        assert!(said.contains("130.00 MiB") && said.contains("64.00 MiB"), "{said}");
        let error = search(8, None, &mut machine(100, 30, 50)).unwrap_err();
        assert!(matches!(error, Error::OutOfMemory(_)));
    }

    #[test]
    fn other_failures_of_a_probe_are_passed_on() {
        let error = search(8, None, &mut |_| Err(Error::Device("lost".into()))).unwrap_err();
        assert!(matches!(error, Error::Device(_)));
    }
}
