/* Loaded before libc into the peers of a run (LD_PRELOAD): bends the wall clock of one process, and
 * makes what it asks of its disk slow or fail. Compiled at the start of a run by jlike.shim.
 *
 * What it does stands in a page that it shares with the suite (the file that JLIKE_FAULTS names), so
 * that it can be changed while the process runs, and so that the suite sees how often it was met.
 * Without that file it does nothing. The machine's own clock is never touched.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/* The same fields, in the same order, as LAYOUT in shim.py. */
struct page {
    _Atomic int64_t clock_offset_ns;
    _Atomic int64_t sync_delay_us;
    _Atomic int64_t sync_errno;
    _Atomic int64_t clocks_bent;
    _Atomic int64_t syncs_delayed;
    _Atomic int64_t syncs_failed;
};

static struct page *shared;
static int (*real_clock_gettime)(clockid_t, struct timespec *);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_msync)(void *, size_t, int);

static void *real(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

__attribute__((constructor)) static void open_page(void)
{
    real_clock_gettime = real("clock_gettime");
    real_fsync = real("fsync");
    real_fdatasync = real("fdatasync");
    real_msync = real("msync");
    const char *path = getenv("JLIKE_FAULTS");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *found = mmap(NULL, sizeof(struct page), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (found != MAP_FAILED)
        shared = found;
}

/* --- the wall clock, and no other ------------------------------------------------------------ */

int clock_gettime(clockid_t which, struct timespec *answer)
{
    if (!real_clock_gettime) /* called before our constructor, by another library's */
        real_clock_gettime = real("clock_gettime");
    int result = real_clock_gettime(which, answer);
    int64_t offset_ns = shared ? shared->clock_offset_ns : 0;
    if (result == 0 && offset_ns && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) {
        int64_t now_ns = (int64_t)answer->tv_sec * 1000000000 + answer->tv_nsec + offset_ns;
        answer->tv_sec = now_ns / 1000000000;
        answer->tv_nsec = now_ns % 1000000000;
        shared->clocks_bent++;
    }
    return result;
}

int gettimeofday(struct timeval *restrict answer, void *restrict zone)
{
    (void)zone; /* obsolete; nobody sets it */
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now))
        return -1;
    answer->tv_sec = now.tv_sec;
    answer->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *answer)
{
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now))
        return -1;
    if (answer)
        *answer = now.tv_sec;
    return now.tv_sec;
}

/* --- promises of the disk -------------------------------------------------------------------- */

/* Whether the call fails, with errno set, before it has done anything. */
static int is_refused(void)
{
    if (!shared)
        return 0;
    int64_t delay_us = shared->sync_delay_us;
    if (delay_us) {
        struct timespec wait = {delay_us / 1000000, delay_us % 1000000 * 1000};
        shared->syncs_delayed++;
        nanosleep(&wait, NULL);
    }
    int64_t error = shared->sync_errno;
    if (error) {
        shared->syncs_failed++;
        errno = (int)error;
    }
    return error != 0;
}

int fsync(int file)
{
    return is_refused() ? -1 : real_fsync(file);
}

int fdatasync(int file)
{
    return is_refused() ? -1 : real_fdatasync(file);
}

int msync(void *begin, size_t length, int flags)
{
    return (flags & MS_SYNC) && is_refused() ? -1 : real_msync(begin, length, flags);
}
