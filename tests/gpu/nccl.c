// A stand-in for NVIDIA's NCCL, libnccl.so.2, for processes on one machine whose driver is driver.c's.
//
// It moves bytes through files: what a rank sends is what another one gets, once. It refuses buffers that are not on
// the device, and messages of another size than their receiver expects, as NCCL would hang or fail on them. With
// CUDA_STAND_IN_COPIES=8, a few values that were copied to the device arrive.
//
// NCCL_STAND_IN_FOLDER   where messages lie on their way
// NCCL_STAND_IN_LOG      where counts go when the program ends, with the rank behind the name: "name count" a line
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SUCCESS = 0, SYSTEM_ERROR = 2, INVALID_ARGUMENT = 4, REMOTE_ERROR = 6 };
enum { BYTES = 1, MOST_RANKS = 64, MOST_CALLS = 4096, PATIENCE_US = 60 * 1000 * 1000 };

typedef struct {
    char internal[128];
} Id;
typedef struct {
    int rank, size;
    char folder[512];
    unsigned long sent[MOST_RANKS], received[MOST_RANKS];
} Comm;
typedef struct {
    enum { SEND, RECEIVE, BROADCAST } kind;
    const void *from;
    void *to;
    size_t bytes;
    int peer;
    Comm *comm;
} Call;

static Call calls[MOST_CALLS];
static int queued, in_group, own_rank;
static unsigned long groups, bytes_sent, messages;

__attribute__((destructor)) static void report(void) {
    const char *path = getenv("NCCL_STAND_IN_LOG");
    char name[4096];
    if (!path) return;
    snprintf(name, sizeof name, "%s.%d", path, own_rank);
    FILE *file = fopen(name, "w");
    if (!file) return;
    fprintf(file, "groups %lu\nmessages %lu\nbytes_sent %lu\n", groups, messages, bytes_sent);
    fclose(file);
}

const char *ncclGetErrorString(int code) {
    switch (code) {
    case SUCCESS: return "no error";
    case SYSTEM_ERROR: return "unhandled system error";
    case INVALID_ARGUMENT: return "invalid argument";
    case REMOTE_ERROR: return "remote process exited or there was a network error";
    default: return "unknown result code";
    }
}
int ncclGetVersion(int *version) {
    *version = 22701;
    return SUCCESS;
}
int ncclGetUniqueId(Id *id) {
    memset(id, 0, sizeof *id);
    snprintf(id->internal, sizeof id->internal, "job-%d", getpid());
    return SUCCESS;
}

// Waits for a file of so many bytes (any, if none are asked for) and reads it.
static int await(const char *path, void *to, size_t bytes) {
    struct stat found;
    for (long waited = 0; stat(path, &found); waited += 200) {
        if (waited > PATIENCE_US) return REMOTE_ERROR;
        usleep(200);
    }
    if (!to) return SUCCESS;
    if ((size_t)found.st_size != bytes) return INVALID_ARGUMENT;
    FILE *file = fopen(path, "r");
    size_t read = file ? fread(to, 1, bytes, file) : 0;
    if (file) fclose(file);
    unlink(path);
    return read == bytes ? SUCCESS : SYSTEM_ERROR;
}
// Puts a file where others wait for it, whole.
static int put(const char *path, const void *from, size_t bytes) {
    char hidden[640];
    snprintf(hidden, sizeof hidden, "%s.part", path);
    FILE *file = fopen(hidden, "w");
    size_t written = file ? fwrite(from, 1, bytes, file) : 0;
    if (file) fclose(file);
    return written == bytes && !rename(hidden, path) ? SUCCESS : SYSTEM_ERROR;
}

int ncclCommInitRank(Comm **comm, int size, Id id, int rank) {
    const char *folder = getenv("NCCL_STAND_IN_FOLDER");
    if (!folder || size > MOST_RANKS || rank >= size) return INVALID_ARGUMENT;
    Comm *new = calloc(1, sizeof *new);
    new->rank = own_rank = rank;
    new->size = size;
    snprintf(new->folder, sizeof new->folder, "%s/%.100s", folder, id.internal);
    mkdir(new->folder, 0700);
    char path[600];
    snprintf(path, sizeof path, "%s/joined-%d", new->folder, rank);
    if (put(path, "", 0)) return SYSTEM_ERROR;
    for (int other = 0; other < size; other++) {
        snprintf(path, sizeof path, "%s/joined-%d", new->folder, other);
        if (await(path, NULL, 0)) return REMOTE_ERROR;
    }
    *comm = new;
    return SUCCESS;
}
int ncclCommAbort(Comm *comm) {
    free(comm);
    return SUCCESS;
}
int ncclCommGetAsyncError(Comm *comm, int *error) {
    *error = SUCCESS;
    return SUCCESS;
}

static int is_on_device(const void *address, size_t bytes) {
    static int (*ask)(uint64_t, size_t);
    if (!ask) {
        void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
        ask = driver ? (int (*)(uint64_t, size_t))dlsym(driver, "stand_in_is_on_device") : NULL;
    }
    return ask && ask((uint64_t)address, bytes);
}
static int send_to(Comm *comm, int peer, const void *from, size_t bytes) {
    char path[600];
    snprintf(path, sizeof path, "%s/%d-%d-%lu", comm->folder, comm->rank, peer, comm->sent[peer]++);
    // What a rank keeps goes over no network.
    if (peer != comm->rank) messages += 1, bytes_sent += bytes;
    return put(path, from, bytes);
}
static int receive_from(Comm *comm, int peer, void *to, size_t bytes) {
    char path[600];
    snprintf(path, sizeof path, "%s/%d-%d-%lu", comm->folder, peer, comm->rank, comm->received[peer]++);
    return await(path, to, bytes);
}

static int ask(Call call) {
    if (queued == MOST_CALLS || call.peer < 0 || call.peer >= call.comm->size) return INVALID_ARGUMENT;
    // A rank that is not the root of a broadcast says nothing of what it would send.
    int sends = call.kind == SEND || (call.kind == BROADCAST && call.peer == call.comm->rank);
    if (sends && !is_on_device(call.from, call.bytes)) return INVALID_ARGUMENT;
    if (call.kind != SEND && !is_on_device(call.to, call.bytes)) return INVALID_ARGUMENT;
    calls[queued++] = call;
    return SUCCESS;
}
static int run(void) {
    int code = SUCCESS;
    groups += 1;
    // All that is sent first, so that no rank waits for one that waits for it.
    for (int pass = 0; pass < 2 && !code; pass++)
        for (int at = 0; at < queued && !code; at++) {
            Call *call = &calls[at];
            Comm *comm = call->comm;
            if (pass == 0 && call->kind == SEND) code = send_to(comm, call->peer, call->from, call->bytes);
            if (pass == 1 && call->kind == RECEIVE) code = receive_from(comm, call->peer, call->to, call->bytes);
            if (call->kind != BROADCAST) continue;
            if (pass == 0 && call->peer == comm->rank) {
                memmove(call->to, call->from, call->bytes);
                for (int other = 0; other < comm->size && !code; other++)
                    if (other != comm->rank) code = send_to(comm, other, call->from, call->bytes);
            }
            if (pass == 1 && call->peer != comm->rank) code = receive_from(comm, call->peer, call->to, call->bytes);
        }
    queued = 0;
    return code;
}
static int ask_now(Call call) {
    int code = ask(call);
    return code || in_group ? code : run();
}

int ncclGroupStart(void) {
    in_group += 1;
    return SUCCESS;
}
int ncclGroupEnd(void) {
    if (in_group == 0) return INVALID_ARGUMENT;
    in_group -= 1;
    return in_group ? SUCCESS : run();
}
int ncclSend(const void *from, size_t count, int type, int peer, Comm *comm, void *stream) {
    return type == BYTES && stream ? ask_now((Call){SEND, from, NULL, count, peer, comm}) : INVALID_ARGUMENT;
}
int ncclRecv(void *to, size_t count, int type, int peer, Comm *comm, void *stream) {
    return type == BYTES && stream ? ask_now((Call){RECEIVE, NULL, to, count, peer, comm}) : INVALID_ARGUMENT;
}
int ncclBroadcast(const void *from, void *to, size_t count, int type, int root, Comm *comm, void *stream) {
    return type == BYTES && stream ? ask_now((Call){BROADCAST, from, to, count, root, comm}) : INVALID_ARGUMENT;
}
