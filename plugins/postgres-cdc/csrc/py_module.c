#include "bindings.h"

#include <errno.h>

PyTypeObject *buffer_type, *rows_type;
PyObject *wire_error;

PyObject *raise_status(int status)
{
    switch (status) {
    case NO_MEMORY:
        return PyErr_NoMemory();
    case CLOSED:
        PyErr_SetNone(PyExc_EOFError);
        return NULL;
    case IO_ERROR:
        return PyErr_SetFromErrno(PyExc_OSError);
    default:
        PyErr_Format(wire_error, "what came cannot be read (%d)", status);
        return NULL;
    }
}

guard *guard_new(void)
{
    guard *self = calloc(1, sizeof *self);
    if (self == NULL)
        return (guard *)PyErr_NoMemory();
    *self = (guard){1, true, false};
    return self;
}

void guard_drop(guard *self)
{
    if (self && --self->users == 0)
        free(self);
}

bool guard_free(const guard *self)
{
    if (self == NULL || !self->busy)
        return true;
    PyErr_SetString(PyExc_RuntimeError, "a decoder and its rows are for one thread at a time");
    return false;
}

int as_uint64(PyObject *value, void *to)
{
    unsigned long long number = PyLong_AsUnsignedLongLong(value);
    if (number == (unsigned long long)-1 && PyErr_Occurred())
        return 0;
    *(uint64_t *)to = number;
    return 1;
}

int as_uint32(PyObject *value, void *to)
{
    uint64_t number;
    if (!as_uint64(value, &number))
        return 0;
    if (number > UINT32_MAX) {
        PyErr_SetString(PyExc_OverflowError, "more than 32 bits");
        return 0;
    }
    *(uint32_t *)to = (uint32_t)number;
    return 1;
}

int64_t microseconds(double seconds)
{
    const double longest = 1e12;
    return seconds < longest ? seconds > 0 ? (int64_t)(seconds * 1e6) : 0 : (int64_t)(longest * 1e6);
}

PyObject *event_object(int event, const details *what)
{
    bool has_data = event == MESSAGE || event == SPOOL || event == FAILED;
    PyObject *data = has_data ? PyBytes_FromStringAndSize((const char *)what->data, (Py_ssize_t)what->size)
                              : Py_NewRef(Py_None);
    if (data == NULL)
        return NULL;
    bool has_number = event == UNKNOWN || event == PARTIAL || event == KEEPALIVE || event == SPOOL;
    unsigned long long number = has_number ? what->number : 0;
    return Py_BuildValue("(iKNO)", event, number, data, what->flag ? Py_True : Py_False);
}

int read_patience(PyObject *args, int *fd, patience *how)
{
    double timeout, nap;
    if (!PyArg_ParseTuple(args, "idd", fd, &timeout, &nap))
        return -1;
    const double longest = 0.1; /* a nap does not end when something comes */
    *how = (patience){
        .deadline = monotonic_us() + microseconds(timeout),
        .nap = microseconds(nap < longest ? nap : longest),
    };
    return 0;
}

static PyTypeObject *add_type(PyObject *module, PyType_Spec *spec)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    if (type == NULL || PyModule_AddType(module, (PyTypeObject *)type) < 0)
        return NULL;
    return (PyTypeObject *)type;
}

static int fill(PyObject *module)
{
    const uint16_t one = 1;
    if (*(const uint8_t *)&one != 1) {
        PyErr_SetString(PyExc_ImportError, "the compiled decoder needs a little-endian machine");
        return -1;
    }
    buffer_type = add_type(module, &buffer_spec);
    rows_type = add_type(module, &rows_spec);
    if (!buffer_type || !rows_type || !add_type(module, &decoder_spec) || !add_type(module, &copier_spec))
        return -1;
    wire_error = PyErr_NewException("etl_postgres_cdc._wire.WireError", PyExc_ValueError, NULL);
    if (PyModule_AddObjectRef(module, "WireError", wire_error) < 0)
        return -1;
    return PyModule_AddIntConstant(module, "VERSION", WIRE_VERSION);
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, fill}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "etl_postgres_cdc._wire",
    .m_doc = "Messages and rows of PostgreSQL as the buffers of Arrow arrays.",
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__wire(void)
{
    return PyModuleDef_Init(&definition);
}
