/* Lowers the learning rate where the validation loss stays. */

#include <math.h>
#include <stdlib.h>

#include "vitral.h"

static const VitralDescription *describe(void) {
    static const VitralValue factor = {VITRAL_NUMBER, {.number = 0.5}};
    static const VitralValue patience = {VITRAL_INTEGER, {.integer = 2}};
    static const VitralValue min_delta = {VITRAL_NUMBER, {.number = 0}};
    static const VitralParameter parameters[] = {
        {
            .name = VITRAL_LITERAL("factor"),
            .doc = VITRAL_LITERAL("What the learning rate is multiplied by."),
            .type = {.tag = VITRAL_NUMBER, .min_number = 0.01, .max_number = 1},
            .default_value = &factor,
        },
        {
            .name = VITRAL_LITERAL("patience"),
            .doc = VITRAL_LITERAL("Evaluations without a better loss after which that is done."),
            .type = {.tag = VITRAL_INTEGER, .min_integer = 1, .max_integer = 1000},
            .default_value = &patience,
        },
        {
            .name = VITRAL_LITERAL("min_delta"),
            .doc = VITRAL_LITERAL("By how much a loss must be below the best before."),
            .type = {.tag = VITRAL_NUMBER, .min_number = 0, .max_number = 1000},
            .default_value = &min_delta,
        },
    };
    static const VitralSetting changed[] = {
        {VITRAL_LITERAL("factor"), {VITRAL_NUMBER, {.number = 0.1}}},
        {VITRAL_LITERAL("patience"), {VITRAL_INTEGER, {.integer = 1}}},
    };
    static const VitralExample examples[] = {
        {VITRAL_LITERAL("A tenth, at once"), {changed, sizeof changed / sizeof *changed}},
    };
    static const VitralDescription description = {
        .name = VITRAL_LITERAL("plateau"),
        .version = VITRAL_LITERAL("0.1.0"),
        .summary = VITRAL_LITERAL("Lowers the learning rate when the validation loss stops improving"),
        .parameters = {parameters, sizeof parameters / sizeof *parameters},
        .examples = {examples, sizeof examples / sizeof *examples},
    };
    return &description;
}

/* Counts the evaluations since the best. */
typedef struct Plateau {
    double factor, min_delta, best;
    uint32_t patience, waited;
} Plateau;

static uint32_t create(const VitralHost *host, VitralList_Setting settings, void **instance,
                       VitralInterests *interests) {
    (void)interests;
    Plateau *made = malloc(sizeof *made);
    if (!made) return vitral_fail(host, "there is no memory left");
    made->factor = vitral_setting(settings, "factor")->data.number;
    made->min_delta = vitral_setting(settings, "min_delta")->data.number;
    made->patience = (uint32_t)vitral_setting(settings, "patience")->data.integer;
    made->best = INFINITY;
    made->waited = 0;
    *instance = made;
    return VITRAL_OK;
}

static uint32_t observe(void *instance, const VitralHost *host, const VitralEvent *event) {
    Plateau *self = instance;
    if (event->tag != VITRAL_EVALUATED) return VITRAL_OK;
    double loss = event->data.evaluated.loss;
    if (loss < self->best - self->min_delta) {
        self->best = loss;
        self->waited = 0;
        return VITRAL_OK;
    }
    self->waited = (self->waited + 1) % self->patience;
    if (self->waited) return VITRAL_OK;
    char reason[100];
    snprintf(reason, sizeof reason, "evaluations without a better loss: %lu", (unsigned long)self->patience);
    const VitralAction action = {VITRAL_SCALE_LEARNING_RATE, vitral_text(reason), self->factor};
    host->act(host->context, &action);
    return VITRAL_OK;
}

/* What a resumed run goes on from: the bits of the best loss and the count, the lowest byte first. */
enum { STATE = 12 };

static uint32_t save(void *instance, const VitralHost *host) {
    const Plateau *self = instance;
    uint64_t best;
    memcpy(&best, &self->best, sizeof best);
    uint8_t bytes[STATE];
    for (int at = 0; at < 8; at++) bytes[at] = (uint8_t)(best >> 8 * at);
    for (int at = 0; at < 4; at++) bytes[8 + at] = (uint8_t)(self->waited >> 8 * at);
    host->state(host->context, VITRAL_LIST(VitralList_u8, bytes));
    return VITRAL_OK;
}

static uint32_t restore(void *instance, const VitralHost *host, VitralList_u8 state) {
    Plateau *self = instance;
    self->best = INFINITY;
    self->waited = 0;
    if (state.len == 0) return VITRAL_OK;
    if (state.len != STATE)
        return vitral_fail(host, "its state has %lu bytes, but must have %d", (unsigned long)state.len, STATE);
    uint64_t best = 0;
    for (int at = 0; at < 8; at++) best |= (uint64_t)state.data[at] << 8 * at;
    memcpy(&self->best, &best, sizeof best);
    for (int at = 0; at < 4; at++) self->waited |= (uint32_t)state.data[8 + at] << 8 * at;
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
