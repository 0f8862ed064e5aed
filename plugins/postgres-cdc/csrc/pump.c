#include "pump.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

enum {
    ROOM = 256 << 10, /* asked for at once */
    MUCH = 4 << 10,   /* so many bytes after a nap mean that the server has more than it can send */
};

int64_t monotonic_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Receive what is there without waiting: a number of bytes, 0 when nothing is, or an error. */
static long receive(reader *wire, int fd)
{
    int status = reader_room(wire, ROOM);
    if (status != OK)
        return status;
    buffer *input = &wire->input;
    for (;;) {
        ssize_t got = recv(fd, input->data + input->size, input->capacity - input->size, MSG_DONTWAIT);
        if (got > 0) {
            input->size += (size_t)got;
            return (long)got;
        }
        if (got == 0)
            return CLOSED;
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return 0;
        if (errno != EINTR)
            return IO_ERROR;
    }
}

static void nap(int64_t us)
{
    struct timespec length = {us / 1000000, us % 1000000 * 1000};
    nanosleep(&length, NULL);
}

/* Wait until something is there. Where that was at once, more is on its way: let it gather. */
static int wait_for_more(int fd, patience *how)
{
    int64_t started = monotonic_us(), left = how->deadline - started;
    if (left <= 0)
        return OK;
    struct pollfd ready = {fd, POLLIN, 0};
    int found = poll(&ready, 1, left / 1000 < INT_MAX ? (int)(left / 1000) + 1 : INT_MAX);
    how->hurry = found > 0 && monotonic_us() - started < how->nap;
    if (how->hurry)
        nap(how->nap);
    return found < 0 && errno != EINTR ? IO_ERROR : OK;
}

/* Rest after `got` bytes were received and decoded. */
static int rest(int fd, patience *how, long got)
{
    if (how->hurry && got >= MUCH) {
        if (got < ROOM / 2)
            nap(how->nap);
        return OK;
    }
    how->hurry = false;
    return got ? OK : wait_for_more(fd, how);
}

int pump(reader *wire, int fd, patience *how, decoding *run, void *self, details *out)
{
    int status = run(self, out);
    while (status == NEED) {
        if (monotonic_us() >= how->deadline) {
            out->flag = how->came;
            return IDLE;
        }
        long got = receive(wire, fd);
        if (got < 0)
            return (int)got;
        how->came |= got > 0;
        status = run(self, out);
        if (status == NEED)
            status = rest(fd, how, got);
    }
    return status;
}
