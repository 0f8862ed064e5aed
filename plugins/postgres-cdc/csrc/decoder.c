#include "decoder.h"

#include "values.h"

static const int64_t EPOCH = 946684800000000; /* us from the Unix epoch to PostgreSQL's */

enum {
    XLOG_HEADER = 25,
    KEEPALIVE_SIZE = 18,
    BEGIN_SIZE = 21,
    COMMIT_SIZE = 26,
    XID = 4,
    FIRST_ROUTES = 64,
    PIECE = 256 << 10, /* so many bytes of a transaction in progress are handed out at once */
    LARGE = 1 << 20, /* scratch that is not kept */
};

int decoder_init(decoder *self, uint32_t epoch, size_t max_rows, size_t max_bytes)
{
    *self = (decoder){.epoch = epoch, .max_rows = max_rows, .max_bytes = max_bytes};
    self->at.epoch = epoch;
    self->routes = calloc(FIRST_ROUTES, sizeof *self->routes);
    self->route_slots = FIRST_ROUTES;
    return self->routes ? OK : NO_MEMORY;
}

void decoder_free(decoder *self)
{
    reader_free(&self->wire);
    reader_free(&self->replay);
    buffer_free(&self->message);
    free(self->routes);
    free(self->fields);
}

/* --- where changes go -------------------------------------------------------------------------------------- */

static route *find(const decoder *self, uint32_t relation)
{
    size_t mask = self->route_slots - 1;
    for (size_t at = relation * 2654435761u & mask;; at = (at + 1) & mask) {
        route *found = &self->routes[at];
        if (!found->used || found->relation == relation)
            return found;
    }
}

static int more_routes(decoder *self)
{
    route *before = self->routes;
    size_t slots = self->route_slots;
    route *after = calloc(slots * 2, sizeof *after);
    if (after == NULL)
        return NO_MEMORY;
    self->routes = after;
    self->route_slots = slots * 2;
    for (size_t i = 0; i < slots; i++)
        if (before[i].used)
            *find(self, before[i].relation) = before[i];
    free(before);
    return OK;
}

int decoder_route(decoder *self, const route *to)
{
    route *found = find(self, to->relation);
    if (!found->used && ++self->route_count > self->route_slots / 2) {
        int status = more_routes(self);
        if (status != OK)
            return status;
        found = find(self, to->relation);
    }
    *found = *to;
    found->used = found->known = true;
    return OK;
}

void decoder_forget(decoder *self)
{
    memset(self->routes, 0, self->route_slots * sizeof *self->routes);
    self->route_count = 0;
}

/* A relation is announced anew: its next row is to be looked at. The entry keeps its place, as others may lie
 * behind it, and waits there for its next route: servers announce the same tables again and again. */
static void forget_one(decoder *self, uint32_t relation)
{
    find(self, relation)->known = false;
}

/* --- tuples ------------------------------------------------------------------------------------------------ */

typedef struct {
    const uint8_t *at;
    const uint8_t *end;
} span;

static int take_fields(decoder *self, size_t width)
{
    if (self->field_slots >= width * 2)
        return OK;
    field *room = realloc(self->fields, width * 2 * sizeof *room);
    if (room == NULL)
        return NO_MEMORY;
    self->fields = room;
    self->field_slots = width * 2;
    return OK;
}

/* Read TupleData; `out` has room for `width` fields, and the tuple must have as many. */
static int read_tuple(span *from, size_t width, field *out)
{
    if (from->end - from->at < 2)
        return BAD_MESSAGE;
    size_t count = be16(from->at);
    from->at += 2;
    for (size_t i = 0; i < count; i++) {
        field value = {0};
        if (from->at == from->end)
            return BAD_MESSAGE;
        uint8_t kind = *from->at++;
        if (kind == 't') {
            if (from->end - from->at < 4)
                return BAD_MESSAGE;
            value.size = be32(from->at);
            value.data = from->at + 4;
            if (value.size > (size_t)(from->end - value.data))
                return BAD_MESSAGE;
            from->at += 4 + value.size;
        } else if (kind == 'u') {
            value.unchanged = true;
        } else if (kind != 'n') {
            return BAD_MESSAGE;
        }
        if (i < width)
            out[i] = value;
    }
    return count == width ? OK : BAD_ROW;
}

static int read_kind(span *from, uint8_t *out)
{
    if (from->at == from->end)
        return BAD_MESSAGE;
    *out = *from->at++;
    return OK;
}

/* Values of which not all are used are text nevertheless. */
static int check_text(const field *values, size_t width)
{
    for (size_t i = 0; i < width; i++)
        if (values[i].data && !valid_utf8(values[i].data, values[i].size))
            return NOT_UTF8;
    return OK;
}

static int read_old(span *from, size_t width, field *out)
{
    int status = read_tuple(from, width, out);
    return status == OK ? check_text(out, width) : status;
}

static int worse(int one, int other)
{
    return one == OK || other == BAD_MESSAGE ? other : one;
}

static bool any_unchanged(const field *values, size_t width)
{
    for (size_t i = 0; i < width; i++)
        if (values[i].unchanged)
            return true;
    return false;
}

/* An update that moves a row into a publication's filter comes as an insert, without what did not change. */
static int take_insert(decoder *self, span from, rows *target, const place *at)
{
    uint8_t kind;
    if (read_kind(&from, &kind) != OK || kind != 'N')
        return BAD_MESSAGE;
    int status = read_tuple(&from, target->width, self->fields);
    if (from.at != from.end)
        return BAD_MESSAGE;
    if (status == OK && any_unchanged(self->fields, target->width)) {
        status = check_text(self->fields, target->width);
        return status == OK ? PARTIAL : status;
    }
    return status == OK ? rows_insert(target, at, self->fields) : status;
}

static int take_update(decoder *self, span from, rows *target, const place *at)
{
    uint8_t kind, first;
    field *fresh = self->fields, *old = NULL;
    if (read_kind(&from, &kind) != OK)
        return BAD_MESSAGE;
    int status = OK;
    first = kind;
    if (kind == 'K' || kind == 'O') {
        old = self->fields + target->width;
        status = read_old(&from, target->width, old);
        if (status == BAD_MESSAGE || read_kind(&from, &kind) != OK)
            return BAD_MESSAGE;
    }
    if (kind != 'N')
        return BAD_MESSAGE;
    status = worse(status, read_tuple(&from, target->width, fresh));
    if (from.at != from.end)
        return BAD_MESSAGE;
    return status == OK ? rows_update(target, at, old, first == 'O', fresh) : status;
}

static int take_delete(decoder *self, span from, rows *target, const place *at)
{
    uint8_t kind;
    if (read_kind(&from, &kind) != OK || (kind != 'K' && kind != 'O'))
        return BAD_MESSAGE;
    int status = read_old(&from, target->width, self->fields);
    if (from.at != from.end)
        return BAD_MESSAGE;
    return status == OK ? rows_delete(target, at, self->fields) : status;
}

/* --- transactions ------------------------------------------------------------------------------------------ */

enum verdict { TAKE, SKIP, STRAY };

/* Say what to do with the next change. */
static enum verdict judge(const decoder *self)
{
    if (!self->cutting)
        return TAKE;
    if (self->at.lsn != self->cut_lsn)
        return STRAY;
    return self->at.ordinal < self->cut_ordinal ? SKIP : TAKE;
}

static void count_change(decoder *self, enum verdict verdict)
{
    self->at.ordinal++;
    if (verdict == TAKE)
        self->cutting = false;
}

static int add_row(decoder *self, span from, size_t size, rows *target)
{
    int status = take_fields(self, target->width);
    if (status != OK)
        return status;
    place at = self->at;
    at.ordinal <<= 1; /* the odd ones are for schema changes */
    uint8_t kind = *from.at;
    from.at += 5;
    status = kind == 'I'   ? take_insert(self, from, target, &at)
             : kind == 'U' ? take_update(self, from, target, &at)
                           : take_delete(self, from, target, &at);
    if (status != OK)
        return status;
    target->bytes += size;
    self->rows++;
    self->bytes += size;
    return self->rows >= self->max_rows || self->bytes >= self->max_bytes ? FULL : NEED;
}

static int take_row(decoder *self, span from, size_t size, details *out)
{
    if (from.end - from.at < 5 || !self->open)
        return BAD_MESSAGE;
    enum verdict verdict = judge(self);
    if (verdict == STRAY)
        return ASTRAY;
    out->number = be32(from.at + 1);
    const route *found = find(self, (uint32_t)out->number);
    if (verdict == TAKE && (!found->known || (found->only && found->only != self->at.lsn)))
        return UNKNOWN;
    count_change(self, verdict);
    if (verdict == SKIP || found->target == NULL || self->at.lsn < found->snapshot)
        return NEED;
    return add_row(self, from, size, found->target);
}

/* Read a time of PostgreSQL as one since 1970. */
static bool read_time_at(const uint8_t *s, int64_t *out)
{
    return !__builtin_add_overflow((int64_t)be64(s), EPOCH, out);
}

static int take_begin(decoder *self, span from)
{
    if (from.end - from.at != BEGIN_SIZE || self->open || !read_time_at(from.at + 9, &self->at.time))
        return BAD_MESSAGE;
    self->open = true;
    self->at.lsn = be64(from.at + 1);
    self->at.ordinal = 0;
    self->xid = be32(from.at + 17);
    return NEED;
}

/* A transaction ended: if it is the one to go on with, nothing is left to skip. Others may come before it, of which
 * nothing is published: in progress, a server sends those too. */
static void end_cut(decoder *self)
{
    if (self->at.lsn == self->cut_lsn)
        self->cutting = false;
}

bool decoder_has_much(const decoder *self)
{
    return self->rows >= self->max_rows / 2 || self->bytes >= self->max_bytes / 2;
}

static int take_commit(decoder *self, span from)
{
    if (from.end - from.at != COMMIT_SIZE || !self->open || !read_time_at(from.at + 18, &self->timestamp))
        return BAD_MESSAGE;
    self->open = false;
    end_cut(self);
    self->end = be64(from.at + 10);
    if (decoder_has_much(self))
        return COMMITTED;
    return self->due && monotonic_us() >= self->due ? COMMITTED : NEED;
}

static int hand_out(span from, details *out)
{
    out->data = from.at;
    out->size = (size_t)(from.end - from.at);
    return MESSAGE;
}

static int take_truncate(decoder *self, span from, details *out)
{
    if (!self->open)
        return BAD_MESSAGE;
    enum verdict verdict = judge(self);
    if (verdict == STRAY)
        return ASTRAY;
    count_change(self, verdict);
    return verdict == SKIP ? NEED : hand_out(from, out);
}

/* Take one message of pgoutput, outside of blocks of transactions in progress. */
static int take_message(decoder *self, span from, details *out)
{
    if (from.at == from.end)
        return BAD_MESSAGE;
    switch (*from.at) {
    case 'I':
    case 'U':
    case 'D':
        return take_row(self, from, (size_t)(from.end - from.at), out);
    case 'B':
        return take_begin(self, from);
    case 'C':
        return take_commit(self, from);
    case 'T':
        return take_truncate(self, from, out);
    case 'R':
        if (from.end - from.at < 5)
            return BAD_MESSAGE;
        forget_one(self, be32(from.at + 1));
        return hand_out(from, out);
    default:
        return hand_out(from, out);
    }
}

/* --- transactions in progress ------------------------------------------------------------------------------ */

static bool was_aborted(const decoder *self, uint32_t xid)
{
    size_t low = 0, high = self->aborts;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (self->aborted[middle] < xid)
            low = middle + 1;
        else
            high = middle;
    }
    return low < self->aborts && self->aborted[low] == xid;
}

/* Take a message that was kept. The xid behind its first letter says which sub-transaction it belongs to; only an
 * origin has none. What a relation looks like holds whether or not that one was aborted. */
static int take_kept(decoder *self, span from, details *out)
{
    if (from.end - from.at < 1 + XID)
        return BAD_MESSAGE;
    uint8_t kind = *from.at;
    if (kind == 'O') /* has no xid, and says nothing that matters */
        return NEED;
    if (kind != 'R' && kind != 'Y' && was_aborted(self, be32(from.at + 1)))
        return NEED;
    if (kind == 'B' || kind == 'C')
        return BAD_MESSAGE;
    uint8_t *shifted = self->message.data; /* the letter moves up to the rest; see decode_kept */
    memcpy(shifted + XID, &kind, 1);
    return take_message(self, (span){shifted + XID, shifted + (from.end - from.at)}, out);
}

/* Copy a kept message to where its first letter may be moved, then take it. */
static int decode_kept(decoder *self, span from, details *out)
{
    self->message.size = 0;
    int status = buffer_append(&self->message, from.at, (size_t)(from.end - from.at));
    if (status != OK)
        return status;
    span copy = {self->message.data, self->message.data + self->message.size};
    return take_kept(self, copy, out);
}

static bool begins_block(decoder *self, span from)
{
    if (from.end - from.at != 6 || *from.at != 'S')
        return false;
    self->in_progress = true;
    self->spooling = be32(from.at + 1);
    return true;
}

static bool ends_block(span from)
{
    return from.end - from.at == 1 && *from.at == 'E';
}

/* Whether a frame is a message inside a block of a transaction in progress. */
static bool is_kept(const frame *message)
{
    span from = {message->body + XLOG_HEADER, message->body + message->size};
    return message->kind == 'd' && message->size > XLOG_HEADER && *message->body == 'w' && !ends_block(from);
}

/* Look how far the messages of the block go that have come: 1 where another follows, 0 where more may come. */
static int find_kept(decoder *self)
{
    frame message;
    int found;
    while ((found = reader_peek(&self->wire, self->wire.start + self->kept, &message)) > 0 && is_kept(&message))
        self->kept += message.whole;
    return found;
}

/* Hand out messages of the block as they are on the wire, when they are many or the last for now. */
static int spool(decoder *self, details *out)
{
    int found = find_kept(self);
    if (found < 0)
        return found;
    if (self->kept == 0 || (found == 0 && self->kept < PIECE))
        return NEED;
    *out = (details){self->wire.input.data + self->wire.start, self->kept, self->spooling, false};
    reader_take(&self->wire, self->kept);
    self->kept = 0;
    return SPOOL;
}

/* --- the wire ---------------------------------------------------------------------------------------------- */

static int take_keepalive(span from, details *out)
{
    if (from.end - from.at != KEEPALIVE_SIZE)
        return BAD_MESSAGE;
    out->number = be64(from.at + 1);
    out->flag = from.at[17] != 0;
    return KEEPALIVE;
}

static int take_payload(decoder *self, span from, bool kept, details *out)
{
    if (kept)
        return decode_kept(self, from, out);
    if (self->in_progress) {
        if (!ends_block(from))
            return BAD_MESSAGE;
        self->in_progress = false;
        return NEED;
    }
    if (!self->open && begins_block(self, from))
        return NEED;
    return take_message(self, from, out);
}

static int take_copy_data(decoder *self, span from, bool kept, details *out)
{
    if (from.at == from.end)
        return BAD_MESSAGE;
    if (*from.at == 'k')
        return take_keepalive(from, out);
    if (*from.at != 'w' || from.end - from.at <= XLOG_HEADER)
        return BAD_MESSAGE;
    from.at += XLOG_HEADER;
    return take_payload(self, from, kept, out);
}

static int take_frame(decoder *self, const frame *message, bool kept, details *out)
{
    span body = {message->body, message->body + message->size};
    switch (message->kind) {
    case 'd':
        return take_copy_data(self, body, kept, out);
    case 'c':
    case 'C': /* a server that is shut down says no more than that the command is done */
        return ENDED;
    case 'E':
        *out = (details){body.at, message->size, 0, false};
        return FAILED;
    case 'N': /* a notice, or a setting: nothing to a stream */
    case 'S':
        return NEED;
    default:
        return BAD_MESSAGE;
    }
}

int decoder_end_replay(decoder *self, uint64_t end, int64_t time)
{
    if (!self->replaying || self->replay.start != self->replay.input.size)
        return BAD_MESSAGE;
    self->open = self->replaying = false;
    end_cut(self);
    self->end = end;
    self->timestamp = time;
    if (self->message.capacity > LARGE)
        buffer_free(&self->message);
    self->replay.start = self->replay.input.size = 0;
    if (self->replay.input.capacity > LARGE)
        reader_free(&self->replay);
    return OK;
}

static int next_event(decoder *self, details *out)
{
    reader *from = self->replaying ? &self->replay : &self->wire;
    for (;;) {
        frame message;
        int found = reader_peek(from, from->start, &message);
        if (found <= 0)
            return found;
        if (!self->replaying && self->in_progress && is_kept(&message))
            return spool(self, out);
        int event = take_frame(self, &message, self->replaying, out);
        if (event != UNKNOWN)
            reader_take(from, message.whole);
        if (event != NEED)
            return event;
    }
}

int decoder_run(decoder *self, details *out)
{
    int event = self->failure ? self->failure : next_event(self, out);
    if (event < 0)
        self->failure = event;
    return event;
}

static int run(void *self, details *out)
{
    return decoder_run(self, out);
}

int decoder_pump(decoder *self, int fd, patience *how, details *out)
{
    return pump(&self->wire, fd, how, run, self, out);
}
