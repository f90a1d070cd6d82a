// A stand-in for NVIDIA's driver library, libcuda.so.1, on machines without a GPU.
//
// It has one device that computes nothing: memory is the host's, copies and launches are counted. Kernels are
// compiled by the real NVRTC before they come here, so a program that trains on this device has shown that every kernel
// it launches compiles for the device's architecture, that no launch or copy is beyond the device's limits or outside
// what was allocated, and what a step costs in launches, waits, and bytes over the bus. Values mean nothing: memory
// starts at zero and, without CUDA_STAND_IN_COPIES, stays so.
//
//     cc -O2 -shared -fPIC -pthread -o libcuda.so.1 driver.c
//     LD_LIBRARY_PATH=. CUDA_PATH=<a toolkit with NVRTC> CUDA_STAND_IN_LOG=log.txt program
//
// CUDA_STAND_IN_LOG      where counts go when the program ends: "name count" a line; and of each kernel
//                        "launch NAME count bytes-of-shared-memory"
// CUDA_STAND_IN_PTX      a folder that gets each loaded module, for ptxas
// CUDA_STAND_IN_CC       compute capability, as in 90 (the default), 80, 89
// CUDA_STAND_IN_DRIVER   the CUDA version that the driver is of, as in 13000; else newer than any NVRTC
// CUDA_STAND_IN_MEMORY   bytes of memory; else 141 GiB
// CUDA_STAND_IN_DEVICES  how many devices there are; else 1
// CUDA_STAND_IN_FIRST    which of a machine's devices this process has as its first one; else 0
// CUDA_STAND_IN_COPIES   copies of at most so many bytes move them; others, and else all, bring zeros to the host
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

typedef int Result;
typedef uint64_t Address; // and handles of streams, events, modules
enum {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    UNSUPPORTED_PTX_VERSION = 222,
    NOT_FOUND = 500,
    NOT_SUPPORTED = 801,
    CAPTURE_UNSUPPORTED = 900,
    CAPTURE_INVALIDATED = 901,
};

// What is counted.

// Counts of calls: cheap, since what the host spends on a step is measured here.
#define COUNTS(each)                                                                                                   \
    each(launches) each(waits) each(allocations) each(modules) each(events) each(to_device) each(to_device_bytes)      \
        each(to_host) each(to_host_bytes) each(on_device) each(on_device_bytes) each(refused_launches)                 \
            each(refused_copies) each(refused_modules) each(graphs) each(graph_launches) each(repeated_launches)       \
                each(recorded_uploads)
#define DECLARE(name) static unsigned long name;
COUNTS(DECLARE)
static unsigned long live_bytes, peak_bytes;

static void add(unsigned long *count, unsigned long by) { __sync_fetch_and_add(count, by); }

// A kernel, which is what a function handle points to.
typedef struct Kernel {
    struct Kernel *next;
    unsigned long launches;
    unsigned allowed, shared; // bytes of shared memory that a launch may ask for, and the most that one did
    char name[];
} Kernel;
static Kernel *kernels;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static unsigned long setting(const char *name, unsigned long otherwise) {
    const char *value = getenv(name);
    return value ? strtoul(value, NULL, 10) : otherwise;
}

__attribute__((destructor)) static void report(void) {
    const char *path = getenv("CUDA_STAND_IN_LOG");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (!file) return;
    fprintf(file, "peak_bytes %lu\n", peak_bytes);
#define PRINT(name) fprintf(file, #name " %lu\n", name);
    COUNTS(PRINT)
    for (Kernel *kernel = kernels; kernel; kernel = kernel->next)
        fprintf(file, "launch %s %lu %u\n", kernel->name, kernel->launches, kernel->shared);
    fclose(file);
}

// The device: that of an H100, but for what is set.

static size_t total_memory(void) { return setting("CUDA_STAND_IN_MEMORY", 141ul << 30); }
static int capability(void) { return setting("CUDA_STAND_IN_CC", 90); }
static int driver_version(void) { return setting("CUDA_STAND_IN_DRIVER", 99000); }
static const int MOST_SHARED = 232448, MOST_THREADS = 1024, MOST_GRID_Y = 65535;

Result cuInit(unsigned flags) { return setting("CUDA_STAND_IN_DEVICES", 1) ? SUCCESS : NO_DEVICE; }
Result cuDriverGetVersion(int *version) {
    *version = driver_version();
    return SUCCESS;
}
Result cuGetErrorName(Result code, const char **text) {
    *text = "an error of the stand-in";
    return SUCCESS;
}
Result cuGetErrorString(Result code, const char **text) {
    *text = code == OUT_OF_MEMORY             ? "out of memory"
            : code == UNSUPPORTED_PTX_VERSION ? "the PTX is of a newer toolkit"
                                              : "refused by the stand-in for the driver";
    return SUCCESS;
}
Result cuDeviceGetCount(int *count) {
    *count = setting("CUDA_STAND_IN_DEVICES", 1);
    return SUCCESS;
}
Result cuDeviceGet(int *device, int index) {
    *device = index;
    return index < (int)setting("CUDA_STAND_IN_DEVICES", 1) ? SUCCESS : INVALID_DEVICE;
}
Result cuDeviceGetName(char *name, int size, int device) {
    snprintf(name, size, "stand-in for an NVIDIA GPU");
    return SUCCESS;
}
Result cuDeviceTotalMem_v2(size_t *bytes, int device) {
    *bytes = total_memory();
    return SUCCESS;
}
Result cuDeviceGetPCIBusId(char *id, int size, int device) {
    snprintf(id, size, "0000:%02x:00.0", device);
    return SUCCESS;
}
Result cuDeviceGetUuid_v2(void *uuid, int device) {
    memset(uuid, setting("CUDA_STAND_IN_FIRST", 0) + device + 1, 16);
    return SUCCESS;
}
Result cuDeviceGetAttribute(int *value, int attribute, int device) {
    switch (attribute) {
    case 1: *value = MOST_THREADS; break;                   // of a block
    case 2: case 3: *value = 1024; break;                   // and in each of its dimensions
    case 4: *value = 64; break;
    case 5: *value = 2147483647; break;                     // of a grid
    case 6: case 7: *value = MOST_GRID_Y; break;
    case 8: *value = 49152; break;                          // shared memory of a block
    case 9: *value = 65536; break;                          // constant memory
    case 10: *value = 32; break;                            // a warp
    case 12: *value = 65536; break;                         // registers of a block
    case 13: *value = 1980000; break;                       // clock rate
    case 14: *value = 512; break;                           // texture alignment
    case 16: *value = 132; break;                           // multiprocessors
    case 35: *value = 0; break;                             // ECC
    case 36: *value = 3201000; break;                       // memory's clock rate
    case 37: *value = 6144; break;                          // and width
    case 38: *value = 60 << 20; break;                      // L2 cache
    case 39: *value = 2048; break;                          // threads of a multiprocessor
    case 75: *value = capability() / 10; break;
    case 76: *value = capability() % 10; break;
    case 81: *value = MOST_SHARED + 1024; break;            // shared memory of a multiprocessor
    case 82: *value = 65536; break;                         // and its registers
    case 97: *value = MOST_SHARED; break;                   // shared memory of a block that asks for it
    case 106: *value = 32; break;                           // blocks of a multiprocessor
    default: *value = 1;
    }
    return SUCCESS;
}
Result cuDevicePrimaryCtxRetain(void **context, int device) {
    *context = (void *)1;
    // A context takes about that much.
    return total_memory() < (300ul << 20) ? OUT_OF_MEMORY : SUCCESS;
}
Result cuDevicePrimaryCtxRelease_v2(int device) { return SUCCESS; }
Result cuDevicePrimaryCtxSetFlags_v2(int device, unsigned flags) { return SUCCESS; }
Result cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) {
    *flags = 0;
    *active = 1;
    return SUCCESS;
}
Result cuCtxSetCurrent(void *context) { return SUCCESS; }
Result cuCtxGetCurrent(void **context) {
    *context = (void *)1;
    return SUCCESS;
}
Result cuCtxGetDevice(int *device) {
    *device = 0;
    return SUCCESS;
}
Result cuCtxGetStreamPriorityRange(int *least, int *greatest) {
    *least = 0;
    *greatest = -5;
    return SUCCESS;
}
Result cuCtxEnablePeerAccess(void *context, unsigned flags) { return SUCCESS; }
Result cuDeviceCanAccessPeer(int *can, int device, int peer) {
    *can = 0;
    return SUCCESS;
}

// Streams, events, graphs.

static Address handle(void) {
    static Address next = 16;
    return __sync_fetch_and_add(&next, 16);
}
// What was recorded: the kernel of each launch, or nothing where it was something else.
typedef struct {
    Address stream;
    struct Kernel **nodes;
    size_t count;
} Graph;
// One at a time. While something is recorded, all threads are refused what cannot be: CubeCL asks for that (GLOBAL).
static Graph *recording;
static int is_invalid;
static Result refused(void) {
    is_invalid = 1;
    return CAPTURE_UNSUPPORTED;
}
static int is_recorded(Address stream) { return recording && recording->stream == stream; }
static Result record(struct Kernel *kernel) {
    struct Kernel **nodes = realloc(recording->nodes, (recording->count + 1) * sizeof *nodes);
    if (!nodes) return OUT_OF_MEMORY;
    recording->nodes = nodes;
    nodes[recording->count++] = kernel;
    return SUCCESS;
}
Result cuStreamCreate(Address *stream, unsigned flags) {
    *stream = handle();
    return SUCCESS;
}
Result cuStreamCreateWithPriority(Address *stream, unsigned flags, int priority) {
    return cuStreamCreate(stream, flags);
}
Result cuStreamDestroy_v2(Address stream) { return SUCCESS; }
Result cuStreamSynchronize(Address stream) {
    if (is_recorded(stream)) return refused();
    add(&waits, 1);
    return SUCCESS;
}
Result cuCtxSynchronize(void) {
    if (recording) return refused();
    add(&waits, 1);
    return SUCCESS;
}
Result cuStreamQuery(Address stream) { return SUCCESS; }
Result cuStreamWaitEvent(Address stream, Address event, unsigned flags) { return SUCCESS; }
Result cuStreamIsCapturing(Address stream, int *capturing) {
    *capturing = is_recorded(stream);
    return SUCCESS;
}
Result cuEventCreate(Address *event, unsigned flags) {
    *event = handle();
    return SUCCESS;
}
Result cuEventDestroy_v2(Address event) { return SUCCESS; }
Result cuEventRecord(Address event, Address stream) {
    add(&events, 1);
    return SUCCESS;
}
Result cuEventSynchronize(Address event) {
    if (recording) return refused();
    add(&waits, 1);
    return SUCCESS;
}
Result cuEventQuery(Address event) { return SUCCESS; }
// Long enough that no benchmark of a tuner repeats its kernel with more work until its counters overflow.
Result cuEventElapsedTime(float *ms, Address start, Address end) {
    *ms = 50.0f;
    return SUCCESS;
}
Result cuEventElapsedTime_v2(float *ms, Address start, Address end) { return cuEventElapsedTime(ms, start, end); }
Result cuLaunchHostFunc(Address stream, void (*function)(void *), void *data) {
    if (is_recorded(stream)) return refused();
    function(data);
    return SUCCESS;
}
Result cuStreamBeginCapture_v2(Address stream, int mode) {
    if (recording) return INVALID_VALUE;
    recording = calloc(1, sizeof *recording);
    if (!recording) return OUT_OF_MEMORY;
    recording->stream = stream;
    is_invalid = 0;
    return SUCCESS;
}
Result cuStreamEndCapture(Address stream, Graph **graph) {
    if (!is_recorded(stream)) return INVALID_VALUE;
    *graph = recording;
    recording = NULL;
    return is_invalid ? CAPTURE_INVALIDATED : SUCCESS;
}
// An executable is the graph that it is made of, which is then its own.
Result cuGraphInstantiateWithFlags(Graph **executable, Graph *graph, unsigned long long flags) {
    add(&graphs, 1);
    *executable = malloc(sizeof **executable);
    if (!*executable) return OUT_OF_MEMORY;
    **executable = *graph;
    graph->nodes = NULL;
    graph->count = 0;
    return SUCCESS;
}
Result cuGraphDestroy(Graph *graph) {
    free(graph->nodes);
    free(graph);
    return SUCCESS;
}
Result cuGraphExecDestroy(Graph *executable) { return cuGraphDestroy(executable); }
Result cuGraphLaunch(Graph *executable, Address stream) {
    add(&graph_launches, 1);
    for (size_t at = 0; at < executable->count; at++) {
        if (!executable->nodes[at]) continue;
        add(&executable->nodes[at]->launches, 1);
        add(&repeated_launches, 1);
    }
    return SUCCESS;
}
Result cuGraphUpload(Graph *executable, Address stream) { return SUCCESS; }
Result cuGraphGetNodes(Graph *graph, Address *nodes, size_t *count) {
    for (size_t at = 0; nodes && at < *count && at < graph->count; at++) nodes[at] = (Address)&graph->nodes[at];
    if (!nodes) *count = graph->count;
    return SUCCESS;
}
Result cuGraphNodeGetType(Address node, int *type) {
    *type = *(struct Kernel **)node ? 0 : 1; // kernels and copies
    return SUCCESS;
}

// Memory.

typedef struct Allocation {
    struct Allocation *next;
    char *start;
    size_t bytes, mapped;
    int on_device;
} Allocation;
static Allocation *allocated;

static Result take(void **pointer, size_t bytes, int on_device) {
    if (recording) return refused();
    if (on_device) {
        unsigned long now = __sync_add_and_fetch(&live_bytes, bytes);
        if (now > total_memory()) {
            __sync_fetch_and_sub(&live_bytes, bytes);
            return OUT_OF_MEMORY;
        }
        if (now > peak_bytes) peak_bytes = now;
        add(&allocations, 1);
    }
    Allocation *new = malloc(sizeof *new);
    size_t mapped = ((bytes ? bytes : 1) + 4095) & ~4095ul;
    char *start = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (!new || start == MAP_FAILED) return OUT_OF_MEMORY;
    pthread_mutex_lock(&lock);
    *new = (Allocation){allocated, start, bytes, mapped, on_device};
    allocated = new;
    pthread_mutex_unlock(&lock);
    *pointer = start;
    return SUCCESS;
}
static Result give(void *pointer) {
    Result result = pointer ? INVALID_VALUE : SUCCESS;
    pthread_mutex_lock(&lock);
    for (Allocation **at = &allocated; *at; at = &(*at)->next) {
        Allocation *found = *at;
        if (found->start != pointer) continue;
        *at = found->next;
        if (found->on_device) __sync_fetch_and_sub(&live_bytes, found->bytes);
        munmap(found->start, found->mapped);
        free(found);
        result = SUCCESS;
        break;
    }
    pthread_mutex_unlock(&lock);
    return result;
}
// Whether bytes lie within something that was allocated on the device.
static int is_on_device(Address address, size_t bytes) {
    int found = bytes == 0;
    pthread_mutex_lock(&lock);
    for (Allocation *one = allocated; one && !found; one = one->next)
        found = one->on_device && (char *)address >= one->start &&
                (char *)address + bytes <= one->start + one->bytes;
    pthread_mutex_unlock(&lock);
    return found;
}
// For the stand-in for NCCL.
int stand_in_is_on_device(Address address, size_t bytes) { return is_on_device(address, bytes); }
Result cuMemAlloc_v2(Address *address, size_t bytes) { return take((void **)address, bytes, 1); }
Result cuMemAllocAsync(Address *address, size_t bytes, Address stream) { return cuMemAlloc_v2(address, bytes); }
Result cuMemFree_v2(Address address) { return give((void *)address); }
Result cuMemFreeAsync(Address address, Address stream) { return cuMemFree_v2(address); }
Result cuMemAllocHost_v2(void **pointer, size_t bytes) { return take(pointer, bytes, 0); }
Result cuMemHostAlloc(void **pointer, size_t bytes, unsigned flags) { return cuMemAllocHost_v2(pointer, bytes); }
Result cuMemFreeHost(void *pointer) { return give(pointer); }
Result cuMemGetInfo_v2(size_t *unused, size_t *total) {
    *total = total_memory();
    *unused = *total - live_bytes;
    return SUCCESS;
}

Result cuDeviceGetDefaultMemPool(Address *pool, int device) {
    *pool = 1;
    return SUCCESS;
}
Result cuMemPoolSetAttribute(Address pool, int attribute, void *value) { return SUCCESS; }

static Result copy(unsigned long *count, unsigned long *bytes, void *to, const void *from, size_t size) {
    int reads = count != &to_device, writes = count != &to_host;
    if ((writes && !is_on_device((Address)to, size)) || (reads && !is_on_device((Address)from, size))) {
        add(&refused_copies, 1);
        return INVALID_VALUE;
    }
    add(count, 1);
    add(bytes, size);
    static long most = -1;
    if (most < 0) most = setting("CUDA_STAND_IN_COPIES", 0);
    if (size <= (size_t)most) memmove(to, from, size);
    else if (count == &to_host) memset(to, 0, size);
    return SUCCESS;
}
#define UP(to, from, size) copy(&to_device, &to_device_bytes, (void *)(to), from, size)
#define DOWN(to, from, size) copy(&to_host, &to_host_bytes, to, (void *)(from), size)
#define ACROSS(to, from, size) copy(&on_device, &on_device_bytes, (void *)(to), (void *)(from), size)
// A copy that is recorded brings the same each time.
static Result recorded_copy(int is_up) {
    add(&recorded_uploads, is_up);
    return record(NULL);
}
Result cuMemcpyHtoDAsync_v2(Address to, const void *from, size_t size, Address stream) {
    return is_recorded(stream) ? recorded_copy(1) : UP(to, from, size);
}
Result cuMemcpyHtoD_v2(Address to, const void *from, size_t size) { return UP(to, from, size); }
Result cuMemcpyDtoHAsync_v2(void *to, Address from, size_t size, Address stream) {
    return is_recorded(stream) ? recorded_copy(0) : DOWN(to, from, size);
}
Result cuMemcpyDtoH_v2(void *to, Address from, size_t size) {
    add(&waits, 1);
    return DOWN(to, from, size);
}
Result cuMemcpyDtoDAsync_v2(Address to, Address from, size_t size, Address stream) {
    return is_recorded(stream) ? recorded_copy(0) : ACROSS(to, from, size);
}
Result cuMemcpyPeerAsync(Address to, void *a, Address from, void *b, size_t size, Address stream) {
    return ACROSS(to, from, size);
}
typedef struct {
    size_t x, y;
    int type; // 1: the host
    const void *host;
    Address device;
    void *array;
    size_t pitch;
} Side;
typedef struct {
    Side from, to;
    size_t width, height;
} Copy2D;
Result cuMemcpy2DAsync_v2(const Copy2D *c, Address stream) {
    if (is_recorded(stream)) return recorded_copy(c->from.type == 1);
    const char *from = (c->from.type == 1 ? (const char *)c->from.host : (const char *)c->from.device) +
                       c->from.y * c->from.pitch + c->from.x;
    char *to = (c->to.type == 1 ? (char *)c->to.host : (char *)c->to.device) + c->to.y * c->to.pitch + c->to.x;
    for (size_t row = 0; row < c->height; row++, from += c->from.pitch, to += c->to.pitch) {
        Result result = c->to.type == 1     ? DOWN(to, from, c->width)
                        : c->from.type == 1 ? UP(to, from, c->width)
                                            : ACROSS(to, from, c->width);
        if (result) return result;
    }
    // One copy of all rows.
    if (c->height > 1) add(c->to.type == 1 ? &to_host : c->from.type == 1 ? &to_device : &on_device, 1 - c->height);
    return SUCCESS;
}
Result cuMemsetD8_v2(Address to, unsigned char value, size_t size) {
    if (!is_on_device(to, size)) return INVALID_VALUE;
    memset((void *)to, value, size);
    return SUCCESS;
}
Result cuMemsetD8Async(Address to, unsigned char value, size_t size, Address stream) {
    if (is_recorded(stream)) return record(NULL);
    return cuMemsetD8_v2(to, value, size);
}

// Kernels.

// The first CUDA whose driver takes a version of PTX, newest first. What is newer than all needs a driver that is.
static int driver_for(int ptx) {
    static const int of[][2] = {{93, 13030}, {92, 13020}, {91, 13010}, {90, 13000}, {88, 12090}, {87, 12080},
                                {86, 12070}, {85, 12050}, {84, 12040}, {83, 12030}, {82, 12020}, {80, 12000}};
    if (ptx > of[0][0]) return of[0][1] + 1;
    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        if (ptx >= of[i][0]) return of[i][1];
    return 0;
}
Result cuModuleLoadData(Address *module, const void *image) {
    int major, minor;
    const char *version = strncmp(image, "//", 2) ? NULL : strstr(image, "\n.version ");
    if (version && sscanf(version, " .version %d.%d", &major, &minor) == 2 &&
        driver_version() < driver_for(major * 10 + minor)) {
        add(&refused_modules, 1);
        return UNSUPPORTED_PTX_VERSION;
    }
    const char *folder = getenv("CUDA_STAND_IN_PTX");
    if (folder && version) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%06lu.ptx", folder, modules);
        FILE *file = fopen(path, "w");
        if (file) {
            fputs(image, file);
            fclose(file);
        }
    }
    add(&modules, 1);
    *module = handle();
    return SUCCESS;
}
Result cuModuleUnload(Address module) { return SUCCESS; }
Result cuModuleGetFunction(Kernel **function, Address module, const char *name) {
    Kernel *kernel = calloc(1, sizeof *kernel + strlen(name) + 1);
    if (!kernel) return OUT_OF_MEMORY;
    strcpy(kernel->name, name);
    kernel->allowed = 49152;
    pthread_mutex_lock(&lock);
    kernel->next = kernels;
    kernels = kernel;
    pthread_mutex_unlock(&lock);
    *function = kernel;
    return SUCCESS;
}
Result cuModuleGetGlobal_v2(Address *address, size_t *bytes, Address module, const char *name) { return NOT_FOUND; }
Result cuFuncGetAttribute(int *value, int attribute, Kernel *function) {
    *value = attribute == 0 ? MOST_THREADS : 0;
    return SUCCESS;
}
Result cuFuncSetAttribute(Kernel *function, int attribute, int value) {
    if (attribute != 8) return SUCCESS;
    if (value > MOST_SHARED) return INVALID_VALUE;
    if ((unsigned)value > function->allowed) function->allowed = value;
    return SUCCESS;
}
Result cuLaunchKernel(Kernel *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                      unsigned shared, Address stream, void **parameters, void **extra) {
    if (!gx || !gy || !gz || !bx || !by || !bz || gx > 2147483647 || gy > MOST_GRID_Y || gz > MOST_GRID_Y ||
        bx > 1024 || by > 1024 || bz > 64 || (unsigned long)bx * by * bz > MOST_THREADS ||
        shared > function->allowed) {
        add(&refused_launches, 1);
        fprintf(stderr, "stand-in for the driver: refused %s, grid %u %u %u, block %u %u %u, %u bytes shared\n",
                function->name, gx, gy, gz, bx, by, bz, shared);
        return INVALID_VALUE;
    }
    if (shared > function->shared) function->shared = shared;
    if (is_recorded(stream)) return record(function);
    add(&function->launches, 1);
    add(&launches, 1);
    return SUCCESS;
}
Result cuLaunchCooperativeKernel(Kernel *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                                 unsigned bz, unsigned shared, Address stream, void **parameters) {
    return cuLaunchKernel(function, gx, gy, gz, bx, by, bz, shared, stream, parameters, NULL);
}
typedef struct {
    unsigned gx, gy, gz, bx, by, bz, shared;
    Address stream;
    void *attributes;
    unsigned count;
} Launch;
Result cuLaunchKernelEx(const Launch *l, Kernel *function, void **parameters, void **extra) {
    return cuLaunchKernel(function, l->gx, l->gy, l->gz, l->bx, l->by, l->bz, l->shared, l->stream, parameters, extra);
}
Result cuTensorMapEncodeTiled(void *map) {
    memset(map, 0, 128);
    return SUCCESS;
}
Result cuTensorMapEncodeIm2col(void *map) { return cuTensorMapEncodeTiled(map); }
Result cuTensorMapEncodeIm2colWide(void *map) { return cuTensorMapEncodeTiled(map); }

Result cuGetProcAddress_v2(const char *symbol, void **function, int version, uint64_t flags, int *status) {
    *function = NULL;
    if (status) *status = 1; // there is no such function
    return NOT_FOUND;
}
// NVRTC asks for tables of functions that no document has, and does without; without this function it crashes.
Result cuGetExportTable(const void **table, const void *id) {
    *table = NULL;
    return NOT_FOUND;
}
