/* TEMPLATE_SUMMARY. */

#include <stdlib.h>

#include "vitral.h"

static const VitralDescription *describe(void) {
    static const VitralValue alpha = {VITRAL_NUMBER, {.number = 0.2}};
    static const VitralParameter parameters[] = {
        {
            .name = VITRAL_LITERAL("alpha"),
            .doc = VITRAL_LITERAL("Both parameters of the beta distribution that the weight of a batch is drawn "
                                  "from: the larger, the more even the mix."),
            .type = {.tag = VITRAL_NUMBER, .min_number = 0.01, .max_number = 100},
            .default_value = &alpha,
        },
    };
    static const VitralSetting changed[] = {
        {VITRAL_LITERAL("alpha"), {VITRAL_NUMBER, {.number = 1}}},
    };
    static const VitralExample examples[] = {
        {VITRAL_LITERAL("Every weight is as likely as any other"), {changed, sizeof changed / sizeof *changed}},
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

/* Mixes each image with its mirror place in the batch. */
typedef struct TemplateType {
    double alpha;
} TemplateType;

static uint32_t create(const VitralHost *host, VitralList_Setting settings, void **instance,
                       VitralInterests *interests) {
    (void)interests;
    TemplateType *made = malloc(sizeof *made);
    if (!made) return vitral_fail(host, "there is no memory left");
    made->alpha = vitral_setting(settings, "alpha")->data.number;
    *instance = made;
    return VITRAL_OK;
}

/* `weight values + rest values`, the second from the end of the batch. */
static VitralTensor mix(const VitralHost *host, VitralTensor weight, VitralTensor rest, VitralTensor values) {
    const int64_t batch[] = {0};
    VitralTensor reversed = VITRAL_OP(host, "reverse", TENSORS(values), vitral_integers("axes", 1, batch));
    return VITRAL_OP(host, "add",
                     TENSORS(VITRAL_OP(host, "mul", TENSORS(weight, values)),
                             VITRAL_OP(host, "mul", TENSORS(rest, reversed))));
}

static uint32_t trace(void *instance, const VitralHost *host, const VitralBatch *batch, VitralTensor images,
                      VitralTensor targets) {
    (void)batch;
    const TemplateType *self = instance;
    VitralTensor weight =
        VITRAL_OP(host, "random", NO_TENSORS, vitral_word("shape", "[1]"), vitral_word("distribution", "beta"),
                  vitral_number("alpha", self->alpha), vitral_number("beta", self->alpha));
    VitralTensor rest = VITRAL_OP(host, "sub", TENSORS(vitral_scalar(host, 1), weight));
    host->result(host->context, mix(host, weight, rest, images));
    host->result(host->context, mix(host, weight, rest, targets));
    return VITRAL_OK;
}

const VitralPlugin *vitral_plugin(void) {
    static const VitralPlugin plugin = {
        .struct_size = sizeof(VitralPlugin),
        .major = VITRAL_MAJOR,
        .minor = VITRAL_MINOR,
        .kind = VITRAL_BATCH_AUGMENTATION,
        .describe = describe,
        .create = create,
        .destroy = free,
        .trace_batch = trace,
    };
    return &plugin;
}
