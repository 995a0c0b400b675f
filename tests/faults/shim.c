/*
 * What the machine below the gateway does wrong, on command: preloaded into the gateway (LD_PRELOAD), it stands between
 * it and libc's files and clock.
 *
 * - Writes and syncs in the data folder fail, or syncs take long.
 * - The wall clock is off.
 * - A shadow of the data folder holds what a disk would hold if the power went now: a write reaches the shadow when its
 *   file is synced, and is forgotten when that sync fails, as Linux does it.
 *
 * It is no file system: reads are never wrong, a sync that succeeds is never a lie (nobody can survive that), and the
 * shared memory beside SQLite's log, which is made anew after a crash, has no shadow.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* The same words stand in shim.rs. */
struct control {
    volatile int64_t write_error, sync_error, sync_delay_ms, clock_offset_s;
    volatile int64_t met; /* how often any of them was met */
};

struct write {
    struct write *next;
    off_t offset;
    size_t length; /* of a truncation: none */
    int truncates;
    char bytes[];
};

/* A file of the data folder, by name: many descriptors are one file. */
struct file {
    char name[64];
    int shadow; /* descriptor + 1; kept, so that it is there when descriptors run out */
    struct write *first, **last;
};

enum { FILES = 16, DESCRIPTORS = 1 << 16 };
static struct file files[FILES];
static signed char opened[DESCRIPTORS]; /* index + 1, or -1 for a file without a shadow */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct control calm, *control = &calm;
static const char *data, *shadow;

#define NEXT(name) ({ static __typeof__(name) *next; if (!next) next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name); next; })

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULTS_CONTROL");
    data = getenv("FAULTS_DATA");
    shadow = getenv("FAULTS_SHADOW");
    int fd = path ? NEXT(open)(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0 || !data || !shadow) abort();
    void *mapped = mmap(0, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) abort();
    control = mapped;
    close(fd);
}

static int fails(int64_t error) {
    if (!error) return 0;
    __sync_fetch_and_add(&control->met, 1);
    errno = (int)error;
    return 1;
}

static int in_data(const char *path) {
    return data && strncmp(path, data, strlen(data)) == 0;
}

static struct file *file_of(int fd) {
    return fd >= 0 && fd < DESCRIPTORS && opened[fd] > 0 ? &files[opened[fd] - 1] : 0;
}

static int is_data(int fd) {
    return fd >= 0 && fd < DESCRIPTORS && opened[fd] != 0;
}

static int remember(int fd, const char *path) {
    if (fd < 0 || fd >= DESCRIPTORS || !in_data(path)) return fd;
    const char *name = path + strlen(data);
    while (*name == '/') name++;
    size_t length = strlen(name);
    opened[fd] = -1;
    if (!length || length >= sizeof files[0].name || strchr(name, '/') || strstr(name, "-shm")) return fd;
    pthread_mutex_lock(&lock);
    for (int index = 0; index < FILES; index++) {
        if (!files[index].name[0]) {
            strcpy(files[index].name, name);
            files[index].last = &files[index].first;
        }
        if (strcmp(files[index].name, name) == 0) {
            opened[fd] = (signed char)(index + 1);
            break;
        }
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

static int may_open(const char *path, int flags) {
    int writes = (flags & (O_WRONLY | O_RDWR | O_CREAT)) != 0;
    return !(writes && control->write_error == EROFS && in_data(path) && fails(EROFS));
}

static mode_t mode_of(int flags, va_list *rest) {
    return flags & O_CREAT ? va_arg(*rest, mode_t) : 0;
}

#define OPEN(name)                                                                                                             \
    int name(const char *path, int flags, ...) {                                                                               \
        va_list rest;                                                                                                          \
        va_start(rest, flags);                                                                                                 \
        mode_t mode = mode_of(flags, &rest);                                                                                   \
        va_end(rest);                                                                                                          \
        return may_open(path, flags) ? remember(NEXT(name)(path, flags, mode), path) : -1;                                     \
    }
OPEN(open)
OPEN(open64)

int close(int fd) {
    if (fd >= 0 && fd < DESCRIPTORS) opened[fd] = 0;
    return NEXT(close)(fd);
}

int unlink(const char *path) {
    return control->write_error == EROFS && in_data(path) && fails(EROFS) ? -1 : NEXT(unlink)(path);
}

/* With the lock held. */
static void note(struct file *file, const void *bytes, size_t length, off_t offset, int truncates) {
    struct write *write = malloc(sizeof *write + length);
    if (!write) abort();
    *write = (struct write){.offset = offset, .length = length, .truncates = truncates};
    if (length) memcpy(write->bytes, bytes, length);
    *file->last = write;
    file->last = &write->next;
}

static ssize_t write_at(int fd, const void *bytes, size_t length, off_t offset) {
    struct file *file = file_of(fd);
    pthread_mutex_lock(&lock);
    int error = 0;
    if (fails(control->write_error)) {
        error = errno;
        /* A full disk takes a part first. */
        length = error == ENOSPC && length > 512 ? 512 : 0;
    }
    ssize_t written = length ? NEXT(pwrite64)(fd, bytes, length, offset) : 0;
    if (written < 0) error = errno;
    if (written > 0 && file) note(file, bytes, (size_t)written, offset, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return error ? -1 : written;
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
    return is_data(fd) ? write_at(fd, bytes, length, offset) : NEXT(pwrite64)(fd, bytes, length, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
    return pwrite64(fd, bytes, length, offset);
}

/* SQLite seeks and writes where it was not told of pwrite. */
ssize_t write(int fd, const void *bytes, size_t length) {
    if (!is_data(fd)) return NEXT(write)(fd, bytes, length);
    off_t offset = lseek(fd, 0, SEEK_CUR);
    ssize_t written = write_at(fd, bytes, length, offset);
    int error = errno;
    if (written > 0) lseek(fd, offset + written, SEEK_SET);
    errno = error;
    return written;
}

int ftruncate64(int fd, off64_t length) {
    if (!is_data(fd)) return NEXT(ftruncate64)(fd, length);
    if (fails(control->write_error)) return -1;
    struct file *file = file_of(fd);
    pthread_mutex_lock(&lock);
    int result = NEXT(ftruncate64)(fd, length);
    int error = errno;
    if (result == 0 && file) note(file, 0, 0, length, 1);
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int ftruncate(int fd, off_t length) {
    return ftruncate64(fd, length);
}

/* With the lock held: what was written since the last sync reaches the shadow, or is forgotten. */
static void settle(struct file *file, int synced) {
    if (synced && file->first && !file->shadow) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", shadow, file->name);
        file->shadow = NEXT(open)(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) + 1;
        if (!file->shadow) abort();
    }
    int fd = file->shadow - 1;
    for (struct write *write = file->first, *next; write; write = next) {
        next = write->next;
        if (synced && write->truncates && NEXT(ftruncate64)(fd, write->offset) != 0) abort();
        if (synced && write->length && NEXT(pwrite64)(fd, write->bytes, write->length, write->offset) != (ssize_t)write->length) {
            abort();
        }
        free(write);
    }
    file->first = 0;
    file->last = &file->first;
}

static int sync_by(int (*sync)(int), int fd) {
    if (!is_data(fd)) return sync(fd);
    int64_t delay = control->sync_delay_ms;
    if (delay) {
        __sync_fetch_and_add(&control->met, 1);
        usleep((useconds_t)delay * 1000);
    }
    struct file *file = file_of(fd);
    pthread_mutex_lock(&lock);
    int result = fails(control->sync_error) ? -1 : sync(fd);
    int error = errno;
    if (file) settle(file, result == 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int fsync(int fd) {
    return sync_by(NEXT(fsync), fd);
}

int fdatasync(int fd) {
    return sync_by(NEXT(fdatasync), fd);
}

static int64_t offset(void) {
    int64_t seconds = control->clock_offset_s;
    if (seconds) __sync_fetch_and_add(&control->met, 1);
    return seconds;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = NEXT(clock_gettime)(clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += offset();
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    int result = NEXT(gettimeofday)(now, zone);
    if (result == 0) now->tv_sec += offset();
    return result;
}

time_t time(time_t *now) {
    time_t seconds = NEXT(time)(0) + offset();
    if (now) *now = seconds;
    return seconds;
}
