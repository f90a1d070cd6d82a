//! The templates, compiled as they stand, with their own tests.

#[path = "../../templates/rust/attention.rs"]
mod attention;
#[path = "../../templates/rust/batch_augmentation.rs"]
mod batch_augmentation;
#[path = "../../templates/rust/image_augmentation.rs"]
mod image_augmentation;
#[path = "../../templates/rust/monitor.rs"]
mod monitor;
