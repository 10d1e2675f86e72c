#include "src/io/await.hpp"

#include <cerrno>

namespace greenwsgi::io {

namespace {

struct OpWait : Wait {
  AwaitedOp* op;
};

struct OpDeadline : Timer {
  explicit OpDeadline(AwaitedOp& awaited) : Timer(&OpDeadline::on_time), op(awaited) {}
  AwaitedOp& op;

  static void on_time(Timer& timer) noexcept {
    AwaitedOp& op = static_cast<OpDeadline&>(timer).op;
    if (!op.in_flight) return;
    op.timed_out = true;
    op.fiber->scheduler().hub().cancel(op);
  }
};

void cancel_op(Wait& wait) noexcept {
  AwaitedOp& op = *static_cast<OpWait&>(wait).op;
  if (op.in_flight) op.fiber->scheduler().hub().cancel(op);
}

}  // namespace

Scheduler& this_scheduler() {
  Scheduler* scheduler = Scheduler::current();
  GW_ASSERT(scheduler != nullptr);
  GW_ASSERT(scheduler->running() != nullptr);
  return *scheduler;
}

std::int32_t await_done(AwaitedOp& op, const char* what, Instant deadline) {
  Scheduler& scheduler = this_scheduler();
  op.fiber = scheduler.running();
  op.timed_out = false;
  op.on_done = [](Op& done) noexcept {
    Fiber& fiber = *static_cast<AwaitedOp&>(done).fiber;
    fiber.scheduler().unpark(fiber);
  };
  scheduler.hub().submit(op);

  OpWait wait{{what, cancel_op, nullptr, op.fd}, &op};
  OpDeadline timer(op);
  if (deadline != kNever) scheduler.start(timer, deadline);
  scheduler.park(wait);
  scheduler.stop(timer);

  GW_ASSERT(!op.in_flight);
  if (op.result == -ECANCELED && op.timed_out) return -ETIMEDOUT;
  return op.result;
}

Instant deadline_of(Duration progress) {
  if (progress == Duration::max()) return kNever;
  return saturating_add(this_scheduler().now(), progress);
}

}  // namespace greenwsgi::io
