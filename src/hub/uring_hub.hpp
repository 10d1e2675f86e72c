// uring_hub.hpp - the hub on io_uring: completions as the kernel itself speaks them.
//
// A submission is written into the shared ring and handed over by the one io_uring_enter(2) of the
// next wait(); a wait() that has nothing to hand over, to fetch or to sleep for makes no system
// call. An operation that the kernel refuses to wait for (-EAGAIN, because its descriptor is
// O_NONBLOCK) goes on as a poll and then as itself again. Knows what a ring is from uring_ring.hpp
// and how an operation is spelled from uring_sqe.hpp.
#pragma once

#include "src/hub/hub_base.hpp"
#include "src/hub/lost_ends.hpp"
#include "src/hub/uring_ring.hpp"

namespace greenwsgi {

class UringHub final : public HubBase {
 public:
  /// "" or the sentence that says why there is no such hub here.
  static std::string make(std::unique_ptr<UringHub>& hub, const UringSizes& sizes = {});
  ~UringHub() override;

  void submit(Op& op) override;
  void cancel(Op& op) override;
  void wait(Instant until) override;
  void dispatch() override;
  bool idle() const override;
  const char* name() const override { return "io_uring"; }

  /// Calls of io_uring_enter(2) so far. For tests: the promise of none is part of the design.
  std::uint64_t enters() const { return enters_; }
  UringBuffers& buffers() { return ring_.buffers(); }

 private:
  UringHub() : HubBase(0) {}

  io_uring_sqe* next_sqe();
  void start(Op& op);
  void send_cancel(Op& op);
  void arm_wake();
  void send_backlog();
  void look_for_lost_ends();
  bool is_behind() const { return !wake_armed_ || !cancels_.empty() || !backlog_.empty(); }
  bool to_submit() const;
  bool to_fetch() const;
  void enter();
  void sleep(Duration length);
  void check_enter(int status);

  void complete(std::uint64_t user_data, int result, unsigned flags);
  void on_result(Op& op, int result);
  void on_accepted(Op& op, int result, bool more);
  void on_received(Op& op, int result, unsigned flags);
  void on_polled(Op& op, int result);
  void on_wake();
  void restart(Op& op);
  void wait_or_finish(Op& op, int result);

  UringRing ring_;
  std::uint64_t wake_count_ = 0;  // Where the kernel reads wake_event_ into.
  bool wake_armed_ = false;
  std::uint64_t enters_ = 0;
  List<Op> backlog_;  // In flight, and waiting for room in the submission ring.
  List<Op> cancels_;  // In the kernel; their cancellation waits for room.
  LostEnds lost_ends_;
};

}  // namespace greenwsgi
