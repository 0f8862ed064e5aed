/* The bytes of one connection, or of a recording, cut into the messages of the frontend/backend protocol. */
#ifndef ETL_READER_H
#define ETL_READER_H

#include "buffer.h"

typedef struct {
    buffer input;
    size_t start; /* of what is not taken yet */
} reader;

typedef struct {
    uint8_t kind;
    const uint8_t *body;
    size_t size;
    size_t whole; /* bytes of the message on the wire */
} frame;

/* Append what came, or make room for it. */
int reader_feed(reader *self, const void *data, size_t size);
int reader_room(reader *self, size_t size);

/* Find the next message without taking it: 1, 0 when it has not all come, or BAD_MESSAGE. It is valid until the
 * reader is fed. */
int reader_peek(const reader *self, size_t from, frame *out);

/* Take `size` bytes. */
static inline void reader_take(reader *self, size_t size)
{
    self->start += size;
}

void reader_free(reader *self);

#endif
