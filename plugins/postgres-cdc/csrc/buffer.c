#include "buffer.h"

enum { SMALLEST = 64 };

int buffer_grow(buffer *self, size_t more)
{
    if (more > SIZE_MAX / 2 - self->size)
        return NO_MEMORY;
    size_t wanted = self->capacity ? self->capacity : SMALLEST;
    while (wanted < self->size + more)
        wanted *= 2;
    uint8_t *data = realloc(self->data, wanted);
    if (data == NULL)
        return NO_MEMORY;
    self->data = data;
    self->capacity = wanted;
    return OK;
}
