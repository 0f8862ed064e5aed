/* A table being copied: COPY ... TO STDOUT (FORMAT binary) becomes rows. */
#ifndef ETL_COPIER_H
#define ETL_COPIER_H

#include "decoder.h"

typedef struct {
    reader wire;
    rows *target;
    place at;       /* of the next row */
    size_t skip;    /* rows that were handed out before */
    size_t max_rows;
    size_t max_bytes;
    bool begun;     /* the header came */
    bool complete;  /* the trailer came */
    field *fields;
    int failure;    /* the error that ended the copy; OK: none */
} copier;

int copier_init(copier *self, rows *target);
void copier_free(copier *self);

/* As their likes in decoder.h; the events are NEED, IDLE, FULL, FAILED, and ENDED once the server is ready for the
 * next command. */
int copier_run(copier *self, details *out);
int copier_pump(copier *self, int fd, patience *how, details *out);

#endif
