#include "bindings.h"

typedef struct {
    PyObject_HEAD
    copier copier;
    PyObject *target;
    guard *guard;
} CopierObject;

static void clear(CopierObject *self)
{
    copier_free(&self->copier);
    if (self->guard)
        self->guard->owned = false;
    guard_drop(self->guard);
    self->guard = NULL;
}

/* Copier(rows, epoch, lsn, ordinal of the first row, rows to skip, max rows, max bytes) */
static int init(CopierObject *self, PyObject *args, PyObject *kwargs)
{
    PyObject *target;
    uint32_t epoch;
    uint64_t lsn, ordinal;
    Py_ssize_t skip, max_rows, max_bytes;
    if (!PyArg_ParseTuple(args, "O!O&O&O&nnn", rows_type, &target, as_uint32, &epoch, as_uint64, &lsn,
                          as_uint64, &ordinal, &skip, &max_rows, &max_bytes))
        return -1;
    if (self->guard || skip < 0 || max_rows < 1 || max_bytes < 1) {
        PyErr_SetString(PyExc_ValueError, "limits are at least 1");
        return -1;
    }
    if (copier_init(&self->copier, &((RowsObject *)target)->rows) != OK) {
        PyErr_NoMemory();
        return -1;
    }
    self->guard = guard_new();
    if (self->guard == NULL || rows_adopt((RowsObject *)target, self->guard) < 0) {
        clear(self);
        return -1;
    }
    self->target = Py_NewRef(target);
    self->copier.at = (place){epoch, lsn, ordinal, 0};
    self->copier.skip = (size_t)skip;
    self->copier.max_rows = (size_t)max_rows;
    self->copier.max_bytes = (size_t)max_bytes;
    return 0;
}

static void dealloc(CopierObject *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    clear(self);
    Py_XDECREF(self->target);
    freefunc release = PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

/* Raise unless the copier was made and no thread is inside. */
static bool usable(CopierObject *self)
{
    if (self->guard)
        return guard_free(self->guard);
    PyErr_SetString(PyExc_ValueError, "the copier was not made");
    return false;
}

/* pump(fd, timeout, nap) -> event */
static PyObject *pump_socket(CopierObject *self, PyObject *args)
{
    int fd;
    patience how;
    details what = {0};
    if (read_patience(args, &fd, &how) < 0 || !usable(self))
        return NULL;
    int event;
    self->guard->busy = true;
    Py_BEGIN_ALLOW_THREADS
    event = copier_pump(&self->copier, fd, &how, &what);
    Py_END_ALLOW_THREADS
    self->guard->busy = false;
    return event < 0 ? raise_status(event) : event_object(event, &what);
}

/* run() -> event or None */
static PyObject *run(CopierObject *self, PyObject *unused)
{
    details what = {0};
    if (!usable(self))
        return NULL;
    int event;
    self->guard->busy = true;
    Py_BEGIN_ALLOW_THREADS
    event = copier_run(&self->copier, &what);
    Py_END_ALLOW_THREADS
    self->guard->busy = false;
    if (event == NEED)
        Py_RETURN_NONE;
    return event < 0 ? raise_status(event) : event_object(event, &what);
}

static PyObject *feed(CopierObject *self, PyObject *data)
{
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    if (!usable(self)) {
        PyBuffer_Release(&view);
        return NULL;
    }
    int status = reader_feed(&self->copier.wire, view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    if (status != OK)
        return raise_status(status);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"pump", (PyCFunction)pump_socket, METH_VARARGS, "Receive and decode until an event."},
    {"run", (PyCFunction)run, METH_NOARGS, "Decode what was fed until an event; None: all is taken."},
    {"feed", (PyCFunction)feed, METH_O, "Take messages of the wire."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "A copied table as rows."},
    {Py_tp_init, init},
    {Py_tp_dealloc, dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec copier_spec = {
    .name = "etl_postgres_cdc._wire.Copier",
    .basicsize = sizeof(CopierObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = slots,
};
