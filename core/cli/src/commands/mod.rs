//! One file per command.

pub mod bench;
pub mod config;
pub mod data;
pub mod doctor;
pub mod eval;
pub mod export;
pub mod import;
pub mod plugin;
pub mod predict;
pub mod report;
pub mod train;
