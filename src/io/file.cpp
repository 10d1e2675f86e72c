// Files, and from files to sockets. What is in the page cache is read directly; what is not waits
// in the hub (io_uring's or the pool's threads), so that a slow disk stops one fiber, not the
// thread.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <new>

#include "src/io/await.hpp"

namespace greenwsgi::io {

namespace {

constexpr std::size_t kSendFileStep = 1024 * 1024;  // What one look into the page cache covers.
constexpr std::size_t kReadAheadBytes = 64 * 1024;

Result<std::size_t> await_transfer(
    Op::Kind kind, const char* what, int fd, Bytes buffer, std::int64_t offset, Instant deadline) {
  for (;;) {
    AwaitedOp op;
    op.kind = kind;
    op.fd = fd;
    op.buffer = buffer.first(std::min(buffer.size(), kTransferMost));
    op.offset = offset;
    const std::int32_t result = await_done(op, what, deadline);
    if (result >= 0) return static_cast<std::size_t>(result);
    if (result != -EAGAIN && result != -EINTR) return Errno{-result};
  }
}

bool cached(int file_fd, std::int64_t offset) {
  std::byte one;
  iovec part{&one, 1};
  // Anything but EAGAIN, also "not supported", is for sendfile itself to report.
  return ::preadv2(file_fd, &part, 1, offset, RWF_NOWAIT) >= 0 || errno != EAGAIN;
}

// A file that may be closed, and its number another's, while a fiber waits.
struct Source {
  bool closed() const { return closes != nullptr && *closes != closes_before; }
  int fd;
  const unsigned* closes;
  unsigned closes_before = closes != nullptr ? *closes : 0;
};

// Brings [offset, offset + count) of the file into the page cache.
Status read_ahead(const Source& file, std::int64_t offset, std::size_t count) {
  const std::unique_ptr<std::byte[]> scratch(new (std::nothrow) std::byte[kReadAheadBytes]);
  if (scratch == nullptr) return Errno{ENOMEM};
  while (count > 0) {
    const Result<std::size_t> got =
        await_transfer(Op::Kind::read, "read", file.fd,
                       {scratch.get(), std::min(count, kReadAheadBytes)}, offset, kNever);
    if (!got.ok()) return got.error();
    if (file.closed()) return Errno{EBADF};
    if (*got == 0) break;
    offset += static_cast<std::int64_t>(*got);
    count -= *got;
  }
  return Done{};
}

// sendfile(2) has no MSG_DONTWAIT: the descriptor itself must be non-blocking meanwhile, but not
// while its fiber waits, when others may use it.
class NonBlocking {
 public:
  explicit NonBlocking(int fd) : fd_(fd), flags_(::fcntl(fd, F_GETFL)) {
    if (flags_ >= 0 && (flags_ & O_NONBLOCK) == 0) ::fcntl(fd_, F_SETFL, flags_ | O_NONBLOCK);
  }
  ~NonBlocking() {
    const int error = errno;
    if (flags_ >= 0 && (flags_ & O_NONBLOCK) == 0) ::fcntl(fd_, F_SETFL, flags_);
    errno = error;
  }
  NonBlocking(const NonBlocking&) = delete;
  NonBlocking& operator=(const NonBlocking&) = delete;

 private:
  int fd_;
  int flags_;
};

bool ignores_sigpipe() {
  struct sigaction action {};
  return ::sigaction(SIGPIPE, nullptr, &action) == 0 && (action.sa_flags & SA_SIGINFO) == 0 &&
         action.sa_handler == SIG_IGN;
}

// Nor has it MSG_NOSIGNAL, and an application may have given SIGPIPE, which Python ignores, its
// deadly default back.
ssize_t sendfile_without_signal(int fd, int file_fd, off_t offset, std::size_t count) {
  const NonBlocking guard(fd);
  if (ignores_sigpipe()) return ::sendfile(fd, file_fd, &offset, count);
  sigset_t pipe_signal;
  sigset_t before;
  ::sigemptyset(&pipe_signal);
  ::sigaddset(&pipe_signal, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
  const ssize_t moved = ::sendfile(fd, file_fd, &offset, count);
  const int error = errno;
  if (moved < 0 && error == EPIPE) {
    const timespec at_once{};
    ::sigtimedwait(&pipe_signal, nullptr, &at_once);
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return moved;
}

}  // namespace

Result<std::size_t> read(int fd, Bytes into, std::int64_t offset, Instant deadline) {
  iovec part{into.data(), into.size()};
  const ssize_t got = ::preadv2(fd, &part, 1, offset, RWF_NOWAIT);
  if (got >= 0) return static_cast<std::size_t>(got);
  // EOPNOTSUPP: a file whose driver cannot promise not to block. EINVAL and the others come again.
  return await_transfer(Op::Kind::read, "read", fd, into, offset, deadline);
}

Result<std::size_t> write(int fd, ConstBytes from, std::int64_t offset, Instant deadline) {
  return await_transfer(Op::Kind::write, "write", fd,
                        {const_cast<std::byte*>(from.data()), from.size()}, offset, deadline);
}

Result<std::size_t> send_file(int fd,
                              int file_fd,
                              std::int64_t offset,
                              std::size_t count,
                              Duration progress,
                              const unsigned* closes,
                              std::size_t* moved) {
  const Source file{file_fd, closes};
  std::size_t own = 0;
  std::size_t& sent = moved != nullptr ? *moved : own;
  sent = 0;
  while (sent < count) {
    const std::size_t step = std::min(count - sent, kSendFileStep);
    const auto at = offset + static_cast<std::int64_t>(sent);
    if (!cached(file_fd, at) || !cached(file_fd, at + static_cast<std::int64_t>(step) - 1)) {
      if (const Status ready = read_ahead(file, at, step); !ready.ok()) return ready.error();
    }
    const ssize_t now = sendfile_without_signal(fd, file_fd, at, step);
    if (now == 0) break;
    if (now > 0) {
      sent += static_cast<std::size_t>(now);
      continue;
    }
    if (errno == EINTR) continue;
    const bool cannot = errno == EINVAL || errno == ENOSYS || errno == ESPIPE;
    if (cannot) return Errno{sent == 0 ? EINVAL : EIO};
    if (errno != EAGAIN) return Errno{errno};
    const Result<short> writable = poll(fd, POLLOUT, deadline_of(progress));
    if (!writable.ok()) return writable.error();
    if (file.closed()) return Errno{EBADF};
  }
  return sent;
}

Status close(int fd) {
  AwaitedOp op;
  op.kind = Op::Kind::close;
  op.fd = fd;
  const std::int32_t result = await_done(op, "close", kNever);
  if (result < 0) return Errno{-result};
  return Done{};
}

}  // namespace greenwsgi::io
