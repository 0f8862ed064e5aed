/* Rows of one table on their way into one batch: the columns and what becomes the reserved columns. */
#ifndef ETL_ROWS_H
#define ETL_ROWS_H

#include "column.h"

/* A value of a row as the wire holds it. */
typedef struct {
    const uint8_t *data; /* NULL: null or unchanged */
    uint32_t size;
    bool unchanged;
} field;

enum { SEQ_BYTES = 20 };

/* Where a change stands, and when its transaction committed (us since 1970). */
typedef struct {
    uint32_t epoch;
    uint64_t lsn;
    uint64_t ordinal;
    int64_t time;
} place;

typedef struct {
    size_t width;  /* number of columns */
    column *columns;
    size_t keys;
    uint32_t *key; /* which columns are the key, in its order */
    size_t count;
    size_t bytes;  /* of the messages that the rows came in */
    bool broken;   /* some columns have more rows than others: an error came in the middle of one */
    buffer ops;    /* one letter per row */
    buffer seqs;
    buffer times;  /* int64; empty in a snapshot */
    buffer unchanged_valid; /* these three are empty until a row has unchanged columns */
    buffer unchanged_ends;  /* int32 */
    buffer unchanged;       /* int16: column numbers */
    size_t unchanged_rows;
    buffer moved;           /* bits: rows with an old key; empty until there is one */
    size_t moves;
    column *old_key;        /* one per key column, behind the rows until there is a move */
} rows;

int rows_init(rows *self, size_t width, size_t keys);
void rows_free(rows *self);

/* Append a change. After an error nothing more is taken. `old` is NULL or the replica identity that was sent, `full`: all columns of it. */
int rows_insert(rows *self, const place *at, const field *fresh);
int rows_update(rows *self, const place *at, const field *old, bool full, field *fresh);
int rows_delete(rows *self, const place *at, const field *old);

/* Give the first `count` rows an end in the lists of unchanged columns. */
int level_unchanged(rows *self, size_t count);

/* Append a row of a snapshot, in binary form. */
int rows_read(rows *self, const place *at, const field *values);

#endif
