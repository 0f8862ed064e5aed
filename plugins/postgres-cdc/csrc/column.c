#include "column.h"

#include "values.h"

#ifndef MAX_DATA
#define MAX_DATA INT32_MAX /* what offsets reach; tests need less */
#endif

static const uint8_t WIDTHS[FORMS] = {
    [FORM_INT16] = 2, [FORM_INT32] = 4,     [FORM_INT64] = 8,     [FORM_OID] = 8,
    [FORM_FLOAT32] = 4, [FORM_FLOAT64] = 8, [FORM_DECIMAL] = 16,  [FORM_DATE] = 4,
    [FORM_TIME] = 8,  [FORM_TIMESTAMP] = 8, [FORM_TIMESTAMPTZ] = 8, [FORM_UUID] = 16,
};

bool column_is_variable(const column *self)
{
    return self->form == FORM_TEXT || self->form == FORM_BYTES || self->form == FORM_JSONB;
}

void column_free(column *self)
{
    buffer_free(&self->validity);
    buffer_free(&self->data);
    buffer_free(&self->offsets);
}

/* Append one bit at place `at`, which is the bitmap's end. */
static int append_bit(buffer *bits, size_t at, bool value)
{
    if (at % 8 == 0) {
        int status = buffer_zeros(bits, 1);
        if (status != OK)
            return status;
    }
    bits->data[at / 8] |= (uint8_t)(value << at % 8);
    return OK;
}

/* Begin a bitmap in which all rows so far are valid. */
static int begin_validity(column *self)
{
    size_t bytes = (self->rows + 7) / 8;
    int status = buffer_zeros(&self->validity, bytes ? bytes : 1);
    if (status != OK)
        return status;
    self->validity.size = bytes;
    memset(self->validity.data, 0xFF, bytes);
    if (self->rows % 8)
        self->validity.data[bytes - 1] = (uint8_t)((1u << self->rows % 8) - 1);
    return OK;
}

static int mark(column *self, bool valid)
{
    int status = OK;
    if (!valid && self->nulls++ == 0)
        status = begin_validity(self);
    if (status == OK && self->nulls)
        status = append_bit(&self->validity, self->rows, valid);
    self->rows++;
    return status;
}

static int end_offset(column *self)
{
    if (self->data.size > MAX_DATA)
        return TOO_LARGE;
    int32_t end = (int32_t)self->data.size;
    if (self->offsets.size == 0) {
        int status = buffer_zeros(&self->offsets, sizeof end);
        if (status != OK)
            return status;
    }
    return buffer_append(&self->offsets, &end, sizeof end);
}

int column_null(column *self)
{
    int status;
    if (column_is_variable(self))
        status = end_offset(self);
    else if (self->form == FORM_BOOL)
        status = append_bit(&self->data, self->rows, false);
    else
        status = buffer_zeros(&self->data, WIDTHS[self->form]);
    return status == OK ? mark(self, false) : status;
}

static int misfit(column *self)
{
    self->bad = true;
    return column_null(self);
}

static int append_bool(column *self, bool value)
{
    int status = append_bit(&self->data, self->rows, value);
    return status == OK ? mark(self, true) : status;
}

static int append_bytes(column *self, const uint8_t *value, size_t size)
{
    int status = buffer_append(&self->data, value, size);
    if (status == OK)
        status = end_offset(self);
    return status == OK ? mark(self, true) : status;
}

static int append_utf8(column *self, const uint8_t *value, size_t size)
{
    return valid_utf8(value, size) ? append_bytes(self, value, size) : NOT_UTF8;
}

static int append_hex(column *self, const uint8_t *value, size_t size)
{
    size_t bytes = size / 2;
    int status = buffer_reserve(&self->data, bytes + 1); /* so that there is a place even for nothing */
    if (status != OK)
        return status;
    if (!read_hex(value, size, self->data.data + self->data.size))
        return misfit(self);
    self->data.size += bytes - 1;
    status = end_offset(self);
    return status == OK ? mark(self, true) : status;
}

static int64_t lowest(uint8_t form)
{
    return form == FORM_INT16 ? INT16_MIN : form == FORM_INT32 ? INT32_MIN : INT64_MIN;
}

static int64_t highest(uint8_t form)
{
    return form == FORM_INT16 ? INT16_MAX : form == FORM_INT32 ? INT32_MAX : INT64_MAX;
}

static void put_integer(uint8_t *to, size_t width, int64_t value)
{
    memcpy(to, &value, width); /* little-endian: its low bytes; module.c refuses other machines */
}

static bool text_fits(const column *self, const uint8_t *s, size_t n, uint8_t *to)
{
    int64_t integer;
    switch (self->form) {
    case FORM_INT16:
    case FORM_INT32:
    case FORM_INT64:
    case FORM_OID:
        if (!read_int(s, n, lowest(self->form), highest(self->form), &integer))
            return false;
        put_integer(to, WIDTHS[self->form], integer);
        return true;
    case FORM_FLOAT32:
        return read_float32(s, n, (float *)(void *)to);
    case FORM_FLOAT64:
        return read_float64(s, n, (double *)(void *)to);
    case FORM_DECIMAL:
        return read_decimal(s, n, self->precision, self->scale, to);
    case FORM_DATE:
        return read_date(s, n, (int32_t *)(void *)to);
    case FORM_TIME:
        return read_time(s, n, (int64_t *)(void *)to);
    case FORM_TIMESTAMP:
    case FORM_TIMESTAMPTZ:
        return read_timestamp(s, n, self->form == FORM_TIMESTAMPTZ, (int64_t *)(void *)to);
    case FORM_UUID:
        return read_uuid(s, n, to);
    default:
        return false;
    }
}

static bool binary_fits(const column *self, const uint8_t *s, size_t n, uint8_t *to)
{
    size_t width = WIDTHS[self->form];
    uint32_t half;
    uint64_t whole;
    switch (self->form) {
    case FORM_INT16:
        put_integer(to, width, n == 2 ? (int16_t)be16(s) : 0);
        return n == 2;
    case FORM_INT32:
    case FORM_FLOAT32:
        half = n == 4 ? be32(s) : 0;
        memcpy(to, &half, width);
        return n == 4;
    case FORM_OID:
        put_integer(to, width, n == 4 ? (int64_t)be32(s) : 0);
        return n == 4;
    case FORM_INT64:
    case FORM_FLOAT64:
        whole = n == 8 ? be64(s) : 0;
        memcpy(to, &whole, width);
        return n == 8;
    case FORM_DECIMAL:
        return binary_decimal(s, n, self->precision, self->scale, to);
    case FORM_DATE:
        return binary_date(s, n, (int32_t *)(void *)to);
    case FORM_TIME:
        return binary_time(s, n, (int64_t *)(void *)to);
    case FORM_TIMESTAMP:
    case FORM_TIMESTAMPTZ:
        return binary_timestamp(s, n, (int64_t *)(void *)to);
    case FORM_UUID:
        if (n == 16)
            memcpy(to, s, n);
        return n == 16;
    default:
        return false;
    }
}

typedef bool fitting(const column *self, const uint8_t *s, size_t n, uint8_t *to);

static int append_fixed(column *self, const uint8_t *value, size_t size, fitting *fits)
{
    size_t width = WIDTHS[self->form];
    int status = buffer_reserve(&self->data, width);
    if (status != OK)
        return status;
    if (!fits(self, value, size, self->data.data + self->data.size))
        return misfit(self);
    self->data.size += width;
    return mark(self, true);
}

int column_text(column *self, const uint8_t *value, size_t size)
{
    bool truth;
    switch (self->form) {
    case FORM_TEXT:
    case FORM_JSONB:
        return append_utf8(self, value, size);
    case FORM_BYTES:
        return append_hex(self, value, size);
    case FORM_BOOL:
        return read_bool(value, size, &truth) ? append_bool(self, truth) : misfit(self);
    default:
        return append_fixed(self, value, size, text_fits);
    }
}

int column_binary(column *self, const uint8_t *value, size_t size)
{
    switch (self->form) {
    case FORM_TEXT:
        return append_utf8(self, value, size);
    case FORM_JSONB: /* a version, then the text */
        return size && value[0] == 1 ? append_utf8(self, value + 1, size - 1) : misfit(self);
    case FORM_BYTES:
        return append_bytes(self, value, size);
    case FORM_BOOL:
        return size == 1 ? append_bool(self, value[0] != 0) : misfit(self);
    default:
        return append_fixed(self, value, size, binary_fits);
    }
}
