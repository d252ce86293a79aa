/* Hooks between libfuse and pyfuse3: seven things that a network file needs and pyfuse3's Python API does not offer.
 *
 *   request            unique of the request being handled, the open file's flags at this moment (O_NONBLOCK), and the
 *                      pid (of the thread) and uid of the caller
 *   no background      the kernel makes no READ or WRITE in the background: such a request can't be interrupted, so its
 *                      process could not be killed, and 12 that park (max_background) would stop every RELEASE
 *   interrupts         FUSE_INTERRUPT calls a Python function with the unique of the interrupted request
 *   entry              READ and WRITE call a Python function at once, without pyfuse3, if there is one; the next
 *                      request is read without a turn of pyfuse3's loop
 *   reply              answers a request by its unique, now or later, with several buffers without a copy. pyfuse3, whose
 *                      handler then raises FUSEError(ANSWERED), sends nothing
 *   non-blocking       the device is read without blocking and without splice. An empty device is reported as EINTR,
 *                      and pyfuse3 waits again. (Between "readable" and read, the kernel may withdraw a request whose
 *                      caller was killed: a blocking read would then stop the whole daemon.)
 *
 * This extension defines three of libfuse's public functions and is loaded before pyfuse3 with RTLD_GLOBAL, so the
 * dynamic linker binds pyfuse3 to them. They call the originals through RTLD_NEXT. Nothing private to libfuse or
 * pyfuse3 is used. schemefs/fs/libfuse_hooks.py loads it and checks that the three are bound.
 */
#define PY_SSIZE_T_CLEAN
#define _GNU_SOURCE
#define FUSE_USE_VERSION 314
#include <Python.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <fuse3/fuse_lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

/* A READ for the page cache (splice, sendfile, mmap, readahead), in the flags that request() returns. open(2) has no such
   flag. open_files.py has the same number. */
#define FROM_PAGE_CACHE (UINT32_C(1) << 31)

static struct {
    uint64_t unique;
    uint32_t flags, pid, uid;
} request;

static PyObject *interrupt_callback;
static size_t buffer_size; /* octets that one read of the device must have room for */
static int prepared_fd = -1; /* the device that was made non-blocking */
static int drained;        /* the last read of the device found no request */
static struct fuse_session *volatile current_session; /* NULL from the moment when it may be destroyed */
static int ended;          /* unmounted, or the connection was aborted: no further request can arrive */

/* The kernel refuses a read into a buffer smaller than header and max_write. libfuse negotiates at most so many pages. */
static size_t device_buffer_size(void)
{
    long pages = 256, limit;
    FILE *file = fopen("/proc/sys/fs/fuse/max_pages_limit", "re");
    if (file) {
        if (fscanf(file, "%ld", &limit) == 1 && limit > pages && limit <= 65535)
            pages = limit;
        fclose(file);
    }
    return (size_t)(pages + 2) * (size_t)sysconf(_SC_PAGESIZE);
}

EXPORTED int fuse_session_receive_buf(struct fuse_session *session, struct fuse_buf *buf)
{
    int fd = fuse_session_fd(session);
    ssize_t count;

    if (fd != prepared_fd) {
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        prepared_fd = fd;
        buffer_size = device_buffer_size();
    }
    if (!buf->mem && !(buf->mem = malloc(buffer_size)))
        return -ENOMEM;
    do
        count = read(fd, buf->mem, buffer_size);
    while (count < 0 && errno == ENOENT); /* this request was withdrawn during the read */
    drained = count < 0 && errno == EAGAIN;
    if (fuse_session_exited(session))
        return 0;
    if (count < 0) {
        if (errno == EINTR || errno == EAGAIN)
            return -EINTR;
        if (errno == ENODEV || errno == ECONNABORTED) {
            ended = 1;
            fuse_session_exit(session);
            return 0;
        }
        return -errno;
    }
    if ((size_t)count < sizeof(struct fuse_in_header))
        return -EIO;
    buf->size = (size_t)count;
    buf->flags = 0;
    return (int)count;
}

static void call_interrupt_callback(uint64_t unique)
{
    PyObject *result;

    if (!interrupt_callback)
        return;
    result = PyObject_CallFunction(interrupt_callback, "K", (unsigned long long)unique);
    if (!result)
        PyErr_WriteUnraisable(interrupt_callback);
    else
        Py_DECREF(result);
}

/* What libfuse must not agree to in the answer to INIT: AIO of direct_io files, readahead and writeback would be requests
   in the background. */
static void refuse_background(struct fuse_init_in *init)
{
    init->flags &= ~(uint32_t)(FUSE_ASYNC_DIO | FUSE_ASYNC_READ | FUSE_WRITEBACK_CACHE);
}

/* The kernel names the lock owner in each READ of read(2), and never in one for the page cache. */
static uint32_t flags_of_read(const struct fuse_read_in *in)
{
    return in->flags | (in->read_flags & FUSE_READ_LOCKOWNER ? 0 : FROM_PAGE_CACHE);
}

static PyObject *hooks_request(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    return Py_BuildValue("KIII", (unsigned long long)request.unique, request.flags, request.pid, request.uid);
}

/* Python functions: that answer READ and WRITE, and that says whether to read the next request. NULL: pyfuse3 does both. */
static PyObject *read_entry, *write_entry, *reads_on;

/* Call *entry* with the request, a file handle, an offset, and *what*: the size or the octets. It has the request answered,
   and does not raise. */
static void enter(PyObject *entry, uint64_t file_handle, uint64_t offset, PyObject *what)
{
    struct fuse_out_header failure = {.len = sizeof failure, .error = -ENOMEM, .unique = request.unique};
    PyObject *arguments[] = {
        hooks_request(NULL, NULL), PyLong_FromUnsignedLongLong(file_handle), PyLong_FromUnsignedLongLong(offset), what,
    };
    PyObject *result = NULL;

    if (arguments[0] && arguments[1] && arguments[2] && what)
        result = PyObject_Vectorcall(entry, arguments, 4, NULL);
    if (!result) {
        PyErr_WriteUnraisable(entry);
        if (write(prepared_fd, &failure, sizeof failure) < 0)
            perror("schemefs: the answer to a request could not be sent");
    }
    Py_XDECREF(result);
    for (size_t i = 0; i < sizeof arguments / sizeof *arguments; i++)
        Py_XDECREF(arguments[i]);
}

/* Note whose request it is, and handle what is not for pyfuse3. 0: it is for pyfuse3. */
static int process(struct fuse_in_header *header)
{
    void *body = header + 1;
    const struct fuse_read_in *in_read = body;
    const struct fuse_write_in *in_write = body;

    request.unique = header->unique;
    request.pid = header->pid;
    request.uid = header->uid;
    request.flags = 0;
    switch (header->opcode) {
    case FUSE_READ:
        request.flags = flags_of_read(in_read);
        if (!read_entry)
            return 0;
        enter(read_entry, in_read->fh, in_read->offset, PyLong_FromUnsignedLong(in_read->size));
        return 1;
    case FUSE_WRITE:
        request.flags = in_write->flags;
        if (!write_entry)
            return 0;
        enter(write_entry, in_write->fh, in_write->offset,
              PyBytes_FromStringAndSize((const char *)(in_write + 1), in_write->size));
        return 1;
    case FUSE_INTERRUPT: /* libfuse does not know the requests that wait for `reply` */
        call_interrupt_callback(((const struct fuse_interrupt_in *)body)->unique);
        return 1;
    case FUSE_INIT:
        refuse_background(body);
    }
    return 0;
}

/* Whether to read the next request here, without a turn of pyfuse3's loop. */
static int may_read_on(void)
{
    PyObject *result = reads_on ? PyObject_CallNoArgs(reads_on) : NULL;
    int on = result == Py_True;

    if (reads_on && !result)
        PyErr_WriteUnraisable(reads_on);
    Py_XDECREF(result);
    return on;
}

EXPORTED void fuse_session_process_buf(struct fuse_session *session, const struct fuse_buf *buf)
{
    static void (*original)(struct fuse_session *, const struct fuse_buf *);
    struct fuse_buf *own = (struct fuse_buf *)(uintptr_t)buf; /* pyfuse3's, for the next request too */

    if (!original)
        *(void **)&original = dlsym(RTLD_NEXT, "fuse_session_process_buf");
    current_session = session;
    while (process(buf->mem))
        if (!may_read_on() || fuse_session_receive_buf(session, own) <= 0)
            return;
    original(session, buf);
}

/* The errno with which a handler tells pyfuse3 that `reply` answers the request. The kernel takes none above 511. */
#define ANSWERED 1000

EXPORTED int fuse_reply_err(fuse_req_t req, int error)
{
    static int (*original)(fuse_req_t, int);

    if (error == ANSWERED) {
        fuse_reply_none(req); /* it frees the request and sends nothing */
        return 0;
    }
    if (!original)
        *(void **)&original = dlsym(RTLD_NEXT, "fuse_reply_err");
    return original(req, error);
}

#define MAX_CHUNKS 1000 /* writev takes UIO_MAXIOV (1024). open_files.py has the same number. */

/* Fill *views* with the buffers of *octets*, a buffer or a tuple of them. -1: a Python exception; *filled* are to be released. */
static int get_buffers(PyObject *octets, Py_buffer *views, int *filled)
{
    if (!PyTuple_Check(octets))
        return PyObject_GetBuffer(octets, &views[0], PyBUF_SIMPLE) < 0 ? -1 : (*filled = 1, 0);
    if (PyTuple_GET_SIZE(octets) > MAX_CHUNKS) {
        PyErr_SetString(PyExc_ValueError, "too many buffers");
        return -1;
    }
    for (; *filled < PyTuple_GET_SIZE(octets); ++*filled)
        if (PyObject_GetBuffer(PyTuple_GET_ITEM(octets, *filled), &views[*filled], PyBUF_SIMPLE) < 0)
            return -1;
    return 0;
}

static PyObject *hooks_reply(PyObject *self, PyObject *args)
{
    struct fuse_out_header header = {.len = sizeof header};
    struct iovec iov[MAX_CHUNKS + 1];
    Py_buffer views[MAX_CHUNKS];
    unsigned long long unique;
    PyObject *octets;
    int filled = 0, failure = -1;

    (void)self;
    if (!PyArg_ParseTuple(args, "KiO", &unique, &header.error, &octets))
        return NULL;
    header.unique = unique;
    iov[0].iov_base = &header;
    iov[0].iov_len = sizeof header;
    if (get_buffers(octets, views, &filled) == 0) {
        for (int i = 0; i < filled; i++) {
            iov[i + 1].iov_base = views[i].buf;
            iov[i + 1].iov_len = (size_t)views[i].len;
            header.len += (uint32_t)views[i].len;
        }
        failure = writev(prepared_fd, iov, filled + 1) < 0 ? errno : 0;
    }
    while (filled)
        PyBuffer_Release(&views[--filled]);
    return failure < 0 ? NULL : PyLong_FromLong(failure);
}

static PyObject *hooks_drained(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    return PyBool_FromLong(drained);
}

static PyObject *hooks_ended(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    return PyBool_FromLong(ended);
}

/* The interpreter's lock is released for the whole list: taking it again after each name would cost up to 5 ms each. */
static PyObject *hooks_invalidate_names(PyObject *self, PyObject *list)
{
    Py_ssize_t count, filled;
    int failure = 0;
    struct name {
        uint64_t parent;
        const char *text;
        Py_ssize_t length;
    } *names;

    (void)self;
    if (!PyList_Check(list))
        return PyErr_Format(PyExc_TypeError, "expected a list of (parent, name)");
    count = PyList_GET_SIZE(list);
    names = PyMem_Calloc((size_t)count + 1, sizeof *names);
    if (!names)
        return PyErr_NoMemory();
    for (filled = 0; filled < count; filled++) {
        unsigned long long parent;
        struct name *name = &names[filled];
        if (!PyArg_ParseTuple(PyList_GET_ITEM(list, filled), "Ky#", &parent, &name->text, &name->length)) {
            PyMem_Free(names);
            return NULL;
        }
        name->parent = parent;
    }
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t i = 0; i < count; i++) {
        struct fuse_session *session = current_session;
        int result;
        if (!session)
            break;
        result = fuse_lowlevel_notify_inval_entry(session, names[i].parent, names[i].text, (size_t)names[i].length);
        if (result != 0 && result != -ENOENT && result != -ENOTDIR) /* these two: the name has gone meanwhile */
            failure = -result;
    }
    Py_END_ALLOW_THREADS
    PyMem_Free(names);
    return PyLong_FromLong(failure);
}

static PyObject *hooks_closing(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    current_session = NULL;
    prepared_fd = -1;
    Py_RETURN_NONE;
}

static PyObject *hooks_on_interrupt(PyObject *self, PyObject *callback)
{
    (void)self;
    Py_INCREF(callback);
    Py_XSETREF(interrupt_callback, callback);
    Py_RETURN_NONE;
}

static PyObject *hooks_enter_by(PyObject *self, PyObject *args)
{
    PyObject **entries[] = {&read_entry, &write_entry, &reads_on}, *given[3];

    (void)self;
    if (!PyArg_ParseTuple(args, "OOO", &given[0], &given[1], &given[2]))
        return NULL;
    for (int i = 0; i < 3; i++) {
        Py_INCREF(given[i]);
        Py_XSETREF(*entries[i], given[i]);
    }
    Py_RETURN_NONE;
}

/* Whether every caller of *name* is bound to the function in this library. Comparing with the address as seen from here
   would always say yes, because the dynamic linker binds the name here as well. */
static int is_interposed(const char *name)
{
    Dl_info bound, own;
    void *found = dlsym(RTLD_DEFAULT, name);

    return found && dladdr(found, &bound) && dladdr((void *)is_interposed, &own) && bound.dli_fbase == own.dli_fbase;
}

static PyObject *hooks_not_interposed(PyObject *self, PyObject *unused)
{
    static const char *const names[] = {
        "fuse_session_receive_buf", "fuse_session_process_buf", "fuse_reply_err",
    };
    PyObject *missing = PyList_New(0);

    (void)self, (void)unused;
    for (size_t i = 0; missing && i < sizeof names / sizeof *names; i++) {
        PyObject *name;
        if (is_interposed(names[i]))
            continue;
        name = PyUnicode_FromString(names[i]);
        if (!name || PyList_Append(missing, name) < 0)
            Py_CLEAR(missing);
        Py_XDECREF(name);
    }
    return missing;
}

static PyMethodDef methods[] = {
    {"request", hooks_request, METH_NOARGS,
     "request() -> (unique, flags, pid, uid) of the request whose handler is about to run; flags: open(2)'s, for read and\n"
     "write, with bit 31 for a read into the page cache; pid: of the thread, 0: in a PID namespace not seen from here"},
    {"drained", hooks_drained, METH_NOARGS, "drained() -> whether the last read of the device found no request"},
    {"ended", hooks_ended, METH_NOARGS, "ended() -> whether the mount has ended: unmounted, or the connection was aborted"},
    {"closing", hooks_closing, METH_NOARGS,
     "closing(): the session may be destroyed from now on; an invalidate_names that still runs stops"},
    {"invalidate_names", hooks_invalidate_names, METH_O,
     "invalidate_names([(parent, name)]) -> errno or 0: the kernel drops the names; may wait for locks: call it in a thread"},
    {"on_interrupt", hooks_on_interrupt, METH_O, "on_interrupt(f): call f(unique) for each FUSE_INTERRUPT"},
    {"enter_by", hooks_enter_by, METH_VARARGS,
     "enter_by(read, write, reads_on): call read or write with the request, file handle, offset, and size or octets; it has\n"
     "the request answered. Then, if reads_on() is True, read the next request at once"},
    {"reply", hooks_reply, METH_VARARGS,
     "reply(unique, error, octets) -> errno or 0: answer a request; error: negative, or 0 and a buffer or a tuple of them"},
    {"not_interposed", hooks_not_interposed, METH_NOARGS,
     "not_interposed() -> names of libfuse functions that are bound to another library"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_libfuse_hooks", "Hooks between libfuse and pyfuse3.", -1, methods, NULL, NULL, NULL, NULL,
};

/* pyfuse3 allocates 128 KiB or more for each write(2). glibc would return the memory to the kernel when it is freed and
   request it again for the next write, with a page fault for each page: a third of the system time of a bulk transfer. */
static void keep_freed_memory(void)
{
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, 4 << 20);
    mallopt(M_TRIM_THRESHOLD, 16 << 20);
#endif
}

PyMODINIT_FUNC PyInit__libfuse_hooks(void)
{
    PyObject *made;

    keep_freed_memory();
    made = PyModule_Create(&module);
    if (made && PyModule_AddIntMacro(made, ANSWERED) < 0)
        Py_CLEAR(made);
    return made;
}
