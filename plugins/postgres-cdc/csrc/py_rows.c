#include "bindings.h"

static int set_up(column *self, uint8_t form, uint8_t precision, uint8_t scale)
{
    if (form >= FORMS || precision > 38 || scale > precision) {
        PyErr_SetString(PyExc_ValueError, "no such form of a column");
        return -1;
    }
    self->form = form;
    self->precision = precision;
    self->scale = scale;
    return 0;
}

static int set_up_all(rows *self, const unsigned char *forms, const unsigned char *precisions,
                      const unsigned char *scales)
{
    for (size_t i = 0; i < self->width; i++)
        if (set_up(&self->columns[i], forms[i], precisions[i], scales[i]) < 0)
            return -1;
    return 0;
}

static int set_key(rows *self, const unsigned char *forms, const unsigned char *precisions,
                   const unsigned char *scales, PyObject *key)
{
    for (size_t i = 0; i < self->keys; i++) {
        PyObject *item = PyTuple_GetItem(key, (Py_ssize_t)i);
        size_t at = item ? PyLong_AsSize_t(item) : 0;
        if (PyErr_Occurred())
            return -1;
        if (at >= self->width) {
            PyErr_SetString(PyExc_ValueError, "no such column in a key");
            return -1;
        }
        self->key[i] = (uint32_t)at;
        if (set_up(&self->old_key[i], forms[at], precisions[at], scales[at]) < 0)
            return -1;
    }
    return 0;
}

/* Rows(forms, precisions, scales, key): three bytes objects with one byte per column, and column numbers. */
static int init(RowsObject *self, PyObject *args, PyObject *kwargs)
{
    const unsigned char *forms, *precisions, *scales;
    Py_ssize_t width, same, also;
    PyObject *key;
    if (!PyArg_ParseTuple(args, "y#y#y#O!", &forms, &width, &precisions, &same, &scales, &also, &PyTuple_Type,
                          &key))
        return -1;
    if (same != width || also != width || self->rows.columns) {
        PyErr_SetString(PyExc_ValueError, "columns need a form, a precision and a scale each, once");
        return -1;
    }
    rows made;
    int status = 0;
    if (rows_init(&made, (size_t)width, (size_t)PyTuple_Size(key)) != OK) {
        PyErr_NoMemory();
        status = -1;
    }
    if (status == 0)
        status = set_up_all(&made, forms, precisions, scales);
    if (status == 0)
        status = set_key(&made, forms, precisions, scales, key);
    if (status < 0) {
        rows_free(&made);
        return -1;
    }
    self->rows = made;
    return 0;
}

static void dealloc(RowsObject *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    rows_free(&self->rows);
    guard_drop(self->guard);
    freefunc release = PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

int rows_adopt(RowsObject *self, guard *by)
{
    if (self->guard == by)
        return 0;
    if (self->guard && self->guard->owned) {
        PyErr_SetString(PyExc_ValueError, "the rows are filled by another decoder");
        return -1;
    }
    guard_drop(self->guard);
    self->guard = by;
    by->users++;
    return 0;
}

/* An object of a buffer's memory, or None where it is `absent`. */
static PyObject *optional(buffer *from, bool absent)
{
    if (!absent)
        return buffer_object(from);
    buffer_free(from);
    return Py_NewRef(Py_None);
}

/* (bad, nulls, validity or None, offsets or None, data); the column is empty then. */
static PyObject *take_column(column *self)
{
    if (column_is_variable(self) && self->offsets.size == 0 && buffer_zeros(&self->offsets, 4) != OK)
        return PyErr_NoMemory();
    PyObject *out = Py_BuildValue("(NnNNN)", PyBool_FromLong(self->bad), (Py_ssize_t)self->nulls,
                                  optional(&self->validity, self->nulls == 0),
                                  optional(&self->offsets, !column_is_variable(self)), buffer_object(&self->data));
    self->bad = false;
    self->rows = self->nulls = 0;
    return out;
}

static PyObject *take_columns(column *from, size_t count)
{
    PyObject *all = PyList_New(0);
    for (size_t i = 0; all && i < count; i++) {
        PyObject *one = take_column(&from[i]);
        if (one == NULL || PyList_Append(all, one) < 0)
            Py_CLEAR(all);
        Py_XDECREF(one);
    }
    return all;
}

/* The offsets of strings of one letter each. */
static PyObject *ends_of_ops(size_t count)
{
    buffer ends = {0};
    if (buffer_zeros(&ends, (count + 1) * sizeof(int32_t)) != OK)
        return PyErr_NoMemory();
    for (size_t i = 0; i <= count; i++)
        ((int32_t *)(void *)ends.data)[i] = (int32_t)i;
    return buffer_object(&ends);
}

static int level_bits(buffer *bits, size_t count)
{
    size_t bytes = (count + 7) / 8;
    return bits->size < bytes ? buffer_zeros(bits, bytes - bits->size) : OK;
}

/* (rows that have a list, validity, offsets, column numbers), or None. */
static PyObject *take_unchanged(rows *self)
{
    size_t marked = self->unchanged_rows;
    if (marked == 0)
        return Py_NewRef(Py_None);
    if (level_unchanged(self, self->count) != OK || level_bits(&self->unchanged_valid, self->count) != OK)
        return PyErr_NoMemory();
    self->unchanged_rows = 0;
    return Py_BuildValue("(nNNN)", (Py_ssize_t)marked, buffer_object(&self->unchanged_valid),
                         buffer_object(&self->unchanged_ends), buffer_object(&self->unchanged));
}

/* (rows that have an old key, validity, columns), or None. */
static PyObject *take_moves(rows *self)
{
    size_t moves = self->moves;
    if (moves == 0)
        return Py_NewRef(Py_None);
    if (level_bits(&self->moved, self->count) != OK)
        return PyErr_NoMemory();
    for (size_t i = 0; i < self->keys; i++)
        while (self->old_key[i].rows < self->count)
            if (column_null(&self->old_key[i]) != OK)
                return PyErr_NoMemory();
    self->moves = 0;
    return Py_BuildValue("(nNN)", (Py_ssize_t)moves, buffer_object(&self->moved),
                         take_columns(self->old_key, self->keys));
}

/* take() -> (count, columns, ops' offsets, ops, seqs, times or None, unchanged, moves). */
static PyObject *take(RowsObject *object, PyObject *unused)
{
    rows *self = &object->rows;
    size_t count = self->count;
    if (!guard_free(object->guard))
        return NULL;
    if (self->broken)
        return raise_status(BAD_ROW);
    self->broken = true; /* until all of it is handed over */
    PyObject *unchanged = take_unchanged(self);
    PyObject *moves = unchanged ? take_moves(self) : NULL;
    PyObject *columns = moves ? take_columns(self->columns, self->width) : NULL;
    if (columns == NULL) {
        Py_XDECREF(unchanged);
        Py_XDECREF(moves);
        return NULL;
    }
    bool timeless = self->times.size == 0;
    PyObject *out = Py_BuildValue("(nNNNNNNN)", (Py_ssize_t)count, columns, ends_of_ops(count),
                                  buffer_object(&self->ops), buffer_object(&self->seqs),
                                  optional(&self->times, timeless), unchanged, moves);
    self->count = self->bytes = 0;
    self->broken = out == NULL;
    return out;
}

static Py_ssize_t length(RowsObject *self)
{
    return (Py_ssize_t)self->rows.count;
}

static PyObject *get_bytes(RowsObject *self, void *unused)
{
    return PyLong_FromSize_t(self->rows.bytes);
}

static PyMethodDef methods[] = {
    {"take", (PyCFunction)take, METH_NOARGS, "Return the rows' buffers; none are left."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"size", (getter)get_bytes, NULL, "Bytes of the messages that the rows came in.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Rows of one table on their way into one batch."},
    {Py_tp_init, init},
    {Py_tp_dealloc, dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {Py_sq_length, length},
    {0, NULL},
};

PyType_Spec rows_spec = {
    .name = "etl_postgres_cdc._wire.Rows",
    .basicsize = sizeof(RowsObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};
