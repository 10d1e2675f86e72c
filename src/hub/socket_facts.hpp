// socket_facts.hpp - what the hubs must ask a socket, because O_NONBLOCK and MSG_WAITALL do not
// explain themselves. Each function is one or two quick system calls.
#pragma once

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

#include "greenwsgi/hub/op.hpp"

namespace greenwsgi {

/// How a non-blocking connect(2) has ended: 0, a negative errno, or -EAGAIN when it has not, or was
/// never begun (a Unix socket whose listener's queue is full).
inline int connect_result(int fd) {
  int error = 0;
  socklen_t bytes = sizeof error;
  if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes) != 0) return -errno;
  if (error != 0) return -error;
  sockaddr_storage peer;
  bytes = sizeof peer;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &bytes) == 0) return 0;
  return errno == ENOTCONN ? -EAGAIN : -errno;
}

/// Was it shut down for reading, by either side? A datagram socket says "would block" then, where
/// it is asked not to wait, and the end of the stream where it may.
inline bool is_shut_for_reading(int fd) {
  pollfd one{fd, POLLRDHUP, 0};
  return ::poll(&one, 1, 0) == 1 && (one.revents & POLLRDHUP) != 0;
}

/// SO_TYPE and the like of a socket; -1: it is none.
inline int socket_fact(int fd, int option) {
  int fact = -1;
  socklen_t bytes = sizeof fact;
  return ::getsockopt(fd, SOL_SOCKET, option, &fact, &bytes) == 0 ? fact : -1;
}

/// May accept(2) succeed here, now or later? Where it cannot, no event tells of it.
inline bool may_listen(int fd) {
  const int type = socket_fact(fd, SO_TYPE);
  if (type != SOCK_STREAM && type != SOCK_SEQPACKET) return false;
  // It compares a state's number with TCP's, and Bluetooth and NFC have others.
  const int family = socket_fact(fd, SO_DOMAIN);
  const bool tells = family == AF_INET || family == AF_INET6 || family == AF_UNIX;
  return !tells || socket_fact(fd, SO_ACCEPTCONN) != 0;
}

/// Does MSG_WAITALL mean "until the buffer is full", rather than "one message"?
inline bool is_stream_socket(int fd) {
  return socket_fact(fd, SO_TYPE) == SOCK_STREAM;
}

/// Must this recv go on after its latest piece? op.hub_word counts the bytes of the earlier ones.
inline bool wants_more(const Op& op, int bytes) {
  return op.kind == Op::Kind::recv && (op.flags & MSG_WAITALL) != 0 && (op.flags & MSG_PEEK) == 0 &&
         bytes > 0 && op.hub_word + static_cast<std::size_t>(bytes) < op.buffer.size() &&
         is_stream_socket(op.fd);
}

/// The events that `op` waits for when it cannot be done at once.
inline short events_awaited(const Op& op) {
  switch (op.kind) {
    case Op::Kind::accept:
    case Op::Kind::accept_multishot:
    case Op::Kind::recv_multishot:
    case Op::Kind::read:
      return POLLIN;
    case Op::Kind::recv:
      return (op.flags & MSG_OOB) != 0 ? POLLPRI : POLLIN;
    case Op::Kind::connect:
    case Op::Kind::send:
    case Op::Kind::sendmsg:
    case Op::Kind::write:
      return POLLOUT;
    case Op::Kind::poll:
      return op.events;
    case Op::Kind::close:
    case Op::Kind::offload:
      break;
  }
  return 0;
}

/// Has the caller asked not to wait, for this one operation? Or is there nothing to wait for?
inline bool must_not_wait(const Op& op) {
  if (op.kind == Op::Kind::accept) return !may_listen(op.fd);
  const bool has_message_flags = op.kind == Op::Kind::recv || op.kind == Op::Kind::recv_multishot ||
                                 op.kind == Op::Kind::send || op.kind == Op::Kind::sendmsg;
  return has_message_flags && (op.flags & MSG_DONTWAIT) != 0;
}

}  // namespace greenwsgi
