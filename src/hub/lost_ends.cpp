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
  std::array<pollfd, kLookAtOnce> sockets;
  nfds_t count = 0;
  watched_.for_each([&](Op& op) {
    if (count < sockets.size()) sockets[count++] = {.fd = op.fd, .events = POLLRDHUP, .revents = 0};
  });
  if (::poll(sockets.data(), count, 0) < 0) {  // No memory: later.
    due_ = now + kLookAfter;
    return;
  }
  for (nfds_t i = 0; i < count; ++i) {
    Op& op = watched_.pop_front();
    if (sockets[i].revents != 0) ended.push_back(op);
  }
}

}  // namespace greenwsgi
