// file_wrapper.cpp - see file_wrapper.hpp.
//
// A descriptor alone proves nothing: gzip.GzipFile has one, whose bytes are not what its read()
// returns. So only the file types of the module io themselves, whose behaviour is known, are sent
// by the kernel.
#include "src/wsgi/file_wrapper.hpp"

#include <structmember.h>
#include <sys/stat.h>

#include <cstddef>
#include <utility>

#include "src/wsgi/types.hpp"

namespace greenwsgi::wsgi {

using py::Ref;

namespace {

constexpr Py_ssize_t kBlockBytes = 64 * 1024;

struct FileWrapper {
  PyObject_HEAD PyObject* file;  // Owned. The filelike object.
  PyObject* read;                // Owned. Its bound read().
  Py_ssize_t block_bytes;
};

FileWrapper* wrapper_of(PyObject* self) {
  return reinterpret_cast<FileWrapper*>(self);
}

PyObject* wrapper_new(PyTypeObject* type, PyObject* arguments, PyObject* keywords) {
  static const char* names[] = {"filelike", "blksize", nullptr};
  PyObject* file;
  Py_ssize_t block_bytes = kBlockBytes;
  if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|n:FileWrapper",
                                   const_cast<char**>(names), &file, &block_bytes)) {
    return nullptr;
  }
  if (block_bytes <= 0) {
    PyErr_SetString(PyExc_ValueError, "blksize must be at least 1");
    return nullptr;
  }
  Ref read = Ref::steal(PyObject_GetAttrString(file, "read"));
  if (!read) return nullptr;
  PyObject* self = type->tp_alloc(type, 0);
  if (self == nullptr) return nullptr;
  wrapper_of(self)->file = Py_NewRef(file);
  wrapper_of(self)->read = read.release();
  wrapper_of(self)->block_bytes = block_bytes;
  return self;
}

int wrapper_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(wrapper_of(self)->file);
  Py_VISIT(wrapper_of(self)->read);
  return 0;
}

int wrapper_clear(PyObject* self) {
  Py_CLEAR(wrapper_of(self)->file);
  Py_CLEAR(wrapper_of(self)->read);
  return 0;
}

void wrapper_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  wrapper_clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* itself(PyObject* self) {
  return Py_NewRef(self);
}

/// The next block; the end is an empty one.
PyObject* wrapper_next(PyObject* self) {
  Ref size = Ref::steal(PyLong_FromSsize_t(wrapper_of(self)->block_bytes));
  if (!size) return nullptr;
  Ref block = Ref::steal(PyObject_CallOneArg(wrapper_of(self)->read, size.get()));
  if (!block) return nullptr;
  const int more = PyObject_IsTrue(block.get());
  return more > 0 ? block.release() : nullptr;
}

PyObject* wrapper_close(PyObject* self, PyObject*) {
  Ref close = Ref::steal(PyObject_GetAttrString(wrapper_of(self)->file, "close"));
  if (close) return PyObject_CallNoArgs(close.get());
  if (!PyErr_ExceptionMatches(PyExc_AttributeError)) return nullptr;
  PyErr_Clear();
  Py_RETURN_NONE;
}

PyMethodDef methods[] = {
    {"close", wrapper_close, METH_NOARGS, "Close the file, if it can be closed."},
    {nullptr, nullptr, 0, nullptr},
};

PyMemberDef members[] = {
    {"filelike", T_OBJECT_EX, offsetof(FileWrapper, file), READONLY, "The file."},
    {"blksize", T_PYSSIZET, offsetof(FileWrapper, block_bytes), READONLY, "Bytes a block."},
    {nullptr, 0, 0, 0, nullptr},
};

PyType_Slot slots[] = {
    {Py_tp_doc,
     const_cast<char*>("FileWrapper(filelike, blksize=65536): wsgi.file_wrapper of PEP 3333.")},
    {Py_tp_new, reinterpret_cast<void*>(wrapper_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(wrapper_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(wrapper_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(wrapper_clear)},
    {Py_tp_iter, reinterpret_cast<void*>(itself)},
    {Py_tp_iternext, reinterpret_cast<void*>(wrapper_next)},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {0, nullptr},
};

PyType_Spec spec = {
    "green._core.FileWrapper",
    sizeof(FileWrapper),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    slots,
};

bool is_exactly(PyObject* object, const Ref& type) {
  return Py_TYPE(object) == as_type(type);
}

/// The io.FileIO that `file` is or buffers, if nobody has changed either. Empty: it is none, or a
/// Python error is set.
Ref plain_file(PyObject* file, const Types& types) {
  if (is_exactly(file, types.file_io)) return Ref::share(file);
  if (!is_exactly(file, types.buffered_reader) && !is_exactly(file, types.buffered_random)) {
    return {};
  }
  Ref raw = Ref::steal(PyObject_GetAttr(file, types.raw_name.get()));
  return raw && is_exactly(raw.get(), types.file_io) ? std::move(raw) : Ref{};
}

/// False, perhaps with a Python error: what the kernel reads would not be what read() returns.
bool may_be_sent(PyObject* file, const Types& types) {
  if (is_exactly(file, types.buffered_reader)) return true;
  // What a BufferedRandom has not written yet would be missing.
  const Ref& name =
      is_exactly(file, types.buffered_random) ? types.flush_name : types.readable_name;
  Ref result = Ref::steal(PyObject_CallMethodNoArgs(file, name.get()));
  return result && result.get() != Py_False;
}

bool find_region_of(PyObject* file, const Types& types, FileRegion& region) {
  const Ref raw = plain_file(file, types);
  if (!raw || !may_be_sent(file, types)) return false;
  const int fd = PyObject_AsFileDescriptor(raw.get());
  struct stat status;
  if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) return false;
  Ref tell = Ref::steal(PyObject_CallMethodNoArgs(file, types.tell_name.get()));
  const long long position = tell ? PyLong_AsLongLong(tell.get()) : -1;
  // A file of /proc has bytes, but no size; one of /sys has a size that is not true, but no blocks.
  if (position < 0 || position >= status.st_size || status.st_blocks == 0) return false;
  region = {fd, position, static_cast<std::uint64_t>(status.st_size - position)};
  return true;
}

}  // namespace

bool find_region(PyObject* wrapper, const Types& types, FileRegion& region) {
  if (find_region_of(wrapper_of(wrapper)->file, types, region)) return true;
  // A closed or odd file: reading it will say what is wrong. Being killed is another matter.
  if (PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_Exception)) PyErr_Clear();
  return false;
}

int add_file_wrapper(PyObject* module) {
  return add_type(module, spec, "FileWrapper");
}

}  // namespace greenwsgi::wsgi
