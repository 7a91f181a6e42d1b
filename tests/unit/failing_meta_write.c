/* Fails the next write of a meta page of LMDB once the file that ARM names is there, which holds the
   errno: the page cache takes what is written, and then the disk says no. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static ssize_t write_at(const char *name, int fd, const void *bytes, size_t count, off_t place)
{
    ssize_t (*real)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, name);
    const char *arm = getenv("ARM");
    ssize_t done = real(fd, bytes, count, place);
    FILE *armed;
    int number = EIO;

    if (arm == NULL || place >= 8192 || count >= 200 || (armed = fopen(arm, "r")) == NULL)
        return done;
    if (fscanf(armed, "%d", &number) != 1)
        number = EIO;
    fclose(armed);
    unlink(arm);
    errno = number;
    return -1;
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t place)
{
    return write_at("pwrite", fd, bytes, count, place);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t place)
{
    return write_at("pwrite64", fd, bytes, count, place);
}
