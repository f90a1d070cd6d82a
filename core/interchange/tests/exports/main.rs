//! Exported graphs against the models that they are of.

mod any_size;
mod formats;
mod models;
mod ops;
mod plugins;
mod programs;
mod run;
