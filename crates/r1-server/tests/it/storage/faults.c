/* Faults of a disk, for the files of a database: preloaded (LD_PRELOAD) into the server under test.
 *
 * R1_FAULTS names a directory. A file in it named OP.FILE or OP.FILE@THREAD is a rule, and holds what
 * happens: the name of an error, or "hang" (until the file is removed). OP is write, sync or cut; FILE is
 * db, wal or shm; THREAD is the name of the thread that calls. With ".once" at its end the rule is used up by
 * the first call that meets it. Every call is a line of the file "calls" there:
 *
 *     THREAD OP FILE OFFSET LENGTH OUTCOME
 *
 * where OUTCOME is "ok", "hang" (and another line when that is over), the name of a rule's error, or "failed". A write that fails writes nothing; a sync that fails syncs nothing.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *rules(void) { return getenv("R1_FAULTS"); }

/* Which of the database's files it is; NULL for any other. */
static const char *file_of(int fd) {
    char link[64], path[PATH_MAX + 1];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX);
    if (length <= 0) return NULL;
    path[length] = 0;
    const char *name = strrchr(path, '/');
    if (!name) return NULL;
    name++;
    /* One that was removed reads "NAME (deleted)". */
    size_t n = strcspn(name, " ");
    if (n == 9 && !strncmp(name, "gpt-r1.db", n)) return "db";
    if (n == 13 && !strncmp(name, "gpt-r1.db-wal", n)) return "wal";
    if (n == 13 && !strncmp(name, "gpt-r1.db-shm", n)) return "shm";
    return NULL;
}

static const struct { const char *name; int code; } ERRORS[] = {
    {"EIO", EIO}, {"ENOSPC", ENOSPC}, {"EDQUOT", EDQUOT}, {"EROFS", EROFS},
};

/* Reads a rule's file; 0 if there is none. */
static int read_rule(const char *path, char *what, size_t size) {
    int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) return 0;
    ssize_t length = syscall(SYS_read, fd, what, size - 1);
    syscall(SYS_close, fd);
    if (length <= 0) return 0;
    what[length] = 0;
    what[strcspn(what, "\n")] = 0;
    return 1;
}

static void record(const char *thread, const char *op, const char *file, int64_t at, int64_t length, const char *outcome) {
    char path[PATH_MAX], line[160];
    snprintf(path, sizeof path, "%s/calls", rules());
    int size = snprintf(line, sizeof line, "%s %s %s %lld %lld %s\n", thread, op, file, (long long)at, (long long)length, outcome);
    int fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return;
    syscall(SYS_write, fd, line, size);
    syscall(SYS_close, fd);
}

/* The error that this call meets; 0 for none. */
static int fault(const char *op, const char *file, const char *thread, const char **name) {
    char path[PATH_MAX], what[32];
    for (int i = 0; i < 4; i++) {
        const char *at = i & 2 ? "@" : "", *who = i & 2 ? thread : "", *once = i & 1 ? ".once" : "";
        snprintf(path, sizeof path, "%s/%s.%s%s%s%s", rules(), op, file, at, who, once);
        if (!read_rule(path, what, sizeof what)) continue;
        if ((i & 1) && syscall(SYS_unlinkat, AT_FDCWD, path, 0) != 0) continue; /* another thread was first */
        if (!strcmp(what, "hang")) {
            record(thread, op, file, 0, 0, "hang");
            while (syscall(SYS_faccessat, AT_FDCWD, path, F_OK) == 0) usleep(5000);
            return 0;
        }
        for (size_t e = 0; e < sizeof ERRORS / sizeof *ERRORS; e++) {
            if (strcmp(what, ERRORS[e].name)) continue;
            *name = ERRORS[e].name;
            return ERRORS[e].code;
        }
    }
    return 0;
}

/* Meets a rule or makes the call, and records it. */
static long call(const char *op, int fd, int64_t at, int64_t length, long number, const void *bytes) {
    const char *file = rules() ? file_of(fd) : NULL;
    char thread[17] = "";
    int error = 0;
    const char *outcome = "ok";
    if (file) {
        prctl(PR_GET_NAME, thread);
        for (char *c = thread; *c; c++) if (*c == ' ') *c = '_';
        error = fault(op, file, thread, &outcome);
    }
    long result = -1;
    if (error) {
        errno = error;
    } else if (number == SYS_pwrite64) {
        result = syscall(number, fd, bytes, (size_t)length, (off_t)at);
    } else if (number == SYS_write) {
        result = syscall(number, fd, bytes, (size_t)length);
    } else if (number == SYS_ftruncate) {
        result = syscall(number, fd, (off_t)at);
    } else {
        result = syscall(number, fd);
    }
    if (file) {
        int kept = errno;
        /* What the real disk said, where it failed by itself. */
        if (result < 0 && !error) outcome = "failed";
        record(thread, op, file, at, result > 0 ? result : length, outcome);
        errno = kept;
    }
    return result;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) { return call("write", fd, at, length, SYS_pwrite64, bytes); }
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) { return call("write", fd, at, length, SYS_pwrite64, bytes); }
ssize_t write(int fd, const void *bytes, size_t length) {
    int64_t at = lseek(fd, 0, SEEK_CUR);
    return call("write", fd, at, length, SYS_write, bytes);
}
int fsync(int fd) { return call("sync", fd, 0, 0, SYS_fsync, NULL); }
int fdatasync(int fd) { return call("sync", fd, 0, 0, SYS_fdatasync, NULL); }
int ftruncate(int fd, off_t at) { return call("cut", fd, at, 0, SYS_ftruncate, NULL); }
int ftruncate64(int fd, off64_t at) { return call("cut", fd, at, 0, SYS_ftruncate, NULL); }
