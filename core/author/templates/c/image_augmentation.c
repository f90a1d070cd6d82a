/* TEMPLATE_SUMMARY. */

#include <stdlib.h>

#include "vitral.h"

static const VitralDescription *describe(void) {
    static const VitralValue probability = {VITRAL_NUMBER, {.number = 0.2}};
    static const VitralValue threshold = {VITRAL_INTEGER, {.integer = 128}};
    static const VitralParameter parameters[] = {
        {
            .name = VITRAL_LITERAL("probability"),
            .doc = VITRAL_LITERAL("How likely an image is changed."),
            .type = {.tag = VITRAL_NUMBER, .min_number = 0, .max_number = 1},
            .default_value = &probability,
        },
        {
            .name = VITRAL_LITERAL("threshold"),
            .doc = VITRAL_LITERAL("Values from this one on are inverted."),
            .type = {.tag = VITRAL_INTEGER, .min_integer = 0, .max_integer = 255},
            .default_value = &threshold,
        },
    };
    static const VitralSetting changed[] = {
        {VITRAL_LITERAL("probability"), {VITRAL_NUMBER, {.number = 1}}},
        {VITRAL_LITERAL("threshold"), {VITRAL_INTEGER, {.integer = 0}}},
    };
    static const VitralExample examples[] = {
        {VITRAL_LITERAL("Every image as a negative"), {changed, sizeof changed / sizeof *changed}},
    };
    static const VitralDescription description = {
        .name = VITRAL_LITERAL("template-name"),
        .version = VITRAL_LITERAL("0.1.0"),
        .summary = VITRAL_LITERAL("TEMPLATE_SUMMARY"),
        .parameters = {parameters, sizeof parameters / sizeof *parameters},
        .examples = {examples, sizeof examples / sizeof *examples},
    };
    return &description;
}

/* Inverts what is bright. */
typedef struct TemplateType {
    double probability;
    uint8_t threshold;
} TemplateType;

static uint32_t create(const VitralHost *host, VitralList_Setting settings, void **instance,
                       VitralInterests *interests) {
    (void)interests;
    TemplateType *made = malloc(sizeof *made);
    if (!made) return vitral_fail(host, "there is no memory left");
    made->probability = vitral_setting(settings, "probability")->data.number;
    made->threshold = (uint8_t)vitral_setting(settings, "threshold")->data.integer;
    *instance = made;
    return VITRAL_OK;
}

static uint32_t augment(void *instance, const VitralHost *host, const VitralImage *image,
                        const VitralSample *sample) {
    (void)host;
    const TemplateType *self = instance;
    uint64_t random = sample->seed;
    if (vitral_uniform(&random) >= self->probability) return VITRAL_OK;
    size_t count = (size_t)image->width * image->height * image->channels;
    for (size_t at = 0; at < count; at++) {
        uint8_t value = image->pixels[at];
        image->pixels[at] = value < self->threshold ? value : 255 - value;
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
