/*
 * What the C library asks of the system, where there is none; a part of a plugin's WebAssembly form.
 *
 * wasi-libc imports these functions. Here they are functions of the plugin itself, so that its component
 * imports nothing but the contract: what it prints goes to the log, clocks stand still, and there are no files,
 * arguments or variables. Random numbers come from the host alone, as the seed of each call.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "vitral_plugin.h"

#define TEXT_OF_(x) #x
#define TEXT_OF(x) TEXT_OF_(x)

__attribute__((import_module("vitral:plugin/logging@" TEXT_OF(VITRAL_MAJOR) "." TEXT_OF(VITRAL_MINOR) ".0"),
               import_name("log")))
void vitral_import_log_line(uint32_t level, const uint8_t *message, size_t len);

#define SYSTEM(name) __imported_wasi_snapshot_preview1_##name

/* Errors of WASI, and a file's kind. */
enum { NO_SUCH_FILE = 8, NOT_SUPPORTED = 58, CHARACTER_DEVICE = 2 };
enum { STANDARD_OUTPUT = 1, STANDARD_ERROR = 2 };

/* A line that is not over yet. */
static uint8_t line[1024];
static size_t written;

static void end_line(int32_t file) {
    if (written) vitral_import_log_line(file == STANDARD_ERROR ? VITRAL_ERROR : VITRAL_INFO, line, written);
    written = 0;
}

int32_t SYSTEM(fd_write)(int32_t file, int32_t parts, int32_t count, int32_t result) {
    if (file != STANDARD_OUTPUT && file != STANDARD_ERROR) return NO_SUCH_FILE;
    const VitralText *texts = (const VitralText *)(uintptr_t)parts;
    uint32_t total = 0;
    for (int32_t i = 0; i < count; i++) {
        for (size_t at = 0; at < texts[i].len; at++) {
            uint8_t byte = texts[i].data[at];
            if (byte != '\n') line[written++] = byte;
            if (byte == '\n' || written == sizeof line) end_line(file);
        }
        total += texts[i].len;
    }
    memcpy((void *)(uintptr_t)result, &total, sizeof total);
    return 0;
}

int32_t SYSTEM(fd_read)(int32_t file, int32_t parts, int32_t count, int32_t result) {
    (void)file, (void)parts, (void)count, (void)result;
    return NO_SUCH_FILE;
}

int32_t SYSTEM(fd_close)(int32_t file) {
    (void)file;
    return 0;
}

int32_t SYSTEM(fd_seek)(int32_t file, int64_t offset, int32_t whence, int32_t result) {
    (void)file, (void)offset, (void)whence, (void)result;
    return NOT_SUPPORTED;
}

int32_t SYSTEM(fd_fdstat_get)(int32_t file, int32_t result) {
    if (file != STANDARD_OUTPUT && file != STANDARD_ERROR) return NO_SUCH_FILE;
    /* Of 24 bytes; a terminal's, whose lines are written when they are over. */
    uint8_t *status = memset((void *)(uintptr_t)result, 0, 24);
    status[0] = CHARACTER_DEVICE;
    return 0;
}

int32_t SYSTEM(fd_prestat_get)(int32_t file, int32_t result) {
    (void)file, (void)result;
    return NO_SUCH_FILE;
}

int32_t SYSTEM(fd_prestat_dir_name)(int32_t file, int32_t path, int32_t len) {
    (void)file, (void)path, (void)len;
    return NO_SUCH_FILE;
}

static int32_t none(int32_t count, int32_t size) {
    memset((void *)(uintptr_t)count, 0, sizeof(uint32_t));
    memset((void *)(uintptr_t)size, 0, sizeof(uint32_t));
    return 0;
}

int32_t SYSTEM(environ_sizes_get)(int32_t count, int32_t size) {
    return none(count, size);
}

int32_t SYSTEM(environ_get)(int32_t variables, int32_t buffer) {
    (void)variables, (void)buffer;
    return 0;
}

int32_t SYSTEM(args_sizes_get)(int32_t count, int32_t size) {
    return none(count, size);
}

int32_t SYSTEM(args_get)(int32_t arguments, int32_t buffer) {
    (void)arguments, (void)buffer;
    return 0;
}

int32_t SYSTEM(clock_time_get)(int32_t clock, int64_t precision, int32_t result) {
    (void)clock, (void)precision;
    memset((void *)(uintptr_t)result, 0, sizeof(uint64_t));
    return 0;
}

int32_t SYSTEM(random_get)(int32_t buffer, int32_t len) {
    (void)buffer, (void)len;
    return NOT_SUPPORTED;
}

_Noreturn void SYSTEM(proc_exit)(int32_t code) {
    (void)code;
    end_line(STANDARD_ERROR);
    __builtin_trap();
}
