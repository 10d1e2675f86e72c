#include "src/hub/lost_ends.hpp"

#include <poll.h>

#include <array>

namespace greenwsgi {

LostEnds::~LostEnds() {
  while (!watched_.empty()) watched_.pop_front();
}

void LostEnds::watch(Op& op, Instant now) {
  if (watched_.empty()) due_ = now + kLookAfter;
  watched_.push_back(op);
}

void LostEnds::look(Instant now, List<Op>& ended) {
  std::array<Op*, kLookAtOnce> ops;
  std::array<pollfd, kLookAtOnce> sockets;
  nfds_t count = 0;
  for (; count < ops.size() && !watched_.empty(); ++count) {
    ops[count] = &watched_.pop_front();
    sockets[count] = {.fd = ops[count]->fd, .events = POLLRDHUP, .revents = 0};
  }
  const bool looked = ::poll(sockets.data(), count, 0) >= 0;
  if (!looked) due_ = now + kLookAfter;  // No memory: later.
  for (nfds_t i = 0; i < count; ++i) {
    if (!looked) watched_.push_back(*ops[i]);
    if (looked && sockets[i].revents != 0) ended.push_back(*ops[i]);
  }
}

}  // namespace greenwsgi
