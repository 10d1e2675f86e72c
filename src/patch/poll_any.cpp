// One poll operation per descriptor. The first that is done, the deadline or an interrupt ends the
// others; we leave when all of them are done, for until then they are the hub's.
#include "src/patch/poll_any.hpp"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <new>

#include "src/patch/waiting.hpp"

namespace greenwsgi::patch {

namespace {

struct Gathering;

struct PollOp : Op {
  Gathering* of = nullptr;
};

struct Gathering {
  struct Waiting : Wait {
    Gathering* of;
  };
  struct Deadline : Timer {
    explicit Deadline(Gathering& gathering) : Timer(on_time), of(gathering) {}
    static void on_time(Timer& timer) noexcept {
      Gathering& self = static_cast<Deadline&>(timer).of;
      self.timed_out = true;
      self.end();
    }
    Gathering& of;
  };

  Gathering(Fiber& waiting, std::unique_ptr<PollOp[]> operations, std::size_t number)
      : fiber(waiting), ops(std::move(operations)), count(number), timer(*this) {}

  void end() {
    for (std::size_t i = 0; i < count; i++) {
      if (ops[i].in_flight && !ops[i].cancel_requested) fiber.scheduler().hub().cancel(ops[i]);
    }
  }

  void submit(std::span<const pollfd> wanted) {
    for (std::size_t i = 0; i < count; i++) {
      PollOp& op = ops[i];
      op.kind = Op::Kind::poll;
      op.fd = wanted[i].fd;
      op.events = wanted[i].events;
      op.of = this;
      op.on_done = on_done;
      fiber.scheduler().hub().submit(op);
    }
  }

  static void on_done(Op& op) noexcept {
    Gathering& self = *static_cast<PollOp&>(op).of;
    if (op.result != -ECANCELED) self.ready = true;
    self.left -= 1;
    self.end();
    if (self.left == 0) self.fiber.scheduler().unpark(self.fiber);
  }

  Fiber& fiber;
  std::unique_ptr<PollOp[]> ops;
  std::size_t count;
  std::size_t left = count;
  bool ready = false;
  bool timed_out = false;
  Deadline timer;
};

}  // namespace

Status poll_any(std::span<const pollfd> wanted, Instant deadline) {
  Scheduler& scheduler = *Scheduler::current();
  if (wanted.empty()) {
    const Status slept = io::sleep_until(deadline);
    if (!slept.ok()) return slept.error();
    return Errno{ETIMEDOUT};
  }
  std::unique_ptr<PollOp[]> ops(new (std::nothrow) PollOp[wanted.size()]);
  if (ops == nullptr) return Errno{ENOMEM};
  Gathering gathering(*scheduler.running(), std::move(ops), wanted.size());
  gathering.submit(wanted);
  Gathering::Waiting wait{
      {"select", [](Wait& ended) noexcept { static_cast<Gathering::Waiting&>(ended).of->end(); }},
      &gathering};
  if (deadline != kNever) scheduler.start(gathering.timer, deadline);
  scheduler.park(wait);
  scheduler.stop(gathering.timer);
  GW_ASSERT(gathering.left == 0);
  if (gathering.ready) return Done{};
  return Errno{gathering.timed_out ? ETIMEDOUT : ECANCELED};
}

bool waited_well(const Status& waited) {
  if (waited.ok() || waited.error().code == ETIMEDOUT) return true;
  if (waited.error().code == ECANCELED) return !py::raise_if_interrupted();
  set_errno(waited.error().code);
  return false;
}

bool is_over(const Status& waited, Instant deadline) {
  const bool timed_out = !waited.ok() && waited.error().code == ETIMEDOUT;
  return timed_out || deadline_after(Duration::zero()) >= deadline;
}

bool pause(Duration& length, Instant deadline) {
  constexpr Duration kLongestPause = std::chrono::milliseconds(20);
  const Instant end = std::min(deadline, deadline_after(length));
  length = std::min(2 * length, kLongestPause);
  return io::sleep_until(end).ok() || !py::raise_if_interrupted();
}

}  // namespace greenwsgi::patch
