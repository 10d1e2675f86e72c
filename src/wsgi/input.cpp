// input.cpp - see input.hpp.
#include "src/wsgi/input.hpp"

#include <cstring>
#include <limits>

#include "src/wsgi/call.hpp"
#include "src/wsgi/free_list.hpp"
#include "src/wsgi/types.hpp"

namespace greenwsgi::wsgi {

using py::Ref;

namespace {

constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max();

struct Input {
  PyObject_HEAD Call* call;  // Null once the call has ended.
};
using Inputs = FreeList<Input>;

/// A bytes object that grows by doubling, so that it is never twice as large as its content.
class Gathered {
 public:
  /// False: a Python error is set, and the object is of no further use.
  bool append(io::ConstBytes piece, std::size_t limit) {
    if (!reserve(piece.size(), limit)) return false;
    std::memcpy(PyBytes_AS_STRING(bytes_) + size_, piece.data(), piece.size());
    size_ += piece.size();
    return true;
  }
  std::size_t size() const { return size_; }

  /// What has been gathered; empty: a Python error is set.
  Ref take() {
    if (bytes_ == nullptr) return Ref::steal(PyBytes_FromStringAndSize(nullptr, 0));
    if (size_ != capacity()) _PyBytes_Resize(&bytes_, static_cast<Py_ssize_t>(size_));
    return Ref::steal(std::exchange(bytes_, nullptr));
  }

  Gathered() = default;
  Gathered(const Gathered&) = delete;
  Gathered& operator=(const Gathered&) = delete;
  ~Gathered() { Py_XDECREF(bytes_); }

 private:
  std::size_t capacity() const { return static_cast<std::size_t>(PyBytes_GET_SIZE(bytes_)); }
  bool reserve(std::size_t more, std::size_t limit) {
    if (bytes_ == nullptr) {
      bytes_ = PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(more));
      return bytes_ != nullptr;
    }
    if (capacity() - size_ >= more) return true;
    std::size_t wanted = 2 * size_ > size_ + more ? 2 * size_ : size_ + more;
    if (wanted > limit) wanted = limit;
    return _PyBytes_Resize(&bytes_, static_cast<Py_ssize_t>(wanted)) == 0;
  }

  PyObject* bytes_ = nullptr;  // Owned; a Ref cannot be resized in place.
  std::size_t size_ = 0;
};

/// Reads up to `limit` bytes, but not past a newline when `line` is set. Switches.
Ref read_bytes(Call& call, std::size_t limit, bool line) {
  Call::Hold hold = call.hold_input();
  if (!hold || !call.give_way()) return {};
  Gathered gathered;
  while (gathered.size() < limit) {
    io::ConstBytes piece;
    if (!call.peek_body(piece)) {
      // A Timeout, most likely: the next read begins with what has come.
      const py::SavedError error;
      call.put_back(gathered.take());
      return {};
    }
    if (piece.empty()) break;
    if (piece.size() > limit - gathered.size()) piece = piece.first(limit - gathered.size());
    const void* newline = line ? std::memchr(piece.data(), '\n', piece.size()) : nullptr;
    if (newline != nullptr) {
      piece = piece.first(
          static_cast<std::size_t>(static_cast<const std::byte*>(newline) - piece.data()) + 1);
    }
    if (!gathered.append(piece, limit)) return {};
    call.consume_body(piece.size());
    if (newline != nullptr) break;
  }
  return gathered.take();
}

Call* call_of(PyObject* self) {
  Call* call = reinterpret_cast<Input*>(self)->call;
  if (call == nullptr)
    PyErr_SetString(PyExc_ValueError, "the request of this wsgi.input has ended");
  return call;
}

/// The one optional argument: a number of bytes, None or negative for all of them.
bool parse_size(PyObject* const* arguments, Py_ssize_t count, const char* name, std::size_t& size) {
  size = kUnlimited;
  if (count == 0) return true;
  if (count > 1) {
    PyErr_Format(PyExc_TypeError, "%s() takes at most 1 argument (%zd given)", name, count);
    return false;
  }
  if (arguments[0] == Py_None) return true;
  const Py_ssize_t number = PyNumber_AsSsize_t(arguments[0], PyExc_OverflowError);
  if (number == -1 && PyErr_Occurred()) return false;
  if (number >= 0) size = static_cast<std::size_t>(number);
  return true;
}

PyObject* read_method(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
  std::size_t limit;
  Call* call = call_of(self);
  if (call == nullptr || !parse_size(arguments, count, "read", limit)) return nullptr;
  return read_bytes(*call, limit, false).release();
}

PyObject* readline_method(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
  std::size_t limit;
  Call* call = call_of(self);
  if (call == nullptr || !parse_size(arguments, count, "readline", limit)) return nullptr;
  return read_bytes(*call, limit, true).release();
}

PyObject* readlines_method(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
  std::size_t hint;
  if (!parse_size(arguments, count, "readlines", hint)) return nullptr;
  if (hint == 0) hint = kUnlimited;  // As io.IOBase.readlines() has it.
  Ref lines = Ref::steal(PyList_New(0));
  if (!lines) return nullptr;
  std::size_t total = 0;
  while (total < hint) {
    Call* call = call_of(self);
    Ref line = call != nullptr ? read_bytes(*call, kUnlimited, true) : Ref();
    if (!line) return nullptr;
    if (PyBytes_GET_SIZE(line.get()) == 0) break;
    total += static_cast<std::size_t>(PyBytes_GET_SIZE(line.get()));
    if (PyList_Append(lines.get(), line.get()) < 0) return nullptr;
  }
  return lines.release();
}

PyObject* next_line(PyObject* self) {
  Call* call = call_of(self);
  Ref line = call != nullptr ? read_bytes(*call, kUnlimited, true) : Ref();
  if (!line || PyBytes_GET_SIZE(line.get()) == 0) return nullptr;
  return line.release();
}

PyObject* itself(PyObject* self) {
  return Py_NewRef(self);
}

PyCFunction fast(PyObject* (*method)(PyObject*, PyObject* const*, Py_ssize_t)) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(method));
}

PyMethodDef methods[] = {
    {"read", fast(read_method), METH_FASTCALL,
     "read(size=-1): size bytes, fewer only at the end of the body. Waits for the client."},
    {"readline", fast(readline_method), METH_FASTCALL,
     "readline(size=-1): up to and with the next newline. Waits for the client."},
    {"readlines", fast(readlines_method), METH_FASTCALL,
     "readlines(hint=-1): lines until they have `hint` bytes or more. Waits for the client."},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot slots[] = {
    {Py_tp_doc, const_cast<char*>("wsgi.input: the body of the request, read as it arrives.")},
    {Py_tp_dealloc, reinterpret_cast<void*>(Inputs::drop)},
    {Py_tp_iter, reinterpret_cast<void*>(itself)},
    {Py_tp_iternext, reinterpret_cast<void*>(next_line)},
    {Py_tp_methods, methods},
    {0, nullptr},
};

PyType_Spec spec = {
    "green._core.Input",
    sizeof(Input),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    slots,
};

}  // namespace

Ref make_input(PyTypeObject* type, Call& call) {
  Input* made = Inputs::make(type);
  if (made == nullptr) return {};
  made->call = &call;
  return Ref::steal(reinterpret_cast<PyObject*>(made));
}

void detach_input(PyObject* input) {
  reinterpret_cast<Input*>(input)->call = nullptr;
}

int add_input(PyObject* module) {
  return add_type(module, spec, "Input");
}

}  // namespace greenwsgi::wsgi
