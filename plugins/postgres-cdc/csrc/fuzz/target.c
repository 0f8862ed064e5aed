/* What fuzzers call: a decoder or a copy is given bytes of a server's making, in pieces, and answered as a source
 * does. After each event the rows must fit each other.
 *
 * The first byte says what follows: bit 0: messages instead of the wire's own bytes, each behind a length of one
 * byte (0: the rest); bit 1: a copy instead of a stream. The second is the size of the pieces (0: all at once), the
 * third which allocation fails (0: none), the fourth the limit of rows and whether changes are skipped.
 *
 * Built with realloc and calloc renamed (see tools/sanitize.py), so that they can fail.
 */
#include "../copier.h"

#include <stdio.h>

#undef realloc
#undef calloc
void *realloc(void *memory, size_t size);
void *calloc(size_t count, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            abort(); \
        } \
    } while (0)

enum { HEAD = 4, TABLES = 3, XIDS = 4, WIRE_HEADER = 30, MOST = 1 << 16 };

/* --- memory that runs out ----------------------------------------------------------------------------------- */

static size_t until_failure; /* 0: never */

static bool fails(void)
{
    return until_failure && --until_failure == 0;
}

void *fuzz_realloc(void *memory, size_t size)
{
    return fails() ? NULL : realloc(memory, size);
}

void *fuzz_calloc(size_t count, size_t size)
{
    return fails() ? NULL : calloc(count, size);
}

/* --- tables --------------------------------------------------------------------------------------------------- */

static const size_t WIDTHS[FORMS] = {
    [FORM_INT16] = 2, [FORM_INT32] = 4,     [FORM_INT64] = 8,     [FORM_OID] = 8,
    [FORM_FLOAT32] = 4, [FORM_FLOAT64] = 8, [FORM_DECIMAL] = 16,  [FORM_DATE] = 4,
    [FORM_TIME] = 8,  [FORM_TIMESTAMP] = 8, [FORM_TIMESTAMPTZ] = 8, [FORM_UUID] = 16,
};

static void set_up(column *self, size_t number)
{
    self->form = (uint8_t)(number % FORMS);
    self->precision = self->form == FORM_DECIMAL ? 20 : 0;
    self->scale = self->form == FORM_DECIMAL ? 3 : 0;
}

/* Of the first table's columns there is one of each form; two of them are the key. The others have one and none. */
static int make_table(rows *self, size_t number)
{
    size_t width = number == 0 ? FORMS : number == 1 ? 1 : 0, keys = number == 0 ? 2 : 0;
    int status = rows_init(self, width, keys);
    for (size_t i = 0; i < width && status == OK; i++)
        set_up(&self->columns[i], i);
    for (size_t i = 0; i < keys && status == OK; i++) {
        self->key[i] = (uint32_t)(FORM_BOOL + i);
        set_up(&self->old_key[i], self->key[i]);
    }
    return status;
}

static void check_column(const column *self, size_t count)
{
    REQUIRE(self->rows == count);
    REQUIRE(self->validity.size == (self->nulls ? (count + 7) / 8 : 0));
    if (self->form == FORM_BOOL) {
        REQUIRE(self->data.size == (count + 7) / 8);
    } else if (!column_is_variable(self)) {
        REQUIRE(self->data.size == count * WIDTHS[self->form]);
    } else if (count) {
        REQUIRE(self->offsets.size == (count + 1) * sizeof(int32_t));
        REQUIRE(((const int32_t *)(const void *)self->offsets.data)[count] == (int32_t)self->data.size);
    }
}

static void check(const rows *self)
{
    if (self->broken || !self->columns || !self->old_key)
        return;
    for (size_t i = 0; i < self->width; i++)
        check_column(&self->columns[i], self->count);
    for (size_t i = 0; i < self->keys; i++)
        REQUIRE(self->old_key[i].rows <= self->count);
    REQUIRE(self->ops.size == self->count);
    REQUIRE(self->seqs.size == self->count * SEQ_BYTES);
    REQUIRE(self->times.size == 0 || self->times.size == self->count * sizeof(int64_t));
    REQUIRE(self->unchanged_ends.size <= (self->count + 1) * sizeof(int32_t));
    REQUIRE(self->unchanged_valid.size <= (self->count + 7) / 8);
    REQUIRE(self->moved.size <= (self->count + 7) / 8);
}

/* --- a stream ------------------------------------------------------------------------------------------------- */

typedef struct {
    decoder inner;
    rows tables[TABLES];
    buffer kept[XIDS];
    uint32_t aborted;
} stream;

static bool drain(stream *self);

static bool empty(stream *self)
{
    for (size_t i = 0; i < TABLES; i++) {
        check(&self->tables[i]);
        rows_free(&self->tables[i]);
        if (make_table(&self->tables[i], i) != OK)
            return false;
    }
    self->inner.rows = self->inner.bytes = 0;
    return true;
}

/* Replay what was kept, in two pieces that end where a message does, or not. */
static bool replay(stream *self, uint32_t xid)
{
    buffer *kept = &self->kept[xid % XIDS];
    decoder *inner = &self->inner;
    if (inner->open || inner->replaying)
        return false;
    inner->open = inner->replaying = true;
    inner->at = (place){inner->epoch, 7, 0, 8};
    inner->aborted = &self->aborted;
    inner->aborts = 1;
    size_t half = kept->size / 2;
    bool fine = kept->size == 0 || (reader_feed(&inner->replay, kept->data, half) == OK && drain(self) &&
                                    reader_feed(&inner->replay, kept->data + half, kept->size - half) == OK &&
                                    drain(self));
    kept->size = 0;
    return fine && decoder_end_replay(inner, 9, 9) == OK;
}

static bool read_message(stream *self, const details *what)
{
    if (what->size < 9 || self->inner.replaying)
        return true;
    if (what->data[0] == 'A')
        self->aborted = be32(what->data + 5);
    return what->data[0] != 'c' || replay(self, be32(what->data + 1));
}

static bool answer(stream *self, int event, const details *what)
{
    buffer *kept = &self->kept[what->number % XIDS];
    route to = {.relation = (uint32_t)what->number};
    switch (event) {
    case UNKNOWN:
        if (what->number % (TABLES + 1) < TABLES)
            to.target = &self->tables[what->number % (TABLES + 1)];
        to.only = what->number % 5 == 4 ? self->inner.at.lsn : 0;
        return decoder_route(&self->inner, &to) == OK;
    case FULL:
    case COMMITTED:
        return empty(self);
    case SPOOL:
        return buffer_append(kept, what->data, what->size) == OK;
    case MESSAGE:
        return read_message(self, what);
    default:
        return event > 0;
    }
}

/* Answer events until all is taken; false when it is over. */
static bool drain(stream *self)
{
    for (;;) {
        details what = {0};
        int event = decoder_run(&self->inner, &what);
        for (size_t i = 0; i < TABLES; i++)
            check(&self->tables[i]);
        if (event == NEED)
            return true;
        if (event < 0) {
            REQUIRE(decoder_run(&self->inner, &what) == event);
            return false;
        }
        volatile uint8_t last = what.data && what.size ? what.data[what.size - 1] : 0; /* it must be there */
        (void)last;
        if (!answer(self, event, &what))
            return false;
    }
}

static void run_stream(const uint8_t *data, size_t size, size_t piece, uint8_t limits)
{
    stream *self = calloc(1, sizeof *self);
    bool fine = self && decoder_init(&self->inner, 1, 1 + limits % 16, 1 << 12) == OK;
    for (size_t i = 0; fine && i < TABLES; i++)
        fine = make_table(&self->tables[i], i) == OK;
    if (fine && limits & 0x80) {
        self->inner.cutting = true;
        self->inner.cut_lsn = 7;
        self->inner.cut_ordinal = 2;
    }
    for (size_t at = 0; fine && at < size; at += piece) {
        fine = reader_feed(&self->inner.wire, data + at, piece < size - at ? piece : size - at) == OK;
        fine = fine && drain(self);
    }
    if (self) {
        decoder_free(&self->inner);
        for (size_t i = 0; i < TABLES; i++)
            rows_free(&self->tables[i]);
        for (size_t i = 0; i < XIDS; i++)
            buffer_free(&self->kept[i]);
    }
    free(self);
}

/* --- a copy ----------------------------------------------------------------------------------------------------- */

static void run_copy(const uint8_t *data, size_t size, size_t piece, uint8_t limits)
{
    rows table = {0};
    copier inner = {0};
    bool fine = make_table(&table, limits % TABLES) == OK && copier_init(&inner, &table) == OK;
    inner.skip = limits >> 6;
    inner.max_rows = inner.max_bytes = SIZE_MAX;
    for (size_t at = 0; fine && at < size; at += piece) {
        fine = reader_feed(&inner.wire, data + at, piece < size - at ? piece : size - at) == OK;
        details what = {0};
        int event = NEED;
        while (fine && (event = copier_run(&inner, &what)) > 0)
            check(&table);
        fine = fine && event == NEED;
    }
    check(&table);
    copier_free(&inner);
    rows_free(&table);
}

/* --- input ------------------------------------------------------------------------------------------------------ */

/* Make the wire's bytes of messages: the rest of what fuzzers would have to get right. */
static size_t frame_all(const uint8_t *data, size_t size, bool copy, uint8_t *out)
{
    size_t used = 0;
    while (size) {
        size_t length = data[0] && data[0] < size ? data[0] : size - 1;
        size_t header = copy ? 5 : WIRE_HEADER;
        if (used + header + length > MOST)
            break;
        memset(out + used, 0, header);
        out[used] = 'd';
        put_be32(out + used + 1, (uint32_t)(header - 1 + length));
        if (!copy)
            out[used + 5] = 'w';
        memcpy(out + used + header, data + 1, length);
        used += header + length;
        data += 1 + length;
        size -= 1 + length;
    }
    return used;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t wire[MOST];
    if (size < HEAD)
        return 0;
    bool framed = data[0] & 1, copy = data[0] & 2;
    uint8_t limits = data[3];
    size_t piece = data[1] ? data[1] : SIZE_MAX;
    until_failure = data[2];
    data += HEAD;
    size -= HEAD;
    if (framed) {
        size = frame_all(data, size, copy, wire);
        data = wire;
    }
    piece = piece < size ? piece : size;
    if (copy)
        run_copy(data, size, piece, limits);
    else
        run_stream(data, size, piece, limits);
    until_failure = 0;
    return 0;
}
