/* TEMPLATE_SUMMARY. */

#include <stdlib.h>
#include <math.h>

#include "vitral.h"

static const VitralDescription *describe(void) {
    static const VitralValue patience = {VITRAL_INTEGER, {.integer = 3}};
    static const VitralParameter parameters[] = {
        {
            .name = VITRAL_LITERAL("patience"),
            .doc = VITRAL_LITERAL("Steps in a row whose loss may be no number before the run is stopped."),
            .type = {.tag = VITRAL_INTEGER, .min_integer = 1, .max_integer = 1000},
            .default_value = &patience,
        },
    };
    static const VitralSetting changed[] = {
        {VITRAL_LITERAL("patience"), {VITRAL_INTEGER, {.integer = 1}}},
    };
    static const VitralExample examples[] = {
        {VITRAL_LITERAL("Stop at once"), {changed, sizeof changed / sizeof *changed}},
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

/* Stops a run whose loss stays no number. */
typedef struct TemplateType {
    uint32_t patience;
    /* Steps in a row whose loss was no number. */
    uint32_t bad_steps;
} TemplateType;

static uint32_t create(const VitralHost *host, VitralList_Setting settings, void **instance,
                       VitralInterests *interests) {
    TemplateType *made = malloc(sizeof *made);
    if (!made) return vitral_fail(host, "there is no memory left");
    made->patience = (uint32_t)vitral_setting(settings, "patience")->data.integer;
    made->bad_steps = 0;
    *instance = made;
    interests->steps = 1;
    return VITRAL_OK;
}

static uint32_t observe(void *instance, const VitralHost *host, const VitralEvent *event) {
    TemplateType *self = instance;
    if (event->tag != VITRAL_STEPPED) return VITRAL_OK;
    const VitralStep *step = &event->data.stepped;
    /* Steps that are not logged have no loss. */
    if (!step->has_figures) return VITRAL_OK;
    self->bad_steps = isfinite(step->loss) ? 0 : self->bad_steps + 1;
    if (!self->bad_steps) return VITRAL_OK;
    bool is_over = self->bad_steps >= self->patience;
    char message[100];
    if (is_over)
        snprintf(message, sizeof message, "the loss was no number for %lu steps", (unsigned long)self->bad_steps);
    else
        snprintf(message, sizeof message, "the loss of step %llu is no number", (unsigned long long)step->step);
    const VitralAction action = {.tag = is_over ? VITRAL_STOP : VITRAL_WARN, .text = vitral_text(message)};
    host->act(host->context, &action);
    return VITRAL_OK;
}

/* What a resumed run goes on from: four bytes, the lowest first. */
static uint32_t save(void *instance, const VitralHost *host) {
    const TemplateType *self = instance;
    uint8_t bytes[4];
    for (int at = 0; at < 4; at++) bytes[at] = (uint8_t)(self->bad_steps >> 8 * at);
    host->state(host->context, VITRAL_LIST(VitralList_u8, bytes));
    return VITRAL_OK;
}

static uint32_t restore(void *instance, const VitralHost *host, VitralList_u8 state) {
    TemplateType *self = instance;
    if (state.len != 0 && state.len != 4)
        return vitral_fail(host, "its state has %lu bytes, but must have 4", (unsigned long)state.len);
    self->bad_steps = 0;
    for (size_t at = 0; at < state.len; at++) self->bad_steps |= (uint32_t)state.data[at] << 8 * at;
    return VITRAL_OK;
}

const VitralPlugin *vitral_plugin(void) {
    static const VitralPlugin plugin = {
        .struct_size = sizeof(VitralPlugin),
        .major = VITRAL_MAJOR,
        .minor = VITRAL_MINOR,
        .kind = VITRAL_MONITOR,
        .describe = describe,
        .create = create,
        .destroy = free,
        .observe = observe,
        .save = save,
        .restore = restore,
    };
    return &plugin;
}
