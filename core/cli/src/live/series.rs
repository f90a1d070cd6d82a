//! A figure over the steps of a run, of which no more is kept than a screen can show.

/// Points that are kept; from twice as many on, neighbours become their mean.
const POINTS: usize = 256;

/// Points, each the mean of as many as [`Series::width`] says.
#[derive(Clone, Debug)]
pub struct Series {
    points: Vec<(f64, f64)>,
    /// How many figures a point is the mean of.
    width: u32,
    /// Sums of the figures that are not a whole point yet, and how many they are.
    rest: ((f64, f64), u32),
}

impl Default for Series {
    fn default() -> Self {
        Self { points: Vec::new(), width: 1, rest: ((0.0, 0.0), 0) }
    }
}

impl Series {
    /// Adds a figure, which is left out where it is none.
    pub fn add(&mut self, step: f64, figure: f64) {
        if !figure.is_finite() {
            return;
        }
        let ((steps, figures), count) = self.rest;
        self.rest = ((steps + step, figures + figure), count + 1);
        let ((steps, figures), count) = self.rest;
        if count < self.width {
            return;
        }
        self.points.push((steps / f64::from(count), figures / f64::from(count)));
        self.rest = ((0.0, 0.0), 0);
        if self.points.len() == 2 * POINTS {
            let mean =
                |two: &[(f64, f64)]| ((two[0].0 + two[1].0) / 2.0, (two[0].1 + two[1].1) / 2.0);
            self.points = self.points.chunks(2).map(mean).collect();
            self.width *= 2;
        }
    }

    /// The points, in the order of the steps.
    pub fn points(&self) -> &[(f64, f64)] {
        &self.points
    }

    /// The newest point.
    pub fn last(&self) -> Option<f64> {
        self.points.last().map(|(_, figure)| *figure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_series_become_means_of_all_figures() {
        let mut series = Series::default();
        for step in 0..10_000 {
            series.add(f64::from(step), f64::from(step));
        }
        let points = series.points();
        assert!((POINTS..2 * POINTS).contains(&points.len()), "{}", points.len());
        assert!(points.iter().all(|(step, figure)| step == figure));
        assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(points[0].0 < 32.0 && series.last().unwrap() > 9_900.0);
    }

    #[test]
    fn what_is_no_number_is_left_out() {
        let mut series = Series::default();
        for figure in [f64::NAN, 2.0, f64::INFINITY] {
            series.add(1.0, figure);
        }
        assert_eq!(series.points(), [(1.0, 2.0)]);
    }
}
