// socket_io.hpp - moving bytes over the descriptor of a Python socket: what recv, send and their
// kin have in common. Goes to io:: directly, so O_NONBLOCK of the descriptor neither matters nor
// changes.
//
// Each function fails with a Python error set, the same one as unpatched.
#pragma once

#include <optional>

#include "greenwsgi/io/io.hpp"
#include "src/patch/call.hpp"
#include "src/patch/fd_turns.hpp"
#include "src/patch/layout.hpp"
#include "src/patch/waiting.hpp"

namespace greenwsgi::patch {

/// Would the original block the thread, so that we have to wait instead?
inline bool waits(PyObject* socket) {
  const layout::SocketHead& head = layout::socket_head(socket);
  return head.timeout != 0 && head.fd >= 0 && py::can_park();
}

/// The time-out of a socket that waits, as a deadline from now.
inline Instant socket_deadline(PyObject* socket) {
  const std::int64_t timeout = layout::socket_head(socket).timeout;
  return timeout < 0 ? kNever : deadline_after(std::chrono::nanoseconds(timeout));
}
inline bool is_blocking(PyObject* socket) {
  return layout::socket_head(socket).timeout < 0;
}

inline bool is_blocking_stream(PyObject* socket) {
  return is_blocking(socket) && (layout::socket_head(socket).type & 0xf) == SOCK_STREAM;
}

/// Flags with which the original does not block, whatever the time-out says.
inline constexpr int kNeverBlocks = MSG_DONTWAIT | MSG_ERRQUEUE | MSG_OOB;

/// One recv(2), without MSG_PEEK together with MSG_WAITALL.
std::optional<std::size_t> receive(PyObject* socket, io::Bytes into, int flags);
/// The call of a recv(2) or its kin on a native thread. That is the only one that can wait until
/// all is there and take none of it, or all together with a message's other parts; when the green
/// is interrupted it goes on there, and takes what comes.
PyObject* receive_natively(const Call& call);
/// One send(2): all of it on a blocking socket, as the kernel does there, else what fits.
std::optional<std::size_t> send_once(PyObject* socket, io::ConstBytes from, int flags);
/// The rest of a send(2) on a blocking socket that has sent `total` bytes of `from`; the turn is
/// taken. How many have gone in the end, fewer than all when an error or an exception ended it;
/// nullopt: that came before the first byte.
std::optional<std::size_t> send_rest(
    PyObject* socket, const Turn& turn, io::ConstBytes from, std::size_t total, int flags);
bool send_everything(PyObject* socket, io::ConstBytes from, int flags);

}  // namespace greenwsgi::patch
