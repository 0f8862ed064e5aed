#include "rows.h"

int rows_init(rows *self, size_t width, size_t keys)
{
    *self = (rows){.width = width, .keys = keys};
    self->columns = calloc(width ? width : 1, sizeof *self->columns);
    self->key = calloc(keys ? keys : 1, sizeof *self->key);
    self->old_key = calloc(keys ? keys : 1, sizeof *self->old_key);
    return self->columns && self->key && self->old_key ? OK : NO_MEMORY;
}

void rows_free(rows *self)
{
    for (size_t i = 0; self->columns && i < self->width; i++)
        column_free(&self->columns[i]);
    for (size_t i = 0; self->old_key && i < self->keys; i++)
        column_free(&self->old_key[i]);
    free(self->columns);
    free(self->key);
    free(self->old_key);
    buffer_free(&self->ops);
    buffer_free(&self->seqs);
    buffer_free(&self->times);
    buffer_free(&self->unchanged_valid);
    buffer_free(&self->unchanged_ends);
    buffer_free(&self->unchanged);
    buffer_free(&self->moved);
}

static int append_seq(rows *self, const place *at)
{
    uint8_t seq[SEQ_BYTES];
    put_be32(seq, at->epoch);
    put_be64(seq + 4, at->lsn);
    put_be64(seq + 12, at->ordinal);
    return buffer_append(&self->seqs, seq, sizeof seq);
}

static int set_bit(buffer *bits, size_t at)
{
    size_t bytes = at / 8 + 1;
    int status = bits->size < bytes ? buffer_zeros(bits, bytes - bits->size) : OK;
    if (status == OK)
        bits->data[at / 8] |= (uint8_t)(1u << at % 8);
    return status;
}

int level_unchanged(rows *self, size_t count)
{
    int32_t end = (int32_t)(self->unchanged.size / sizeof(int16_t));
    int status = OK;
    while (status == OK && self->unchanged_ends.size < (count + 1) * sizeof end)
        status = buffer_append(&self->unchanged_ends, &end, sizeof end);
    return status;
}

static int note_unchanged(rows *self, const field *values)
{
    int status = OK;
    bool any = false;
    for (size_t i = 0; i < self->width && status == OK; i++) {
        if (!values[i].unchanged)
            continue;
        if (!any)
            status = level_unchanged(self, self->count);
        any = true;
        int16_t number = (int16_t)i;
        if (status == OK)
            status = buffer_append(&self->unchanged, &number, sizeof number);
    }
    if (!any || status != OK)
        return status;
    self->unchanged_rows++;
    status = level_unchanged(self, self->count + 1);
    return status == OK ? set_bit(&self->unchanged_valid, self->count) : status;
}

static int append_text(column *to, const field *value)
{
    return value->data ? column_text(to, value->data, value->size) : column_null(to);
}

/* A copied row has no time, and is not among changes. */
static int append_time(rows *self, const place *at, char op)
{
    if (self->times.size != (op == 'r' ? 0 : self->count * sizeof at->time))
        return BAD_ROW;
    return op == 'r' ? OK : buffer_append(&self->times, &at->time, sizeof at->time);
}

/* Complete a row whose columns came to `status`. */
static int end_row(rows *self, const place *at, char op, int status)
{
    if (status == OK)
        status = append_seq(self, at);
    if (status == OK)
        status = append_time(self, at, op);
    if (status == OK)
        status = buffer_append(&self->ops, &op, 1);
    if (status == OK)
        self->count++;
    else
        self->broken = true;
    return status;
}

int rows_insert(rows *self, const place *at, const field *fresh)
{
    int status = self->broken ? BAD_ROW : OK;
    for (size_t i = 0; i < self->width && status == OK; i++)
        status = append_text(&self->columns[i], &fresh[i]);
    return end_row(self, at, 'i', status);
}

static bool same(const field *a, const field *b)
{
    if (a->data == NULL || b->data == NULL)
        return a->data == NULL && b->data == NULL && !b->unchanged;
    return a->size == b->size && memcmp(a->data, b->data, a->size) == 0;
}

static bool key_differs(const rows *self, const field *old, const field *fresh)
{
    for (size_t i = 0; i < self->keys; i++)
        if (!same(&old[self->key[i]], &fresh[self->key[i]]))
            return true;
    return false;
}

/* Keep the key that the row had before. */
static int note_move(rows *self, const field *old)
{
    int status = OK;
    for (size_t i = 0; i < self->keys && status == OK; i++) {
        column *to = &self->old_key[i];
        while (to->rows < self->count && status == OK)
            status = column_null(to);
        if (status == OK)
            status = append_text(to, &old[self->key[i]]);
    }
    self->moves++;
    return status == OK ? set_bit(&self->moved, self->count) : status;
}

int rows_update(rows *self, const place *at, const field *old, bool full, field *fresh)
{
    int status = self->broken ? BAD_ROW : OK;
    if (old && status == OK) {
        for (size_t i = 0; full && i < self->width; i++)
            if (fresh[i].unchanged)
                fresh[i] = old[i];
        for (size_t i = 0; !full && i < self->keys; i++)
            if (fresh[self->key[i]].unchanged)
                fresh[self->key[i]] = old[self->key[i]];
        if (key_differs(self, old, fresh))
            status = note_move(self, old);
    }
    for (size_t i = 0; i < self->width && status == OK; i++)
        status = append_text(&self->columns[i], &fresh[i]);
    if (status == OK)
        status = note_unchanged(self, fresh);
    return end_row(self, at, 'u', status);
}

/* A deleted row is its key, or all that was sent where there is none. */
int rows_delete(rows *self, const place *at, const field *old)
{
    int status = self->broken ? BAD_ROW : OK;
    for (size_t i = 0; i < self->width && status == OK; i++) {
        bool sent = self->keys == 0;
        for (size_t k = 0; k < self->keys && !sent; k++)
            sent = self->key[k] == i;
        status = sent ? append_text(&self->columns[i], &old[i]) : column_null(&self->columns[i]);
    }
    return end_row(self, at, 'd', status);
}

int rows_read(rows *self, const place *at, const field *values)
{
    int status = self->broken ? BAD_ROW : OK;
    for (size_t i = 0; i < self->width && status == OK; i++) {
        const field *value = &values[i];
        column *to = &self->columns[i];
        status = value->data ? column_binary(to, value->data, value->size) : column_null(to);
    }
    return end_row(self, at, 'r', status);
}
