// await.hpp - the three steps of every call of this room: submit an Op, park, come back when it is
// done. Private to the room.
//
// Ending a wait early is a request, not an event: even then we stay for the op's own completion,
// because until that moment the kernel may write into the buffer, which usually lives on this very
// stack.
#pragma once

#include "greenwsgi/io/io.hpp"

namespace greenwsgi::io {

/// What one system call moves at most; an Op's length must fit the 32 bits of io_uring.
constexpr std::size_t kTransferMost = 0x7ffff000;

struct AwaitedOp : Op {
  Fiber* fiber = nullptr;
  bool timed_out = false;
};

/// The calling thread's scheduler, with a fiber running on it.
Scheduler& this_scheduler();

/// The op's result: what moved, or a negative errno; -ETIMEDOUT where our deadline ended it.
std::int32_t await_done(AwaitedOp& op, const char* what, Instant deadline);

/// `from` now, for a pause of at most `progress`.
Instant deadline_of(Duration progress);

}  // namespace greenwsgi::io
