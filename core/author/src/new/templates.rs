//! The templates, compiled as they stand, with their own tests.

#[path = "../../templates/attention.rs"]
mod attention;
#[path = "../../templates/batch_augmentation.rs"]
mod batch_augmentation;
#[path = "../../templates/image_augmentation.rs"]
mod image_augmentation;
#[path = "../../templates/monitor.rs"]
mod monitor;
