// os.read, pread, write and their kin on descriptors of any kind. How the bytes move is
// descriptor_io's and vector_io's; splice, which can block at either end, waits for both and then
// moves them on a native thread.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "src/patch/descriptor_io.hpp"
#include "src/patch/hooks.hpp"
#include "src/patch/native_call.hpp"
#include "src/patch/vector_io.hpp"
#include "src/patch/waiting.hpp"

namespace greenwsgi::patch {

namespace {

using py::Ref;

// The descriptor of a call (fd, ...) that may have to wait; -1: the original's affair.
int descriptor_in(const Call& call, Py_ssize_t arguments) {
  int fd = -1;
  const bool may_wait = py::can_park() && call.count() == arguments && call.keywords() == nullptr;
  return may_wait && as_int(call.item(0), &fd) && fd >= 0 ? fd : -1;
}

// What asks for no bytes, or for none that can be had, does not wait for any.

PyObject* hook_read(Call& call) {
  const int fd = descriptor_in(call, 2);
  Py_ssize_t size = 0;
  if (fd < 0 || !as_size(call.item(1), &size) || size <= 0) return call.pass_on();
  return read_new(call, fd, size);
}

PyObject* hook_pread(Call& call) {
  const int fd = descriptor_in(call, 3);
  Py_ssize_t size = 0, offset = 0;
  if (fd < 0 || !as_size(call.item(1), &size) || !as_size(call.item(2), &offset) || size <= 0 ||
      offset < 0) {
    return call.pass_on();
  }
  return read_new(call, fd, size, offset);
}

PyObject* hook_write(Call& call) {
  const int fd = descriptor_in(call, 2);
  return fd < 0 ? call.pass_on() : write_bytes(call, fd, call.item(1));
}

// Only what can seek takes an offset: a disk has to be waited for, or nothing.
PyObject* hook_pwrite(Call& call) {
  const int fd = descriptor_in(call, 3);
  Py_buffer data;
  if (fd < 0 || PyObject_GetBuffer(call.item(1), &data, PyBUF_SIMPLE) != 0) {
    PyErr_Clear();
    return call.pass_on();
  }
  const auto bytes = static_cast<std::size_t>(data.len);
  PyBuffer_Release(&data);
  if (bytes > kWriteAtOnce && is_disk_file(fd))
    return call_natively(call, NativeWork::wait, "the disk", StillOpen(fd));
  return spend_turn(fd) ? call.pass_on() : nullptr;
}

PyObject* hook_readv(Call& call) {
  const int fd = descriptor_in(call, 2);
  return fd < 0 ? call.pass_on() : read_vector(call, fd, call.item(1), -1);
}

PyObject* hook_writev(Call& call) {
  const int fd = descriptor_in(call, 2);
  return fd < 0 ? call.pass_on() : write_vector(call, fd, call.item(1), false);
}

// The descriptor of a call (fd, buffers, offset, flags=0); -1: the original's affair.
int positioned_descriptor(const Call& call, Py_ssize_t* offset, int* flags) {
  *flags = 0;
  const int fd = descriptor_in(call, call.count() == 4 ? 4 : 3);
  if (fd < 0 || !as_size(call.item(2), offset) || *offset < 0) return -1;
  return call.count() == 3 || as_int(call.item(3), flags) ? fd : -1;
}

PyObject* hook_preadv(Call& call) {
  Py_ssize_t offset = 0;
  int flags = 0;
  const int fd = positioned_descriptor(call, &offset, &flags);
  if (fd < 0 || flags != 0) return call.pass_on();
  return read_vector(call, fd, call.item(1), offset);
}

PyObject* hook_pwritev(Call& call) {
  Py_ssize_t offset = 0;
  int flags = 0;
  const int fd = positioned_descriptor(call, &offset, &flags);
  if (fd < 0 || !is_disk_file(fd)) return call.pass_on();
  return write_vector(call, fd, call.item(1), (flags & (RWF_SYNC | RWF_DSYNC)) != 0);
}

// --- eventfd

PyObject* hook_eventfd(Call& call, Direction direction) {
  PyObject* given[2] = {};
  if (!py::can_park() || !call.arrange({"fd", "value"}, given) || given[0] == nullptr)
    return call.pass_on();
  const int fd = PyObject_AsFileDescriptor(given[0]);
  PyErr_Clear();
  return fd < 0 ? call.pass_on() : when_ready(call, fd, direction);
}

PyObject* hook_eventfd_read(Call& call) {
  return hook_eventfd(call, Direction::reading);
}

PyObject* hook_eventfd_write(Call& call) {
  return hook_eventfd(call, Direction::writing);
}

// --- splice

bool is_pipe(int fd) {
  struct stat status;
  return ::fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode);
}

bool takes_offset(int fd, PyObject* offset) {
  return offset == nullptr || offset == Py_None || is_disk_file(fd);
}

PyObject* hook_splice(Call& call) {
  PyObject* given[6] = {};
  int from = -1, to = -1, flags = 0;
  if (!py::can_park() ||
      !call.arrange({"src", "dst", "count", "offset_src", "offset_dst", "flags"}, given) ||
      given[2] == nullptr || !as_int(given[0], &from) || !as_int(given[1], &to) || from < 0 ||
      to < 0 || (given[5] != nullptr && !as_int(given[5], &flags)) ||
      (flags & SPLICE_F_NONBLOCK) != 0 || is_nonblocking(from) || is_nonblocking(to) ||
      // What is refused at once:
      (!is_pipe(from) && !is_pipe(to)) || !takes_offset(from, given[3]) ||
      !takes_offset(to, given[4])) {
    return call.pass_on();
  }
  const StillOpen open(from, to);
  if (!await_ready(from, Direction::reading) || !await_ready(to, Direction::writing))
    return nullptr;
  return call_natively(call, NativeWork::wait, "splice", open);
}

// --- sendfile

// The offset to send from, and whether the file's own position is meant, which then moves. False:
// the original's affair.
bool sendfile_offset(PyObject* given, int file_fd, Py_ssize_t* offset, bool* own) {
  *own = given == Py_None;  // Null, an argument that is missing, is no size.
  if (!*own) return as_size(given, offset) && *offset >= 0;
  *offset = ::lseek(file_fd, 0, SEEK_CUR);
  return *offset >= 0;
}

PyObject* send_file(const Call& call, int fd, int file_fd, Py_ssize_t offset, Py_ssize_t count) {
  FdTurns* turns = fd_turns(fd);
  const StillOpen file(file_fd);
  if (turns == nullptr || !spend_turn(fd)) return nullptr;
  Turn turn(*turns, Direction::writing);
  if (!turn.take(kNever)) return nullptr;
  Py_ssize_t total = 0;
  while (file.check()) {
    std::size_t moved = 0;
    const Result<std::size_t> sent =
        io::send_file(fd, file_fd, offset + total, static_cast<std::size_t>(count - total),
                      Duration::max(), file.closes(), &moved);
    total += static_cast<Py_ssize_t>(moved);
    if (sent.ok() || (total > 0 && py::is_thrown_at())) return PyLong_FromSsize_t(total);
    if (total == 0 && sent.error().code == EINVAL) return call.pass_on();
    if (turn.failed(sent.error(), kNever)) break;
  }
  if (total == 0 || !PyErr_ExceptionMatches(PyExc_OSError)) return nullptr;
  PyErr_Clear();  // What went is reported; the error comes again with the next call.
  return PyLong_FromSsize_t(total);
}

PyObject* hook_sendfile(Call& call) {
  PyObject* given[4] = {};
  int fd = -1, file_fd = -1;
  Py_ssize_t offset = 0, count = 0;
  bool own = false;
  if (!py::can_park() || !call.arrange({"out_fd", "in_fd", "offset", "count"}, given) ||
      given[3] == nullptr || !as_int(given[0], &fd) || !as_int(given[1], &file_fd) || fd < 0 ||
      !as_size(given[3], &count) || count <= 0 || is_nonblocking(fd) ||
      !sendfile_offset(given[2], file_fd, &offset, &own)) {
    return call.pass_on();
  }
  const StillOpen file(file_fd);
  PyObject* sent = send_file(call, fd, file_fd, offset, std::min(count, kReadMost));
  if (sent != nullptr && own && file.holds())
    ::lseek(file_fd, offset + PyLong_AsSsize_t(sent), SEEK_SET);
  return sent;
}

constexpr Target targets[] = {
    target<hook_read>("posix", nullptr, "read"),
    target<hook_pread>("posix", nullptr, "pread"),
    target<hook_readv>("posix", nullptr, "readv"),
    target<hook_write>("posix", nullptr, "write"),
    target<hook_writev>("posix", nullptr, "writev"),
    target<hook_pwrite>("posix", nullptr, "pwrite"),
    target<hook_preadv>("posix", nullptr, "preadv", true),
    target<hook_pwritev>("posix", nullptr, "pwritev", true),
    target<hook_eventfd_read>("posix", nullptr, "eventfd_read", true),
    target<hook_eventfd_write>("posix", nullptr, "eventfd_write", true),
    target<hook_splice>("posix", nullptr, "splice", true),
    target<hook_sendfile>("posix", nullptr, "sendfile"),
};

}  // namespace

const Group descriptor_group = {"descriptor", targets, nullptr};

}  // namespace greenwsgi::patch
