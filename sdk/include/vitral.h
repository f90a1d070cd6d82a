/*
 * What makes a plugin in C short, beside the contract itself (vitral_plugin.h): texts, settings, random numbers and
 * ops on tensors.
 */
#ifndef VITRAL_H
#define VITRAL_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "vitral_plugin.h"

/** A literal as a text, where a constant is needed. */
#define VITRAL_LITERAL(text) {(const uint8_t *)(text), sizeof(text) - 1}

/** Several items as a list, as in `VITRAL_LIST(VitralList_Setting, settings)`. */
#define VITRAL_LIST(type, array) ((type){(array), sizeof(array) / sizeof *(array)})

static inline VitralText vitral_text(const char *text) {
    return (VitralText){(const uint8_t *)text, strlen(text)};
}

/** Has the call fail with a message, as `printf` makes it: `return vitral_fail(host, "%u heads are odd", heads)`. */
__attribute__((format(printf, 2, 3)))
static inline uint32_t vitral_fail(const VitralHost *host, const char *format, ...) {
    char message[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    host->fail(host->context, vitral_text(message));
    return VITRAL_FAILED;
}

/** The value of a parameter. The host sets every parameter that is described, and checks its type. */
static inline const VitralValue *vitral_setting(VitralList_Setting settings, const char *name) {
    VitralText wanted = vitral_text(name);
    for (size_t i = 0; i < settings.len; i++) {
        VitralText found = settings.data[i].name;
        if (found.len == wanted.len && memcmp(found.data, wanted.data, wanted.len) == 0)
            return &settings.data[i].value;
    }
    static const VitralValue none;
    return &none;
}

/** Random numbers from a seed (SplitMix64): `uint64_t random = sample->seed;`, then `vitral_random(&random)`. */
static inline uint64_t vitral_random(uint64_t *state) {
    uint64_t mixed = *state += 0x9e3779b97f4a7c15;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
    return mixed ^ mixed >> 31;
}

/** The next random number, from 0 to below 1. */
static inline double vitral_uniform(uint64_t *state) {
    return (double)(vitral_random(state) >> 11) / (double)(UINT64_C(1) << 53);
}

/*
 * Attributes of ops: `vitral_number("rate", 0.1)`.
 */

static inline VitralSetting vitral_boolean(const char *name, bool value) {
    return (VitralSetting){vitral_text(name), {VITRAL_BOOLEAN, {.boolean = value}}};
}

static inline VitralSetting vitral_integer(const char *name, int64_t value) {
    return (VitralSetting){vitral_text(name), {VITRAL_INTEGER, {.integer = value}}};
}

static inline VitralSetting vitral_number(const char *name, double value) {
    return (VitralSetting){vitral_text(name), {VITRAL_NUMBER, {.number = value}}};
}

static inline VitralSetting vitral_word(const char *name, const char *value) {
    return (VitralSetting){vitral_text(name), {VITRAL_TEXT, {.text = vitral_text(value)}}};
}

static inline VitralSetting vitral_integers(const char *name, size_t count, const int64_t *values) {
    return (VitralSetting){vitral_text(name), {VITRAL_INTEGERS, {.integers = {values, count}}}};
}

static inline VitralSetting vitral_numbers(const char *name, size_t count, const double *values) {
    return (VitralSetting){vitral_text(name), {VITRAL_NUMBERS, {.numbers = {values, count}}}};
}

/** A number that is no tensor's, so that what is made from it is an error that the host reports. */
#define VITRAL_NO_TENSOR UINT64_MAX

/**
 * An op of one result, with its operands and then its attributes:
 *
 *     VITRAL_OP(host, "softmax", TENSORS(scores), vitral_integer("axis", 3))
 *     VITRAL_OP(host, "matmul", TENSORS(query, keys))
 *
 * `vitral plugin contract ops` lists them. What does not fit is reported when the trace ends.
 */
#define TENSORS(...)                                                    \
    ((VitralList_Tensor){(const VitralTensor[]){__VA_ARGS__},           \
                         sizeof((const VitralTensor[]){__VA_ARGS__}) / sizeof(VitralTensor)})
#define NO_TENSORS ((VitralList_Tensor){NULL, 0})
#define VITRAL_OP(host, op, ...) VITRAL_OP_(host, op, __VA_ARGS__, (VitralSetting){.name = {NULL, 0}})
#define VITRAL_OP_(host, op, operands, ...)                             \
    vitral_op(host, op, operands, (const VitralSetting[]){__VA_ARGS__})

/** The attributes end with one without a name. */
static inline VitralTensor vitral_op(const VitralHost *host, const char *op, VitralList_Tensor operands,
                                     const VitralSetting *attributes) {
    size_t count = 0;
    while (attributes[count].name.len) count++;
    VitralTensor result = VITRAL_NO_TENSOR;
    VitralList_Setting all = {attributes, count};
    host->apply(host->context, vitral_text(op), all, operands, (VitralText){NULL, 0}, &result, 1);
    return result;
}

/** One `f32` number, to broadcast with any tensor. */
static inline VitralTensor vitral_scalar(const VitralHost *host, double value) {
    return VITRAL_OP(host, "constant", NO_TENSORS, vitral_word("type", "f32[]"),
                     vitral_numbers("values", 1, &value));
}

#endif /* VITRAL_H */
