// io.hpp - system calls that stop the fiber instead of the thread. Each mirrors its man page, plus
// a deadline.
//
// Every function here may switch fibers, must run on a fiber of the calling thread's scheduler, and
// fails with ETIMEDOUT when its deadline passed first and with ECANCELED when the fiber was
// interrupted (Scheduler::interrupt), besides the errors of the man page; the interrupt stays
// pending until Scheduler::take_interrupt(). Whatever moved before that is reported, not lost. The
// O_NONBLOCK flag of a descriptor neither matters nor changes, except where a comment says so.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include "greenwsgi/base/clock.hpp"
#include "greenwsgi/base/result.hpp"
#include "greenwsgi/fiber/fiber.hpp"
#include "greenwsgi/io/expectation.hpp"

namespace greenwsgi::io {

using Bytes = std::span<std::byte>;
using ConstBytes = std::span<const std::byte>;

/// The new descriptor, close-on-exec; `flags` as for accept4(2).
Result<int> accept(int fd, int flags = 0, Instant deadline = kNever);
/// connect(2) on a socket of any kind. After ETIMEDOUT or ECANCELED it may still be under way.
Status connect(int fd, const sockaddr* address, socklen_t bytes, Instant deadline = kNever);
/// Bytes received, 0 at the end of the stream. `expectation`: of this descriptor, if the caller
/// keeps one.
Result<std::size_t> recv(int fd,
                         Bytes into,
                         int flags = 0,
                         Instant deadline = kNever,
                         Expectation* expectation = nullptr);
/// Bytes sent, perhaps fewer than given. Never raises SIGPIPE.
Result<std::size_t> send(int fd, ConstBytes from, int flags = 0, Instant deadline = kNever);
Result<std::size_t> sendmsg(int fd,
                            const msghdr& message,
                            int flags = 0,
                            Instant deadline = kNever);
/// Sends all of `parts`; what has been sent is taken off them, so that on failure the rest is left.
/// `progress`: the longest pause without a byte sent.
Status send_all(int fd, std::span<iovec> parts, Duration progress = Duration::max());
/// Sends `count` bytes of `file_fd` from `offset` (sendfile(2)); pages that are not cached are read
/// without blocking the thread. The socket is O_NONBLOCK in each system call. Bytes sent; fewer
/// than `count` at the end of the file. EINVAL when the kernel cannot sendfile from this file;
/// nothing has been sent then. Never raises SIGPIPE. `closes`: a number that changes when `file_fd`
/// is closed, which ends it with EBADF. `moved`: also on failure, how many bytes were sent.
Result<std::size_t> send_file(int fd,
                              int file_fd,
                              std::int64_t offset,
                              std::size_t count,
                              Duration progress = Duration::max(),
                              const unsigned* closes = nullptr,
                              std::size_t* moved = nullptr);

/// pread(2), or read(2) with offset -1. Regular files do not block the thread.
Result<std::size_t> read(int fd, Bytes into, std::int64_t offset = -1, Instant deadline = kNever);
Result<std::size_t> write(int fd,
                          ConstBytes from,
                          std::int64_t offset = -1,
                          Instant deadline = kNever);

/// Waits until `fd` has one of `events` (POLLIN, POLLOUT..); the events it has.
Result<short> poll(int fd, short events, Instant deadline = kNever);
Status close(int fd);

/// ETIMEDOUT never: success means that `when` has come.
Status sleep_until(Instant when);

/// Runs work(argument) on a native thread of the hub's pool and waits for it. An interrupt or a
/// deadline abandons the wait, not the work: then `discard(argument)` is called, on the hub's
/// stack, once the work has ended; otherwise the caller still owns `argument`.
Status offload(void (*work)(void*) noexcept,
               void* argument,
               void (*discard)(void*) noexcept,
               Instant deadline = kNever);

}  // namespace greenwsgi::io
