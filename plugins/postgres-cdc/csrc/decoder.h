/* The stream of changes: messages of pgoutput, protocol versions 1 and 2, become rows of tables.
 *
 * Begin, Commit and the rows of known tables are taken here. Whatever needs a decision stops the decoding with an
 * event. Changes of a transaction that is still in progress are handed out as they came, to be kept until its
 * commit and then replayed.
 */
#ifndef ETL_DECODER_H
#define ETL_DECODER_H

#include "pump.h"
#include "rows.h"

typedef struct {
    uint32_t relation;
    bool used;         /* the slot is taken, for good */
    bool known;        /* false: the next row of the relation is to be looked at */
    rows *target;      /* NULL: changes are counted and dropped */
    uint64_t snapshot; /* changes of earlier commits are dropped too */
    uint64_t only;     /* the commit for which this holds; 0: every one */
} route;

typedef struct {
    uint32_t epoch;
    int failure;   /* the error that ended the decoding; OK: none */
    reader wire;   /* what the server sends */
    reader replay; /* what was kept of a transaction that was in progress */
    bool replaying;
    bool open;     /* a transaction is under way */
    bool cutting;  /* changes up to `cut` are skipped */
    place at;
    uint32_t xid;
    uint64_t cut_lsn;
    uint64_t cut_ordinal;
    uint64_t end;      /* where the last commit ended; 0: none since it was asked for */
    int64_t timestamp; /* of the last commit; us since 1970 */
    size_t rows;       /* gathered in all tables, and their messages' bytes */
    size_t bytes;
    size_t max_rows;
    size_t max_bytes;
    int64_t due;       /* on the monotonic clock: stop at the next commit */
    bool in_progress;  /* the wire is inside a block of the transaction `spooling` */
    uint32_t spooling;
    size_t kept;       /* bytes of it at the front of the wire, not handed out yet */
    const uint32_t *aborted; /* sorted: sub-transactions to leave out of a replay */
    size_t aborts;
    route *routes;     /* by hash; a power of two of them */
    size_t route_slots;
    size_t route_count;
    field *fields;     /* room for one tuple twice: old and new */
    size_t field_slots;
    buffer message;    /* scratch: a kept message without its xid */
} decoder;

int decoder_init(decoder *self, uint32_t epoch, size_t max_rows, size_t max_bytes);
void decoder_free(decoder *self);

/* Decode until an event; errors are those of buffer.h, and stay: a row may have been taken by half. */
int decoder_run(decoder *self, details *out);

/* Receive and decode until an event, at the latest IDLE at `how->deadline`. */
int decoder_pump(decoder *self, int fd, patience *how, details *out);

/* Whether half of what a batch may hold has gathered. */
bool decoder_has_much(const decoder *self);

/* End the replay, of which all was taken. */
int decoder_end_replay(decoder *self, uint64_t end, int64_t time);

/* Say where a relation's changes go. */
int decoder_route(decoder *self, const route *to);
void decoder_forget(decoder *self);

#endif
