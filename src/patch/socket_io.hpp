// socket_io.hpp - moving bytes over the descriptor of a Python socket: what recv, send and their
// kin have in common. Goes to io:: directly, so O_NONBLOCK of the descriptor neither matters nor
// changes.
//
// Each function fails with a Python error set, the same one as unpatched.
#pragma once

#include <optional>

#include "greenwsgi/io/io.hpp"
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

/// Flags with which the original does not block, whatever the time-out says.
inline constexpr int kNeverBlocks = MSG_DONTWAIT | MSG_ERRQUEUE | MSG_OOB;

std::optional<std::size_t> receive(PyObject* socket, io::Bytes into, int flags);
/// One send(2): all of it on a blocking socket, as the kernel does there, else what fits.
std::optional<std::size_t> send_once(PyObject* socket, io::ConstBytes from, int flags);
bool send_everything(PyObject* socket, io::ConstBytes from, int flags);

}  // namespace greenwsgi::patch
