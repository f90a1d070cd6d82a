//! Histograms of gradients and weights for TensorBoard: how many values there are in each decade of magnitudes.
//! Their axis is the logarithm of the magnitude to base 10, from -13 for all that is below 1e-12 to 5 for all
//! that is above 1e4; zeros have none, and are left out.

use serde_json::{Value, json};
use vitral_host::{LayerReport, ParameterStatistics};

use super::message::Message;

/// The kind of a line of the metrics that histograms are made of.
pub const KIND: &str = "histograms";
/// What they are called, and the field of a parameter in that line.
const PARTS: [(&str, &str); 2] = [("gradients", "gradient"), ("weights", "weight")];
/// Where the axis begins.
const FIRST: f64 = -13.0;

/// The line of statistics.
pub fn line(report: &LayerReport) -> Value {
    let parameter = |parameter: &ParameterStatistics| {
        json!({
            "name": parameter.name,
            "gradient": parameter.gradient.magnitudes,
            "weight": parameter.weight.magnitudes,
        })
    };
    let parameters: Vec<Value> = report.parameters.iter().map(parameter).collect();
    json!({ "kind": KIND, "step": report.step, "parameters": parameters })
}

/// The values of a line, each with its tag.
pub fn values_of(line: &Value) -> Vec<(String, Message)> {
    let mut values = Vec::new();
    for parameter in line["parameters"].as_array().into_iter().flatten() {
        let Some(name) = parameter["name"].as_str() else { continue };
        for (title, part) in PARTS {
            let counts = parameter[part].as_array().into_iter().flatten();
            let counts: Vec<u64> = counts.map(|count| count.as_u64().unwrap_or(0)).collect();
            let tag = format!("{title}/{name}");
            values.extend(histogram(&counts).map(|histogram| (tag, histogram)));
        }
    }
    values
}

/// A histogram from its first filled decade to its last; none of nothing.
fn histogram(counts: &[u64]) -> Option<Message> {
    let first = counts.iter().position(|&count| count > 0)?;
    let last = counts.iter().rposition(|&count| count > 0)?;
    let start = |index: usize| FIRST + index as f64;
    let filled = || (first..=last).map(|index| (start(index) + 0.5, counts[index] as f64));
    let sum = |value: fn(f64) -> f64| -> f64 {
        filled().map(|(middle, count)| value(middle) * count).sum()
    };
    let ends: Vec<f64> = (first..=last).map(|index| start(index + 1)).collect();
    let counts: Vec<f64> = filled().map(|(_, count)| count).collect();
    Some(
        Message::default()
            .double(1, start(first))
            .double(2, start(last + 1))
            .double(3, sum(|_| 1.0))
            .double(4, sum(|middle| middle))
            .double(5, sum(|middle| middle * middle))
            .doubles(6, &ends)
            .doubles(7, &counts),
    )
}

#[cfg(test)]
mod tests {
    use super::{
        super::message::{Field, fields},
        *,
    };

    #[test]
    fn a_histogram_begins_and_ends_where_values_are() {
        assert!(histogram(&[0; 18]).is_none());
        let mut counts = [0; 18];
        (counts[3], counts[5], counts[17]) = (2, 1, 4);
        let message = Message::default().message(1, histogram(&counts).unwrap());
        let bytes = message.record();
        // Behind the length and its checksum.
        let Some((1, Field::Bytes(inner))) = fields(&bytes[12..]).next() else { panic!() };
        let numbers = |bytes: &[u8]| -> Vec<f64> {
            let all = bytes.as_chunks::<8>().0.iter();
            all.map(|bytes| f64::from_le_bytes(*bytes)).collect()
        };
        let found: Vec<(u64, Vec<f64>)> = fields(inner)
            .map(|(number, field)| match field {
                Field::Fixed64(bytes) => (number, vec![f64::from_le_bytes(bytes)]),
                Field::Bytes(bytes) => (number, numbers(bytes)),
                other => panic!("{other:?}"),
            })
            .collect();
        let ends: Vec<f64> = (-9..=5).map(f64::from).collect();
        let mut expected = vec![0.0; 15];
        (expected[0], expected[2], expected[14]) = (2.0, 1.0, 4.0);
        let sum = 2.0 * -9.5 - 7.5 + 4.0 * 4.5;
        let squares = 2.0 * 9.5 * 9.5 + 7.5 * 7.5 + 4.0 * 4.5 * 4.5;
        let of_one = |number, value| (number, vec![value]);
        assert_eq!(
            found[..5],
            [of_one(1, -10.0), of_one(2, 5.0), of_one(3, 7.0), of_one(4, sum), of_one(5, squares)]
        );
        assert_eq!(found[5..], [(6, ends), (7, expected)]);
    }
}
