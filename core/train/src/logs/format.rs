//! In which formats an experiment asks for logs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A format that a run's figures are written in beside `metrics.jsonl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LogFormat {
    /// Event files in the run's folder `tensorboard`: scalars, hyper-parameters, the experiment,
    /// histograms of gradients and weights at the steps for which a monitor requests statistics,
    /// and the first 8 images of each evaluation, framed in green or red, with the model's
    /// predictions.
    TensorBoard,
    /// Tables in the run's folder `csv`: `train.csv`, `val.csv` and `monitors.csv`.
    Csv,
}
