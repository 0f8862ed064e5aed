/* Receiving from a socket as fast as the server can send, and what stops a decoder. */
#ifndef ETL_PUMP_H
#define ETL_PUMP_H

#include "reader.h"

/* Raised with events.py when the two change: one that was built before is not used with the other. */
enum { WIRE_VERSION = 1 };

/* The same numbers as `Event` in events.py. */
enum event {
    NEED,      /* all that came is taken */
    IDLE,      /* the time is over; `flag`: something came meanwhile */
    MESSAGE,   /* `data` is a message of pgoutput that somebody else is to read; taken */
    UNKNOWN,   /* the next message is a row of `number`, for which there is no route; not taken */
    FULL,      /* the limit of rows or bytes is reached, inside a transaction */
    COMMITTED, /* a transaction ended, and rows or time enough have gathered */
    KEEPALIVE, /* all up to `number` was sent; `flag`: answer at once */
    SPOOL,     /* `data` are wire messages of the transaction `number`, which is in progress */
    ENDED,     /* the server ended the stream */
    FAILED,    /* `data` is the server's error */
    ASTRAY,    /* the transaction to go on with is not the one that came */
    PARTIAL,   /* a new row of the relation `number` lacks a value that was not sent; taken, not added */
};

typedef struct {
    const uint8_t *data;
    size_t size;
    uint64_t number;
    bool flag;
} details;

/* How a wait goes: microseconds. */
typedef struct {
    int64_t deadline; /* on the monotonic clock: give up then */
    int64_t nap;      /* to sleep while much comes; 0: never */
    bool hurry;       /* much comes */
    bool came;        /* anything at all */
} patience;

int64_t monotonic_us(void);

/* Decodes what a reader holds: an event or an error. */
typedef int decoding(void *self, details *out);

/* Receive into `wire` and decode until an event, at the latest IDLE at the deadline.
 *
 * PostgreSQL sends one message at a time, and on TCP each wakes a receiver that waits for it. While much comes,
 * this one sleeps for a moment instead, and the messages gather. */
int pump(reader *wire, int fd, patience *how, decoding *run, void *self, details *out);

#endif
