// os.read, pread, write and their kin on descriptors of any kind. How the bytes move is
// descriptor_io's; a writev of more than a pipe takes blocks.
#include <unistd.h>

#include <cerrno>

#include "src/patch/descriptor_io.hpp"
#include "src/patch/hooks.hpp"
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

// Do these buffers hold any byte? False also for what are no such buffers, without an error.
bool have_room(PyObject* buffers, int flags) {
  const Ref items = Ref::steal(PySequence_Fast(buffers, ""));
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
  const int fd = descriptor_in(call, 2);
  if (fd < 0 || !have_room(call.item(1), PyBUF_WRITABLE)) return call.pass_on();
  return when_ready(call, fd, Direction::reading);
}

PyObject* hook_writev(Call& call) {
  const int fd = descriptor_in(call, 2);
  if (fd < 0 || !have_room(call.item(1), PyBUF_SIMPLE)) return call.pass_on();
  return when_ready(call, fd, Direction::writing);
}

PyObject* hook_write(Call& call) {
  const int fd = descriptor_in(call, 2);
  return fd < 0 ? call.pass_on() : write_bytes(call, fd, call.item(1));
}

// --- sendfile

// The offset to send from, and whether the file's own position is meant, which then moves. False:
// the original's affair.
bool sendfile_offset(PyObject* given, int file_fd, Py_ssize_t* offset, bool* own) {
  *own = given == Py_None;
  if (!*own) return as_size(given, offset) && *offset >= 0;
  *offset = ::lseek(file_fd, 0, SEEK_CUR);
  return *offset >= 0;
}

PyObject* send_file(const Call& call, int fd, int file_fd, Py_ssize_t offset, Py_ssize_t count) {
  FdTurns* turns = fd_turns(fd);
  if (turns == nullptr || !spend_turn()) return nullptr;
  Turn turn(*turns, Direction::writing);
  if (!turn.take(kNever)) return nullptr;
  for (;;) {
    const Result<std::size_t> sent =
        io::send_file(fd, file_fd, offset, static_cast<std::size_t>(count));
    if (sent.ok()) return PyLong_FromSize_t(*sent);
    if (sent.error().code == EINVAL) return call.pass_on();
    if (turn.failed(sent.error(), kNever)) return nullptr;
  }
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
  PyObject* sent = send_file(call, fd, file_fd, offset, std::min(count, kReadMost));
  if (sent != nullptr && own) ::lseek(file_fd, offset + PyLong_AsSsize_t(sent), SEEK_SET);
  return sent;
}

constexpr Target targets[] = {
    target<hook_read>("posix", nullptr, "read"),
    target<hook_pread>("posix", nullptr, "pread"),
    target<hook_readv>("posix", nullptr, "readv"),
    target<hook_write>("posix", nullptr, "write"),
    target<hook_writev>("posix", nullptr, "writev"),
    target<hook_sendfile>("posix", nullptr, "sendfile"),
};

}  // namespace

const Group descriptor_group = {"descriptor", targets, nullptr};

}  // namespace greenwsgi::patch
