//! The behaviour that users rely on, across crates and through the program itself.

mod accumulation;
mod attention_maps;
mod auto_batch;
mod bench;
mod bench_data;
mod bench_tricks;
mod budgets;
mod checkpoints;
mod class_balance;
mod classes;
mod command_line;
mod data;
mod data_cache;
mod data_left_out;
mod data_sources;
mod distillation;
mod evaluating;
mod exports;
mod families;
#[cfg(unix)]
mod files;
#[cfg(unix)]
mod foreign_text;
mod going_on;
#[cfg(feature = "gpu-tests")]
mod gpu;
mod gradients;
#[cfg(unix)]
mod guide;
mod hints;
mod hybrid_decoder;
mod inspecting;
#[cfg(unix)]
mod irregular;
mod less_to_write;
mod logs;
#[cfg(all(feature = "mpi", target_os = "linux"))]
mod mpi;
mod oracle;
mod oracle_families;
mod overrides;
mod paths;
mod plugins;
mod precision;
mod predicting;
mod presets;
mod pruning;
mod quickstart;
mod ranks;
mod report;
mod resume;
mod runs;
mod support;
mod terminal;
mod tuning;
mod weights;
