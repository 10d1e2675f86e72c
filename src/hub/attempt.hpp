// attempt.hpp - one try at an operation, guaranteed not to block, for a hub that knows readiness
// only.
//
// Never trusts that the descriptor is ready: it may have been closed, and its number reused, since
// somebody said so. O_NONBLOCK stays as the user set it, but for listeners that are accepted from
// on and on (make_nonblocking): toggling it for each connection would race with other processes
// that share the listener. Knows no epoll.
#pragma once

#include "greenwsgi/hub/op.hpp"

namespace greenwsgi {

/// The result, or -EAGAIN when `op` has to wait; one step of a multishot kind. For connect: how
/// begin_connect() went on. Not for offload.
int attempt(Op& op);

/// Begins to connect: 0, a negative errno, or -EINPROGRESS.
int begin_connect(const Op& op);

void make_nonblocking(int fd);

}  // namespace greenwsgi
