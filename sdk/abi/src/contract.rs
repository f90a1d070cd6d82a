//! The contract: what crosses the boundary between Vitral and a plugin, said once.
//!
//! This is the place to read, and to change. From it follow
//!
//! - the Rust types ([`plain`](crate::plain)), their form in C ([`c`](crate::c)), and the way from one
//!   to the other ([`convert`](crate::convert));
//! - `sdk/include/vitral_plugin.h` and the types of `sdk/wit/vitral-plugin.wit`, which tests compare
//!   with it and rewrite (`sdk/abi/tests/contract/`);
//! - the way to and from a component's types ([`wit`](crate::wit)), in the SDK and in the host, and who
//!   hears of which event.
//!
//! Each macro hands what it lists to the macro that it is given. What becomes of a field is said by its
//! type's traits. What is `irregular` has another shape in C, and is written out there.
//!
//! Nothing that is here may change or go: plugins of every version load for ever. What is new comes at
//! the end, with the next minor [`VERSION`]. A new event is a record and a line among the `later` ones,
//! which are functions of their own for components: old ones know no other cases of `monitors`, and
//! plugins of old contracts never hear of it.

/// The contract's version: plugins of the same major version and at most this minor version load.
pub const VERSION: (u16, u16) = (1, 3);

/// Records, by the WIT interface that they are in.
#[doc(hidden)]
#[macro_export]
macro_rules! contract_records {
    ($follow:ident) => {
        $crate::each_record! { $follow
            description {
                /// A parameter and its value, or an op's attribute and its value.
                record Setting, irregular {
                    /// The parameter's name.
                    name: String,
                    /// Its value.
                    value: Value,
                }

                /// A documented configuration, which `vitral plugin check` tries.
                record Example {
                    /// What it shows.
                    title: String,
                    /// What differs from the defaults.
                    settings: Vec<Setting>,
                }

                /// What a plugin says of itself.
                record Description {
                    /// Lower-case words joined by `-`.
                    name: String,
                    /// A semantic version.
                    version: String,
                    /// One line.
                    summary: String,
                    /// What users may set.
                    parameters: Vec<Parameter>,
                    /// Documented configurations.
                    examples: Vec<Example>,
                }
            }

            image_augmentations {
                /// One image's place in a run.
                #[derive(Copy, Eq)]
                record Sample {
                    /// The only source of randomness: derived from the run's seed, the epoch, the sample
                    /// and the stage.
                    seed: u64,
                    /// Epochs made.
                    epoch: u32,
                    /// Side of the model's input, in pixels.
                    size: u32,
                }
            }

            batch_augmentations {
                /// The batches for which a batch augmentation is traced.
                #[derive(Copy, Eq)]
                record Batch {
                    /// Rows of an image.
                    height: u32,
                    /// Pixels of a row.
                    width: u32,
                    /// Channels of a pixel.
                    channels: u32,
                    /// Width of a target.
                    classes: u32,
                }
            }

            attentions {
                /// The layer whose attention is traced. Its tokens are class and register tokens, then
                /// patches row by row.
                #[derive(Copy)]
                record Layer {
                    /// Which layer it is, from 0.
                    index: u32,
                    /// Layers of the model.
                    depth: u32,
                    /// Attention heads.
                    heads: u32,
                    /// Width of one head.
                    head_width: u32,
                    /// Class and register tokens, which come before the patches.
                    prefix_tokens: u32,
                    /// Rows of patches.
                    grid_height: u32,
                    /// Patches of a row.
                    grid_width: u32,
                    /// The experiment's dropout of attention weights.
                    dropout: f64,
                }
            }

            monitors {
                /// How often a monitor wants to hear, in optimizer steps; 0 is never. Of everything else it
                /// always hears.
                #[derive(Copy, Default, Eq)]
                record Interests {
                    /// Of steps.
                    steps: u32,
                    /// Of the statistics of every parameter.
                    layers: u32,
                }

                /// What is known when a run starts.
                record Run {
                    /// Steps already made, by the run that is resumed.
                    start_step: u64,
                    /// Steps in all.
                    total_steps: u64,
                    /// Steps of an epoch.
                    steps_per_epoch: u64,
                    /// Training images.
                    train_images: u64,
                    /// Validation images.
                    val_images: u64,
                    /// Images of a step.
                    batch_size: u32,
                    /// Trainable values of the model.
                    parameters: u64,
                    /// Floating-point operations of one image, forward and backward.
                    flops_per_image: f64,
                    /// What the device can do each second, where it is known.
                    peak_flops: Option<f64>,
                    /// The device, in words.
                    device: String,
                }

                /// Where a step's time went, in seconds.
                #[derive(Copy)]
                record Timings {
                    /// All of it.
                    total: f64,
                    /// Waiting for data.
                    data_wait: f64,
                    /// Forward and backward.
                    gradients: f64,
                    /// Clipping, optimizer, moving average.
                    update: f64,
                }

                /// Memory in use, in bytes.
                #[derive(Copy, Eq)]
                record Memory {
                    /// The process's resident memory.
                    host: u64,
                    /// Its largest so far.
                    host_peak: u64,
                    /// Memory in use on the device, where it has its own.
                    device: Option<u64>,
                    /// Its largest so far.
                    device_peak: Option<u64>,
                }

                /// What is read back from the device on the steps that are logged.
                #[derive(Copy)]
                record Figures, irregular {
                    /// Mean loss of the batch.
                    loss: f64,
                    /// Share of the batch that was classified right.
                    accuracy: f64,
                    /// Global norm of the gradients before clipping.
                    gradient_norm: f64,
                }

                /// One optimizer step.
                record Step, irregular {
                    /// Steps made, this one included.
                    step: u64,
                    /// Epochs made.
                    epoch: f64,
                    /// Images of the step.
                    images: u32,
                    /// Learning rate of the step.
                    learning_rate: f64,
                    /// On the steps that are logged.
                    figures: Option<Figures>,
                    /// Where the time went.
                    timings: Timings,
                    /// Memory in use.
                    memory: Memory,
                }

                /// How values are distributed.
                record Distribution {
                    /// Mean of the finite values.
                    mean: f64,
                    /// Standard deviation of the finite values.
                    deviation: f64,
                    /// L2 norm of the finite values.
                    norm: f64,
                    /// Largest absolute finite value.
                    largest: f64,
                    /// Zeros.
                    zeros: u64,
                    /// NaN or infinite values.
                    non_finite: u64,
                    /// How many of the others have magnitudes below 1e-12, then in each decade up to 1e4,
                    /// then above: 18 counts.
                    magnitudes: [u64; 18],
                }

                /// Statistics of one parameter of the model.
                record ParameterStatistics {
                    /// As in `blocks.0.attn.qkv.weight`.
                    name: String,
                    /// Its values.
                    elements: u64,
                    /// Of its gradient, before clipping.
                    gradient: Distribution,
                    /// Of its values, before the update.
                    weight: Distribution,
                }

                /// Statistics of every parameter at one step.
                record LayerReport as Layers {
                    /// Steps made, this one included.
                    step: u64,
                    /// Epochs made.
                    epoch: f64,
                    /// In the model's order.
                    parameters: Vec<ParameterStatistics>,
                }

                /// An evaluation of the model.
                #[derive(Copy)]
                record Evaluation {
                    /// Steps made.
                    step: u64,
                    /// Epochs made.
                    epoch: f64,
                    /// Mean loss.
                    loss: f64,
                    /// Share of the images whose class got the highest logit.
                    top1: f64,
                    /// Share of the images whose class is among the five highest.
                    top5: f64,
                    /// Whether no evaluation before was better.
                    is_best: bool,
                }

                /// A checkpoint that was written.
                #[derive(Eq)]
                record Checkpoint {
                    /// Steps made.
                    step: u64,
                    /// Its folder's name.
                    name: String,
                }

                /// A change of the learning rate.
                record RateChange, irregular {
                    /// The learning rate is multiplied by this from the next step on.
                    factor: f64,
                    /// Why.
                    reason: String,
                }
            }

            data_monitors {
                /// The time of one stage of the data path.
                record StageTime {
                    /// `read`, `decode`, a transform or a plugin by its name in the experiment, `assemble`.
                    name: String,
                    /// Seconds that all workers together spent in it.
                    seconds: f64,
                }

                /// What the data path has done since the report before, or since training started or went
                /// on.
                record DataReport {
                    /// Steps made, the one that it comes with included.
                    step: u64,
                    /// Epochs made.
                    epoch: f64,
                    /// Seconds that the steps took, that one included.
                    seconds: f64,
                    /// How many of them the trainer waited for data.
                    wait: f64,
                    /// Worker threads now.
                    workers: u32,
                    /// Batches made ahead now.
                    prefetch: u32,
                    /// What workers spent their time on, in the order in which an image goes through it.
                    stages: Vec<StageTime>,
                }
            }

            roll_back_monitors {
                /// A return to an earlier checkpoint.
                #[derive(Eq)]
                record RollBack {
                    /// Steps that had been made.
                    from_step: u64,
                    /// Steps made now, those of the checkpoint.
                    to_step: u64,
                    /// Why, as the monitor that asked for it says.
                    reason: String,
                }
            }

            configuration_monitors {
                /// A field of the experiment and its value.
                #[derive(Eq)]
                record ConfiguredField {
                    /// As in `train.learning_rate`.
                    name: String,
                    /// As it is written in JSON, texts without quotes.
                    value: String,
                }

                /// The experiment of a run.
                #[derive(Eq)]
                record Configuration {
                    /// The name of the run's folder.
                    run: String,
                    /// Every field, defaults included, in the order of their names.
                    fields: Vec<ConfiguredField>,
                }
            }
        }
    };
}

/// What monitors hear: in C a tag and the field of a union; for components first the cases of one
/// function's argument, and later a function for each.
#[doc(hidden)]
#[macro_export]
macro_rules! contract_events {
    ($follow:ident) => {
        $follow! {
            first {
                /// Training starts, or goes on.
                Started(Run): STARTED = 0, started;
                /// An optimizer step was made.
                Stepped(Step): STEPPED = 1, stepped;
                /// Statistics of every parameter, after a step's gradients and before its update.
                Layers(LayerReport): LAYERS = 2, layers;
                /// The model was evaluated.
                Evaluated(Evaluation): EVALUATED = 3, evaluated;
                /// A checkpoint was written.
                Saved(Checkpoint): SAVED = 4, saved;
                /// The run ends; the reason: `done`, `interrupted`, a monitor's name and what it said, or
                /// `failed: ` and why.
                Ended(String): ENDED = 5, ended;
            }
            later {
                /// What the data path has done since the report before; on the steps that are logged, before
                /// they are told as steps.
                Data(DataReport): DATA = 6, data, since 1, data_monitors::observe_data;
                /// The run went back to an earlier checkpoint, and goes on from there.
                RolledBack(RollBack): ROLLED_BACK = 7, rolled_back, since 2,
                    roll_back_monitors::observe_roll_back;
                /// The experiment, each time that training starts or goes on, after that.
                Configured(Configuration): CONFIGURED = 8, configured, since 3,
                    configuration_monitors::observe_configuration;
            }
        }
    };
}

/// The value of a parameter or of an op's attribute: in C a tag and the field of a union.
#[doc(hidden)]
#[macro_export]
macro_rules! contract_values {
    ($follow:ident) => {
        $follow! {
            /// Yes or no.
            Boolean(bool): BOOLEAN = 0, boolean;
            /// An integer: a size, an axis.
            Integer(i64): INTEGER = 1, integer;
            /// A number.
            Number(f64): NUMBER = 2, number;
            /// Text; a word of a choice; a dimension (`4B`), a shape (`[B, 49]`) or a type (`f32[B,49]`).
            Text(String): TEXT = 3, text;
            /// A list of integers.
            Integers(Vec<i64>): INTEGERS = 4, integers;
            /// A list of numbers.
            Numbers(Vec<f64>): NUMBERS = 5, numbers;
        }
    };
}

/// Hands each record to a macro, one after the other.
#[doc(hidden)]
#[macro_export]
macro_rules! each_record {
    ($follow:ident $($interface:ident {$(
        $(#[$($attribute:tt)*])*
        record $Name:ident $(as $Wit:ident)? $(, $irregular:ident)? {$($fields:tt)*}
    )*})*) => {$($(
        $follow! {
            $interface:
            $(#[$($attribute)*])*
            record $Name $(as $Wit)? $(, $irregular)? {$($fields)*}
        }
    )*)*};
}
