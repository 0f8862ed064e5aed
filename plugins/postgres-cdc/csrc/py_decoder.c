#include "bindings.h"

typedef struct {
    PyObject_HEAD
    decoder decoder;
    PyObject *targets; /* relation -> Rows: keeps them alive while there is a route to them */
    PyObject *aborted; /* bytes that the decoder reads during a replay */
    guard *guard;
} DecoderObject;

static int init(DecoderObject *self, PyObject *args, PyObject *kwargs)
{
    uint32_t epoch;
    Py_ssize_t max_rows, max_bytes;
    if (!PyArg_ParseTuple(args, "O&nn", as_uint32, &epoch, &max_rows, &max_bytes))
        return -1;
    if (self->guard || max_rows < 1 || max_bytes < 1) {
        PyErr_SetString(PyExc_ValueError, "limits are at least 1");
        return -1;
    }
    if (decoder_init(&self->decoder, epoch, (size_t)max_rows, (size_t)max_bytes) != OK) {
        PyErr_NoMemory();
        return -1;
    }
    self->guard = guard_new();
    self->targets = self->guard ? PyDict_New() : NULL;
    return self->targets ? 0 : -1;
}

static void dealloc(DecoderObject *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    decoder_free(&self->decoder);
    if (self->guard)
        self->guard->owned = false;
    guard_drop(self->guard);
    Py_XDECREF(self->targets);
    Py_XDECREF(self->aborted);
    freefunc release = PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

/* Raise unless the decoder was made and no thread is inside. */
static bool usable(DecoderObject *self)
{
    if (self->targets)
        return guard_free(self->guard);
    PyErr_SetString(PyExc_ValueError, "the decoder was not made");
    return false;
}

/* pump(fd, timeout, nap) -> event */
static PyObject *pump_socket(DecoderObject *self, PyObject *args)
{
    int fd;
    patience how;
    details what = {0};
    if (read_patience(args, &fd, &how) < 0 || !usable(self))
        return NULL;
    int event;
    self->guard->busy = true;
    Py_BEGIN_ALLOW_THREADS
    event = decoder_pump(&self->decoder, fd, &how, &what);
    Py_END_ALLOW_THREADS
    self->guard->busy = false;
    return event < 0 ? raise_status(event) : event_object(event, &what);
}

/* run() -> event or None */
static PyObject *run(DecoderObject *self, PyObject *unused)
{
    details what = {0};
    if (!usable(self))
        return NULL;
    int event;
    self->guard->busy = true;
    Py_BEGIN_ALLOW_THREADS
    event = decoder_run(&self->decoder, &what);
    Py_END_ALLOW_THREADS
    self->guard->busy = false;
    if (event == NEED)
        Py_RETURN_NONE;
    return event < 0 ? raise_status(event) : event_object(event, &what);
}

/* feed(data): what the server sent, or during a replay what was kept. */
static PyObject *feed(DecoderObject *self, PyObject *data)
{
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    if (!usable(self)) {
        PyBuffer_Release(&view);
        return NULL;
    }
    decoder *inner = &self->decoder;
    reader *to = inner->replaying ? &inner->replay : &inner->wire;
    int status = reader_feed(to, view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    if (status != OK)
        return raise_status(status);
    Py_RETURN_NONE;
}

/* route(relation, rows or None, snapshot, only) */
static PyObject *route_changes(DecoderObject *self, PyObject *args)
{
    uint32_t relation;
    uint64_t snapshot, only;
    PyObject *target;
    if (!PyArg_ParseTuple(args, "O&OO&O&", as_uint32, &relation, &target, as_uint64, &snapshot, as_uint64,
                          &only) || !usable(self))
        return NULL;
    if (target != Py_None && !PyObject_TypeCheck(target, rows_type)) {
        PyErr_SetString(PyExc_TypeError, "a route leads to Rows or None");
        return NULL;
    }
    if (target != Py_None && rows_adopt((RowsObject *)target, self->guard) < 0)
        return NULL;
    rows *to = target == Py_None ? NULL : &((RowsObject *)target)->rows;
    int status = decoder_route(&self->decoder, &(route){.relation = relation, .target = to, .snapshot = snapshot,
                                                        .only = only});
    if (status != OK)
        return raise_status(status);
    PyObject *key = PyLong_FromUnsignedLong(relation);
    int kept = key ? PyDict_SetItem(self->targets, key, target) : -1;
    Py_XDECREF(key);
    if (kept < 0) {
        decoder_forget(&self->decoder);
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *forget(DecoderObject *self, PyObject *unused)
{
    if (!usable(self))
        return NULL;
    decoder_forget(&self->decoder);
    PyDict_Clear(self->targets);
    Py_RETURN_NONE;
}

/* skip(lsn, ordinal): leave out the first changes of that transaction. */
static PyObject *skip(DecoderObject *self, PyObject *args)
{
    uint64_t lsn, ordinal;
    if (!PyArg_ParseTuple(args, "O&O&", as_uint64, &lsn, as_uint64, &ordinal) || !usable(self))
        return NULL;
    self->decoder.cutting = true;
    self->decoder.cut_lsn = lsn;
    self->decoder.cut_ordinal = ordinal;
    Py_RETURN_NONE;
}

/* release(rows, bytes): so many were taken out of their tables. */
static PyObject *release_rows(DecoderObject *self, PyObject *args)
{
    Py_ssize_t count, bytes;
    if (!PyArg_ParseTuple(args, "nn", &count, &bytes) || !usable(self))
        return NULL;
    decoder *inner = &self->decoder;
    if (count < 0 || bytes < 0 || (size_t)count > inner->rows || (size_t)bytes > inner->bytes) {
        PyErr_SetString(PyExc_ValueError, "more than was gathered");
        return NULL;
    }
    inner->rows -= (size_t)count;
    inner->bytes -= (size_t)bytes;
    Py_RETURN_NONE;
}

/* begin(lsn, time, xid, aborted): replay a transaction that committed; `feed` takes what was kept of it. */
static PyObject *begin(DecoderObject *self, PyObject *args)
{
    uint64_t lsn;
    long long time;
    uint32_t xid;
    PyObject *aborted;
    if (!PyArg_ParseTuple(args, "O&LO&S", as_uint64, &lsn, &time, as_uint32, &xid, &aborted) || !usable(self))
        return NULL;
    char *xids;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(aborted, &xids, &size) < 0)
        return NULL;
    if (size % (Py_ssize_t)sizeof(uint32_t)) {
        PyErr_SetString(PyExc_ValueError, "no list of sub-transactions");
        return NULL;
    }
    decoder *inner = &self->decoder;
    if (inner->open || inner->replaying)
        return raise_status(BAD_MESSAGE);
    PyObject *before = self->aborted;
    self->aborted = Py_NewRef(aborted);
    Py_XDECREF(before);
    inner->aborted = (const uint32_t *)(const void *)xids;
    inner->aborts = (size_t)size / sizeof(uint32_t);
    inner->open = inner->replaying = true;
    inner->at = (place){inner->epoch, lsn, 0, time};
    inner->xid = xid;
    Py_RETURN_NONE;
}

/* commit(end, time): the replay is complete. */
static PyObject *commit(DecoderObject *self, PyObject *args)
{
    uint64_t end;
    long long time;
    if (!PyArg_ParseTuple(args, "O&L", as_uint64, &end, &time) || !usable(self))
        return NULL;
    int status = decoder_end_replay(&self->decoder, end, time);
    if (status != OK)
        return raise_status(status);
    Py_RETURN_NONE;
}

/* ended() -> where the last commit ended that was not asked for yet, or 0. */
static PyObject *ended(DecoderObject *self, PyObject *unused)
{
    if (!usable(self))
        return NULL;
    unsigned long long end = self->decoder.end;
    self->decoder.end = 0;
    return PyLong_FromUnsignedLongLong(end);
}

static PyObject *get_open(DecoderObject *self, void *unused)
{
    return PyBool_FromLong(self->decoder.open);
}

static PyObject *get_lsn(DecoderObject *self, void *unused)
{
    return PyLong_FromUnsignedLongLong(self->decoder.at.lsn);
}

static PyObject *get_xid(DecoderObject *self, void *unused)
{
    return PyLong_FromUnsignedLong(self->decoder.xid);
}

static PyObject *get_ordinal(DecoderObject *self, void *unused)
{
    return PyLong_FromUnsignedLongLong(self->decoder.at.ordinal);
}

static PyObject *get_time(DecoderObject *self, void *unused)
{
    return PyLong_FromLongLong(self->decoder.timestamp);
}

static PyObject *get_rows(DecoderObject *self, void *unused)
{
    return PyLong_FromSize_t(self->decoder.rows);
}

static PyObject *get_bytes(DecoderObject *self, void *unused)
{
    return PyLong_FromSize_t(self->decoder.bytes);
}

static PyObject *get_skipping(DecoderObject *self, void *unused)
{
    return PyBool_FromLong(self->decoder.cutting);
}

static PyObject *get_much(DecoderObject *self, void *unused)
{
    return PyBool_FromLong(decoder_has_much(&self->decoder));
}

static int set_due(DecoderObject *self, PyObject *value, void *unused)
{
    double due = value ? PyFloat_AsDouble(value) : 0;
    if (PyErr_Occurred() || !usable(self))
        return -1;
    self->decoder.due = microseconds(due);
    return 0;
}

static PyObject *get_due(DecoderObject *self, void *unused)
{
    return PyFloat_FromDouble((double)self->decoder.due / 1e6);
}

static PyMethodDef methods[] = {
    {"pump", (PyCFunction)pump_socket, METH_VARARGS, "Receive and decode until an event."},
    {"run", (PyCFunction)run, METH_NOARGS, "Decode what was fed until an event; None: all is taken."},
    {"feed", (PyCFunction)feed, METH_O, "Take messages of the wire, or of a kept transaction."},
    {"route", (PyCFunction)route_changes, METH_VARARGS, "Say where a relation's changes go."},
    {"forget", (PyCFunction)forget, METH_NOARGS, "Drop all routes."},
    {"skip", (PyCFunction)skip, METH_VARARGS, "Leave out the first changes of a transaction."},
    {"release", (PyCFunction)release_rows, METH_VARARGS, "Count rows as taken."},
    {"begin", (PyCFunction)begin, METH_VARARGS, "Begin the replay of a kept transaction."},
    {"commit", (PyCFunction)commit, METH_VARARGS, "End the replay."},
    {"ended", (PyCFunction)ended, METH_NOARGS, "Return where the last commit ended, once."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"open", (getter)get_open, NULL, "Whether a transaction is under way.", NULL},
    {"lsn", (getter)get_lsn, NULL, "The open transaction's commit LSN.", NULL},
    {"xid", (getter)get_xid, NULL, "The open transaction's number.", NULL},
    {"ordinal", (getter)get_ordinal, NULL, "Changes of the open transaction so far.", NULL},
    {"timestamp", (getter)get_time, NULL, "When the last transaction committed: us since 1970.", NULL},
    {"rows", (getter)get_rows, NULL, "Rows gathered in all tables.", NULL},
    {"size", (getter)get_bytes, NULL, "Bytes of their messages.", NULL},
    {"much", (getter)get_much, NULL, "Whether half of what a batch may hold has gathered.", NULL},
    {"skipping", (getter)get_skipping, NULL, "Whether changes are being left out.", NULL},
    {"due", (getter)get_due, (setter)set_due, "Monotonic seconds from which on a commit is an event.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "The stream of changes as rows of tables."},
    {Py_tp_init, init},
    {Py_tp_dealloc, dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {0, NULL},
};

PyType_Spec decoder_spec = {
    .name = "etl_postgres_cdc._wire.Decoder",
    .basicsize = sizeof(DecoderObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = slots,
};
