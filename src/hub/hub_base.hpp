// hub_base.hpp - what the two real hubs have in common: taking an operation on, finishing it, the
// pool of threads and the way it reports, and wake().
//
// Op::hub_state is split: the low bits belong to the hub that derives from this, the high ones,
// OpState, are used here. Knows neither io_uring nor epoll.
#pragma once

#include "greenwsgi/hub/hub.hpp"
#include "src/hub/thread_pool.hpp"
#include "src/hub/wake_event.hpp"

namespace greenwsgi {

struct OpState {
  static constexpr std::uint8_t kDone = 64;   // In HubBase::done_, its result set.
  static constexpr std::uint8_t kPool = 128;  // With the pool of threads.
};

class HubBase : public Hub {
 public:
  ~HubBase() override;
  void wake() noexcept final { wake_event_.raise(); }
  Instant now() const final { return known_now_ = Clock::now(); }

 protected:
  explicit HubBase(int eventfd_flags);

  void take_on(Op& op);
  /// The last on_done(). Bytes that came before the end (op.hub_word) beat its reason.
  void finish(Op& op, int result);
  /// The same, by the next dispatch().
  void finish_later(Op& op, int result);
  void finish_done();
  bool anything_done() const { return !done_.empty(); }
  void submit_to_pool(Op& op);
  /// For an op that is kDone or kPool.
  void cancel_in_base(Op& op);
  /// The wake event has been read.
  void after_wake();

  WakeEvent wake_event_;
  mutable Instant known_now_{};  // The latest time that now() or wait() has seen.

 private:
  static void finish_all(HubBase& hub, List<Op>& ops);

  List<Op> done_;
  ThreadPool pool_;  // Last, so that its threads end first: they call wake().
};

}  // namespace greenwsgi
