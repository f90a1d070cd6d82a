/*
 * What a monitor asks for, and what it is told; a part of component.c.
 */
/* `variant action`. */
typedef struct Action {
    uint8_t tag;
    union {
        struct {
            VitralText name;
            double value;
        } metric;
        VitralText text;
        struct {
            double factor;
            VitralText reason;
        } rate;
    } is;
} Action;

_Static_assert(sizeof(Action) == 24 && offsetof(Action, is) == 8, "an action is a variant");

static Action *actions;
static size_t action_count, action_room;
static VitralText saved;

static void act(void *context, const VitralAction *asked) {
    (void)context;
    if (asked->tag > VITRAL_STOP) {
        failure = text_of("it asked for something that there is not");
        return;
    }
    if (action_count == action_room) {
        action_room = action_room ? 2 * action_room : 16;
        actions = realloc(actions, action_room * sizeof *actions);
        if (!actions) abort();
    }
    Action *action = &actions[action_count++];
    memset(action, 0, sizeof *action);
    action->tag = asked->tag;
    VitralText text = copy(asked->text);
    if (asked->tag == VITRAL_METRIC) {
        action->is.metric.name = text;
        action->is.metric.value = asked->number;
    } else if (asked->tag == VITRAL_SCALE_LEARNING_RATE || asked->tag == VITRAL_ROLL_BACK) {
        action->is.rate.factor = asked->number;
        action->is.rate.reason = text;
    } else {
        action->is.text = text;
    }
}

static void state(void *context, VitralList_u8 bytes) {
    (void)context;
    saved = copy(bytes);
}

typedef struct OptionalNumber {
    uint8_t is_some;
    double value;
} OptionalNumber;

typedef struct OptionalCount {
    uint8_t is_some;
    uint64_t value;
} OptionalCount;

typedef struct Run {
    uint64_t start_step, total_steps, steps_per_epoch, train_images, val_images;
    uint32_t batch_size;
    uint64_t parameters;
    double flops_per_image;
    OptionalNumber peak_flops;
    VitralText device;
} Run;

typedef struct Step {
    uint64_t step;
    double epoch;
    uint32_t images;
    double learning_rate;
    struct {
        uint8_t is_some;
        double loss, accuracy, gradient_norm;
    } figures;
    VitralTimings timings;
    struct {
        uint64_t host, host_peak;
        OptionalCount device, device_peak;
    } memory;
} Step;

typedef struct Distribution {
    double mean, deviation, norm, largest;
    uint64_t zeros, non_finite;
    struct {
        const uint64_t *data;
        size_t len;
    } magnitudes;
} Distribution;

typedef struct Statistics {
    VitralText name;
    uint64_t elements;
    Distribution gradient, weight;
} Statistics;

typedef struct Layers {
    uint64_t step;
    double epoch;
    struct {
        const Statistics *data;
        size_t len;
    } parameters;
} Layers;

typedef struct Event {
    uint8_t tag;
    union {
        Run started;
        Step stepped;
        Layers layers;
        VitralEvaluation evaluated;
        VitralCheckpoint saved;
        VitralText ended;
    } is;
} Event;

static uint64_t count_or_none(OptionalCount count) {
    return count.is_some ? count.value : UINT64_MAX;
}

static VitralDistribution distribution(const Distribution *from) {
    VitralDistribution to = {from->mean, from->deviation, from->norm, from->largest, from->zeros,
                             from->non_finite, {0}};
    size_t most = sizeof to.magnitudes / sizeof *to.magnitudes;
    for (size_t i = 0; i < from->magnitudes.len && i < most; i++) to.magnitudes[i] = from->magnitudes.data[i];
    return to;
}

/* What happened, as a plugin hears it. */
static VitralEvent event_of(const Event *from) {
    VitralEvent event;
    memset(&event, 0, sizeof event);
    event.tag = from->tag;
    switch (from->tag) {
    case VITRAL_STARTED: {
        const Run *run = &from->is.started;
        event.data.started = (VitralRun){
            run->start_step, run->total_steps, run->steps_per_epoch, run->train_images, run->val_images,
            run->batch_size, run->parameters, run->flops_per_image,
            run->peak_flops.is_some ? run->peak_flops.value : NAN, run->device};
        break;
    }
    case VITRAL_STEPPED: {
        const Step *step = &from->is.stepped;
        bool known = step->figures.is_some;
        event.data.stepped = (VitralStep){
            .step = step->step,
            .epoch = step->epoch,
            .images = step->images,
            .has_figures = known,
            .learning_rate = step->learning_rate,
            .loss = known ? step->figures.loss : NAN,
            .accuracy = known ? step->figures.accuracy : NAN,
            .gradient_norm = known ? step->figures.gradient_norm : NAN,
            .timings = step->timings,
            .memory = {step->memory.host, step->memory.host_peak, count_or_none(step->memory.device),
                       count_or_none(step->memory.device_peak)},
        };
        break;
    }
    case VITRAL_LAYERS: {
        const Layers *layers = &from->is.layers;
        size_t count = layers->parameters.len;
        VitralParameterStatistics *statistics = list(count, sizeof *statistics);
        for (size_t i = 0; i < count; i++) {
            const Statistics *one = &layers->parameters.data[i];
            statistics[i] = (VitralParameterStatistics){one->name, one->elements, distribution(&one->gradient),
                                                        distribution(&one->weight)};
        }
        event.data.layers = (VitralLayerReport){layers->step, layers->epoch, {statistics, count}};
        break;
    }
    case VITRAL_EVALUATED:
        event.data.evaluated = from->is.evaluated;
        break;
    case VITRAL_SAVED:
        event.data.saved = from->is.saved;
        break;
    case VITRAL_ENDED:
        event.data.ended = from->is.ended;
        break;
    }
    return event;
}
