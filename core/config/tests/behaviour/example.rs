//! A small experiment with every kind of field that a configuration has.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitral_config::{ConfigError, Document};

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// What the run is called.
    #[serde(default)]
    #[schemars(length(min = 1, max = 20))]
    pub name: String,
    /// The network.
    pub model: Model,
    #[serde(default)]
    pub train: Train,
    #[serde(default)]
    pub data: Data,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Model {
    /// Transformer blocks. Twelve in ViT-B.
    #[schemars(range(min = 1, max = 100))]
    pub depth: usize,
    pub width: usize,
    pub heads: u8,
    /// Share of activations that are dropped.
    #[schemars(range(min = 0.0, max = 0.1))]
    pub dropout: f32,
    /// Height and width of the image.
    pub image: (u32, u32),
    pub pool: Pool,
    pub bias: bool,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            depth: 12,
            width: 192,
            heads: 3,
            dropout: 0.1,
            image: (224, 224),
            pool: Pool::Class,
            bias: true,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Pool {
    #[default]
    Class,
    /// The mean of all tokens.
    Mean,
    Attention {
        heads: u32,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Train {
    /// Step size at the peak of the schedule.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0, "otherNames" = ["lr"]))]
    pub learning_rate: f64,
    pub optimizer: Optimizer,
    /// Largest norm of the gradients, or `None`.
    #[schemars(range(min = 0.0))]
    pub clip: Option<f32>,
    pub seed: u64,
    pub warmup: Length,
    #[schemars(length(max = 3), inner(range(min = 1)))]
    pub milestones: Vec<u64>,
    pub resume: Option<Resume>,
}

impl Default for Train {
    fn default() -> Self {
        Self {
            learning_rate: 1e-3,
            optimizer: Optimizer::default(),
            clip: None,
            seed: 0,
            warmup: Length::Epochs(5.0),
            milestones: Vec::new(),
            resume: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    pub run: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum Optimizer {
    AdamW(AdamW),
    Lion { beta1: f64 },
    Sgd,
}

impl Default for Optimizer {
    fn default() -> Self {
        Self::AdamW(AdamW::default())
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdamW {
    /// Decay of the first moment.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0, "otherNames" = ["betas"]))]
    pub beta1: f32,
    pub weight_decay: f32,
}

impl Default for AdamW {
    fn default() -> Self {
        Self { beta1: 0.9, weight_decay: 0.05 }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum Length {
    Epochs(#[schemars(range(min = 0.0))] f32),
    Steps(u64),
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    pub path: PathBuf,
    pub augment: Vec<Augment>,
    pub weights: BTreeMap<String, f32>,
    pub port: Port,
}

/// A number that serde checks itself.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u16")]
pub struct Port(u16);

impl TryFrom<u16> for Port {
    type Error = String;

    fn try_from(port: u16) -> Result<Self, String> {
        match port % 2 {
            0 => Ok(Self(port)),
            _ => Err("ports are even".to_owned()),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Augment {
    pub name: String,
    /// How often it is applied.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1))]
    pub probability: f32,
}

pub const VALID: &str = r##"// A small run.
(
    name: "quick", /* é */
    model: (depth: 2, width: 64, image: (28, 28), pool: Attention(heads: 2)),
    train: (
        learning_rate: 2e-3,
        optimizer: AdamW(beta1: 0.95),
        clip: 1.0,
        warmup: Steps(10), // soon
        milestones: [3, 5],
        resume: (run: r#"runs/ü"#),
    ),
    data: (
        path: "data/train",
        augment: [(name: "flip", probability: 0.5), (name: "crop")],
        weights: {"a.b": 0.5, "ö": 1},
        port: 80,
    )
)
"##;

/// The error of a text.
pub fn error(text: &str) -> ConfigError {
    let document = Document::new("t.ron", text);
    document.parse::<Experiment>().expect_err(&format!("should be wrong: {text}"))
}

/// The text that an error underlines.
pub fn underlined(error: &ConfigError) -> &str {
    error.span.clone().map_or("", |span| &error.text[span])
}
