//! The comparison as a picture: for each technique, how far it lies from the plain loop.

use plotters::{
    prelude::*,
    style::text_anchor::{HPos, VPos},
};

use super::table::{Summary, Table};
use crate::plot::{self, Area, Drawn, INK, LINE, font, range};

/// Pixels.
const NAMES: i32 = 130;
const PANEL: i32 = 290;
const ROW: i32 = 26;
const HEAD: i32 = 56;
const FOOT: i32 = 56;

const BETTER: RGBColor = RGBColor(24, 128, 92);
const WORSE: RGBColor = RGBColor(200, 80, 40);

/// One figure of all techniques.
struct Panel {
    title: &'static str,
    of: fn(&Summary) -> Option<f64>,
    more_is_better: bool,
    show: fn(f64) -> String,
}

const PANELS: [Panel; 3] = [
    Panel {
        title: "time per epoch, s",
        of: |found| Some(found.seconds_per_epoch),
        more_is_better: false,
        show: |seconds| format!("{seconds:.2}"),
    },
    Panel {
        title: "peak memory, MiB",
        of: |found| found.peak_memory.map(|bytes| bytes / f64::from(1 << 20)),
        more_is_better: false,
        show: |mib| format!("{mib:.0}"),
    },
    Panel {
        title: "top-1 at the end, %",
        of: |found| Some(found.top1 * 100.0),
        more_is_better: true,
        show: |percent| format!("{percent:.2}"),
    },
];

/// An SVG of the comparison.
///
/// # Errors
/// The picture cannot be drawn, in words.
pub fn svg(table: &Table) -> Result<String, String> {
    let width = NAMES + PANEL * PANELS.len() as i32;
    let height = HEAD + FOOT + ROW * table.rows.len() as i32;
    plot::svg((width.unsigned_abs(), height.unsigned_abs()), |area| draw(table, area))
}

fn draw(table: &Table, area: &Area<'_>) -> Drawn {
    area.draw(&Text::new(table.title(), (12, 8), font(15.0, HPos::Left, VPos::Top)))?;
    let (names, mut rest) = area.split_horizontally(NAMES);
    for (index, row) in table.rows.iter().enumerate() {
        let middle = HEAD + ROW * index as i32 + ROW / 2;
        let place = (NAMES - 6, middle);
        names.draw(&Text::new(row.name.clone(), place, font(13.0, HPos::Right, VPos::Center)))?;
    }
    for panel in &PANELS {
        let (left, right) = rest.split_horizontally(PANEL);
        draw_panel(table, panel, &left)?;
        rest = right;
    }
    Ok(())
}

fn draw_panel(table: &Table, panel: &Panel, area: &Area<'_>) -> Drawn {
    let of = |found: Option<Summary>| found.as_ref().and_then(panel.of);
    let values: Vec<Option<f64>> = table.rows.iter().map(|row| of(row.summary())).collect();
    let Some((least, most)) = range(values.iter().flatten().copied()) else { return Ok(()) };
    let rows = table.rows.len() as f64;
    let mut chart = ChartBuilder::on(area)
        .margin_top(HEAD)
        .margin_left(10)
        .margin_right(14)
        .margin_bottom(FOOT - 30)
        .x_label_area_size(30)
        // Rows from the top down.
        .build_cartesian_2d(least..most, rows..0.0)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .x_labels(5)
        .axis_style(LINE)
        .bold_line_style(LINE.mix(0.35))
        .light_line_style(TRANSPARENT)
        .x_label_style(font(11.0, HPos::Center, VPos::Top))
        .draw()?;
    let place = (PANEL / 2, HEAD - 8);
    area.draw(&Text::new(panel.title, place, font(13.0, HPos::Center, VPos::Bottom)))?;
    let plain = values.first().copied().flatten();
    if let Some(plain) = plain {
        chart.draw_series([PathElement::new([(plain, 0.0), (plain, rows)], INK.mix(0.6))])?;
    }
    for (index, value) in values.iter().enumerate() {
        let Some(value) = *value else { continue };
        let middle = index as f64 + 0.5;
        let start = plain.unwrap_or(value);
        let is_better = (value > start) == panel.more_is_better;
        let colour = match value == start {
            true => INK,
            false if is_better => BETTER,
            false => WORSE,
        };
        let line = [(start, middle), (value, middle)];
        chart.draw_series([PathElement::new(line, colour.stroke_width(3))])?;
        chart.draw_series([Circle::new((value, middle), 4, colour.filled())])?;
        // Towards the middle of the panel, where there is room.
        let is_right = value > (least + most) / 2.0;
        let (side, offset) = if is_right { (HPos::Right, -9) } else { (HPos::Left, 9) };
        // Above its own line.
        let label = Text::new((panel.show)(value), (offset, -2), font(11.0, side, VPos::Bottom));
        chart.draw_series([EmptyElement::at((value, middle)) + label])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::table::tests::example, *};

    #[test]
    fn every_technique_is_in_the_picture() {
        let picture = svg(&example()).unwrap();
        assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"));
        for words in ["plain", "faster", "broken", "shaky", "some.ron, 3 epochs", "81.00", "79.50"]
        {
            assert!(picture.contains(words), "{words} is not in the picture");
        }
        // One dot for each that was measured, in each panel.
        assert_eq!(picture.matches("<circle").count(), 9);
    }

    #[test]
    fn names_cannot_break_the_picture() {
        let mut table = example();
        table.experiment = "<b>&\"".into();
        let picture = svg(&table).unwrap();
        assert!(!picture.contains("<b>") && picture.contains("&lt;b&gt;&amp;"));
    }

    #[test]
    fn equal_figures_and_none_at_all_are_pictures_too() {
        let mut table = example();
        table.rows.truncate(1);
        assert_eq!(svg(&table).unwrap().matches("<circle").count(), 3);
        table.rows[0].runs.clear();
        assert_eq!(svg(&table).unwrap().matches("<circle").count(), 0);
    }
}
