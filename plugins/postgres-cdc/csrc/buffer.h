/* Memory that grows, and the numbers of the wire. */
#ifndef ETL_BUFFER_H
#define ETL_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* What a step of decoding comes to. Errors are negative. */
enum {
    OK = 0,
    NO_MEMORY = -1,
    NOT_UTF8 = -2,
    TOO_LARGE = -3,   /* more than 2 GiB in one column of one batch */
    BAD_MESSAGE = -4, /* not what the protocol allows */
    BAD_ROW = -5,     /* not the columns that were announced */
    CLOSED = -6,      /* the other side closed the connection */
    IO_ERROR = -7,    /* errno says what */
};

typedef struct {
    uint8_t *data;
    size_t size;
    size_t capacity;
} buffer;

/* Make room for `more` bytes after `size`. */
int buffer_grow(buffer *self, size_t more);

static inline int buffer_reserve(buffer *self, size_t more)
{
    return self->capacity - self->size >= more ? OK : buffer_grow(self, more);
}

static inline int buffer_append(buffer *self, const void *data, size_t size)
{
    int status = buffer_reserve(self, size);
    if (status == OK && size) {
        memcpy(self->data + self->size, data, size);
        self->size += size;
    }
    return status;
}

/* Append `size` zero bytes. */
static inline int buffer_zeros(buffer *self, size_t size)
{
    int status = buffer_reserve(self, size);
    if (status == OK && size) {
        memset(self->data + self->size, 0, size);
        self->size += size;
    }
    return status;
}

static inline void buffer_free(buffer *self)
{
    free(self->data);
    *self = (buffer){0};
}

static inline uint16_t be16(const uint8_t *s)
{
    return (uint16_t)(s[0] << 8 | s[1]);
}

static inline uint32_t be32(const uint8_t *s)
{
    return (uint32_t)s[0] << 24 | (uint32_t)s[1] << 16 | (uint32_t)s[2] << 8 | s[3];
}

static inline uint64_t be64(const uint8_t *s)
{
    return (uint64_t)be32(s) << 32 | be32(s + 4);
}

static inline void put_be32(uint8_t *s, uint32_t value)
{
    for (int i = 3; i >= 0; i--, value >>= 8)
        s[i] = (uint8_t)value;
}

static inline void put_be64(uint8_t *s, uint64_t value)
{
    for (int i = 7; i >= 0; i--, value >>= 8)
        s[i] = (uint8_t)value;
}

#endif
