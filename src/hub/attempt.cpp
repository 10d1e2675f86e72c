#include "src/hub/attempt.hpp"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "src/hub/socket_facts.hpp"

namespace greenwsgi {

namespace {

int result_of(ssize_t value) {
  return static_cast<int>(value < 0 ? -errno : value);
}

int poll_now(int fd, short events) {
  pollfd one{fd, events, 0};
  const int count = ::poll(&one, 1, 0);
  if (count < 0) return -errno;
  return count == 0 ? -EAGAIN : one.revents;
}

/// Puts O_NONBLOCK on for its lifetime, for the calls that know no MSG_DONTWAIT.
class NonBlocking {
 public:
  explicit NonBlocking(int fd) : fd_(fd) {
    const int status = ::fcntl(fd, F_GETFL);
    changed_ = status >= 0 && (status & O_NONBLOCK) == 0;
    if (changed_) set(1);
  }
  NonBlocking(const NonBlocking&) = delete;
  NonBlocking& operator=(const NonBlocking&) = delete;
  ~NonBlocking() {
    const int saved = errno;
    if (changed_) set(0);
    errno = saved;
  }

 private:
  void set(int on) { ::ioctl(fd_, FIONBIO, &on); }
  int fd_;
  bool changed_;
};

int attempt_accept(const Op& op) {
  if (op.kind == Op::Kind::accept_multishot)
    return result_of(::accept4(op.fd, nullptr, nullptr, op.flags));
  const NonBlocking meanwhile(op.fd);
  return result_of(::accept4(op.fd, nullptr, nullptr, op.flags));
}

/// Where the kernel has no RWF_NOWAIT for this kind of file: a read after a successful poll(2) does
/// not block, and neither does a write of PIPE_BUF bytes.
int read_or_write_when_ready(const Op& op) {
  const bool reading = op.kind == Op::Kind::read;
  const int events = poll_now(op.fd, reading ? POLLIN : POLLOUT);
  if (events < 0) return events;
  if (reading) return result_of(::read(op.fd, op.buffer.data(), op.buffer.size()));
  const int status = ::fcntl(op.fd, F_GETFL);
  const std::size_t bytes = (status & O_NONBLOCK) != 0
                                ? op.buffer.size()
                                : std::min<std::size_t>(op.buffer.size(), PIPE_BUF);
  return result_of(::write(op.fd, op.buffer.data(), bytes));
}

int attempt_read_or_write(const Op& op) {
  const iovec part{op.buffer.data(), op.buffer.size()};
  const int result =
      result_of(op.kind == Op::Kind::read ? ::preadv2(op.fd, &part, 1, op.offset, RWF_NOWAIT)
                                          : ::pwritev2(op.fd, &part, 1, op.offset, RWF_NOWAIT));
  return result == -EOPNOTSUPP ? read_or_write_when_ready(op) : result;
}

}  // namespace

int attempt(Op& op) {
  constexpr int kSend = MSG_DONTWAIT | MSG_NOSIGNAL;
  int result = 0;
  do {
    switch (op.kind) {
      case Op::Kind::accept:
      case Op::Kind::accept_multishot:
        result = attempt_accept(op);
        break;
      case Op::Kind::connect:
        result = connect_result(op.fd);
        break;
      case Op::Kind::recv: {
        const auto rest = op.buffer.subspan(op.hub_word);
        result = result_of(::recv(op.fd, rest.data(), rest.size(), op.flags | MSG_DONTWAIT));
        if (result == -EAGAIN && (op.flags & MSG_DONTWAIT) == 0 && is_shut_for_reading(op.fd))
          result = result_of(::recv(op.fd, rest.data(), rest.size(), op.flags));
        break;
      }
      case Op::Kind::recv_multishot:
        result =
            result_of(::recv(op.fd, op.buffer.data(), op.buffer.size(), op.flags | MSG_DONTWAIT));
        break;
      case Op::Kind::send:
        result = result_of(::send(op.fd, op.buffer.data(), op.buffer.size(), op.flags | kSend));
        break;
      case Op::Kind::sendmsg:
        result = result_of(::sendmsg(op.fd, op.message, op.flags | kSend));
        break;
      case Op::Kind::read:
      case Op::Kind::write:
        result = attempt_read_or_write(op);
        break;
      case Op::Kind::poll:
        result = poll_now(op.fd, op.events);
        break;
      case Op::Kind::close:
        return result_of(::close(op.fd));  // EINTR: closed nevertheless.
      case Op::Kind::offload:
        GW_ASSERT(false);
    }
  } while (result == -EINTR);
  return result;
}

int begin_connect(const Op& op) {
  const NonBlocking meanwhile(op.fd);
  const int result = result_of(::connect(op.fd, op.address, op.address_bytes));
  return result == -EINTR ? -EINPROGRESS : result;
}

void make_nonblocking(int fd) {
  const int status = ::fcntl(fd, F_GETFL);
  if (status >= 0 && (status & O_NONBLOCK) == 0) ::fcntl(fd, F_SETFL, status | O_NONBLOCK);
}

}  // namespace greenwsgi
