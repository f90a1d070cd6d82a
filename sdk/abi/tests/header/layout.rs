//! Sizes and places of the structs' fields, compared with those in Rust.

use std::fmt::Write;
use std::mem::offset_of;

use vitral_abi::c;

/// A struct's size, and its fields with their places.
struct Layout {
    name: &'static str,
    c_name: &'static str,
    size: usize,
    fields: Vec<(&'static str, usize)>,
}

macro_rules! layouts {
    ($($name:ident $(<$item:ty>)? = $c_name:literal { $($field:ident),* $(,)? })*) => {
        fn layouts() -> Vec<Layout> {
            vec![$({
                type This = c::$name $(<$item>)?;
                Layout {
                    name: stringify!($name),
                    c_name: $c_name,
                    size: size_of::<This>(),
                    fields: vec![$((stringify!($field), offset_of!(This, $field))),*],
                }
            }),*]
        }
    };
}

layouts! {
    List<u8> = "VitralText" { data, len }
    ValueData = "union VitralValueData" { boolean, integer, number, text, integers, numbers }
    Value = "struct VitralValue" { tag, data }
    Setting = "struct VitralSetting" { name, value }
    ParameterType = "struct VitralParameterType" {
        tag, min_integer, max_integer, min_number, max_number, choices,
    }
    Parameter = "struct VitralParameter" { name, doc, r#type, default_value }
    Example = "struct VitralExample" { title, settings }
    Description = "struct VitralDescription" { name, version, summary, parameters, examples }
    Image = "struct VitralImage" { width, height, channels, pixels }
    Sample = "struct VitralSample" { seed, epoch, size }
    Batch = "struct VitralBatch" { height, width, channels, classes }
    Layer = "struct VitralLayer" {
        index, depth, heads, head_width, prefix_tokens, grid_height, grid_width, dropout,
    }
    Initializer = "struct VitralInitializer" { tag, a, b }
    Interests = "struct VitralInterests" { steps, layers }
    Run = "struct VitralRun" {
        start_step, total_steps, steps_per_epoch, train_images, val_images, batch_size, parameters,
        flops_per_image, peak_flops, device,
    }
    Timings = "struct VitralTimings" { total, data_wait, gradients, update }
    Memory = "struct VitralMemory" { host, host_peak, device, device_peak }
    Step = "struct VitralStep" {
        step, epoch, images, has_figures, learning_rate, loss, accuracy, gradient_norm, timings,
        memory,
    }
    Distribution = "struct VitralDistribution" {
        mean, deviation, norm, largest, zeros, non_finite, magnitudes,
    }
    ParameterStatistics = "struct VitralParameterStatistics" { name, elements, gradient, weight }
    LayerReport = "struct VitralLayerReport" { step, epoch, parameters }
    Evaluation = "struct VitralEvaluation" { step, epoch, loss, top1, top5, is_best }
    Checkpoint = "struct VitralCheckpoint" { step, name }
    StageTime = "struct VitralStageTime" { name, seconds }
    DataReport = "struct VitralDataReport" {
        step, epoch, seconds, wait, workers, prefetch, stages,
    }
    EventData = "union VitralEventData" { started, stepped, layers, evaluated, saved, ended, data }
    Event = "struct VitralEvent" { tag, data }
    Action = "struct VitralAction" { tag, text, number }
    Host = "struct VitralHost" {
        struct_size, major, minor, context, log, fail, apply, parameter, tensor_type, result,
        new_image, act, state,
    }
    Plugin = "struct VitralPlugin" {
        struct_size, major, minor, kind, describe, create, destroy, augment, trace_batch,
        trace_attention, observe, save, restore,
    }
}

/// A program that compiles only if C lays everything out as Rust does.
pub fn assertions(assert: &str) -> String {
    let mut program = String::new();
    for Layout { c_name, size, fields, .. } in layouts() {
        writeln!(program, "{assert}(sizeof({c_name}) == {size}, \"{c_name}\");").unwrap();
        for (field, offset) in fields {
            let field = field.trim_start_matches("r#");
            let place = format!("offsetof({c_name}, {field}) == {offset}");
            writeln!(program, "{assert}({place}, \"{c_name}.{field}\");").unwrap();
        }
    }
    program
}

/// Names of structs and their fields, as `Value.tag`.
pub fn compared() -> Vec<String> {
    let layouts = layouts().into_iter();
    layouts
        .flat_map(|Layout { name, fields, .. }| {
            fields
                .into_iter()
                .map(move |(field, _)| format!("{name}.{}", field.trim_start_matches("r#")))
        })
        .collect()
}

/// The same, from the Rust source.
pub fn declared(source: &str) -> Vec<String> {
    let mut owner = None;
    let mut fields = Vec::new();
    for line in source.lines() {
        let item = line.strip_prefix("pub struct ").or_else(|| line.strip_prefix("pub union "));
        if let Some(item) = item {
            owner = item.split(|it: char| !it.is_alphanumeric()).next();
        } else if line == "}" {
            owner = None;
        } else if let (Some(owner), Some(field)) = (owner, line.strip_prefix("    pub ")) {
            let name = field.split(':').next().unwrap_or(field);
            fields.push(format!("{owner}.{}", name.trim_start_matches("r#")));
        }
    }
    fields
}
