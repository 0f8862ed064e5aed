#include "copier.h"

enum { SIGNATURE = 11, HEADER = SIGNATURE + 8 };

static const uint8_t MAGIC[SIGNATURE] = "PGCOPY\n\377\r\n";

int copier_init(copier *self, rows *target)
{
    *self = (copier){.target = target};
    self->fields = calloc(target->width ? target->width : 1, sizeof *self->fields);
    return self->fields ? OK : NO_MEMORY;
}

void copier_free(copier *self)
{
    reader_free(&self->wire);
    free(self->fields);
    self->fields = NULL;
}

static int take_header(copier *self, const uint8_t **at, const uint8_t *end)
{
    if (end - *at < HEADER || memcmp(*at, MAGIC, SIGNATURE) != 0)
        return BAD_MESSAGE;
    if (be16(*at + SIGNATURE)) /* flags of what changes the format */
        return BAD_MESSAGE;
    size_t extension = be32(*at + SIGNATURE + 4);
    *at += HEADER;
    if (extension > (size_t)(end - *at))
        return BAD_MESSAGE;
    *at += extension;
    self->begun = true;
    return OK;
}

static int read_fields(copier *self, const uint8_t **at, const uint8_t *end)
{
    for (size_t i = 0; i < self->target->width; i++) {
        if (end - *at < 4)
            return BAD_MESSAGE;
        uint32_t size = be32(*at);
        *at += 4;
        self->fields[i] = (field){0};
        if (size == UINT32_MAX)
            continue;
        if (size > (size_t)(end - *at))
            return BAD_MESSAGE;
        self->fields[i] = (field){*at, size, false};
        *at += size;
    }
    return OK;
}

static int take_row(copier *self, const uint8_t **at, const uint8_t *end)
{
    int status = read_fields(self, at, end);
    if (status == OK && self->skip)
        self->skip--;
    else if (status == OK)
        status = rows_read(self->target, &self->at, self->fields);
    self->at.ordinal++;
    return status;
}

/* Take the rows of one CopyData message, which never ends inside one. */
static int take_data(copier *self, const uint8_t *at, const uint8_t *end)
{
    size_t size = (size_t)(end - at), before = self->target->count;
    int status = self->begun ? OK : take_header(self, &at, end);
    while (status == OK && at < end) {
        if (self->complete || end - at < 2)
            return BAD_MESSAGE;
        uint16_t count = be16(at);
        at += 2;
        if (count == UINT16_MAX)
            self->complete = true;
        else
            status = count == self->target->width ? take_row(self, &at, end) : BAD_ROW;
    }
    if (self->target->count != before)
        self->target->bytes += size;
    return status;
}

static int take_frame(copier *self, const frame *message, details *out)
{
    switch (message->kind) {
    case 'd':
        return take_data(self, message->body, message->body + message->size);
    case 'E':
        *out = (details){message->body, message->size, 0, false};
        return FAILED;
    case 'Z':
        return self->complete ? ENDED : BAD_MESSAGE;
    case 'H': /* the copy begins */
    case 'c': /* it is done */
    case 'C': /* so is the command */
    case 'N':
    case 'S':
        return NEED;
    default:
        return BAD_MESSAGE;
    }
}

static int next_event(copier *self, details *out)
{
    for (;;) {
        frame message;
        int found = reader_peek(&self->wire, self->wire.start, &message);
        if (found <= 0)
            return found;
        int event = take_frame(self, &message, out);
        reader_take(&self->wire, message.whole);
        if (event != NEED)
            return event;
        if (self->target->count >= self->max_rows || self->target->bytes >= self->max_bytes)
            return FULL;
    }
}

int copier_run(copier *self, details *out)
{
    int event = self->failure ? self->failure : next_event(self, out);
    if (event < 0)
        self->failure = event;
    return event;
}

static int run(void *self, details *out)
{
    return copier_run(self, out);
}

int copier_pump(copier *self, int fd, patience *how, details *out)
{
    return pump(&self->wire, fd, how, run, self, out);
}
