// What waits for a disk or a terminal and moves no bytes for the caller: sync, posix_fallocate,
// copy_file_range, the end of large files, mmap.flush, tcdrain and its kin.
//
// All are originals that only know how to block, and run on native threads. What asks a file system
// for names or facts (stat, listdir, rename, unlink of a small file) stays where it is: that takes
// a few microseconds, less than asking another thread to (docs/patching.md).
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <cstdint>

#include "src/patch/hooks.hpp"
#include "src/patch/native_call.hpp"
#include "src/patch/waiting.hpp"

namespace greenwsgi::patch {

namespace {

using py::Ref;

PyObject* natively(const Call& call, const StillOpen& open = {}) {
  return call_natively(call, NativeWork::wait, "the disk", open);
}

PyObject* hook_natively(Call& call) {
  return py::can_park() ? natively(call) : call.pass_on();
}

PyObject* hook_posix_fallocate(Call& call) {
  int fd = -1;
  if (!py::can_park()) return call.pass_on();
  if (call.count() > 0 && as_int(call.item(0), &fd)) return natively(call, StillOpen(fd));
  return natively(call);
}

PyObject* hook_copy_file_range(Call& call) {
  PyObject* given[5] = {};
  int from = -1, to = -1;
  if (!py::can_park()) return call.pass_on();
  if (call.arrange({"src", "dst", "count", "offset_src", "offset_dst"}, given)) {
    if (given[0] == nullptr || !as_int(given[0], &from)) from = -1;
    if (given[1] == nullptr || !as_int(given[1], &to)) to = -1;
  }
  return natively(call, StillOpen(from, to));
}

// --- Files of which much goes

// To give the blocks of a file back took ext4 60 us a mebibyte, tmpfs 500; a native thread
// takes 40.
constexpr off_t kLargeBytes = 4 << 20;

// Would cutting the file off at `length` give much back? False also for what is not known.
bool gives_back_much(const struct stat& status, off_t length) {
  return S_ISREG(status.st_mode) && status.st_size > length &&
         status.st_blocks > kLargeBytes / 512 && status.st_size - length > kLargeBytes;
}

// lstat(2), relative to the directory `dir_fd`, which may be nullptr or None.
bool look_at(PyObject* path, PyObject* dir_fd, int flags, struct stat* status) {
  int directory = AT_FDCWD;
  if (dir_fd != nullptr && dir_fd != Py_None && !as_int(dir_fd, &directory)) return false;
  PyObject* encoded = nullptr;
  if (path == nullptr || PyUnicode_FSConverter(path, &encoded) == 0) {
    PyErr_Clear();
    return false;
  }
  const bool found = ::fstatat(directory, PyBytes_AS_STRING(encoded), status, flags) == 0;
  Py_DECREF(encoded);
  return found;
}

// Does this name hold a large file that ends with it?
bool is_last_of_much(PyObject* path, PyObject* dir_fd) {
  struct stat status;
  return look_at(path, dir_fd, AT_SYMLINK_NOFOLLOW, &status) && status.st_nlink == 1 &&
         gives_back_much(status, 0);
}

// unlink and remove
PyObject* hook_unlink(Call& call) {
  PyObject* given[2] = {};
  const bool slow = py::can_park() && call.arrange({"path", "dir_fd"}, given) &&
                    is_last_of_much(given[0], given[1]);
  return slow ? natively(call) : call.pass_on();
}

// rename and replace
PyObject* hook_rename(Call& call) {
  PyObject* given[4] = {};
  const bool slow = py::can_park() &&
                    call.arrange({"src", "dst", "src_dir_fd", "dst_dir_fd"}, given) &&
                    is_last_of_much(given[1], given[3]);
  return slow ? natively(call) : call.pass_on();
}

// truncate and ftruncate
PyObject* hook_truncate(Call& call) {
  PyObject* given[2] = {};
  Py_ssize_t length = 0;
  int fd = -1;
  if (!py::can_park() || !call.arrange({"path", "length"}, given) || given[0] == nullptr ||
      !as_size(given[1], &length)) {
    return call.pass_on();
  }
  struct stat status;
  const bool found =
      as_int(given[0], &fd) ? ::fstat(fd, &status) == 0 : look_at(given[0], nullptr, 0, &status);
  return found && gives_back_much(status, length) ? natively(call, StillOpen(fd)) : call.pass_on();
}

// --- mmap.flush

// The original holds the GIL while the disk works, so its own work is done here. What it would not
// do (nothing can be written through this map) is left to it.
PyObject* flush_without_gil(PyObject* map, PyObject* arguments) {
  Py_buffer all;
  if (PyObject_GetBuffer(map, &all, PyBUF_WRITABLE) != 0) return nullptr;
  Py_ssize_t offset = 0, size = all.len;
  int error = 0;
  bool fits = PyArg_ParseTuple(arguments, "|nn:flush", &offset, &size) != 0;
  if (fits && (size < 0 || offset < 0 || all.len - offset < size)) {
    PyErr_SetString(PyExc_ValueError, "flush values out of range");
    fits = false;
  }
  if (fits) {
    Py_BEGIN_ALLOW_THREADS;
    error = ::msync(static_cast<char*>(all.buf) + offset, static_cast<std::size_t>(size), MS_SYNC);
    if (error != 0) error = errno;
    Py_END_ALLOW_THREADS;
  }
  PyBuffer_Release(&all);
  if (!fits) return nullptr;
  if (error == 0) Py_RETURN_NONE;
  set_errno(error);
  return nullptr;
}

// A range that does not begin with a page is refused at once, or means nothing.
bool begins_with_a_page(const Call& call) {
  Py_ssize_t offset = 0;
  return call.count() == 0 || (as_size(call.item(0), &offset) && offset % ::getpagesize() == 0);
}

PyObject* hook_flush(Call& call) {
  Py_buffer all;
  if (!py::can_park() || call.keywords() != nullptr || !begins_with_a_page(call))
    return call.pass_on();
  if (PyObject_GetBuffer(call.self(), &all, PyBUF_WRITABLE) != 0) {
    PyErr_Clear();
    return call.pass_on();
  }
  PyBuffer_Release(&all);
  const Ref arguments = Ref::steal(PyTuple_New(call.count()));
  for (Py_ssize_t i = 0; arguments && i < call.count(); i++)
    PyTuple_SET_ITEM(arguments.get(), i, Py_NewRef(call.item(i)));
  using Entry = Hooked<hook_natively, -1>;
  Entry::original = flush_without_gil;
  return arguments ? Entry::tuple(call.self(), arguments.get()) : nullptr;
}

// --- Terminals

// Until what was written has left the machine, or a break has been held for a while.
PyObject* hook_terminal(Call& call) {
  return py::can_park() ? call_natively(call, NativeWork::wait, "a terminal") : call.pass_on();
}

PyObject* hook_tcsetattr(Call& call) {
  int when = TCSANOW;
  const bool drains = call.count() == 3 && as_int(call.item(1), &when) && when != TCSANOW;
  return drains ? hook_terminal(call) : call.pass_on();
}

constexpr Target targets[] = {
    target<hook_natively, 0>("posix", nullptr, "sync"),
    target<hook_posix_fallocate>("posix", nullptr, "posix_fallocate"),
    target<hook_copy_file_range>("posix", nullptr, "copy_file_range", true),
    target<hook_unlink, 0>("posix", nullptr, "unlink"),
    target<hook_unlink, 1>("posix", nullptr, "remove"),
    target<hook_rename, 0>("posix", nullptr, "rename"),
    target<hook_rename, 1>("posix", nullptr, "replace"),
    target<hook_truncate, 0>("posix", nullptr, "truncate"),
    target<hook_truncate, 1>("posix", nullptr, "ftruncate"),
    target<hook_flush>("mmap", "mmap", "flush", true),
    target<hook_terminal, 0>("termios", nullptr, "tcdrain", true),
    target<hook_terminal, 1>("termios", nullptr, "tcsendbreak", true),
    target<hook_tcsetattr>("termios", nullptr, "tcsetattr", true),
};

}  // namespace

const Group device_group = {"device", targets, nullptr};

}  // namespace greenwsgi::patch
