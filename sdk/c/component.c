/*
 * A plugin in C as a WebAssembly component.
 *
 * A plugin in C has one table, `vitral_plugin()` (vitral_plugin.h). As a native library it exports that. This
 * file, which `vitral plugin build` compiles into the WebAssembly form, calls the same table for what a
 * component of the plugin's kind exports: it moves values between the table's structs and the layout that the
 * component model has for them in memory. Both are laid out alike as far as they could be; what differs is
 * copied here.
 *
 * The kind is that of the plugin's file, as in `attention.c`, and comes as VITRAL_KIND.
 */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "vitral_plugin.h"

#define TEXT_OF_(x) #x
#define TEXT_OF(x) TEXT_OF_(x)
#define CONTRACT "@" TEXT_OF(VITRAL_MAJOR) "." TEXT_OF(VITRAL_MINOR) ".0"
#define INTERFACE(name) "vitral:plugin/" name CONTRACT
#define IMPORT(interface, name) __attribute__((import_module(INTERFACE(interface)), import_name(name)))
#define EXPORT(interface, name) __attribute__((export_name(INTERFACE(interface) "#" name)))
/* What the host calls once it has read a result. */
#define AFTER(interface, name) __attribute__((export_name("cabi_post_" INTERFACE(interface) "#" name)))

_Static_assert(sizeof(void *) == 4, "this is for WebAssembly of 32 bits");
_Static_assert(sizeof(VitralValue) == 16 && offsetof(VitralValue, data) == 8, "a value is a variant");
_Static_assert(sizeof(VitralSetting) == 24 && sizeof(VitralExample) == 16, "records are alike");
_Static_assert(sizeof(VitralStageTime) == 16 && sizeof(VitralConfiguredField) == 16, "records are alike");

/* Memory: what the host hands over during a call, and what a call gives, until it has been read. */

typedef union Block {
    union Block *next;
    /* What follows is aligned for everything that the contract has. */
    uint64_t words[2];
} Block;

static Block *blocks;

static void *keep(Block *block) {
    if (!block) abort();
    block->next = blocks;
    blocks = block;
    return block + 1;
}

static void *take(size_t size) {
    /* Zeroed, so that a tag of one byte is one of four bytes, too. */
    return keep(size > SIZE_MAX - sizeof(Block) ? NULL : calloc(1, sizeof(Block) + size));
}

/* For bytes, all of which are written. */
static void *take_bytes(size_t size) {
    return keep(size > SIZE_MAX - sizeof(Block) ? NULL : malloc(sizeof(Block) + size));
}

static void give_all_back(void) {
    while (blocks) {
        Block *block = blocks;
        blocks = block->next;
        free(block);
    }
}

__attribute__((export_name("cabi_realloc")))
void *vitral_component_realloc(void *old, size_t old_size, size_t align, size_t size) {
    void *made = align == 1 ? take_bytes(size) : take(size);
    if (old_size) memcpy(made, old, old_size < size ? old_size : size);
    return made;
}

static VitralText text_of(const char *text) {
    return (VitralText){(const uint8_t *)text, strlen(text)};
}

static VitralText copy(VitralText text) {
    VitralText copied = {NULL, text.len};
    if (text.len) copied.data = memcpy(take(text.len), text.data, text.len);
    return copied;
}

static void *list(size_t count, size_t size) {
    if (count > SIZE_MAX / size) abort();
    return take(count * size);
}

/* Imports. */

IMPORT("logging", "log")
void vitral_import_log(uint32_t level, const uint8_t *message, size_t len);

static void log_message(void *context, uint32_t level, VitralText message) {
    (void)context;
    vitral_import_log(level <= VITRAL_ERROR ? level : VITRAL_WARNING, message.data, message.len);
}

/* Why the call fails. */
static VitralText failure;

static void fail(void *context, VitralText message) {
    (void)context;
    failure = copy(message);
}

/* A result of a call, `result<..., string>`: 0 and what it gives, or 1 and an error. */
typedef struct Outcome {
    uint8_t failed;
    union {
        VitralText error;
        uint32_t words[6];
    } is;
} Outcome;

static Outcome outcome;

static Outcome *failed(void) {
    if (!failure.len) failure = text_of("it failed, and did not say why");
    outcome = (Outcome){.failed = 1, .is.error = failure};
    return &outcome;
}

static Outcome *succeeded(void) {
    outcome = (Outcome){0};
    return &outcome;
}

static void *instance;

static void panicked(uint32_t code) {
    /* The instance must not be used again: the host takes a new one. */
    if (code == VITRAL_PANICKED) abort();
}

#if VITRAL_KIND == VITRAL_ATTENTION || VITRAL_KIND == VITRAL_BATCH_AUGMENTATION
#define TRACES 1
#else
#define TRACES 0
#endif

#if TRACES
#include "component_tensors.h"
#endif

#if VITRAL_KIND == VITRAL_IMAGE_AUGMENTATION

/* The image that takes the given one's place. */
static VitralImage made_image;

static uint8_t *new_image(void *context, uint32_t width, uint32_t height, uint32_t channels) {
    (void)context;
    /* The most that the host takes. */
    const uint32_t most = 16384;
    if (width > most || height > most || channels > 3) return NULL;
    size_t size = (size_t)width * height * channels;
    if (size >= SIZE_MAX / 2 || (uint64_t)width * height * channels != size) return NULL;
    made_image = (VitralImage){width, height, channels, take(size)};
    return made_image.pixels;
}

#endif

#if VITRAL_KIND == VITRAL_MONITOR
#include "component_monitor.h"
#endif

static const VitralHost host = {
    .struct_size = sizeof(VitralHost),
    .major = VITRAL_MAJOR,
    .minor = VITRAL_MINOR,
    .log = log_message,
    .fail = fail,
#if TRACES
    .apply = apply,
    .parameter = parameter,
    .tensor_type = tensor_type,
    .result = result,
#endif
#if VITRAL_KIND == VITRAL_IMAGE_AUGMENTATION
    .new_image = new_image,
#endif
#if VITRAL_KIND == VITRAL_MONITOR
    .act = act,
    .state = state,
#endif
};

/* What it says of itself. */

typedef struct Parameter {
    VitralText name, doc;
    struct {
        uint8_t tag;
        union {
            struct {
                int64_t min, max;
            } integer;
            struct {
                double min, max;
            } number;
            VitralList_Text choices;
        } is;
    } type;
    struct {
        uint8_t is_some;
        VitralValue value;
    } default_value;
} Parameter;

_Static_assert(sizeof(Parameter) == 64, "a parameter is a record");

EXPORT("description", "describe")
VitralDescription *vitral_export_describe(void) {
    static VitralDescription description;
    description = *vitral_plugin()->describe();
    size_t count = description.parameters.len;
    Parameter *parameters = list(count, sizeof *parameters);
    for (size_t i = 0; i < count; i++) {
        const VitralParameter *from = &description.parameters.data[i];
        Parameter *to = &parameters[i];
        to->name = from->name;
        to->doc = from->doc;
        switch (from->type.tag) {
        case VITRAL_INTEGER:
        case VITRAL_INTEGERS:
            to->type.tag = from->type.tag == VITRAL_INTEGER ? 1 : 5;
            to->type.is.integer.min = from->type.min_integer;
            to->type.is.integer.max = from->type.max_integer;
            break;
        case VITRAL_NUMBER:
        case VITRAL_NUMBERS:
            to->type.tag = from->type.tag == VITRAL_NUMBER ? 2 : 6;
            to->type.is.number.min = from->type.min_number;
            to->type.is.number.max = from->type.max_number;
            break;
        case VITRAL_CHOICE:
            to->type.tag = 3;
            to->type.is.choices = from->type.choices;
            break;
        case VITRAL_TEXT:
            to->type.tag = 4;
            break;
        default:
            to->type.tag = 0;
        }
        if (from->default_value) {
            to->default_value.is_some = 1;
            to->default_value.value = *from->default_value;
        }
    }
    description.parameters.data = (const VitralParameter *)parameters;
    return &description;
}

AFTER("description", "describe")
void vitral_after_describe(void *result) {
    (void)result;
    give_all_back();
}

/* Each kind's calls. */

static uint32_t create(VitralSetting *settings, size_t count, VitralInterests *interests) {
    const VitralPlugin *plugin = vitral_plugin();
    if (instance) plugin->destroy(instance);
    instance = NULL;
    failure = (VitralText){NULL, 0};
    VitralList_Setting all = {settings, count};
    uint32_t code = plugin->create(&host, all, &instance, interests);
    panicked(code);
    return code;
}

/* Every interface has a `configure`, and what comes after it. */
#define CONFIGURE(interface)                                                        \
    EXPORT(interface, "configure")                                                  \
    Outcome *vitral_export_configure(VitralSetting *settings, size_t count) {       \
        VitralInterests interests = {0, 0};                                         \
        if (create(settings, count, KIND_HAS_INTERESTS ? &interests : NULL) != VITRAL_OK) \
            return failed();                                                        \
        Outcome *made = succeeded();                                                \
        made->is.words[0] = interests.steps;                                        \
        made->is.words[1] = interests.layers;                                       \
        return made;                                                                \
    }                                                                               \
    AFTER(interface, "configure")                                                   \
    void vitral_after_configure(void *result) {                                     \
        (void)result;                                                               \
        give_all_back();                                                            \
    }

#define KIND_HAS_INTERESTS (VITRAL_KIND == VITRAL_MONITOR)

#if VITRAL_KIND == VITRAL_IMAGE_AUGMENTATION

CONFIGURE("image-augmentations")

EXPORT("image-augmentations", "augment")
Outcome *vitral_export_augment(uint32_t width, uint32_t height, uint32_t channels, uint8_t *pixels, size_t len,
                               uint64_t seed, uint32_t epoch, uint32_t size) {
    (void)len;
    failure = (VitralText){NULL, 0};
    VitralImage image = {width, height, channels, pixels};
    VitralSample sample = {seed, epoch, size};
    made_image = image;
    uint32_t code = vitral_plugin()->augment(instance, &host, &image, &sample);
    panicked(code);
    if (code != VITRAL_OK) return failed();
    Outcome *made = succeeded();
    uint32_t bytes = made_image.width * made_image.height * made_image.channels;
    const uint32_t image_now[] = {1, made_image.width, made_image.height, made_image.channels,
                                  (uint32_t)(uintptr_t)made_image.pixels, bytes};
    memcpy(made->is.words, image_now, sizeof image_now);
    return made;
}

AFTER("image-augmentations", "augment")
void vitral_after_augment(void *result) {
    (void)result;
    give_all_back();
}

#elif VITRAL_KIND == VITRAL_ATTENTION

CONFIGURE("attentions")

EXPORT("attentions", "trace")
Outcome *vitral_export_trace(uint32_t index, uint32_t depth, uint32_t heads, uint32_t head_width,
                             uint32_t prefix_tokens, uint32_t grid_height, uint32_t grid_width, double dropout,
                             uint32_t query, uint32_t key, uint32_t value) {
    failure = (VitralText){NULL, 0};
    begin_trace();
    VitralLayer layer = {index, depth, heads, head_width, prefix_tokens, grid_height, grid_width, dropout};
    VitralTensor q = add(query, true), k = add(key, true), v = add(value, true);
    uint32_t code = vitral_plugin()->trace_attention(instance, &host, &layer, q, k, v);
    return end_trace(code, 1, 3);
}

AFTER("attentions", "trace")
void vitral_after_trace(void *result) {
    (void)result;
    give_all_back();
}

#elif VITRAL_KIND == VITRAL_BATCH_AUGMENTATION

CONFIGURE("batch-augmentations")

EXPORT("batch-augmentations", "trace")
Outcome *vitral_export_trace(uint32_t height, uint32_t width, uint32_t channels, uint32_t classes, uint32_t images,
                             uint32_t targets) {
    failure = (VitralText){NULL, 0};
    begin_trace();
    VitralBatch batch = {height, width, channels, classes};
    VitralTensor i = add(images, true), t = add(targets, true);
    uint32_t code = vitral_plugin()->trace_batch(instance, &host, &batch, i, t);
    return end_trace(code, 2, 2);
}

AFTER("batch-augmentations", "trace")
void vitral_after_trace(void *result) {
    (void)result;
    give_all_back();
}

#elif VITRAL_KIND == VITRAL_MONITOR

CONFIGURE("monitors")

static Outcome *observe(const VitralEvent *event) {
    failure = (VitralText){NULL, 0};
    action_count = 0;
    uint32_t code = vitral_plugin()->observe(instance, &host, event);
    panicked(code);
    if (code != VITRAL_OK || failure.len) return failed();
    Outcome *made = succeeded();
    made->is.words[0] = (uint32_t)(uintptr_t)actions;
    made->is.words[1] = action_count;
    return made;
}

EXPORT("monitors", "observe")
Outcome *vitral_export_observe(const Event *from) {
    VitralEvent event = event_of(from);
    return observe(&event);
}

AFTER("monitors", "observe")
void vitral_after_observe(void *result) {
    (void)result;
    give_all_back();
}

EXPORT("data-monitors", "observe-data")
Outcome *vitral_export_observe_data(uint64_t step, double epoch, double seconds, double wait, uint32_t workers,
                                    uint32_t prefetch, const VitralStageTime *stages, size_t count) {
    VitralEvent event = {.tag = VITRAL_DATA};
    event.data.data = (VitralDataReport){step, epoch, seconds, wait, workers, prefetch, {stages, count}};
    return observe(&event);
}

AFTER("data-monitors", "observe-data")
void vitral_after_observe_data(void *result) {
    (void)result;
    give_all_back();
}

EXPORT("roll-back-monitors", "observe-roll-back")
Outcome *vitral_export_observe_roll_back(uint64_t from_step, uint64_t to_step, const uint8_t *reason, size_t len) {
    VitralEvent event = {.tag = VITRAL_ROLLED_BACK};
    event.data.rolled_back = (VitralRollBack){from_step, to_step, {reason, len}};
    return observe(&event);
}

AFTER("roll-back-monitors", "observe-roll-back")
void vitral_after_observe_roll_back(void *result) {
    (void)result;
    give_all_back();
}

EXPORT("configuration-monitors", "observe-configuration")
Outcome *vitral_export_observe_configuration(const uint8_t *run, size_t len, const VitralConfiguredField *fields,
                                             size_t count) {
    VitralEvent event = {.tag = VITRAL_CONFIGURED};
    event.data.configured = (VitralConfiguration){{run, len}, {fields, count}};
    return observe(&event);
}

AFTER("configuration-monitors", "observe-configuration")
void vitral_after_observe_configuration(void *result) {
    (void)result;
    give_all_back();
}

EXPORT("monitors", "save")
VitralText *vitral_export_save(void) {
    failure = saved = (VitralText){NULL, 0};
    uint32_t code = vitral_plugin()->save(instance, &host);
    if (code != VITRAL_OK) {
        /* There is no other way to tell it. */
        vitral_import_log(VITRAL_ERROR, failure.data, failure.len);
        abort();
    }
    return &saved;
}

AFTER("monitors", "save")
void vitral_after_save(void *result) {
    (void)result;
    give_all_back();
}

EXPORT("monitors", "restore")
Outcome *vitral_export_restore(const uint8_t *bytes, size_t len) {
    failure = (VitralText){NULL, 0};
    uint32_t code = vitral_plugin()->restore(instance, &host, (VitralList_u8){bytes, len});
    panicked(code);
    return code == VITRAL_OK ? succeeded() : failed();
}

AFTER("monitors", "restore")
void vitral_after_restore(void *result) {
    (void)result;
    give_all_back();
}

#else
#error "VITRAL_KIND is none of the kinds of plugins"
#endif
