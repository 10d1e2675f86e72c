// What waits for a file rather than for its bytes: open() of a FIFO, fsync(), file locks, and
// input() from a terminal.
//
// The first two and the last are originals that only know how to block, and run on native threads.
// A lock is asked for again and again: a native thread that waited for it could not be called back,
// and would get the lock when nobody wants it any more.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "src/patch/hooks.hpp"
#include "src/patch/native_call.hpp"
#include "src/patch/waiting.hpp"

namespace greenwsgi::patch {

namespace {

using py::Ref;

// --- Opening

// A FIFO waits for its other end. To cut off a large file takes the kernel a while.
bool is_slow_to_open(PyObject* path, bool truncates) {
  constexpr off_t kLargeBytes = 16 << 20;
  if (PyLong_Check(path)) return false;
  PyObject* encoded = nullptr;
  if (PyUnicode_FSConverter(path, &encoded) == 0) {
    PyErr_Clear();
    return false;
  }
  struct stat status;
  const bool found = ::stat(PyBytes_AS_STRING(encoded), &status) == 0;
  Py_DECREF(encoded);
  if (!found) return false;
  return S_ISFIFO(status.st_mode) ||
         (truncates && S_ISREG(status.st_mode) && status.st_size > kLargeBytes);
}

bool mode_truncates(PyObject* mode) {
  const char* text = mode != nullptr && PyUnicode_Check(mode) ? PyUnicode_AsUTF8(mode) : nullptr;
  if (text == nullptr) PyErr_Clear();
  return text != nullptr && std::strchr(text, 'w') != nullptr;
}

void close_file(PyObject*, PyObject* file) {
  const Ref closed = Ref::steal(PyObject_CallMethod(file, "close", nullptr));
  if (!closed) PyErr_Clear();
}

void close_descriptor(PyObject*, PyObject* number) {
  ::close(static_cast<int>(PyLong_AsLong(number)));
}

constexpr const char* kOpening = "a file to open";

// io.open, which is the built-in open() as well.
PyObject* hook_open(Call& call) {
  PyObject* given[8] = {};
  const bool slow = py::can_park() &&
                    call.arrange({"file", "mode", "buffering", "encoding", "errors", "newline",
                                  "closefd", "opener"},
                                 given) &&
                    given[0] != nullptr && is_slow_to_open(given[0], mode_truncates(given[1]));
  return slow ? call_natively(call, NativeWork::wait, kOpening, close_file) : call.pass_on();
}

PyObject* hook_os_open(Call& call) {
  PyObject* given[4] = {};
  int flags = 0;
  const bool slow = py::can_park() && call.arrange({"path", "flags", "mode", "dir_fd"}, given) &&
                    given[0] != nullptr && given[3] == nullptr && as_int(given[1], &flags) &&
                    (flags & O_NONBLOCK) == 0 && (flags & O_ACCMODE) != O_RDWR &&
                    is_slow_to_open(given[0], (flags & O_TRUNC) != 0);
  return slow ? call_natively(call, NativeWork::wait, kOpening, close_descriptor) : call.pass_on();
}

// --- What is on its way to the disk

PyObject* hook_sync(Call& call) {
  return py::can_park() ? call_natively(call, NativeWork::wait, "the disk") : call.pass_on();
}

// --- Locks

// The call with `at_once` for its second argument, again and again until it is not refused because
// somebody has the lock.
PyObject* lock_by_trying(const Call& call, int at_once) {
  const Ref arguments = Ref::steal(PyTuple_New(call.count()));
  if (!arguments) return nullptr;
  for (Py_ssize_t i = 0; i < call.count(); i++) {
    PyObject* item = i == 1 ? PyLong_FromLong(at_once) : Py_NewRef(call.item(i));
    if (item == nullptr) return nullptr;
    PyTuple_SET_ITEM(arguments.get(), i, item);
  }
  int fd = -1;
  if (!as_int(call.item(0), &fd)) fd = -1;  // A file, which knows whether it is open.
  const StillOpen open(fd);
  constexpr Duration kLongestPause = std::chrono::milliseconds(16);
  for (Duration pause = std::chrono::milliseconds(1);; pause = std::min(2 * pause, kLongestPause)) {
    PyObject* locked = call.original(arguments.get());
    if (locked != nullptr || PyErr_ExceptionMatches(PyExc_BlockingIOError) == 0) return locked;
    PyErr_Clear();
    if (!py::sleep_for(pause) || !open.check()) return nullptr;
  }
}

bool has_second_int(const Call& call, int* value) {
  return py::can_park() && call.count() >= 2 && call.keywords() == nullptr &&
         as_int(call.item(1), value);
}

// flock(fd, operation) and lockf(fd, operation, ...)
PyObject* hook_lock(Call& call) {
  int operation = 0;
  if (!has_second_int(call, &operation) || (operation & (LOCK_NB | LOCK_UN)) != 0)
    return call.pass_on();
  return lock_by_trying(call, operation | LOCK_NB);
}

// fcntl(fd, command, ...)
PyObject* hook_fcntl(Call& call) {
  int command = 0;
  if (!has_second_int(call, &command)) return call.pass_on();
  if (command == F_SETLKW) return lock_by_trying(call, F_SETLK);
#ifdef F_OFD_SETLKW
  if (command == F_OFD_SETLKW) return lock_by_trying(call, F_OFD_SETLK);
#endif
  return call.pass_on();
}

// os.lockf(fd, command, length)
PyObject* hook_os_lockf(Call& call) {
  int command = 0;
  if (!has_second_int(call, &command) || command != F_LOCK) return call.pass_on();
  return lock_by_trying(call, F_TLOCK);
}

// --- The terminal

PyObject* hook_input(Call& call) {
  const bool waits = py::can_park() && ::isatty(STDIN_FILENO) == 1;
  return waits ? call_natively(call, NativeWork::wait, "a line from the terminal") : call.pass_on();
}

constexpr Target targets[] = {
    target<hook_open>("_io", nullptr, "open"),
    target<hook_os_open>("posix", nullptr, "open"),
    target<hook_sync, 0>("posix", nullptr, "fsync"),
    target<hook_sync, 1>("posix", nullptr, "fdatasync"),
    target<hook_lock, 0>("fcntl", nullptr, "flock"),
    target<hook_lock, 1>("fcntl", nullptr, "lockf"),
    target<hook_fcntl>("fcntl", nullptr, "fcntl"),
    target<hook_os_lockf>("posix", nullptr, "lockf", true),
    target<hook_input>("builtins", nullptr, "input"),
};

}  // namespace

const Group open_group = {"open", targets, nullptr};

}  // namespace greenwsgi::patch
