/* One column of a batch: values as PostgreSQL sends them become the buffers of an Arrow array. */
#ifndef ETL_COLUMN_H
#define ETL_COLUMN_H

#include "buffer.h"

/* The same numbers as `Form` in forms.py. */
enum form {
    FORM_TEXT,
    FORM_BOOL,
    FORM_INT16,
    FORM_INT32,
    FORM_INT64,
    FORM_OID,
    FORM_FLOAT32,
    FORM_FLOAT64,
    FORM_DECIMAL,
    FORM_DATE,
    FORM_TIME,
    FORM_TIMESTAMP,
    FORM_TIMESTAMPTZ,
    FORM_UUID,
    FORM_BYTES,
    FORM_JSONB,
    FORMS,
};

typedef struct {
    uint8_t form;
    uint8_t precision;
    uint8_t scale;
    bool bad;        /* some value cannot be held by the Arrow type */
    size_t rows;
    size_t nulls;
    buffer validity; /* empty while there are no nulls */
    buffer data;     /* fixed width, bits of bools, or the bytes that the offsets are of */
    buffer offsets;  /* int32; empty for fixed width */
} column;

/* Append a value from its text, from its binary form, or a null. Return OK or an error of buffer.h; a value
 * that does not fit the Arrow type is no error here: it becomes a null and the column is `bad`. */
int column_text(column *self, const uint8_t *value, size_t size);
int column_binary(column *self, const uint8_t *value, size_t size);
int column_null(column *self);

/* Whether values have offsets. */
bool column_is_variable(const column *self);
void column_free(column *self);

#endif
