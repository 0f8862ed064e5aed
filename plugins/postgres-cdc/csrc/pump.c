#include "pump.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

enum {
    ROOM = 256 << 10, /* asked for at once */
    MUCH = 8 << 10,   /* so many bytes between two waits mean that the server has more than it can send */
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

/* Wait for more, at most until the deadline. */
static int wait_for_more(int fd, patience *how)
{
    bool much = how->since >= MUCH;
    int64_t left = how->deadline - monotonic_us();
    how->since = 0;
    if (left <= 0)
        return OK;
    if (much && how->nap) {
        nap(how->nap < left ? how->nap : left);
        return OK;
    }
    struct pollfd ready = {fd, POLLIN, 0};
    int found = poll(&ready, 1, left / 1000 < INT_MAX ? (int)(left / 1000) + 1 : INT_MAX);
    return found < 0 && errno != EINTR ? IO_ERROR : OK;
}

int pump(reader *wire, int fd, patience *how, decoding *run, void *self, details *out)
{
    for (;;) {
        int event = run(self, out);
        if (event != NEED)
            return event;
        if (monotonic_us() >= how->deadline) {
            out->flag = how->came;
            return IDLE;
        }
        long got = receive(wire, fd);
        if (got < 0)
            return (int)got;
        how->since += (size_t)got;
        how->came |= got > 0;
        if (got == 0) {
            int status = wait_for_more(fd, how);
            if (status != OK)
                return status;
        }
    }
}
