// lost_ends.hpp - multishot receives whose end io_uring may have reported to nobody.
//
// When bytes and the end behind them (EOF, a reset) have woken the kernel's poll together, it may
// take the bytes, forget the end, and wait for a wake-up that never comes. "io_uring/poll: fix
// multishot recv missing EOF on wakeup race" (CVE-2026-23473; Linux 7.0 and stable kernels since
// March 2026) mends the most frequent case; what was there when the receive was armed, or is more
// than 32 buffers, is lost in 6.18.44 as well. Such an end is there before its bytes are reported:
// one look at the socket after them, however late, finds it. Knows no ring.
#pragma once

#include "greenwsgi/base/clock.hpp"
#include "greenwsgi/base/list.hpp"
#include "greenwsgi/hub/op.hpp"

namespace greenwsgi {

class LostEnds {
 public:
  /// How long after the bytes. The more of them come meanwhile, the fewer looks a receive costs.
  static constexpr Duration kLookAfter = std::chrono::milliseconds(250);
  static constexpr unsigned kLookAtOnce = 128;

  LostEnds() = default;
  LostEnds(const LostEnds&) = delete;
  LostEnds& operator=(const LostEnds&) = delete;
  ~LostEnds();

  /// `op`, in flight and in no list, has received bytes. To forget it: op.unlink().
  void watch(Op& op, Instant now);
  /// When look() is due; kNever without anything to look at.
  Instant due() const { return watched_.empty() ? kNever : due_; }
  /// Looks at some that are watched, with one poll(2); moves those that have ended into `ended`,
  /// and forgets the others.
  void look(Instant now, List<Op>& ended);

 private:
  List<Op> watched_;
  Instant due_{};
};

}  // namespace greenwsgi
