/*
 * Tensors of a trace; a part of component.c. A plugin's numbers are places in this list, and 0 is none.
 */
typedef struct Handle {
    uint32_t raw;
    /* Another's: lent by the host, or given to it. */
    bool taken;
} Handle;

static Handle *handles;
static size_t handle_count, handle_room;

IMPORT("tensors", "[resource-drop]tensor")
void vitral_import_tensor_drop(uint32_t raw);

IMPORT("tensors", "[method]tensor.type")
void vitral_import_tensor_type(uint32_t raw, void *result);

IMPORT("tensors", "apply")
void vitral_import_apply(const uint8_t *op, size_t op_len, const void *attributes, size_t attribute_count,
                         const uint32_t *operands, size_t operand_count, const uint8_t *label,
                         size_t label_len, VitralList_u32 *results);

IMPORT("tensors", "parameter")
uint32_t vitral_import_parameter(const uint8_t *name, size_t name_len, const uint32_t *shape, size_t rank,
                                 uint32_t initializer, uint64_t a, uint32_t b, uint32_t decay);

static VitralTensor add(uint32_t raw, bool taken) {
    if (handle_count == handle_room) {
        handle_room = handle_room ? 2 * handle_room : 64;
        handles = realloc(handles, handle_room * sizeof *handles);
        if (!handles) abort();
    }
    handles[handle_count++] = (Handle){raw, taken};
    return handle_count;
}

static void complain(const char *message) {
    log_message(NULL, VITRAL_ERROR, text_of(message));
    abort();
}

static Handle *handle(VitralTensor tensor) {
    if (tensor < 1 || tensor > handle_count) complain("a tensor is used that is not of this trace");
    return &handles[tensor - 1];
}

static size_t apply(void *context, VitralText op, VitralList_Setting attributes, VitralList_Tensor operands,
                    VitralText label, VitralTensor *results, size_t capacity) {
    (void)context;
    /* The same as settings, but for the order of their cases. */
    static const uint8_t cases[] = {0, 1, 2, 5, 3, 4};
    VitralSetting *passed = list(attributes.len, sizeof *passed);
    for (size_t i = 0; i < attributes.len; i++) {
        passed[i] = attributes.data[i];
        uint32_t tag = passed[i].value.tag;
        if (tag >= sizeof cases) complain("an attribute has a tag that there is not");
        passed[i].value.tag = cases[tag];
    }
    uint32_t *raws = list(operands.len, sizeof *raws);
    for (size_t i = 0; i < operands.len; i++) raws[i] = handle(operands.data[i])->raw;
    VitralList_u32 made;
    vitral_import_apply(op.data, op.len, passed, attributes.len, raws, operands.len, label.data, label.len,
                        &made);
    for (size_t i = 0; i < made.len; i++) {
        VitralTensor tensor = add(made.data[i], false);
        if (i < capacity) results[i] = tensor;
    }
    return made.len;
}

static VitralTensor parameter(void *context, VitralText name, VitralList_u32 shape, VitralInitializer initializer,
                              uint8_t decay) {
    (void)context;
    uint64_t a;
    if (initializer.tag > VITRAL_XAVIER_UNIFORM) complain("an initializer has a tag that there is not");
    if (initializer.tag == VITRAL_XAVIER_UNIFORM) a = (uint32_t)initializer.a;
    else memcpy(&a, &initializer.a, sizeof a);
    return add(vitral_import_parameter(name.data, name.len, shape.data, shape.len, initializer.tag, a,
                                       (uint32_t)initializer.b, decay != 0),
               false);
}

static size_t tensor_type(void *context, VitralTensor tensor, uint8_t *buffer, size_t capacity) {
    (void)context;
    struct {
        uint8_t is_some;
        VitralText text;
    } found = {0};
    vitral_import_tensor_type(handle(tensor)->raw, &found);
    if (!found.is_some) return 0;
    size_t len = found.text.len;
    if (len) memcpy(buffer, found.text.data, len < capacity ? len : capacity);
    return len;
}

static uint32_t given[2];
static size_t given_count;

static void result(void *context, VitralTensor tensor) {
    if (given_count == sizeof given / sizeof *given) complain("it gave more results than its kind has");
    if (handle(tensor)->taken) {
        /* Somebody has it already, so that another one is given. */
        VitralTensor same;
        apply(context, text_of("identity"), (VitralList_Setting){NULL, 0}, (VitralList_Tensor){&tensor, 1},
              (VitralText){NULL, 0}, &same, 1);
        tensor = same;
    }
    handle(tensor)->taken = true;
    given[given_count++] = handle(tensor)->raw;
}

static void begin_trace(void) {
    handle_count = given_count = 0;
}

static Outcome *end_trace(uint32_t code, size_t wanted, size_t lent) {
    for (size_t i = 0; i < handle_count; i++)
        if (!handles[i].taken || i < lent) vitral_import_tensor_drop(handles[i].raw);
    panicked(code);
    if (code == VITRAL_OK && given_count != wanted) {
        failure = text_of("it gave fewer results than its kind has");
        code = VITRAL_FAILED;
    }
    if (code != VITRAL_OK) {
        for (size_t i = 0; i < given_count; i++) vitral_import_tensor_drop(given[i]);
        return failed();
    }
    Outcome *made = succeeded();
    memcpy(made->is.words, given, wanted * sizeof *given);
    return made;
}
