//! Exported graphs against the models that they are of.

mod models;
mod programs;
