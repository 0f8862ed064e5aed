#include "reader.h"

enum {
    HEADER = 5,
    LENGTH = 4,
    LARGEST = 1 << 30, /* PostgreSQL's own limit of a message, and some */
    SLACK = 1 << 20,
    LARGE = 8 << 20,   /* not kept for less than a quarter of it */
};

/* Give back what a large message needed. */
static void shrink(buffer *input)
{
    uint8_t *data = realloc(input->data, LARGE);
    if (data) {
        input->data = data;
        input->capacity = LARGE;
    }
}

/* Give up what was taken. */
static void compact(reader *self)
{
    buffer *input = &self->input;
    if (self->start > input->size / 2) {
        input->size -= self->start;
        memmove(input->data, input->data + self->start, input->size);
        self->start = 0;
        if (input->capacity > LARGE && input->size < LARGE / 4)
            shrink(input);
    }
}

int reader_room(reader *self, size_t size)
{
    compact(self);
    return buffer_reserve(&self->input, size);
}

int reader_feed(reader *self, const void *data, size_t size)
{
    compact(self);
    return buffer_append(&self->input, data, size);
}

int reader_peek(const reader *self, size_t from, frame *out)
{
    size_t left = self->input.size - from;
    if (left < HEADER)
        return 0;
    const uint8_t *at = self->input.data + from;
    size_t length = be32(at + 1);
    if (length < LENGTH || length > (size_t)LARGEST + SLACK)
        return BAD_MESSAGE;
    if (left < length + 1)
        return 0;
    *out = (frame){at[0], at + HEADER, length - LENGTH, length + 1};
    return 1;
}

void reader_free(reader *self)
{
    buffer_free(&self->input);
}
