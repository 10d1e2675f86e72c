#include "src/patch/socket_io.hpp"

#include <sys/socket.h>

#include "src/patch/native_call.hpp"

namespace greenwsgi::patch {

std::optional<std::size_t> receive(PyObject* socket, io::Bytes into, int flags) {
  const int fd = layout::socket_head(socket).fd;
  FdTurns* turns = fd_turns(fd);
  if (turns == nullptr || !spend_turn(fd)) return std::nullopt;
  const Instant deadline = socket_deadline(socket);
  const bool all = (flags & MSG_WAITALL) != 0 && is_blocking_stream(socket);
  flags &= ~(MSG_DONTWAIT | MSG_WAITALL);
  Turn turn(*turns, Direction::reading);
  if (!turn.take(deadline)) return std::nullopt;
  std::size_t total = 0;
  for (;;) {
    const Result<std::size_t> got =
        io::recv(fd, into.subspan(total), flags, deadline, &turns->plain);
    if (got.ok()) total += *got;
    if (got.ok() && (!all || *got == 0 || total >= into.size())) return total;
    if (total > 0 && py::is_thrown_at()) return total;
    if (got.ok() || !turn.failed(got.error(), deadline)) continue;
    if (total == 0 || !PyErr_ExceptionMatches(PyExc_OSError)) return std::nullopt;
    PyErr_Clear();  // What came is reported; the error comes again with the next call.
    return total;
  }
}

PyObject* receive_natively(const Call& call) {
  return call_natively(call, NativeWork::wait, "all that a peer is to send",
                       StillOpen(layout::socket_head(call.self()).fd));
}

std::optional<std::size_t> send_once(PyObject* socket, io::ConstBytes from, int flags) {
  const int fd = layout::socket_head(socket).fd;
  FdTurns* turns = fd_turns(fd);
  if (turns == nullptr || !spend_turn(fd)) return std::nullopt;
  const Instant deadline = socket_deadline(socket);
  const bool all = is_blocking(socket) && (flags & MSG_DONTWAIT) == 0;
  Turn turn(*turns, Direction::writing);
  if (!turn.take(deadline)) return std::nullopt;
  if (all) return send_rest(socket, turn, from, 0, flags);
  for (;;) {
    const Result<std::size_t> sent = io::send(fd, from, flags & ~MSG_DONTWAIT, deadline);
    if (sent.ok()) return *sent;
    if (turn.failed(sent.error(), deadline)) return std::nullopt;
  }
}

std::optional<std::size_t> send_rest(
    PyObject* socket, const Turn& turn, io::ConstBytes from, std::size_t total, int flags) {
  const int fd = layout::socket_head(socket).fd;
  for (;;) {
    const Result<std::size_t> sent = io::send(fd, from.subspan(total), flags, kNever);
    if (sent.ok()) total += *sent;
    if (sent.ok() && (total >= from.size() || *sent == 0)) return total;
    if (total > 0 && py::is_thrown_at()) return total;
    if (sent.ok() || !turn.failed(sent.error(), kNever)) continue;
    if (total == 0 || !PyErr_ExceptionMatches(PyExc_OSError)) return std::nullopt;
    PyErr_Clear();  // What went is reported; the error comes again with the next call.
    return total;
  }
}

bool send_everything(PyObject* socket, io::ConstBytes from, int flags) {
  const int fd = layout::socket_head(socket).fd;
  FdTurns* turns = fd_turns(fd);
  if (turns == nullptr || !spend_turn(fd)) return false;
  const Instant deadline = socket_deadline(socket);
  Turn turn(*turns, Direction::writing);
  if (!turn.take(deadline)) return false;
  do {
    const Result<std::size_t> sent = io::send(fd, from, flags & ~MSG_DONTWAIT, deadline);
    if (sent.ok()) from = from.subspan(*sent);
    if (!sent.ok() && turn.failed(sent.error(), deadline)) return false;
  } while (!from.empty());
  return true;
}

}  // namespace greenwsgi::patch
