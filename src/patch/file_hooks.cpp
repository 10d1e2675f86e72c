// io.FileIO: what io.open() makes has one at its bottom, and calls its methods by name.
//
// How the bytes move is descriptor_io's. A file that is not open in the asked direction, or closed,
// is the original's affair.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "src/patch/descriptor_io.hpp"
#include "src/patch/hooks.hpp"
#include "src/patch/layout.hpp"
#include "src/patch/waiting.hpp"

namespace greenwsgi::patch {

namespace {

using py::Ref;

int readable_descriptor(const Call& call) {
  if (!py::can_park()) return -1;
  const layout::FileHead& head = layout::file_head(call.self());
  return head.readable != 0 ? head.fd : -1;
}

io::Bytes room_of(PyObject* bytes, Py_ssize_t from) {
  return {reinterpret_cast<std::byte*>(PyBytes_AS_STRING(bytes) + from),
          static_cast<std::size_t>(std::min(PyBytes_GET_SIZE(bytes) - from, kReadMost))};
}

// How many bytes are left, where that can be known; else what a pipe holds.
Py_ssize_t bytes_expected(int fd) {
  constexpr Py_ssize_t kUnknown = 64 << 10;
  struct stat status;
  if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) return kUnknown;
  const off_t position = ::lseek(fd, 0, SEEK_CUR);
  const off_t rest = status.st_size - position;
  // One more byte finds the end of the file without another look at its size.
  return position >= 0 && rest > 0 ? std::max(rest + 1, off_t{1024}) : kUnknown;
}

// Until the end of the file.
PyObject* read_all(const Call& call, int fd) {
  Ref all = Ref::steal(PyBytes_FromStringAndSize(nullptr, bytes_expected(fd)));
  Py_ssize_t total = 0;
  while (all) {
    if (total == PyBytes_GET_SIZE(all.get())) {
      PyObject* grown = all.release();
      _PyBytes_Resize(&grown, total + total / 2);
      all = Ref::steal(grown);
      continue;
    }
    std::size_t count = 0;
    errno = 0;
    const Moved moved = read_bytes(fd, room_of(all.get(), total), -1, &count);
    if (moved == Moved::failed) return nullptr;
    if (moved == Moved::none && total == 0) return call.pass_on();
    if (moved == Moved::none && errno != 0 && errno != EAGAIN && errno != EOPNOTSUPP)
      return PyErr_SetFromErrno(PyExc_OSError);
    if (moved == Moved::none || count == 0) break;
    total += static_cast<Py_ssize_t>(count);
  }
  PyObject* read = all.release();
  if (read != nullptr) _PyBytes_Resize(&read, total);
  return read;
}

PyObject* hook_read(Call& call) {
  const int fd = readable_descriptor(call);
  if (fd < 0 || call.keywords() != nullptr || call.count() > 1) return call.pass_on();
  if (call.count() == 0 || call.item(0) == Py_None) return read_all(call, fd);
  Py_ssize_t size = 0;
  if (!as_size(call.item(0), &size) || size == 0) return call.pass_on();
  return size < 0 ? read_all(call, fd) : read_new(call, fd, size);
}

PyObject* hook_readall(Call& call) {
  const int fd = readable_descriptor(call);
  return fd < 0 || !call.without_arguments() ? call.pass_on() : read_all(call, fd);
}

PyObject* hook_readinto(Call& call) {
  const int fd = readable_descriptor(call);
  Py_buffer into;
  if (fd < 0 || call.count() != 1 || call.keywords() != nullptr) return call.pass_on();
  if (PyObject_GetBuffer(call.item(0), &into, PyBUF_WRITABLE) != 0) {
    PyErr_Clear();
    return call.pass_on();
  }
  std::size_t count = 0;
  const auto size = static_cast<std::size_t>(std::min(into.len, kReadMost));
  const Moved moved = read_bytes(fd, {static_cast<std::byte*>(into.buf), size}, -1, &count);
  PyBuffer_Release(&into);
  if (moved == Moved::failed) return nullptr;
  return moved == Moved::none ? call.pass_on() : PyLong_FromSize_t(count);
}

PyObject* hook_write(Call& call) {
  const bool ours = py::can_park() && call.count() == 1 && call.keywords() == nullptr;
  const int fd = ours ? layout::file_head(call.self()).fd : -1;
  if (fd < 0 || layout::file_head(call.self()).writable == 0) return call.pass_on();
  return write_bytes(call, fd, call.item(0));
}

PyObject* hook_close(Call& call) {
  const layout::FileHead& head = layout::file_head(call.self());
  if (head.close_fd != 0 && !before_close(head.fd)) return nullptr;
  return call.pass_on();
}

constexpr Target targets[] = {
    target<hook_read>("_io", "FileIO", "read"),
    target<hook_readall>("_io", "FileIO", "readall"),
    target<hook_readinto>("_io", "FileIO", "readinto"),
    target<hook_write>("_io", "FileIO", "write"),
    target<hook_close>("_io", "FileIO", "close"),
};

}  // namespace

const Group file_group = {"file", targets, layout::check_file};

}  // namespace greenwsgi::patch
