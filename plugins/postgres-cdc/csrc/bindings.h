/* The Python side of the decoder: the stable ABI of 3.11, so that one build serves every later version. */
#ifndef ETL_BINDINGS_H
#define ETL_BINDINGS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "copier.h"
#include "decoder.h"

/* Whether a thread is inside a decoder, without the GIL: shared with the rows that it fills, which may outlive it. */
typedef struct {
    Py_ssize_t users;
    bool owned; /* the decoder is there */
    bool busy;
} guard;

typedef struct {
    PyObject_HEAD
    rows rows;
    guard *guard; /* of the one decoder that fills them */
} RowsObject;

guard *guard_new(void);
void guard_drop(guard *self); /* by a user that goes */

/* Raise unless no thread is inside the decoder. */
bool guard_free(const guard *self);

/* Have rows filled by the decoder of this guard: ValueError if they are another's. */
int rows_adopt(RowsObject *self, guard *by);

extern PyType_Spec buffer_spec, rows_spec, decoder_spec, copier_spec;
extern PyTypeObject *buffer_type, *rows_type;
extern PyObject *wire_error;

/* Hand a buffer's memory over to a new Python object; NULL with an exception. */
PyObject *buffer_object(buffer *from);

/* Raise what a negative status means. */
PyObject *raise_status(int status);

/* Return (event, number, data or None, flag). */
PyObject *event_object(int event, const details *what);

/* Read (fd, timeout in s, nap in s). */
int read_patience(PyObject *args, int *fd, patience *how);

/* Seconds as microseconds; what is not below a very long time is that time. */
int64_t microseconds(double seconds);

/* For "O&": an int as uint32_t or uint64_t; OverflowError instead of a remainder. */
int as_uint32(PyObject *value, void *to);
int as_uint64(PyObject *value, void *to);

#endif
