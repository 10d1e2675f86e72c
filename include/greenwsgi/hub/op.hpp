// op.hpp - one request to the kernel, and the room for its answer.
//
// An Op lives on the stack of the fiber that waits for it, or in the object (connection, listener)
// that wants it; the hub only borrows it. Hence the one rule of this file:
//   from submit() until the last on_done() nobody moves, reuses or destroys the Op. on_done() comes
//   exactly once - also after cancel(), whose only effect is to make it come sooner. The two
//   *_multishot kinds call on_done() any number of times with in_flight still true, and a last time
//   with in_flight false.
// Several ops may wait on one descriptor, in one direction too; whose turn comes first is then the
// kernel's choice. All must have ended before the descriptor is closed.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "greenwsgi/base/list.hpp"

struct msghdr;
struct sockaddr;

namespace greenwsgi {

struct Op : ListNode {
  enum class Kind : std::uint8_t {
    accept,            // accept4(fd, .., flags); result: the new descriptor
    accept_multishot,  // the same, on and on
    connect,           // connect(fd, address, address_bytes); result: 0
    recv,              // recv(fd, buffer, flags); result: bytes, 0 at the end of the stream
    recv_multishot,    // the bytes are the hub's: `buffer` is valid only during on_done()
    send,              // send(fd, buffer, flags | MSG_NOSIGNAL); result: bytes, may be short
    sendmsg,           // sendmsg(fd, message, flags | MSG_NOSIGNAL); result: bytes, may be short
    read,              // pread(fd, buffer, offset), offset -1: read(2); result: bytes
    write,             // pwrite / write, likewise
    poll,              // waits until fd has one of `events` (POLLIN..); result: the revents
    close,             // close(fd); result: 0
    offload,           // runs work(*this) on a native thread, which sets result
  };

  Kind kind{};
  bool in_flight = false;         // The hub borrows this Op: read it to check the rule above.
  bool cancel_requested = false;  // Kept by the hub; submit() clears it.
  std::uint8_t hub_state = 0;     // The hub's own.
  int fd = -1;
  int flags = 0;          // accept: SOCK_*; recv, send, sendmsg: MSG_*.
  std::int32_t result{};  // Bytes, descriptor or events; a negative errno on failure.
  std::span<std::byte> buffer{};
  union {
    std::int64_t offset = -1;    // read, write
    const sockaddr* address;     // connect
    msghdr* message;             // sendmsg
    short events;                // poll
    void (*work)(Op&) noexcept;  // offload
  };
  std::uint32_t address_bytes = 0;          // connect
  std::uint32_t hub_word = 0;               // The hub's own.
  void (*on_done)(Op&) noexcept = nullptr;  // Runs inside Hub::dispatch(), never inside submit().
};

}  // namespace greenwsgi
