// os.read, readv, write, writev on what may have to be waited for (pipes, FIFOs, terminals,
// sockets), and os.close, which ends such waits.
//
// A wait for the descriptor, then the original; a write of more than a pipe takes at once goes to
// io:: piece by piece. Descriptors with O_NONBLOCK and regular files are the originals' affair: the
// first do not wait, the second are always ready. A writev of more than a pipe takes blocks.
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include <climits>

#include "greenwsgi/io/io.hpp"
#include "src/patch/fd_turns.hpp"
#include "src/patch/hooks.hpp"
#include "src/patch/waiting.hpp"

namespace greenwsgi::patch {

namespace {

// The descriptor of a call (fd, what) that may have to wait; -1: the original's affair.
int descriptor_in(const Call& call) {
  int fd = -1;
  const bool may_wait = py::can_park() && call.count() == 2 && call.keywords() == nullptr;
  return may_wait && as_int(call.item(0), &fd) && fd >= 0 ? fd : -1;
}

bool is_nonblocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  return flags < 0 || (flags & O_NONBLOCK) != 0;
}

// Would the original wait? What is not open in that direction is never ready: it fails at once.
bool would_block(int fd, short events) {
  pollfd one{fd, events, 0};
  if (::poll(&one, 1, 0) != 0) return false;
  const int flags = ::fcntl(fd, F_GETFL);
  const int wrong = events == POLLIN ? O_WRONLY : O_RDONLY;
  return flags >= 0 && (flags & O_NONBLOCK) == 0 && (flags & O_ACCMODE) != wrong;
}

PyObject* wait_and_pass_on(const Call& call, int fd, Direction direction) {
  const short events = direction == Direction::reading ? POLLIN : POLLOUT;
  FdTurns* turns = fd_turns(fd);
  if (turns == nullptr) return nullptr;
  Turn turn(*turns, direction);
  if (!turn.take(kNever)) return nullptr;
  while (would_block(fd, events)) {
    const Result<short> ready = io::poll(fd, events, kNever);
    if (!ready.ok() && turn.failed(ready.error(), kNever)) return nullptr;
  }
  return call.pass_on();
}

// Once it is ready, behind those who wait for it already.
PyObject* when_ready(const Call& call, int fd, Direction direction) {
  const short events = direction == Direction::reading ? POLLIN : POLLOUT;
  if (has_waiters(fd) || would_block(fd, events)) return wait_and_pass_on(call, fd, direction);
  return spend_turn() ? call.pass_on() : nullptr;
}

// What asks for no bytes, or for none that can be had, does not wait for any.

PyObject* hook_read(Call& call) {
  const int fd = descriptor_in(call);
  Py_ssize_t size = 0;
  if (fd < 0 || !as_size(call.item(1), &size) || size <= 0) return call.pass_on();
  return when_ready(call, fd, Direction::reading);
}

// Do these buffers hold any byte? False also for what are no such buffers, without an error.
bool have_room(PyObject* buffers, int flags) {
  const py::Ref items = py::Ref::steal(PySequence_Fast(buffers, ""));
  Py_ssize_t bytes = 0;
  for (Py_ssize_t i = 0; items && i < PySequence_Fast_GET_SIZE(items.get()); i++) {
    Py_buffer view;
    if (PyObject_GetBuffer(PySequence_Fast_GET_ITEM(items.get(), i), &view, flags) != 0) break;
    bytes += view.len;
    PyBuffer_Release(&view);
  }
  if (PyErr_Occurred() == nullptr) return bytes > 0;
  PyErr_Clear();
  return false;
}

PyObject* hook_readv(Call& call) {
  const int fd = descriptor_in(call);
  if (fd < 0 || !have_room(call.item(1), PyBUF_WRITABLE)) return call.pass_on();
  return when_ready(call, fd, Direction::reading);
}

PyObject* hook_writev(Call& call) {
  const int fd = descriptor_in(call);
  if (fd < 0 || !have_room(call.item(1), PyBUF_SIMPLE)) return call.pass_on();
  return when_ready(call, fd, Direction::writing);
}

// --- Large writes

bool is_regular(int fd) {
  struct stat status;
  return ::fstat(fd, &status) != 0 || S_ISREG(status.st_mode) || S_ISBLK(status.st_mode);
}

// All of it, as write(2) does where it may block.
PyObject* write_everything(int fd, io::ConstBytes from) {
  FdTurns* turns = fd_turns(fd);
  if (turns == nullptr || !spend_turn()) return nullptr;
  Turn turn(*turns, Direction::writing);
  if (!turn.take(kNever)) return nullptr;
  std::size_t total = 0;
  while (total < from.size()) {
    const Result<std::size_t> written = io::write(fd, from.subspan(total));
    if (written.ok()) total += *written;
    if (written.ok() && *written == 0) break;
    if (written.ok() || !turn.failed(written.error(), kNever)) continue;
    if (total == 0 || !PyErr_ExceptionMatches(PyExc_OSError)) return nullptr;
    PyErr_Clear();  // What went is reported; the error comes again with the next call.
    break;
  }
  return PyLong_FromSize_t(total);
}

PyObject* hook_write(Call& call) {
  const int fd = descriptor_in(call);
  Py_buffer data;
  if (fd < 0) return call.pass_on();
  if (PyObject_GetBuffer(call.item(1), &data, PyBUF_SIMPLE) != 0) {
    PyErr_Clear();
    return call.pass_on();
  }
  PyObject* result;
  if (data.len == 0 || (data.len > PIPE_BUF && (is_regular(fd) || is_nonblocking(fd)))) {
    result = call.pass_on();
  } else if (data.len <= PIPE_BUF) {
    result = when_ready(call, fd, Direction::writing);
  } else {
    result = write_everything(
        fd, {static_cast<const std::byte*>(data.buf), static_cast<std::size_t>(data.len)});
  }
  PyBuffer_Release(&data);
  return result;
}

// --- The end

PyObject* hook_close(Call& call) {
  PyObject* given[1] = {};
  int fd = -1;
  const bool waited_for = call.arrange({"fd"}, given) && given[0] != nullptr &&
                          as_int(given[0], &fd) && fd >= 0 && has_waiters(fd);
  if (waited_for && !wake_waiters_before_close(fd)) return nullptr;
  return call.pass_on();
}

constexpr Target targets[] = {
    target<hook_read>("posix", nullptr, "read"),   target<hook_readv>("posix", nullptr, "readv"),
    target<hook_write>("posix", nullptr, "write"), target<hook_writev>("posix", nullptr, "writev"),
    target<hook_close>("posix", nullptr, "close"),
};

}  // namespace

const Group descriptor_group = {"descriptor", targets, nullptr};

}  // namespace greenwsgi::patch
