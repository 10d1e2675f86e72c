// Sockets. A call that usually succeeds at once is tried directly first (MSG_DONTWAIT): that saves
// a trip through the hub, and costs one system call where it does not. Who keeps an Expectation
// saves that one as well.
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "src/io/await.hpp"

namespace greenwsgi::io {

namespace {

bool again(std::int32_t result) {
  return result == -EAGAIN || result == -EINTR;
}

// `direct()` tries without waiting; `prepare(op)` describes the operation that waits.
template <class Direct, class Prepare>
Result<std::size_t> try_then_await(const char* what,
                                   Instant deadline,
                                   Direct direct,
                                   Prepare prepare,
                                   Expectation* expectation = nullptr) {
  for (;;) {
    if (expectation == nullptr || expectation->worth_trying()) {
      const ssize_t moved = direct();
      if (expectation != nullptr) expectation->found(moved > 0);
      if (moved >= 0) return static_cast<std::size_t>(moved);
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return Errno{errno};
    }
    AwaitedOp op;
    prepare(op);
    const std::int32_t result = await_done(op, what, deadline);
    if (result >= 0) return static_cast<std::size_t>(result);
    if (!again(result)) return Errno{-result};
  }
}

}  // namespace

Result<int> accept(int fd, int flags, Instant deadline) {
  for (;;) {
    AwaitedOp op;
    op.kind = Op::Kind::accept;
    op.fd = fd;
    op.flags = flags | SOCK_CLOEXEC;
    const std::int32_t result = await_done(op, "accept", deadline);
    if (result >= 0) return result;
    if (!again(result)) return Errno{-result};
  }
}

Status connect(int fd, const sockaddr* address, socklen_t bytes, Instant deadline) {
  AwaitedOp op;
  op.kind = Op::Kind::connect;
  op.fd = fd;
  op.address = address;
  op.address_bytes = bytes;
  const std::int32_t result = await_done(op, "connect", deadline);
  if (result < 0) return Errno{-result};
  return Done{};
}

Result<std::size_t> recv(
    int fd, Bytes into, int flags, Instant deadline, Expectation* expectation) {
  return try_then_await(
      "recv", deadline, [&] { return ::recv(fd, into.data(), into.size(), flags | MSG_DONTWAIT); },
      [&](Op& op) {
        op.kind = Op::Kind::recv;
        op.fd = fd;
        op.buffer = into.first(std::min(into.size(), kTransferMost));
        op.flags = flags;
      },
      expectation);
}

Result<std::size_t> send(int fd, ConstBytes from, int flags, Instant deadline) {
  return try_then_await(
      "send", deadline,
      [&] { return ::send(fd, from.data(), from.size(), flags | MSG_DONTWAIT | MSG_NOSIGNAL); },
      [&](Op& op) {
        op.kind = Op::Kind::send;
        op.fd = fd;
        op.buffer = {const_cast<std::byte*>(from.data()), std::min(from.size(), kTransferMost)};
        op.flags = flags;
      });
}

Result<std::size_t> sendmsg(int fd, const msghdr& message, int flags, Instant deadline) {
  return try_then_await(
      "sendmsg", deadline,
      [&] { return ::sendmsg(fd, &message, flags | MSG_DONTWAIT | MSG_NOSIGNAL); },
      [&](Op& op) {
        op.kind = Op::Kind::sendmsg;
        op.fd = fd;
        op.message = const_cast<msghdr*>(&message);
        op.flags = flags;
      });
}

Status send_all(int fd, std::span<iovec> parts, Duration progress) {
  constexpr std::size_t kPartsMax = 1024;  // IOV_MAX.
  for (;;) {
    while (!parts.empty() && parts.front().iov_len == 0) parts = parts.subspan(1);
    if (parts.empty()) return Done{};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = std::min(parts.size(), kPartsMax);
    const Result<std::size_t> sent = sendmsg(fd, message, 0, deadline_of(progress));
    if (!sent.ok()) return sent.error();
    for (std::size_t left = *sent; left > 0;) {
      iovec& part = parts.front();
      const std::size_t taken = std::min(left, part.iov_len);
      part.iov_base = static_cast<std::byte*>(part.iov_base) + taken;
      part.iov_len -= taken;
      left -= taken;
      if (part.iov_len == 0) parts = parts.subspan(1);
    }
  }
}

}  // namespace greenwsgi::io
