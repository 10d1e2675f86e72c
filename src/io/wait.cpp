// Waiting without moving bytes: for readiness, for a time, for a native thread.
#include <poll.h>

#include <cerrno>
#include <memory>
#include <utility>

#include "src/io/await.hpp"

namespace greenwsgi::io {

namespace {

// One of the two ends it: the timer, which need not be pending (kNever), or an interrupt.
struct SleepTimer : Timer {
  explicit SleepTimer(Fiber& sleeper) : Timer(&SleepTimer::on_time), fiber(sleeper) {}
  Fiber& fiber;
  bool over = false;

  void end() {
    over = true;
    fiber.scheduler().unpark(fiber);
  }
  static void on_time(Timer& timer) noexcept { static_cast<SleepTimer&>(timer).end(); }
};

struct SleepWait : Wait {
  SleepTimer* timer;
  bool ended_early = false;
};

// Outlives its fiber's interest in it: whoever is last frees it.
struct OffloadOp : Op {
  void (*work)(void*) noexcept;
  void (*discard)(void*) noexcept;
  void* argument;
  Fiber* fiber;  // nullptr once it has given up.
  bool done = false;
};

void offload_done(Op& op) noexcept {
  auto& self = static_cast<OffloadOp&>(op);
  self.done = true;
  if (self.fiber != nullptr) {
    self.fiber->scheduler().unpark(*self.fiber);
    return;
  }
  if (self.discard != nullptr) self.discard(self.argument);
  delete &self;
}

struct OffloadWait : Wait {
  OffloadOp* op;  // Not to be touched once given up: it may be gone.
  bool given_up = false;
  bool timed_out = false;
};

// The work may run for long: leave it behind, unless it has not even begun.
void give_up(OffloadWait& wait) {
  if (wait.given_up || wait.op->done) return;
  wait.given_up = true;
  Fiber& fiber = *std::exchange(wait.op->fiber, nullptr);
  fiber.scheduler().hub().cancel(*wait.op);
  fiber.scheduler().unpark(fiber);
}

struct OffloadDeadline : Timer {
  explicit OffloadDeadline(OffloadWait& waiting)
      : Timer(&OffloadDeadline::on_time), wait(waiting) {}
  OffloadWait& wait;

  static void on_time(Timer& timer) noexcept {
    OffloadWait& wait = static_cast<OffloadDeadline&>(timer).wait;
    if (wait.given_up || wait.op->done) return;
    wait.timed_out = true;
    give_up(wait);
  }
};

}  // namespace

Result<short> poll(int fd, short events, Instant deadline) {
  for (;;) {
    pollfd one{fd, events, 0};
    const int ready = ::poll(&one, 1, 0);
    if (ready > 0 && (one.revents & POLLNVAL) != 0) return Errno{EBADF};
    if (ready > 0) return one.revents;
    AwaitedOp op;
    op.kind = Op::Kind::poll;
    op.fd = fd;
    op.events = events;
    const std::int32_t result = await_done(op, "poll", deadline);
    if (result > 0) return static_cast<short>(result);
    if (result < 0 && result != -EAGAIN && result != -EINTR) return Errno{-result};
  }
}

Status sleep_until(Instant when) {
  Scheduler& scheduler = this_scheduler();
  SleepTimer timer(*scheduler.running());
  SleepWait wait{{"sleep",
                  [](Wait& ended) noexcept {
                    auto& self = static_cast<SleepWait&>(ended);
                    if (self.timer->over) return;
                    self.ended_early = true;
                    self.timer->fiber.scheduler().stop(*self.timer);
                    self.timer->end();
                  }},
                 &timer};
  scheduler.start(timer, when);
  scheduler.park(wait);
  if (wait.ended_early) return Errno{ECANCELED};
  return Done{};
}

Status offload(void (*work)(void*) noexcept,
               void* argument,
               void (*discard)(void*) noexcept,
               Instant deadline) {
  Scheduler& scheduler = this_scheduler();
  auto owned = std::make_unique<OffloadOp>();
  OffloadOp& op = *owned.release();  // Owned by whoever is last: see offload_done().
  op.kind = Op::Kind::offload;
  op.Op::work = [](Op& running) noexcept {
    auto& self = static_cast<OffloadOp&>(running);
    self.work(self.argument);
    self.result = 0;
  };
  op.work = work;
  op.discard = discard;
  op.argument = argument;
  op.fiber = scheduler.running();
  op.on_done = offload_done;
  scheduler.hub().submit(op);

  OffloadWait wait{
      {"a native thread", [](Wait& ended) noexcept { give_up(static_cast<OffloadWait&>(ended)); }},
      &op};
  OffloadDeadline timer(wait);
  if (deadline != kNever) scheduler.start(timer, deadline);
  scheduler.park(wait);
  scheduler.stop(timer);

  if (wait.given_up) return Errno{wait.timed_out ? ETIMEDOUT : ECANCELED};
  const std::int32_t result = op.result;
  delete &op;
  if (result < 0) return Errno{-result};
  return Done{};
}

}  // namespace greenwsgi::io
