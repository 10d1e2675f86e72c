#include "src/patch/descriptor_io.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "src/patch/native_call.hpp"
#include "src/patch/waiting.hpp"

namespace greenwsgi::patch {

namespace {

constexpr std::size_t kTerminalAtOnce = 256;

bool is_on_disk(const struct stat& status) {
  return S_ISREG(status.st_mode) || S_ISBLK(status.st_mode);
}

bool is_ready(int fd, short events) {
  pollfd one{fd, events, 0};
  return ::poll(&one, 1, 0) != 0;
}

// Would the original wait? What is not open in that direction is never ready: it fails at once.
bool would_block(int fd, short events) {
  if (is_ready(fd, events)) return false;
  const int flags = ::fcntl(fd, F_GETFL);
  const int wrong = events == POLLIN ? O_WRONLY : O_RDONLY;
  return flags >= 0 && (flags & O_NONBLOCK) == 0 && (flags & O_ACCMODE) != wrong;
}

// --- Reading

// -1 and EAGAIN where it would wait, EOPNOTSUPP where the kernel cannot tell.
ssize_t read_at_once(int fd, io::Bytes into, std::int64_t offset) {
  const iovec part{into.data(), std::min(into.size(), kReadAtOnce)};
  const ssize_t count = ::preadv2(fd, &part, 1, offset, RWF_NOWAIT);
  if (count < 0 && errno == ENOSYS) errno = EOPNOTSUPP;
  return count;
}

// From a regular file that `into` is at `offset` of, behind the `*count` bytes that have come.
Moved read_pieces(int fd, io::Bytes into, std::int64_t offset, std::size_t* count) {
  const StillOpen open(fd);
  while (*count < into.size()) {
    const io::Bytes rest = into.subspan(*count);
    const io::Bytes piece = rest.first(std::min(rest.size(), kReadAtOnce));
    const Result<std::size_t> got = io::read(fd, piece, offset + static_cast<std::int64_t>(*count));
    if (!open.holds()) {  // It may be another file's.
      if (*count > 0) break;
      set_errno(EBADF);
      return Moved::failed;
    }
    if (got.ok() && *got == 0) break;
    if (got.ok()) {
      *count += *got;
      py::scheduler_or_null()->yield();
      // Raised here, it would cost what has come.
      if (!open.holds() || py::is_thrown_at()) break;
      if (py::raise_if_interrupted()) return Moved::failed;
      continue;
    }
    const bool ended = got.error().code == ECANCELED;
    // What has come is reported; the reason comes with the next call.
    if (*count > 0 && (!ended || py::is_thrown_at())) break;
    if (!ended) {
      errno = got.error().code;
      return Moved::none;
    }
    if (py::raise_if_interrupted()) return Moved::failed;
  }
  return Moved::some;
}

// Where the file's position is to go, from `begin`, when `bytes` are read from there.
std::int64_t end_of_read(int fd, std::int64_t begin, std::size_t bytes) {
  const std::int64_t end = begin + static_cast<std::int64_t>(bytes);
  struct stat status;
  const bool known = ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
  return known ? std::clamp<std::int64_t>(status.st_size, begin, end) : end;
}

// At the file's own position, behind the `*count` bytes that have come from before it. Readers
// stand in line; and the position is behind all that is read from the beginning, so that whoever
// else reads, writes or seeks meanwhile does so as if read(2) had come first, which has a lock.
Moved read_at_position(int fd, io::Bytes into, std::size_t* count) {
  FdTurns* turns = fd_turns(fd);
  if (turns == nullptr) return Moved::failed;
  Turn turn(*turns, Direction::reading);
  if (!turn.take(kNever)) return Moved::failed;
  const StillOpen open(fd);
  const std::size_t before = *count;
  const std::int64_t begin = ::lseek(fd, 0, SEEK_CUR);
  if (begin < 0) return before > 0 ? Moved::some : Moved::none;
  const std::int64_t end = end_of_read(fd, begin, into.size() - before);
  if (end != begin) ::lseek(fd, end, SEEK_SET);
  const Moved moved = read_pieces(fd, into, begin - static_cast<std::int64_t>(before), count);
  const std::int64_t came = begin + static_cast<std::int64_t>(*count - before);
  const bool still_open = open.holds() || turns->closing > 0;  // It waits for this turn to end.
  if (came != end && still_open && ::lseek(fd, 0, SEEK_CUR) == end) ::lseek(fd, came, SEEK_SET);
  return moved;
}

Moved read_file(int fd, io::Bytes into, std::int64_t offset, std::size_t* count) {
  return offset < 0 ? read_at_position(fd, into, count) : read_pieces(fd, into, offset, count);
}

// Is nothing of the file behind the `count` bytes that have been read at `offset`?
bool is_end(int fd, std::int64_t offset, std::size_t count, const struct stat& status) {
  if (!S_ISREG(status.st_mode)) return false;
  const std::int64_t behind =
      offset < 0 ? ::lseek(fd, 0, SEEK_CUR) : offset + static_cast<std::int64_t>(count);
  return behind >= status.st_size;
}

// From what has to be waited for.
Moved read_in_turn(int fd, io::Bytes into, std::size_t* count) {
  if (is_nonblocking(fd)) return Moved::none;
  FdTurns* turns = fd_turns(fd);
  if (turns == nullptr) return Moved::failed;
  Turn turn(*turns, Direction::reading);
  if (!turn.take(kNever)) return Moved::failed;
  for (;;) {
    ssize_t got = read_at_once(fd, into, -1);
    if (got < 0 && errno == EOPNOTSUPP && is_ready(fd, POLLIN))
      got = ::read(fd, into.data(), into.size());
    if (got >= 0) {
      *count = static_cast<std::size_t>(got);
      return Moved::some;
    }
    if (errno != EAGAIN && errno != EOPNOTSUPP) return Moved::none;
    const Result<short> ready = io::poll(fd, POLLIN, kNever);
    if (!ready.ok() && turn.failed(ready.error(), kNever)) return Moved::failed;
  }
}

// --- Writing

short events_of(Direction direction) {
  return direction == Direction::reading ? POLLIN : POLLOUT;
}

// False: a Python error is set.
bool take_and_wait(Turn& turn, int fd, short events) {
  if (!turn.take(kNever)) return false;
  while (would_block(fd, events)) {
    const Result<short> ready = io::poll(fd, events, kNever);
    if (!ready.ok() && turn.failed(ready.error(), kNever)) return false;
  }
  return true;
}

PyObject* write_everything(int fd, io::ConstBytes from) {
  FdTurns* turns = fd_turns(fd);
  if (turns == nullptr || !spend_turn(fd)) return nullptr;
  Turn turn(*turns, Direction::writing);
  if (!turn.take(kNever)) return nullptr;
  std::size_t total = 0;
  while (total < from.size()) {
    const Result<std::size_t> written = io::write(fd, from.subspan(total));
    if (written.ok()) total += *written;
    if (written.ok() && *written == 0) break;
    if (total > 0 && py::is_thrown_at()) break;
    if (written.ok() || !turn.failed(written.error(), kNever)) continue;
    if (total == 0 || !PyErr_ExceptionMatches(PyExc_OSError)) return nullptr;
    PyErr_Clear();  // What went is reported; the error comes again with the next call.
    break;
  }
  return PyLong_FromSize_t(total);
}

PyObject* write_buffer(const Call& call, int fd, const Py_buffer& data) {
  const auto bytes = static_cast<std::size_t>(data.len);
  if (bytes == 0) return call.pass_on();
  // A terminal that is ready may take as little as one byte, and io_uring blocks in it as well.
  if (bytes > kTerminalAtOnce && ::isatty(fd) == 1 && !is_nonblocking(fd))
    return call_natively(call, NativeWork::wait, "a terminal", StillOpen(fd));
  if (bytes <= PIPE_BUF) return when_ready(call, fd, Direction::writing);
  const bool file = is_disk_file(fd);
  const bool at_once = file ? bytes <= kWriteAtOnce && !has_waiters(fd) : is_nonblocking(fd);
  if (at_once) return spend_turn(fd) ? call.pass_on() : nullptr;
  if (file) return write_file(call, fd);
  return write_everything(fd, {static_cast<const std::byte*>(data.buf), bytes});
}

}  // namespace

bool is_disk_file(int fd) {
  struct stat status;
  return ::fstat(fd, &status) == 0 && is_on_disk(status);
}

bool is_in_memory(int fd) {
  struct statfs facts;
  if (::fstatfs(fd, &facts) != 0) return false;
  switch (static_cast<unsigned long>(facts.f_type)) {
    case PROC_SUPER_MAGIC:
    case SYSFS_MAGIC:
    case TMPFS_MAGIC:
    case RAMFS_MAGIC:
    case CGROUP2_SUPER_MAGIC:
      return true;
    default:
      return false;
  }
}

bool is_nonblocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  return flags < 0 || (flags & O_NONBLOCK) != 0;
}

Moved read_bytes(int fd, io::Bytes into, std::int64_t offset, std::size_t* count) {
  *count = 0;
  if (into.empty()) return Moved::none;
  if (!spend_turn(fd)) return Moved::failed;
  if (py::is_thrown_at() && py::raise_if_interrupted()) return Moved::failed;
  const bool queues = offset < 0 && has_waiters(fd);
  if (queues && is_disk_file(fd)) return read_file(fd, into, offset, count);
  if (queues) return read_in_turn(fd, into, count);
  const ssize_t got = read_at_once(fd, into, offset);
  if (got < 0 && errno != EAGAIN && errno != EOPNOTSUPP) return Moved::none;
  const bool unknown = got < 0 && errno == EOPNOTSUPP;
  if (got >= 0) *count = static_cast<std::size_t>(got);
  if (*count == into.size()) return Moved::some;
  struct stat status;
  if (::fstat(fd, &status) == 0 && is_on_disk(status)) {
    if (got >= 0 && is_end(fd, offset, *count, status)) return Moved::some;
    return unknown && is_in_memory(fd) ? Moved::none : read_file(fd, into, offset, count);
  }
  if (got >= 0) return Moved::some;
  return offset < 0 ? read_in_turn(fd, into, count) : Moved::none;
}

PyObject* read_new(const Call& call, int fd, Py_ssize_t size, std::int64_t offset) {
  PyObject* read = PyBytes_FromStringAndSize(nullptr, std::min(size, kReadMost));
  if (read == nullptr) return nullptr;
  const io::Bytes room{reinterpret_cast<std::byte*>(PyBytes_AS_STRING(read)),
                       static_cast<std::size_t>(PyBytes_GET_SIZE(read))};
  std::size_t count = 0;
  const Moved moved = read_bytes(fd, room, offset, &count);
  if (moved == Moved::some) {
    if (count < room.size()) _PyBytes_Resize(&read, static_cast<Py_ssize_t>(count));
    return read;
  }
  Py_DECREF(read);
  return moved == Moved::failed ? nullptr : call.pass_on();
}

bool await_ready(int fd, Direction direction) {
  if (!has_waiters(fd) && !would_block(fd, events_of(direction))) return spend_turn(fd);
  FdTurns* turns = fd_turns(fd);
  if (turns == nullptr) return false;
  Turn turn(*turns, direction);
  return take_and_wait(turn, fd, events_of(direction));
}

PyObject* when_ready(const Call& call, int fd, Direction direction) {
  if (!has_waiters(fd) && !would_block(fd, events_of(direction)))
    return spend_turn(fd) ? call.pass_on() : nullptr;
  FdTurns* turns = fd_turns(fd);
  if (turns == nullptr) return nullptr;
  Turn turn(*turns, direction);
  return take_and_wait(turn, fd, events_of(direction)) ? call.pass_on() : nullptr;
}

// By write(2) itself, which has the lock of the file's position; io_uring has not, and others may
// write at the same one, by whatever descriptor.
PyObject* write_file(const Call& call, int fd) {
  FdTurns* turns = fd_turns(fd);
  if (turns == nullptr || !spend_turn(fd)) return nullptr;
  Turn turn(*turns, Direction::writing);
  if (!turn.take(kNever)) return nullptr;
  const py::HoldBack hold_back;
  return call_natively(call, NativeWork::wait, "the disk", StillOpen(fd));
}

PyObject* write_bytes(const Call& call, int fd, PyObject* data) {
  Py_buffer view;
  if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) != 0) {
    PyErr_Clear();
    return call.pass_on();
  }
  PyObject* result = write_buffer(call, fd, view);
  PyBuffer_Release(&view);
  return result;
}

}  // namespace greenwsgi::patch
