//! How images become as large as the model for an evaluation, as timm's `config.json` and Hugging Face's
//! `preprocessor_config.json` say it.

use serde_json::Value;

/// How images become as large as the model for an evaluation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preprocessing {
    /// What becomes of an image's shape.
    pub fit: Fit,
    /// How values between pixels are found.
    pub interpolation: Interpolation,
}

/// What becomes of the shape of an image that is made as large as the model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fit {
    /// The shorter side is resized so that the model's size is this share of it, and the middle is cut out: timm's
    /// `crop_pct`.
    Crop(f64),
    /// All of the image is resized to the model's size, whatever its shape: timm's `crop_mode` `squash`.
    Squash,
}

/// How values between pixels are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// A triangle, as Pillow's `BILINEAR`.
    Bilinear,
    /// Cubic polynomials, as Pillow's `BICUBIC`.
    Bicubic,
}

impl Interpolation {
    fn named(name: &str) -> Option<Self> {
        match name {
            "bilinear" => Some(Self::Bilinear),
            "bicubic" => Some(Self::Bicubic),
            _ => None,
        }
    }

    /// timm's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bilinear => "bilinear",
            Self::Bicubic => "bicubic",
        }
    }
}

/// A share that a crop can be.
fn is_share(share: f64) -> bool {
    (0.01..=1.0).contains(&share)
}

/// What `pretrained_cfg` of timm's `config.json` says; nothing where it says nothing.
///
/// # Errors
/// What there is no place for, in a sentence.
pub(crate) fn of_timm(pretrained: &Value) -> Result<Option<Preprocessing>, String> {
    let keys = ["crop_pct", "crop_mode", "interpolation"];
    if keys.iter().all(|key| pretrained[key].is_null()) {
        return Ok(None);
    }
    // What timm assumes where only some of them are given.
    let share = pretrained["crop_pct"].as_f64().unwrap_or(0.875);
    let fit = match pretrained["crop_mode"].as_str().unwrap_or("center") {
        "center" if is_share(share) => Fit::Crop(share),
        "squash" if share == 1.0 => Fit::Squash,
        mode => {
            return Err(format!(
                "`crop_mode` {mode} with a `crop_pct` of {share} has no place here, so evaluations go by \
                 `data.eval_transforms`"
            ));
        }
    };
    let name = pretrained["interpolation"].as_str().unwrap_or("bicubic");
    let Some(interpolation) = Interpolation::named(name) else {
        return Err(format!(
            "`interpolation` {name} has no place here, so evaluations go by `data.eval_transforms`"
        ));
    };
    Ok(Some(Preprocessing { fit, interpolation }))
}

/// What Hugging Face's `preprocessor_config.json` says; nothing where it resizes nothing.
///
/// # Errors
/// What there is no place for, in a sentence.
pub(crate) fn of_hugging_face(preprocessor: &Value) -> Result<Option<Preprocessing>, String> {
    if preprocessor["size"].is_null() || preprocessor["do_resize"] == Value::Bool(false) {
        return Ok(None);
    }
    // Pillow's numbers.
    let interpolation = match preprocessor["resample"].as_u64() {
        Some(2) | None => Interpolation::Bilinear,
        Some(3) => Interpolation::Bicubic,
        Some(other) => {
            return Err(format!(
                "`resample` {other} of preprocessor_config.json has no place here, so evaluations go by \
                 `data.eval_transforms`"
            ));
        }
    };
    let side = |value: &Value| match value["height"].as_f64() {
        Some(height) if value["width"].as_f64() == Some(height) => Some(height),
        Some(_) => None,
        None => value.as_f64(),
    };
    let size = &preprocessor["size"];
    let crops = preprocessor["do_center_crop"] == Value::Bool(true);
    let shortest = size["shortest_edge"].as_f64().or(size.as_f64());
    let fit = match (crops, side(&preprocessor["crop_size"]).zip(shortest)) {
        (true, Some((crop, shortest))) if is_share(crop / shortest) => Fit::Crop(crop / shortest),
        (false, _) if side(size).is_some() => Fit::Squash,
        _ => {
            return Err(format!(
                "`size` {size} of preprocessor_config.json has no place here, so evaluations go by \
                 `data.eval_transforms`"
            ));
        }
    };
    Ok(Some(Preprocessing { fit, interpolation }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_timm_says_is_read() {
        let of = |value: Value| of_timm(&value);
        assert_eq!(of(json!({})), Ok(None));
        let expected = Preprocessing { fit: Fit::Crop(0.9), interpolation: Interpolation::Bicubic };
        let found = of(json!({"crop_pct": 0.9, "interpolation": "bicubic", "crop_mode": "center"}));
        assert_eq!(found, Ok(Some(expected)));
        let expected = Preprocessing { fit: Fit::Squash, interpolation: Interpolation::Bilinear };
        let found =
            of(json!({"crop_pct": 1.0, "interpolation": "bilinear", "crop_mode": "squash"}));
        assert_eq!(found, Ok(Some(expected)));
        // timm's own defaults count for what is not said.
        let expected =
            Preprocessing { fit: Fit::Crop(0.875), interpolation: Interpolation::Bilinear };
        assert_eq!(of(json!({"interpolation": "bilinear"})), Ok(Some(expected)));
        for (value, named) in [
            (json!({"crop_pct": 0.9, "crop_mode": "border"}), "`crop_mode` border"),
            (json!({"crop_pct": 0.9, "interpolation": "lanczos"}), "`interpolation` lanczos"),
            (json!({"crop_pct": 7}), "`crop_pct` of 7"),
        ] {
            let problem = of(value).unwrap_err();
            assert!(problem.contains(named), "{problem}");
        }
    }

    #[test]
    fn what_hugging_face_says_is_read() {
        let of = |value: Value| of_hugging_face(&value);
        assert_eq!(of(json!({})), Ok(None));
        assert_eq!(of(json!({"do_resize": false, "size": 224})), Ok(None));
        let squashed = Preprocessing { fit: Fit::Squash, interpolation: Interpolation::Bilinear };
        let size = json!({"height": 224, "width": 224});
        assert_eq!(of(json!({"size": size, "resample": 2})), Ok(Some(squashed)));
        assert_eq!(of(json!({"size": 224})), Ok(Some(squashed)));
        let found = of(json!({
            "size": {"shortest_edge": 256}, "do_center_crop": true, "crop_size": size, "resample": 3
        }));
        let expected =
            Preprocessing { fit: Fit::Crop(0.875), interpolation: Interpolation::Bicubic };
        assert_eq!(found, Ok(Some(expected)));
        for value in [
            json!({"size": 224, "resample": 1}),
            json!({"size": {"height": 224, "width": 192}}),
            json!({"size": {"shortest_edge": 256}}),
        ] {
            let problem = of(value).unwrap_err();
            assert!(problem.contains("has no place here"), "{problem}");
        }
    }
}
