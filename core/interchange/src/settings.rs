//! What `config.json` and `preprocessor_config.json` beside a file say that its tensors do not.

use serde_json::Value;
use vitral_model::{mlp::Mlp, pool::Pool};

use crate::names::Dialect;

/// What a file's neighbours say; nothing where they do not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub heads: Option<usize>,
    pub mlp: Option<Mlp>,
    pub norm_eps: Option<f64>,
    pub pool: Option<Pool>,
    pub class_names: Vec<String>,
    pub normalization: Option<(Vec<f32>, Vec<f32>)>,
}

/// Reads both files, of which either may be missing.
///
/// # Errors
/// A setting that changes what the model computes, and that there is no place for.
pub(crate) fn settings(
    dialect: Dialect,
    config: Option<&Value>,
    preprocessor: Option<&Value>,
) -> Result<Settings, String> {
    let mut settings = match (dialect, config) {
        (Dialect::Timm | Dialect::TimmMixer, Some(config)) => of_timm(config)?,
        (Dialect::HuggingFaceVit | Dialect::HuggingFaceDinov2, Some(config)) => {
            of_hugging_face(config)?
        }
        _ => Settings::default(),
    };
    if let Some(preprocessor) = preprocessor {
        let numbers = |key: &str| numbers(&preprocessor[key]);
        settings.normalization =
            numbers("image_mean").zip(numbers("image_std")).or(settings.normalization);
    }
    Ok(settings)
}

fn of_timm(config: &Value) -> Result<Settings, String> {
    let arguments = &config["model_args"];
    let pool = arguments["global_pool"].as_str().or(config["global_pool"].as_str());
    let pool = match pool {
        Some("token") => Some(Pool::ClassToken),
        Some("avg") => Some(Pool::Mean),
        Some("map") => Some(Pool::Map),
        Some("") | None => None,
        Some(other) => {
            return Err(format!("config.json pools by `{other}`; known are token, avg and map"));
        }
    };
    let architecture = config["architecture"].as_str().unwrap_or_default();
    let mlp = match arguments["act_layer"].as_str() {
        Some(name) => Some(activation(name)?),
        None if architecture.contains("quickgelu") => return Err(QUICK_GELU.into()),
        None => None,
    };
    let pretrained = &config["pretrained_cfg"];
    let heads = arguments["num_heads"].as_u64().and_then(|heads| usize::try_from(heads).ok());
    let names = config["label_names"].as_array().map_or(&[] as &[Value], Vec::as_slice);
    Ok(Settings {
        heads,
        mlp,
        norm_eps: None,
        pool,
        class_names: names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        normalization: numbers(&pretrained["mean"]).zip(numbers(&pretrained["std"])),
    })
}

fn of_hugging_face(config: &Value) -> Result<Settings, String> {
    let mlp = match (config["use_swiglu_ffn"].as_bool(), config["hidden_act"].as_str()) {
        (Some(true), _) => Some(Mlp::SwiGlu),
        (_, Some(name)) => Some(activation(name)?),
        _ => None,
    };
    let labels = config["id2label"].as_object();
    let name = |index: usize| {
        let name = labels?.get(&index.to_string())?.as_str()?;
        // What Hugging Face writes where there are no names.
        (name != format!("LABEL_{index}")).then(|| name.to_owned())
    };
    let class_names = (0..labels.map_or(0, serde_json::Map::len)).map_while(name).collect();
    Ok(Settings {
        heads: config["num_attention_heads"].as_u64().and_then(|n| usize::try_from(n).ok()),
        mlp,
        norm_eps: config["layer_norm_eps"].as_f64(),
        pool: None,
        class_names,
        normalization: None,
    })
}

const QUICK_GELU: &str = "the model's activation is QuickGELU, which is not one of the MLPs here";

fn activation(name: &str) -> Result<Mlp, String> {
    match name {
        "gelu" => Ok(Mlp::Gelu),
        "gelu_tanh" | "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Ok(Mlp::GeluTanh),
        // timm's name for the gate of SwiGLU, which the shapes tell from a plain MLP.
        "silu" => Ok(Mlp::SwiGlu),
        "quick_gelu" => Err(QUICK_GELU.into()),
        other => {
            Err(format!("config.json has the activation `{other}`; known are gelu and gelu_tanh"))
        }
    }
}

fn numbers(value: &Value) -> Option<Vec<f32>> {
    let numbers: Option<Vec<f32>> = value
        .as_array()?
        .iter()
        .map(|number| number.as_f64().map(|number| number as f32))
        .collect();
    numbers.filter(|numbers| !numbers.is_empty() && numbers.len() <= 64)
}
