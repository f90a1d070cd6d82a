/* Attention by the angle between queries and keys (Henry et al. 2020, arXiv:2010.04245). */

#include <stdlib.h>

#include "vitral.h"

static const VitralDescription *describe(void) {
    static const VitralValue start = {VITRAL_NUMBER, {.number = 10}};
    static const VitralParameter parameters[] = {
        {
            .name = VITRAL_LITERAL("start"),
            .doc = VITRAL_LITERAL("The scale that each head starts with; the larger, the sharper its attention."),
            .type = {.tag = VITRAL_NUMBER, .min_number = 0.01, .max_number = 100},
            .default_value = &start,
        },
    };
    static const VitralSetting changed[] = {
        {VITRAL_LITERAL("start"), {VITRAL_NUMBER, {.number = 1}}},
    };
    static const VitralExample examples[] = {
        {VITRAL_LITERAL("Even at the start"), {changed, sizeof changed / sizeof *changed}},
    };
    static const VitralDescription description = {
        .name = VITRAL_LITERAL("cosine"),
        .version = VITRAL_LITERAL("0.1.0"),
        .summary = VITRAL_LITERAL("Softmax attention over cosines, with a learned scale in each head"),
        .parameters = {parameters, sizeof parameters / sizeof *parameters},
        .examples = {examples, sizeof examples / sizeof *examples},
    };
    return &description;
}

/* Softmax attention over cosines, times a learned scale in each head. */
typedef struct Cosine {
    double start;
} Cosine;

static uint32_t create(const VitralHost *host, VitralList_Setting settings, void **instance,
                       VitralInterests *interests) {
    (void)interests;
    Cosine *made = malloc(sizeof *made);
    if (!made) return vitral_fail(host, "there is no memory left");
    made->start = vitral_setting(settings, "start")->data.number;
    *instance = made;
    return VITRAL_OK;
}

/* Vectors of length 1. */
static VitralTensor unit(const VitralHost *host, VitralTensor x) {
    const int64_t last[] = {3};
    VitralTensor squares = VITRAL_OP(host, "reduceSumSquare", TENSORS(x), vitral_integers("axes", 1, last),
                                     vitral_boolean("keepDimensions", true));
    VitralTensor positive = VITRAL_OP(host, "add", TENSORS(squares, vitral_scalar(host, 1e-6)));
    return VITRAL_OP(host, "div", TENSORS(x, VITRAL_OP(host, "sqrt", TENSORS(positive))));
}

static uint32_t trace(void *instance, const VitralHost *host, const VitralLayer *layer, VitralTensor query,
                      VitralTensor key, VitralTensor value) {
    const Cosine *self = instance;
    const uint32_t shape[] = {layer->heads, 1, 1};
    const VitralInitializer start = {.tag = VITRAL_CONSTANT, .a = self->start};
    VitralTensor scale = host->parameter(host->context, vitral_text("scale"), VITRAL_LIST(VitralList_u32, shape),
                                         start, 0);
    const int64_t swapped[] = {0, 1, 3, 2};
    VitralTensor queries = unit(host, query);
    VitralTensor keys =
        VITRAL_OP(host, "transpose", TENSORS(unit(host, key)), vitral_integers("permutation", 4, swapped));
    VitralTensor cosines = VITRAL_OP(host, "matmul", TENSORS(queries, keys));
    VitralTensor scores = VITRAL_OP(host, "mul", TENSORS(cosines, scale));
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
