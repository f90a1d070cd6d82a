/*
 * The boundary of a native plugin, as C sees it.
 *
 * A native plugin is a shared library that exports one symbol, `vitral_plugin`: a function that returns a
 * table of functions, `VitralPlugin`. The host calls them with a table of its own, `VitralHost`.
 *
 * # Rules
 *
 * - **Ownership.** Every pointer that is passed belongs to the side that passes it, and is valid
 *   until the call returns. Whoever wants to keep something copies it. Only the table and the
 *   description that a plugin returns are valid for ever; a library is never unloaded.
 * - **Results** are handed over by calling the host's functions, which copy them.
 * - **Versions.** A table begins with its size and version. Fields are only ever appended; a side
 *   reads no field that lies beyond the other's size. A plugin loads if its major version is the
 *   host's and its minor version is not newer.
 * - **Errors.** A function that may fail calls `VitralHost::fail` with a message and returns
 *   `VITRAL_FAILED`. No panic and no exception crosses the boundary.
 * - **Threads.** An instance is used by one thread at a time, not always the same. Instances know
 *   nothing of each other. The host's table is for the thread of the call it was given to.
 * - **Text** is UTF-8, without a terminating zero.
 * - Tags are numbers, and one that a side does not know is an error of that value, never undefined.
 *
 * Made from sdk/abi/src/contract.rs and c.rs by their tests; do not edit.
 */

#ifndef VITRAL_PLUGIN_H
#define VITRAL_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

/**
 * Major version of this contract.
 */
#define VITRAL_MAJOR 1

/**
 * Minor version of this contract.
 */
#define VITRAL_MINOR 3

/**
 * The call did what was asked.
 */
#define VITRAL_OK 0

/**
 * The call failed; the host has been told why.
 */
#define VITRAL_FAILED 1

/**
 * The plugin panicked; its instance must not be used again.
 */
#define VITRAL_PANICKED 2

/**
 * `VitralPlugin::kind`: changes one image in a data worker.
 */
#define VITRAL_IMAGE_AUGMENTATION 0

/**
 * `VitralPlugin::kind`: changes a batch, as a tensor program.
 */
#define VITRAL_BATCH_AUGMENTATION 1

/**
 * `VitralPlugin::kind`: a layer's attention, as a tensor program.
 */
#define VITRAL_ATTENTION 2

/**
 * `VitralPlugin::kind`: hears of what happens in a run.
 */
#define VITRAL_MONITOR 3

/**
 * `VitralParameterType::tag` only: one of the words in `choices`.
 */
#define VITRAL_CHOICE 6

/**
 * `VitralInitializer::tag`: `a` everywhere.
 */
#define VITRAL_CONSTANT 0

/**
 * Normal around zero with deviation `a`.
 */
#define VITRAL_NORMAL 1

/**
 * Normal cut at two deviations and rescaled to deviation `a`.
 */
#define VITRAL_TRUNCATED_NORMAL 2

/**
 * Uniform between plus and minus `a`.
 */
#define VITRAL_UNIFORM 3

/**
 * Uniform with limit `sqrt(6 / (a + b))`, where `a` and `b` are inputs and outputs of each unit.
 */
#define VITRAL_XAVIER_UNIFORM 4

/**
 * `VitralHost::log`: for the plugin's author.
 */
#define VITRAL_DEBUG 0

/**
 * `VitralHost::log`: worth knowing.
 */
#define VITRAL_INFO 1

/**
 * `VitralHost::log`: something may be wrong.
 */
#define VITRAL_WARNING 2

/**
 * `VitralHost::log`: something is wrong.
 */
#define VITRAL_ERROR 3

/**
 * `VitralAction::tag`: a figure for the run's metrics, `text` its name and `number` its value.
 */
#define VITRAL_METRIC 0

/**
 * Show `text` to the user.
 */
#define VITRAL_WARN 1

/**
 * Multiply the learning rate by `number`, because of `text`.
 */
#define VITRAL_SCALE_LEARNING_RATE 2

/**
 * Save a checkpoint, because of `text`.
 */
#define VITRAL_SAVE 3

/**
 * Go back to the last checkpoint and multiply the learning rate by `number`, because of `text`.
 */
#define VITRAL_ROLL_BACK 4

/**
 * End the run after this step, because of `text`.
 */
#define VITRAL_STOP 5

/**
 * `VitralValue::tag`: `boolean` is set.
 */
#define VITRAL_BOOLEAN 0

/**
 * `VitralValue::tag`: `integer` is set.
 */
#define VITRAL_INTEGER 1

/**
 * `VitralValue::tag`: `number` is set.
 */
#define VITRAL_NUMBER 2

/**
 * `VitralValue::tag`: `text` is set.
 */
#define VITRAL_TEXT 3

/**
 * `VitralValue::tag`: `integers` is set.
 */
#define VITRAL_INTEGERS 4

/**
 * `VitralValue::tag`: `numbers` is set.
 */
#define VITRAL_NUMBERS 5

/**
 * `VitralEvent::tag`: `started` is set.
 */
#define VITRAL_STARTED 0

/**
 * `VitralEvent::tag`: `stepped` is set.
 */
#define VITRAL_STEPPED 1

/**
 * `VitralEvent::tag`: `layers` is set.
 */
#define VITRAL_LAYERS 2

/**
 * `VitralEvent::tag`: `evaluated` is set.
 */
#define VITRAL_EVALUATED 3

/**
 * `VitralEvent::tag`: `saved` is set.
 */
#define VITRAL_SAVED 4

/**
 * `VitralEvent::tag`: `ended` is set.
 */
#define VITRAL_ENDED 5

/**
 * `VitralEvent::tag`: `data` is set.
 * Since contract 1.1.
 */
#define VITRAL_DATA 6

/**
 * `VitralEvent::tag`: `rolled_back` is set.
 * Since contract 1.2.
 */
#define VITRAL_ROLLED_BACK 7

/**
 * `VitralEvent::tag`: `configured` is set.
 * Since contract 1.3.
 */
#define VITRAL_CONFIGURED 8

/**
 * Borrowed items, one after the other. `data` may be null where `len` is 0.
 */
typedef struct VitralList_u8 {
    /**
     * The first item.
     */
    const uint8_t *data;
    /**
     * How many there are.
     */
    size_t len;
} VitralList_u8;

/**
 * Borrowed UTF-8 text.
 */
typedef struct VitralList_u8 VitralText;

/**
 * Borrowed items, one after the other. `data` may be null where `len` is 0.
 */
typedef struct VitralList_Text {
    /**
     * The first item.
     */
    const VitralText *data;
    /**
     * How many there are.
     */
    size_t len;
} VitralList_Text;

/**
 * Which values a parameter takes.
 */
typedef struct VitralParameterType {
    /**
     * `VITRAL_BOOLEAN` to `VITRAL_CHOICE`.
     */
    uint32_t tag;
    /**
     * Smallest integer, for `VITRAL_INTEGER` and `VITRAL_INTEGERS`.
     */
    int64_t min_integer;
    /**
     * Largest integer.
     */
    int64_t max_integer;
    /**
     * Smallest number, for `VITRAL_NUMBER` and `VITRAL_NUMBERS`.
     */
    double min_number;
    /**
     * Largest number.
     */
    double max_number;
    /**
     * The words of a `VITRAL_CHOICE`.
     */
    struct VitralList_Text choices;
} VitralParameterType;

/**
 * Borrowed items, one after the other. `data` may be null where `len` is 0.
 */
typedef struct VitralList_i64 {
    /**
     * The first item.
     */
    const int64_t *data;
    /**
     * How many there are.
     */
    size_t len;
} VitralList_i64;

/**
 * Borrowed items, one after the other. `data` may be null where `len` is 0.
 */
typedef struct VitralList_f64 {
    /**
     * The first item.
     */
    const double *data;
    /**
     * How many there are.
     */
    size_t len;
} VitralList_f64;

/**
 * What a `VitralValue` holds, by its tag.
 */
typedef union VitralValueData {
    /**
     * Yes or no.
     */
    uint8_t boolean;
    /**
     * An integer: a size, an axis.
     */
    int64_t integer;
    /**
     * A number.
     */
    double number;
    /**
     * Text; a word of a choice; a dimension (`4B`), a shape (`[B, 49]`) or a type (`f32[B,49]`).
     */
    VitralText text;
    /**
     * A list of integers.
     */
    struct VitralList_i64 integers;
    /**
     * A list of numbers.
     */
    struct VitralList_f64 numbers;
} VitralValueData;

/**
 * The value of a parameter or of an op's attribute.
 */
typedef struct VitralValue {
    /**
     * Which field of `data` is set.
     */
    uint32_t tag;
    /**
     * The value.
     */
    union VitralValueData data;
} VitralValue;

/**
 * A parameter that users may set.
 */
typedef struct VitralParameter {
    /**
     * Lower-case words joined by `_`.
     */
    VitralText name;
    /**
     * What it does, in a sentence or two.
     */
    VitralText doc;
    /**
     * Which values it takes.
     */
    struct VitralParameterType type;
    /**
     * Its default; null where users must set it.
     */
    const struct VitralValue *default_value;
} VitralParameter;

/**
 * Borrowed items, one after the other. `data` may be null where `len` is 0.
 */
typedef struct VitralList_Parameter {
    /**
     * The first item.
     */
    const struct VitralParameter *data;
    /**
     * How many there are.
     */
    size_t len;
} VitralList_Parameter;

/**
 * A parameter and its value, or an op's attribute and its value.
 */
typedef struct VitralSetting {
    /**
     * The parameter's name.
     */
    VitralText name;
    /**
     * Its value.
     */
    struct VitralValue value;
} VitralSetting;

/**
 * Borrowed items, one after the other. `data` may be null where `len` is 0.
 */
typedef struct VitralList_Setting {
    /**
     * The first item.
     */
    const struct VitralSetting *data;
    /**
     * How many there are.
     */
    size_t len;
} VitralList_Setting;

/**
 * A documented configuration, which `vitral plugin check` tries.
 */
typedef struct VitralExample {
    /**
     * What it shows.
     */
    VitralText title;
    /**
     * What differs from the defaults.
     */
    struct VitralList_Setting settings;
} VitralExample;

/**
 * Borrowed items, one after the other. `data` may be null where `len` is 0.
 */
typedef struct VitralList_Example {
    /**
     * The first item.
     */
    const struct VitralExample *data;
    /**
     * How many there are.
     */
    size_t len;
} VitralList_Example;

/**
 * What a plugin says of itself.
 */
typedef struct VitralDescription {
    /**
     * Lower-case words joined by `-`.
     */
    VitralText name;
    /**
     * A semantic version.
     */
    VitralText version;
    /**
     * One line.
     */
    VitralText summary;
    /**
     * What users may set.
     */
    struct VitralList_Parameter parameters;
    /**
     * Documented configurations.
     */
    struct VitralList_Example examples;
} VitralDescription;

/**
 * A symbolic tensor of the trace that is going on. Any number is safe to pass.
 */
typedef uint64_t VitralTensor;

/**
 * Borrowed items, one after the other. `data` may be null where `len` is 0.
 */
typedef struct VitralList_Tensor {
    /**
     * The first item.
     */
    const VitralTensor *data;
    /**
     * How many there are.
     */
    size_t len;
} VitralList_Tensor;

/**
 * Borrowed items, one after the other. `data` may be null where `len` is 0.
 */
typedef struct VitralList_u32 {
    /**
     * The first item.
     */
    const uint32_t *data;
    /**
     * How many there are.
     */
    size_t len;
} VitralList_u32;

/**
 * How a trainable parameter starts.
 */
typedef struct VitralInitializer {
    /**
     * `VITRAL_CONSTANT` to `VITRAL_XAVIER_UNIFORM`.
     */
    uint32_t tag;
    /**
     * See the tags.
     */
    double a;
    /**
     * See the tags.
     */
    double b;
} VitralInitializer;

/**
 * What a monitor asks for.
 */
typedef struct VitralAction {
    /**
     * `VITRAL_METRIC` to `VITRAL_STOP`.
     */
    uint32_t tag;
    /**
     * See the tags.
     */
    VitralText text;
    /**
     * See the tags.
     */
    double number;
} VitralAction;

/**
 * What the host offers during a call. Functions take `context` as their first argument. Those that
 * do not make sense in a call (tracing while an image is augmented) report that as its error.
 */
typedef struct VitralHost {
    /**
     * Size of this table in bytes.
     */
    size_t struct_size;
    /**
     * Major version of the contract that the host speaks.
     */
    uint16_t major;
    /**
     * Minor version.
     */
    uint16_t minor;
    /**
     * To be handed back with each call.
     */
    void *context;
    /**
     * A message for the user, at a level from `VITRAL_DEBUG` to `VITRAL_ERROR`.
     */
    void (*log)(void *context, uint32_t level, VitralText message);
    /**
     * Why the call is about to fail.
     */
    void (*fail)(void *context, VitralText message);
    /**
     * Tracing: applies an op, writes at most `capacity` of its results and returns how many there
     * are. Always succeeds: what does not fit is reported when the trace ends, and its results are
     * poisoned.
     */
    size_t (*apply)(void *context,
                    VitralText op,
                    struct VitralList_Setting attributes,
                    struct VitralList_Tensor operands,
                    VitralText label,
                    VitralTensor *results,
                    size_t capacity);
    /**
     * Tracing: declares a trainable `f32` parameter. `decay` is 1 if weight decay applies to it.
     */
    VitralTensor (*parameter)(void *context,
                              VitralText name,
                              struct VitralList_u32 shape,
                              struct VitralInitializer initializer,
                              uint8_t decay);
    /**
     * Tracing: writes at most `capacity` bytes of a tensor's type, as in `f32[B,4,49,16]`, and
     * returns its whole length; 0 if the tensor follows from an error.
     */
    size_t (*tensor_type)(void *context, VitralTensor tensor, uint8_t *buffer, size_t capacity);
    /**
     * Tracing: names the next result of the trace. An attention has one, a batch augmentation two:
     * images, then targets.
     */
    void (*result)(void *context, VitralTensor tensor);
    /**
     * Augmenting: room for an image of another size, all zero, which becomes the result in place of
     * the given image. It belongs to the host. Null if it would be too large.
     */
    uint8_t *(*new_image)(void *context, uint32_t width, uint32_t height, uint32_t channels);
    /**
     * Monitoring: asks for something.
     */
    void (*act)(void *context, const struct VitralAction *action);
    /**
     * Monitoring: the state that `VitralPlugin::save` is asked for.
     */
    void (*state)(void *context, struct VitralList_u8 bytes);
} VitralHost;

/**
 * How often a monitor wants to hear, in optimizer steps; 0 is never. Of everything else it
 * always hears.
 */
typedef struct VitralInterests {
    /**
     * Of steps.
     */
    uint32_t steps;
    /**
     * Of the statistics of every parameter.
     */
    uint32_t layers;
} VitralInterests;

/**
 * An image: rows from top to bottom, pixels from left to right, channels innermost.
 */
typedef struct VitralImage {
    /**
     * Pixels of a row.
     */
    uint32_t width;
    /**
     * Rows.
     */
    uint32_t height;
    /**
     * 1 or 3.
     */
    uint32_t channels;
    /**
     * `width * height * channels` bytes, which the plugin may change in place.
     */
    uint8_t *pixels;
} VitralImage;

/**
 * One image's place in a run.
 */
typedef struct VitralSample {
    /**
     * The only source of randomness: derived from the run's seed, the epoch, the sample
     * and the stage.
     */
    uint64_t seed;
    /**
     * Epochs made.
     */
    uint32_t epoch;
    /**
     * Side of the model's input, in pixels.
     */
    uint32_t size;
} VitralSample;

/**
 * The batches for which a batch augmentation is traced.
 */
typedef struct VitralBatch {
    /**
     * Rows of an image.
     */
    uint32_t height;
    /**
     * Pixels of a row.
     */
    uint32_t width;
    /**
     * Channels of a pixel.
     */
    uint32_t channels;
    /**
     * Width of a target.
     */
    uint32_t classes;
} VitralBatch;

/**
 * The layer whose attention is traced. Its tokens are class and register tokens, then
 * patches row by row.
 */
typedef struct VitralLayer {
    /**
     * Which layer it is, from 0.
     */
    uint32_t index;
    /**
     * Layers of the model.
     */
    uint32_t depth;
    /**
     * Attention heads.
     */
    uint32_t heads;
    /**
     * Width of one head.
     */
    uint32_t head_width;
    /**
     * Class and register tokens, which come before the patches.
     */
    uint32_t prefix_tokens;
    /**
     * Rows of patches.
     */
    uint32_t grid_height;
    /**
     * Patches of a row.
     */
    uint32_t grid_width;
    /**
     * The experiment's dropout of attention weights.
     */
    double dropout;
} VitralLayer;

/**
 * What is known when a run starts.
 */
typedef struct VitralRun {
    /**
     * Steps already made, by the run that is resumed.
     */
    uint64_t start_step;
    /**
     * Steps in all.
     */
    uint64_t total_steps;
    /**
     * Steps of an epoch.
     */
    uint64_t steps_per_epoch;
    /**
     * Training images.
     */
    uint64_t train_images;
    /**
     * Validation images.
     */
    uint64_t val_images;
    /**
     * Images of a step.
     */
    uint32_t batch_size;
    /**
     * Trainable values of the model.
     */
    uint64_t parameters;
    /**
     * Floating-point operations of one image, forward and backward.
     */
    double flops_per_image;
    /**
     * What the device can do each second, where it is known.
     * NaN if it is not known.
     */
    double peak_flops;
    /**
     * The device, in words.
     */
    VitralText device;
} VitralRun;

/**
 * Where a step's time went, in seconds.
 */
typedef struct VitralTimings {
    /**
     * All of it.
     */
    double total;
    /**
     * Waiting for data.
     */
    double data_wait;
    /**
     * Forward and backward.
     */
    double gradients;
    /**
     * Clipping, optimizer, moving average.
     */
    double update;
} VitralTimings;

/**
 * Memory in use, in bytes.
 */
typedef struct VitralMemory {
    /**
     * The process's resident memory.
     */
    uint64_t host;
    /**
     * Its largest so far.
     */
    uint64_t host_peak;
    /**
     * Memory in use on the device, where it has its own.
     * `UINT64_MAX` if it is not known.
     */
    uint64_t device;
    /**
     * Its largest so far.
     * `UINT64_MAX` if it is not known.
     */
    uint64_t device_peak;
} VitralMemory;

/**
 * One optimizer step. Loss, accuracy and gradient norm are NaN on steps that are not logged, which
 * `has_figures` tells.
 */
typedef struct VitralStep {
    /**
     * Steps made, this one included.
     */
    uint64_t step;
    /**
     * Epochs made.
     */
    double epoch;
    /**
     * Images of the step.
     */
    uint32_t images;
    /**
     * 1 if loss, accuracy and gradient norm are known.
     */
    uint32_t has_figures;
    /**
     * Learning rate of the step.
     */
    double learning_rate;
    /**
     * Mean loss of the batch.
     */
    double loss;
    /**
     * Share of the batch that was classified right.
     */
    double accuracy;
    /**
     * Global norm of the gradients before clipping.
     */
    double gradient_norm;
    /**
     * Where the time went.
     */
    struct VitralTimings timings;
    /**
     * Memory in use.
     */
    struct VitralMemory memory;
} VitralStep;

/**
 * How values are distributed.
 */
typedef struct VitralDistribution {
    /**
     * Mean of the finite values.
     */
    double mean;
    /**
     * Standard deviation of the finite values.
     */
    double deviation;
    /**
     * L2 norm of the finite values.
     */
    double norm;
    /**
     * Largest absolute finite value.
     */
    double largest;
    /**
     * Zeros.
     */
    uint64_t zeros;
    /**
     * NaN or infinite values.
     */
    uint64_t non_finite;
    /**
     * How many of the others have magnitudes below 1e-12, then in each decade up to 1e4,
     * then above: 18 counts.
     */
    uint64_t magnitudes[18];
} VitralDistribution;

/**
 * Statistics of one parameter of the model.
 */
typedef struct VitralParameterStatistics {
    /**
     * As in `blocks.0.attn.qkv.weight`.
     */
    VitralText name;
    /**
     * Its values.
     */
    uint64_t elements;
    /**
     * Of its gradient, before clipping.
     */
    struct VitralDistribution gradient;
    /**
     * Of its values, before the update.
     */
    struct VitralDistribution weight;
} VitralParameterStatistics;

/**
 * Borrowed items, one after the other. `data` may be null where `len` is 0.
 */
typedef struct VitralList_ParameterStatistics {
    /**
     * The first item.
     */
    const struct VitralParameterStatistics *data;
    /**
     * How many there are.
     */
    size_t len;
} VitralList_ParameterStatistics;

/**
 * Statistics of every parameter at one step.
 */
typedef struct VitralLayerReport {
    /**
     * Steps made, this one included.
     */
    uint64_t step;
    /**
     * Epochs made.
     */
    double epoch;
    /**
     * In the model's order.
     */
    struct VitralList_ParameterStatistics parameters;
} VitralLayerReport;

/**
 * An evaluation of the model.
 */
typedef struct VitralEvaluation {
    /**
     * Steps made.
     */
    uint64_t step;
    /**
     * Epochs made.
     */
    double epoch;
    /**
     * Mean loss.
     */
    double loss;
    /**
     * Share of the images whose class got the highest logit.
     */
    double top1;
    /**
     * Share of the images whose class is among the five highest.
     */
    double top5;
    /**
     * Whether no evaluation before was better.
     */
    uint8_t is_best;
} VitralEvaluation;

/**
 * A checkpoint that was written.
 */
typedef struct VitralCheckpoint {
    /**
     * Steps made.
     */
    uint64_t step;
    /**
     * Its folder's name.
     */
    VitralText name;
} VitralCheckpoint;

/**
 * The time of one stage of the data path.
 */
typedef struct VitralStageTime {
    /**
     * `read`, `decode`, a transform or a plugin by its name in the experiment, `assemble`.
     */
    VitralText name;
    /**
     * Seconds that all workers together spent in it.
     */
    double seconds;
} VitralStageTime;

/**
 * Borrowed items, one after the other. `data` may be null where `len` is 0.
 */
typedef struct VitralList_StageTime {
    /**
     * The first item.
     */
    const struct VitralStageTime *data;
    /**
     * How many there are.
     */
    size_t len;
} VitralList_StageTime;

/**
 * What the data path has done since the report before, or since training started or went
 * on.
 */
typedef struct VitralDataReport {
    /**
     * Steps made, the one that it comes with included.
     */
    uint64_t step;
    /**
     * Epochs made.
     */
    double epoch;
    /**
     * Seconds that the steps took, that one included.
     */
    double seconds;
    /**
     * How many of them the trainer waited for data.
     */
    double wait;
    /**
     * Worker threads now.
     */
    uint32_t workers;
    /**
     * Batches made ahead now.
     */
    uint32_t prefetch;
    /**
     * What workers spent their time on, in the order in which an image goes through it.
     */
    struct VitralList_StageTime stages;
} VitralDataReport;

/**
 * A return to an earlier checkpoint.
 */
typedef struct VitralRollBack {
    /**
     * Steps that had been made.
     */
    uint64_t from_step;
    /**
     * Steps made now, those of the checkpoint.
     */
    uint64_t to_step;
    /**
     * Why, as the monitor that asked for it says.
     */
    VitralText reason;
} VitralRollBack;

/**
 * A field of the experiment and its value.
 */
typedef struct VitralConfiguredField {
    /**
     * As in `train.learning_rate`.
     */
    VitralText name;
    /**
     * As it is written in JSON, texts without quotes.
     */
    VitralText value;
} VitralConfiguredField;

/**
 * Borrowed items, one after the other. `data` may be null where `len` is 0.
 */
typedef struct VitralList_ConfiguredField {
    /**
     * The first item.
     */
    const struct VitralConfiguredField *data;
    /**
     * How many there are.
     */
    size_t len;
} VitralList_ConfiguredField;

/**
 * The experiment of a run.
 */
typedef struct VitralConfiguration {
    /**
     * The name of the run's folder.
     */
    VitralText run;
    /**
     * Every field, defaults included, in the order of their names.
     */
    struct VitralList_ConfiguredField fields;
} VitralConfiguration;

/**
 * What a `VitralEvent` holds, by its tag.
 */
typedef union VitralEventData {
    /**
     * Training starts, or goes on.
     */
    struct VitralRun started;
    /**
     * An optimizer step was made.
     */
    struct VitralStep stepped;
    /**
     * Statistics of every parameter, after a step's gradients and before its update.
     */
    struct VitralLayerReport layers;
    /**
     * The model was evaluated.
     */
    struct VitralEvaluation evaluated;
    /**
     * A checkpoint was written.
     */
    struct VitralCheckpoint saved;
    /**
     * The run ends; the reason: `done`, `interrupted`, a monitor's name and what it said, or
     * `failed: ` and why.
     */
    VitralText ended;
    /**
     * What the data path has done since the report before; on the steps that are logged, before
     * they are told as steps.
     */
    struct VitralDataReport data;
    /**
     * The run went back to an earlier checkpoint, and goes on from there.
     */
    struct VitralRollBack rolled_back;
    /**
     * The experiment, each time that training starts or goes on, after that.
     */
    struct VitralConfiguration configured;
} VitralEventData;

/**
 * Something that happened in a run. A plugin ignores tags that it does not know.
 */
typedef struct VitralEvent {
    /**
     * Which field of `data` is set.
     */
    uint32_t tag;
    /**
     * What happened.
     */
    union VitralEventData data;
} VitralEvent;

/**
 * What a native plugin offers. `describe`, `create` and `destroy` are always there, others where
 * the kind has them; the rest is null.
 */
typedef struct VitralPlugin {
    /**
     * Size of this table in bytes.
     */
    size_t struct_size;
    /**
     * Major version of the contract that the plugin was built for.
     */
    uint16_t major;
    /**
     * Minor version.
     */
    uint16_t minor;
    /**
     * `VITRAL_IMAGE_AUGMENTATION` to `VITRAL_MONITOR`.
     */
    uint32_t kind;
    /**
     * What the plugin says of itself; valid for ever.
     */
    const struct VitralDescription *(*describe)(void);
    /**
     * Makes an instance with every parameter set, and writes it to `instance`, which is null
     * before. For monitors also writes `interests`, which is null for other kinds.
     */
    uint32_t (*create)(const struct VitralHost *host,
                       struct VitralList_Setting settings,
                       void **instance,
                       struct VitralInterests *interests);
    /**
     * Frees an instance, also one that panicked.
     */
    void (*destroy)(void *instance);
    /**
     * Image augmentations: changes an image in place, or makes another with `VitralHost::new_image`.
     */
    uint32_t (*augment)(void *instance,
                        const struct VitralHost *host,
                        const struct VitralImage *image,
                        const struct VitralSample *sample);
    /**
     * Batch augmentations: `images` are `f32[B,height,width,channels]`, normalised; `targets` are
     * `f32[B,classes]`, each row a distribution. Gives two results of the same types.
     */
    uint32_t (*trace_batch)(void *instance,
                            const struct VitralHost *host,
                            const struct VitralBatch *batch,
                            VitralTensor images,
                            VitralTensor targets);
    /**
     * Attentions: queries, keys and values are `f32[B,heads,tokens,head_width]`. Gives one result
     * of the same type.
     */
    uint32_t (*trace_attention)(void *instance,
                                const struct VitralHost *host,
                                const struct VitralLayer *layer,
                                VitralTensor query,
                                VitralTensor key,
                                VitralTensor value);
    /**
     * Monitors: something happened.
     */
    uint32_t (*observe)(void *instance,
                        const struct VitralHost *host,
                        const struct VitralEvent *event);
    /**
     * Monitors: hands what a resumed run needs to `VitralHost::state`.
     */
    uint32_t (*save)(void *instance, const struct VitralHost *host);
    /**
     * Monitors: takes up a saved state.
     */
    uint32_t (*restore)(void *instance, const struct VitralHost *host, struct VitralList_u8 state);
} VitralPlugin;

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The one symbol that a plugin exports: its table, which is valid for ever.
 */
const struct VitralPlugin *vitral_plugin(void);

#ifdef __cplusplus
}
#endif

#endif  /* VITRAL_PLUGIN_H */
