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

// The descriptor that is the call's first argument; -1, without an error: the original's affair.
int descriptor_in(const Call& call) {
  if (call.count() < 1 || call.keywords() != nullptr || !PyLong_Check(call.item(0))) return -1;
  int overflow = 0;
  const long fd = PyLong_AsLongAndOverflow(call.item(0), &overflow);
  return overflow == 0 && fd >= 0 && fd <= INT_MAX ? static_cast<int>(fd) : -1;
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

PyObject* hook_reading(Call& call) {
  const int fd = py::can_park() ? descriptor_in(call) : -1;
  return fd < 0 ? call.pass_on() : when_ready(call, fd, Direction::reading);
}

PyObject* hook_writev(Call& call) {
  const int fd = py::can_park() ? descriptor_in(call) : -1;
  return fd < 0 ? call.pass_on() : when_ready(call, fd, Direction::writing);
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
  const int fd = py::can_park() ? descriptor_in(call) : -1;
  Py_buffer data;
  if (fd < 0 || call.count() != 2) return call.pass_on();
  if (PyObject_GetBuffer(call.item(1), &data, PyBUF_SIMPLE) != 0) {
    PyErr_Clear();
    return call.pass_on();
  }
  const bool at_once = data.len <= PIPE_BUF;
  PyObject* result;
  if (at_once) {
    result = when_ready(call, fd, Direction::writing);
  } else if (is_regular(fd) || is_nonblocking(fd)) {
    result = call.pass_on();
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
  if (!call.arrange({"fd"}, given) || given[0] == nullptr || !PyLong_Check(given[0])) {
    return call.pass_on();
  }
  int overflow = 0;
  const long fd = PyLong_AsLongAndOverflow(given[0], &overflow);
  if (overflow != 0 || fd < 0 || fd > INT_MAX || !has_waiters(static_cast<int>(fd))) {
    return call.pass_on();
  }
  return wake_waiters_before_close(static_cast<int>(fd)) ? call.pass_on() : nullptr;
}

constexpr Target targets[] = {
    target<hook_reading, 0>("posix", nullptr, "read"),
    target<hook_reading, 1>("posix", nullptr, "readv"),
    target<hook_write>("posix", nullptr, "write"),
    target<hook_writev>("posix", nullptr, "writev"),
    target<hook_close>("posix", nullptr, "close"),
};

}  // namespace

const Group descriptor_group = {"descriptor", targets, nullptr};

}  // namespace greenwsgi::patch
