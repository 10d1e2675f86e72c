// respond.cpp - the body of a response: what an application's return value may be, and how each
// kind is sent.
//
// The promise of PEP 3333 that shapes all of it: a piece is handed to the kernel before the next
// one is asked for, and the head goes out with the first piece that is not empty.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "src/py/runtime.hpp"
#include "src/wsgi/application.hpp"
#include "src/wsgi/call.hpp"

namespace greenwsgi::wsgi {

using py::Ref;

namespace {

/// Pieces of a list that together have at most so many bytes leave in one send.
constexpr Py_ssize_t kJoinedMax = 64 * 1024;

struct OwnFd {
  explicit OwnFd(int its_fd) : fd(its_fd) {}
  OwnFd(const OwnFd&) = delete;
  OwnFd& operator=(const OwnFd&) = delete;
  ~OwnFd() {
    if (fd >= 0) ::close(fd);
  }
  const int fd;
};

/// The items from `first` to before `last`, which have `bytes` together.
Ref joined(PyObject* sequence, Py_ssize_t first, Py_ssize_t last, Py_ssize_t bytes) {
  if (last - first == 1) return Ref::share(PySequence_Fast_GET_ITEM(sequence, first));
  Ref whole = Ref::steal(PyBytes_FromStringAndSize(nullptr, bytes));
  if (!whole) return whole;
  char* end = PyBytes_AS_STRING(whole.get());
  for (Py_ssize_t i = first; i < last; ++i) {
    PyObject* piece = PySequence_Fast_GET_ITEM(sequence, i);
    std::memcpy(end, PyBytes_AS_STRING(piece), static_cast<std::size_t>(PyBytes_GET_SIZE(piece)));
    end += PyBytes_GET_SIZE(piece);
  }
  return whole;
}

}  // namespace

bool Call::must_have_started() {
  if (started_) return true;
  PyErr_SetString(PyExc_AssertionError,
                  "start_response() must be called before the first piece of the body");
  return false;
}

bool Call::must_be_bytes(PyObject* piece) {
  if (PyBytes_Check(piece)) return true;
  PyErr_Format(PyExc_TypeError, "the body of a response is made of bytes, not %.100s",
               Py_TYPE(piece)->tp_name);
  return false;
}

bool Call::respond(PyObject* result) {
  // Many frameworks take what reading the body raised for a fault of their own.
  if (body_status_ != 0 && !exchange_.head_sent() && started_ && !writing_ &&
      exchange_.response().code() >= 500) {
    send_error_page(body_status_);
    return true;
  }
  if (PyList_CheckExact(result) || PyTuple_CheckExact(result)) return respond_with_pieces(result);
  if (Py_TYPE(result) == as_type(application_.types().file_wrapper) && started_) {
    // Sending a file is long and all in the kernel. The calls that are ready run before it, and
    // those whose files are sent end together, while Python's code is still in the processor's
    // caches.
    scheduler_->yield();
    FileRegion region;
    if (find_region(result, application_.types(), region)) return respond_with_file(region, result);
    if (PyErr_Occurred()) return false;
  }
  return respond_by_iterating(result);
}

/// A list or tuple is all there: its length is known before the head is sent.
bool Call::respond_with_pieces(PyObject* sequence) {
  if (!must_have_started()) return false;
  const Py_ssize_t count = PySequence_Fast_GET_SIZE(sequence);
  Py_ssize_t total = 0;
  for (Py_ssize_t i = 0; i < count; ++i) {
    PyObject* piece = PySequence_Fast_GET_ITEM(sequence, i);
    if (!must_be_bytes(piece)) return false;
    total += PyBytes_GET_SIZE(piece);
  }
  if (count == 0) return send({}, 0) && finish();
  for (Py_ssize_t first = 0, last; first < PySequence_Fast_GET_SIZE(sequence); first = last) {
    // The list may be changed while a piece waits for the client.
    Py_ssize_t bytes = 0;
    for (last = first; last < PySequence_Fast_GET_SIZE(sequence); ++last) {
      PyObject* piece = PySequence_Fast_GET_ITEM(sequence, last);
      if (!must_be_bytes(piece)) return false;
      if (last > first && bytes + PyBytes_GET_SIZE(piece) > kJoinedMax) break;
      bytes += PyBytes_GET_SIZE(piece);
    }
    if (bytes == 0 && exchange_.head_sent()) continue;
    const Ref piece = joined(sequence, first, last, bytes);
    if (!piece || !send(bytes_of(piece.get()), total)) return false;
    if (!exchange_.takes_body()) break;
    if (last < PySequence_Fast_GET_SIZE(sequence) && !give_way()) return false;
  }
  return finish();
}

bool Call::respond_with_file(const FileRegion& region, PyObject* wrapper) {
  if (!must_have_started()) return false;  // Another green may have taken it back.
  // The application may close its file, and another get the number, while this one is sent.
  const OwnFd file(::fcntl(region.fd, F_DUPFD_CLOEXEC, 0));
  if (file.fd < 0) return respond_by_iterating(wrapper);
  const std::int64_t announced = exchange_.response().content_length();
  const auto wanted = announced >= 0 ? static_cast<std::uint64_t>(announced) : region.bytes;
  const std::uint64_t count = wanted < region.bytes ? wanted : region.bytes;
  // After write(), only what the head has announced is left to send.
  if (!exchange_.head_sent()) {
    if (!send({}, announced >= 0 ? -1 : static_cast<std::int64_t>(count))) return false;
  }
  const std::int64_t left = exchange_.body_bytes_left();
  const std::uint64_t sendable = left >= 0 && static_cast<std::uint64_t>(left) < count
                                     ? static_cast<std::uint64_t>(left)
                                     : count;
  if (sendable == 0) return finish();
  Status sent = Done{};
  {
    Hold hold(*this, writing_, "the response");
    if (!hold) return false;
    sent = exchange_.send_file(file.fd, region.offset, sendable);
    scheduler_->yield();
  }
  if (!sent.ok() && sent.error() == Errno{EINVAL}) return respond_by_iterating(wrapper);
  return check(sent) && finish();
}

bool Call::respond_by_iterating(PyObject* iterable) {
  Ref iterator = Ref::steal(PyObject_GetIter(iterable));
  if (!iterator) return false;
  const iternextfunc next = Py_TYPE(iterator.get())->tp_iternext;
  while (Ref piece = Ref::steal(next(iterator.get()))) {
    if (!must_have_started() || !must_be_bytes(piece.get())) return false;
    if (PyBytes_GET_SIZE(piece.get()) != 0 && !send(bytes_of(piece.get()), -1)) return false;
    if (!exchange_.takes_body()) break;  // Which may have no end.
    if (!give_way()) return false;
  }
  if (PyErr_Occurred()) {
    if (!PyErr_ExceptionMatches(PyExc_StopIteration)) return false;
    PyErr_Clear();
  }
  if (!must_have_started()) return false;
  if (!exchange_.head_sent() && !send({}, 0)) return false;
  return finish();
}

/// Sends `piece`, and the head before it if that has not been done. `body_bytes`: the length of the
/// whole body, or -1.
bool Call::send(io::ConstBytes piece, std::int64_t body_bytes) {
  Hold hold(*this, writing_, "the response");
  if (!hold) return false;
  return check(exchange_.head_sent() ? exchange_.write(piece)
                                     : exchange_.send_head(body_bytes, piece));
}

bool Call::finish() {
  Hold hold(*this, writing_, "the response");
  if (!hold) return false;
  finished_ = true;
  return check(exchange_.finish());
}

bool Call::check(Status status) {
  if (status.ok()) return true;
  switch (status.error().code) {
    case EMSGSIZE:
      PyErr_SetString(PyExc_ValueError, "the response's body is longer than its Content-Length");
      return false;
    case ENODATA:
      PyErr_SetString(PyExc_ValueError, "the response's body is shorter than its Content-Length");
      return false;
    case ECANCELED:
      if (py::raise_if_interrupted()) return false;
      break;
    case ENOMEM:
      PyErr_NoMemory();
      return false;
    case ECONNRESET:
    case EPIPE:
    case ETIMEDOUT:
      return lose_peer(status.error());
    default:
      break;
  }
  py::set_os_error(status.error());
  return false;
}

}  // namespace greenwsgi::wsgi
