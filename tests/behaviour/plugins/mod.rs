//! Plugins, from their sources to trained models.

mod attention;
mod augmentation;
mod built;
mod bundles;
mod compatibility;
mod first_party;
mod languages;
mod local;
mod mlflow;
mod monitors;
mod sharing;
mod stopping;
mod trust;
