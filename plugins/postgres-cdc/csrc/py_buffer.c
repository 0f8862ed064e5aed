#include "bindings.h"

/* Memory that a decoder filled and that an Arrow array now reads in place. */
typedef struct {
    PyObject_HEAD
    buffer memory;
} BufferObject;

PyObject *buffer_object(buffer *from)
{
    BufferObject *self = PyObject_New(BufferObject, buffer_type);
    if (self == NULL)
        return NULL;
    if (from->capacity - from->size > from->size / 8) {
        uint8_t *tight = realloc(from->data, from->size ? from->size : 1);
        if (tight) {
            from->data = tight;
            from->capacity = from->size;
        }
    }
    self->memory = *from;
    *from = (buffer){0};
    return (PyObject *)self;
}

static void dealloc(BufferObject *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    buffer_free(&self->memory);
    PyObject_Free(self);
    Py_DECREF(type);
}

static int get_buffer(BufferObject *self, Py_buffer *view, int flags)
{
    static uint8_t nothing;
    void *data = self->memory.data ? self->memory.data : &nothing;
    return PyBuffer_FillInfo(view, (PyObject *)self, data, (Py_ssize_t)self->memory.size, 1, flags);
}

static PyType_Slot slots[] = {
    {Py_tp_doc, "Bytes that a decoder filled; read-only."},
    {Py_tp_dealloc, dealloc},
    {Py_bf_getbuffer, get_buffer},
    {0, NULL},
};

PyType_Spec buffer_spec = {
    .name = "etl_postgres_cdc._wire.Buffer",
    .basicsize = sizeof(BufferObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};
