//! What the test kit knows of each kind: shapes, traces that repeat themselves, finite results,
//! seeds that decide, states that resume.

use vitral_host::{Kind, Plugin};
use vitral_testkit::check;

use super::finding::{Checked, all};

pub(super) fn check(plugin: &Plugin) -> Checked {
    let report = match plugin.kind() {
        Kind::Attention => check::attention(plugin),
        Kind::BatchAugmentation => check::batch_augmentation(plugin),
        Kind::ImageAugmentation => check::image_augmentation(plugin, &[]),
        Kind::Monitor => check::monitor(plugin),
    };
    all(report.problems().to_vec())?;
    Ok(format!("{} inputs", report.tried()))
}
