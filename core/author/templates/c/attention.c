/* TEMPLATE_SUMMARY. */

#include <stdlib.h>
#include <math.h>

#include "vitral.h"

static const VitralDescription *describe(void) {
    static const VitralValue start = {VITRAL_NUMBER, {.number = 1}};
    static const VitralParameter parameters[] = {
        {
            .name = VITRAL_LITERAL("start"),
            .doc = VITRAL_LITERAL("The temperature that each head starts with; the lower, the sharper its "
                                  "attention."),
            .type = {.tag = VITRAL_NUMBER, .min_number = 0.01, .max_number = 100},
            .default_value = &start,
        },
    };
    static const VitralSetting changed[] = {
        {VITRAL_LITERAL("start"), {VITRAL_NUMBER, {.number = 0.5}}},
    };
    static const VitralExample examples[] = {
        {VITRAL_LITERAL("Sharp from the start"), {changed, sizeof changed / sizeof *changed}},
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

/* Softmax attention whose scores have a learned temperature in each head. */
typedef struct TemplateType {
    double start;
} TemplateType;

static uint32_t create(const VitralHost *host, VitralList_Setting settings, void **instance,
                       VitralInterests *interests) {
    (void)interests;
    TemplateType *made = malloc(sizeof *made);
    if (!made) return vitral_fail(host, "there is no memory left");
    made->start = vitral_setting(settings, "start")->data.number;
    *instance = made;
    return VITRAL_OK;
}

static uint32_t trace(void *instance, const VitralHost *host, const VitralLayer *layer, VitralTensor query,
                      VitralTensor key, VitralTensor value) {
    const TemplateType *self = instance;
    const uint32_t shape[] = {layer->heads, 1, 1};
    const VitralInitializer start = {.tag = VITRAL_CONSTANT, .a = 1 / self->start};
    VitralTensor sharpness = host->parameter(host->context, vitral_text("sharpness"),
                                             VITRAL_LIST(VitralList_u32, shape), start, 0);
    const int64_t swapped[] = {0, 1, 3, 2};
    VitralTensor keys = VITRAL_OP(host, "transpose", TENSORS(key), vitral_integers("permutation", 4, swapped));
    VitralTensor products = VITRAL_OP(host, "matmul", TENSORS(query, keys));
    VitralTensor width = vitral_scalar(host, sqrt(layer->head_width));
    VitralTensor scores = VITRAL_OP(host, "div", TENSORS(products, width));
    scores = VITRAL_OP(host, "mul", TENSORS(scores, sharpness));
    VitralTensor weights = VITRAL_OP(host, "softmax", TENSORS(scores), vitral_integer("axis", 3));
    weights = VITRAL_OP(host, "dropout", TENSORS(weights), vitral_number("rate", layer->dropout));
    host->result(host->context, VITRAL_OP(host, "matmul", TENSORS(weights, value)));
    return VITRAL_OK;
}

const VitralPlugin *vitral_plugin(void) {
    static const VitralPlugin plugin = {
        .struct_size = sizeof(VitralPlugin),
        .major = VITRAL_MAJOR,
        .minor = VITRAL_MINOR,
        .kind = VITRAL_ATTENTION,
        .describe = describe,
        .create = create,
        .destroy = free,
        .trace_attention = trace,
    };
    return &plugin;
}
