/* Fills a square of an image (DeVries and Taylor 2017, arXiv:1708.04552). */

#include <stdlib.h>

#include "vitral.h"

static const VitralDescription *describe(void) {
    static const VitralValue probability = {VITRAL_NUMBER, {.number = 0.5}};
    static const VitralValue size = {VITRAL_NUMBER, {.number = 0.5}};
    static const VitralValue value = {VITRAL_INTEGER, {.integer = 128}};
    static const VitralParameter parameters[] = {
        {
            .name = VITRAL_LITERAL("probability"),
            .doc = VITRAL_LITERAL("How likely an image is changed."),
            .type = {.tag = VITRAL_NUMBER, .min_number = 0, .max_number = 1},
            .default_value = &probability,
        },
        {
            .name = VITRAL_LITERAL("size"),
            .doc = VITRAL_LITERAL("Side of the square, relative to the image's shorter side."),
            .type = {.tag = VITRAL_NUMBER, .min_number = 0, .max_number = 1},
            .default_value = &size,
        },
        {
            .name = VITRAL_LITERAL("value"),
            .doc = VITRAL_LITERAL("What the square is filled with."),
            .type = {.tag = VITRAL_INTEGER, .min_integer = 0, .max_integer = 255},
            .default_value = &value,
        },
    };
    static const VitralSetting changed[] = {
        {VITRAL_LITERAL("probability"), {VITRAL_NUMBER, {.number = 1}}},
        {VITRAL_LITERAL("value"), {VITRAL_INTEGER, {.integer = 0}}},
    };
    static const VitralExample examples[] = {
        {VITRAL_LITERAL("Every image, black"), {changed, sizeof changed / sizeof *changed}},
    };
    static const VitralDescription description = {
        .name = VITRAL_LITERAL("cutout"),
        .version = VITRAL_LITERAL("0.1.0"),
        .summary = VITRAL_LITERAL("Fills a square of images"),
        .parameters = {parameters, sizeof parameters / sizeof *parameters},
        .examples = {examples, sizeof examples / sizeof *examples},
    };
    return &description;
}

/* A square around a random pixel; what of it is outside of the image is cut off. */
typedef struct Cutout {
    double probability, size;
    uint8_t value;
} Cutout;

static uint32_t create(const VitralHost *host, VitralList_Setting settings, void **instance,
                       VitralInterests *interests) {
    (void)interests;
    Cutout *made = malloc(sizeof *made);
    if (!made) return vitral_fail(host, "there is no memory left");
    made->probability = vitral_setting(settings, "probability")->data.number;
    made->size = vitral_setting(settings, "size")->data.number;
    made->value = (uint8_t)vitral_setting(settings, "value")->data.integer;
    *instance = made;
    return VITRAL_OK;
}

/* A place on a line that begins at 0. */
typedef struct Span {
    int64_t start, end;
} Span;

/* A span of some length around a random place, cut off at both ends of the line. */
static Span around(uint64_t *random, int64_t length, int64_t line) {
    int64_t start = (int64_t)(vitral_uniform(random) * (double)line) - length / 2;
    int64_t end = start + length;
    return (Span){start < 0 ? 0 : start, end > line ? line : end};
}

static uint32_t augment(void *instance, const VitralHost *host, const VitralImage *image,
                        const VitralSample *sample) {
    (void)host;
    const Cutout *self = instance;
    uint64_t random = sample->seed;
    if (vitral_uniform(&random) >= self->probability) return VITRAL_OK;
    uint32_t shorter = image->width < image->height ? image->width : image->height;
    int64_t side = (int64_t)(self->size * shorter + 0.5);
    Span columns = around(&random, side, image->width), rows = around(&random, side, image->height);
    for (int64_t row = rows.start; row < rows.end; row++) {
        uint8_t *first = image->pixels + (size_t)(row * image->width + columns.start) * image->channels;
        memset(first, self->value, (size_t)(columns.end - columns.start) * image->channels);
    }
    return VITRAL_OK;
}

const VitralPlugin *vitral_plugin(void) {
    static const VitralPlugin plugin = {
        .struct_size = sizeof(VitralPlugin),
        .major = VITRAL_MAJOR,
        .minor = VITRAL_MINOR,
        .kind = VITRAL_IMAGE_AUGMENTATION,
        .describe = describe,
        .create = create,
        .destroy = free,
        .augment = augment,
    };
    return &plugin;
}
