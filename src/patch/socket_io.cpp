#include "src/patch/socket_io.hpp"

#include <sys/socket.h>

#include "src/patch/native_call.hpp"

namespace greenwsgi::patch {

namespace {

// `has_some`: what is thrown at the green can wait for its next call; 0 then.
std::optional<std::size_t> receive_once(PyObject* socket,
                                        FdTurns& turns,
                                        io::Bytes into,
                                        int flags,
                                        Instant deadline,
                                        bool has_some = false) {
  const int fd = layout::socket_head(socket).fd;
  Turn turn(turns, Direction::reading);
  if (!turn.take(deadline)) return std::nullopt;
  for (;;) {
    const Result<std::size_t> got = io::recv(fd, into, flags, deadline, &turns.plain);
    if (got.ok()) return *got;
    if (has_some && py::is_thrown_at()) return 0;
    if (turn.failed(got.error(), deadline)) return std::nullopt;
  }
}

}  // namespace

std::optional<std::size_t> receive(PyObject* socket, io::Bytes into, int flags) {
  const int fd = layout::socket_head(socket).fd;
  FdTurns* turns = fd_turns(fd);
  if (turns == nullptr || !spend_turn(fd)) return std::nullopt;
  const Instant deadline = socket_deadline(socket);
  const bool all = (flags & MSG_WAITALL) != 0 && is_blocking_stream(socket);
  flags &= ~(MSG_DONTWAIT | MSG_WAITALL);
  std::optional<std::size_t> got = receive_once(socket, *turns, into, flags, deadline);
  if (!all || !got || *got == 0) return got;
  std::size_t total = *got;
  while (total < into.size()) {
    got = receive_once(socket, *turns, into.subspan(total), flags, deadline, true);
    if (!got && PyErr_ExceptionMatches(PyExc_OSError))
      PyErr_Clear();  // What came is reported.
    else if (!got)
      return got;
    if (!got || *got == 0) break;
    total += *got;
  }
  return total;
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
