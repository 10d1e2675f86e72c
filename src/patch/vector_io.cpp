#include "src/patch/vector_io.hpp"

#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <new>
#include <optional>
#include <vector>

#include "src/patch/descriptor_io.hpp"
#include "src/patch/native_call.hpp"
#include "src/patch/waiting.hpp"

namespace greenwsgi::patch {

namespace {

using py::Ref;

// The parts of a sequence of buffers. Empty, without an error, also for what is no such sequence,
// and for more than the kernel takes: the original says so.
class Parts {
 public:
  Parts(PyObject* buffers, int flags) : items_(Ref::steal(PySequence_Fast(buffers, ""))) {
    const Py_ssize_t count = items_ ? PySequence_Fast_GET_SIZE(items_.get()) : 0;
    if (items_ && count <= IOV_MAX && make_room(count)) {
      for (Py_ssize_t i = 0; i < count; i++) {
        Py_buffer view;
        if (PyObject_GetBuffer(PySequence_Fast_GET_ITEM(items_.get(), i), &view, flags) != 0) break;
        views_.push_back(view);
      }
      whole_ = views_.size() == static_cast<std::size_t>(count);
    }
    PyErr_Clear();
  }
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;
  ~Parts() {
    for (Py_buffer& view : views_) PyBuffer_Release(&view);
  }

  std::size_t bytes() const {
    std::size_t sum = 0;
    for (const Py_buffer& view : views_) sum += static_cast<std::size_t>(view.len);
    return whole_ ? sum : 0;
  }
  std::vector<iovec> vector() const {
    std::vector<iovec> all;
    for (const Py_buffer& view : views_)
      all.push_back({view.buf, static_cast<std::size_t>(view.len)});
    return all;
  }

 private:
  bool make_room(Py_ssize_t count) try {
    views_.reserve(static_cast<std::size_t>(count));
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }

  Ref items_;
  std::vector<Py_buffer> views_;
  bool whole_ = false;
};

bool ends_before(int fd, off_t position) {
  struct stat status;
  return ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && position >= status.st_size;
}

// As many bytes as are in the page cache, when those are all that there are to read; else -1.
ssize_t read_cached(int fd, const Parts& parts, std::int64_t offset) try {
  if (parts.bytes() > kReadAtOnce) return -1;
  const off_t position = offset < 0 ? ::lseek(fd, 0, SEEK_CUR) : offset;
  if (position < 0) return -1;
  const std::vector<iovec> vector = parts.vector();
  const ssize_t count =
      ::preadv2(fd, vector.data(), static_cast<int>(vector.size()), position, RWF_NOWAIT);
  if (count < 0) return -1;
  const bool all = static_cast<std::size_t>(count) == parts.bytes();
  if (!all && !ends_before(fd, position + count)) return -1;
  if (offset < 0) ::lseek(fd, position + count, SEEK_SET);
  return count;
} catch (const std::bad_alloc&) {
  return -1;
}

}  // namespace

PyObject* read_vector(const Call& call, int fd, PyObject* buffers, std::int64_t offset) {
  std::optional<Turn> turn;  // Of those who read at the file's own position.
  {
    if (PySequence_Check(buffers) == 0) return call.pass_on();  // Which takes no iterator.
    const Parts parts(buffers, PyBUF_WRITABLE);
    if (parts.bytes() == 0) return call.pass_on();
    // What cannot seek refuses an offset.
    if (!is_disk_file(fd))
      return offset >= 0 ? call.pass_on() : when_ready(call, fd, Direction::reading);
    if (!spend_turn(fd)) return nullptr;
    if (is_in_memory(fd)) return call.pass_on();
    FdTurns* turns = offset < 0 ? fd_turns(fd) : nullptr;
    if (turns != nullptr && !turn.emplace(*turns, Direction::reading).take(kNever)) return nullptr;
    const ssize_t count = read_cached(fd, parts, offset);
    if (count >= 0) return PyLong_FromSsize_t(count);
  }
  const py::HoldBack hold_back;  // What has been read is told.
  return call_natively(call, NativeWork::wait, "the disk", StillOpen(fd));
}

PyObject* write_vector(const Call& call, int fd, PyObject* buffers, bool waits_for_disk) {
  if (PySequence_Check(buffers) == 0) return call.pass_on();
  const std::size_t bytes = Parts(buffers, PyBUF_SIMPLE).bytes();
  if (bytes == 0) return call.pass_on();
  if (is_disk_file(fd)) {
    if (bytes > kWriteAtOnce || waits_for_disk || has_waiters(fd)) return write_file(call, fd);
    return spend_turn(fd) ? call.pass_on() : nullptr;
  }
  if ((bytes <= PIPE_BUF && ::isatty(fd) == 0) || is_nonblocking(fd))
    return when_ready(call, fd, Direction::writing);
  const Ref all = joined(buffers);
  return all ? write_bytes(call, fd, all.get()) : nullptr;
}

Ref joined(PyObject* buffers) {
  const Ref empty = Ref::steal(PyBytes_FromStringAndSize(nullptr, 0));
  // In parentheses: a bare "O" would pass a tuple's items instead of the tuple.
  return empty ? Ref::steal(PyObject_CallMethod(empty.get(), "join", "(O)", buffers)) : Ref();
}

}  // namespace greenwsgi::patch
