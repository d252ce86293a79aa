/* The one's-complement sum of 16-bit words (RFC 1071), which `checksum.py` offers and describes.
 *
 * Octet order does not matter while words are added (RFC 1071 section 2(B)), so words of 32 bits are added as they lie
 * in memory, and the sum is swapped once. 64 bits hold the sum of 2^32 of them.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <string.h>

static uint64_t sum_of_words(const unsigned char *octets, Py_ssize_t length)
{
    uint64_t total = 0;
    uint32_t word;

    for (; length >= 4; octets += 4, length -= 4) {
        memcpy(&word, octets, 4);
        total += word;
    }
    word = 0;
    memcpy(&word, octets, length); /* an odd length is padded with a zero octet */
    return total + word;
}

/* Add the halves until 16 bits are left: 0 only for 0. */
static uint64_t folded(uint64_t total)
{
    while (total >> 16)
        total = (total & 0xFFFF) + (total >> 16);
    return total;
}

static PyObject *ones_complement_sum(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    Py_buffer view;
    uint64_t total, initial = 0;

    (void)module;
    if (count < 1 || count > 2)
        return PyErr_Format(PyExc_TypeError, "ones_complement_sum takes octets and an initial sum");
    if (count == 2 && (initial = PyLong_AsUnsignedLongLong(arguments[1])) == (uint64_t)-1 && PyErr_Occurred())
        return NULL;
    if (PyObject_GetBuffer(arguments[0], &view, PyBUF_SIMPLE) < 0)
        return NULL;
    total = folded(sum_of_words(view.buf, view.len));
    PyBuffer_Release(&view);
#if PY_LITTLE_ENDIAN
    total = (total & 0xFF) << 8 | total >> 8;
#endif
    return PyLong_FromLong((long)folded(total + folded(initial)));
}

static PyMethodDef methods[] = {
    {"ones_complement_sum", (PyCFunction)(void (*)(void))ones_complement_sum, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_internet_sum", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__internet_sum(void)
{
    return PyModule_Create(&definition);
}
