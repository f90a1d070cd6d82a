//! What the program's pictures have in common.

use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

pub const INK: RGBColor = RGBColor(40, 44, 52);
pub const LINE: RGBColor = RGBColor(170, 176, 186);

pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub type Drawn = Result<(), Box<dyn std::error::Error>>;

/// An SVG of this size in pixels, drawn on white.
///
/// # Errors
/// What `draw` says, in words.
pub fn svg(size: (u32, u32), draw: impl FnOnce(&Area<'_>) -> Drawn) -> Result<String, String> {
    let mut text = String::new();
    let drawn = (|| {
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        area.fill(&WHITE)?;
        draw(&area)?;
        area.present()?;
        Ok(())
    })();
    drawn.map_err(|error: Box<dyn std::error::Error>| {
        format!("the picture cannot be drawn: {error}")
    })?;
    Ok(text)
}

/// A picture for a page: its ink, lines and paper are the page's where that says what these are.
pub fn themed(svg: &str) -> String {
    let colours = [("--ink", INK), ("--line", LINE), ("--panel", WHITE)];
    colours.iter().fold(svg.to_owned(), |svg, (name, RGBColor(red, green, blue))| {
        let colour = format!("#{red:02X}{green:02X}{blue:02X}");
        svg.replace(&format!("\"{colour}\""), &format!("\"var({name},{colour})\""))
    })
}

/// Text of this size in pixels, and how it lies at its place.
pub fn font(size: f64, horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    // What plotters calls the size of a font is 1.24 times what SVG does.
    let style = TextStyle::from(("sans-serif", 1.24 * size).into_font()).color(&INK);
    style.pos(Pos::new(horizontal, vertical))
}

/// From a little below the least value to a little above the most; none of no values.
pub fn range(values: impl Iterator<Item = f64> + Clone) -> Option<(f64, f64)> {
    let least = values.clone().reduce(f64::min)?;
    let most = values.reduce(f64::max)?;
    // Where all are the same, there is still a picture.
    let margin = (0.08 * (most - least)).max(1e-3 * most.abs()).max(1e-9);
    Some((least - margin, most + margin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_never_empty() {
        assert_eq!(range([].into_iter()), None);
        for values in [&[0.0][..], &[5.0, 5.0], &[-3.0, 1.0]] {
            let (least, most) = range(values.iter().copied()).unwrap();
            assert!(values.iter().all(|&value| least < value && value < most));
        }
    }
}
