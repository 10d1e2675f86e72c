// fiber.hpp - a function on its own stack, and the scheduler that takes turns between such
// functions.
//
// Life of a fiber: ready -> running -> (parked -> ready -> running)* -> done. Exactly one fiber
// runs per scheduler, and a switch happens only inside park(), yield() and join-like calls built on
// them. Whoever parks must first have told somebody to unpark it. The thread's own stack is the
// root fiber: it may park like any other. The hub's turn (wait, dispatch, timers) runs on a stack
// of its own, where nothing may park.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

#include "greenwsgi/base/list.hpp"
#include "greenwsgi/fiber/stack.hpp"
#include "greenwsgi/fiber/timer.hpp"
#include "greenwsgi/hub/hub.hpp"

namespace greenwsgi {

class Scheduler;

/// What a parked fiber waits for. Lives on its stack.
struct Wait {
  const char* what;  // For people: "recv", "sleep", "lock".
  /// Ends the wait early: unparks the fiber now or, when the kernel must let go first, later.
  /// Called at most when the fiber is parked. nullptr: this wait cannot be ended early.
  void (*cancel)(Wait&) noexcept = nullptr;
  // For people as well: which one.
  const void* address = nullptr;
  int fd = -1;
};

/// A message for another thread's scheduler. The sender keeps it alive until run() is called, on
/// the receiving scheduler's hub stack.
struct Message {
  void (*run)(Message&) noexcept;
  Message* next = nullptr;
};

class Fiber : public ListNode {
 public:
  enum class State : std::uint8_t { ready, running, parked, done };

  /// The head of the C++ runtime's per-thread record of exceptions (Itanium ABI, "caught" first).
  struct ExceptionState {
    void* caught = nullptr;
    unsigned uncaught = 0;
  };

  State state() const { return state_; }
  Scheduler& scheduler() const { return scheduler_; }
  /// Rises with each fiber of the process; the root fibers have numbers too. Never 0.
  std::uint64_t number() const { return number_; }
  /// A number for a fiber that is spawned later. From any thread.
  static std::uint64_t take_number();
  static std::uint64_t number_taken_last();
  /// What it waits for; only when parked.
  const Wait& wait() const;
  /// The same, also when it was woken and has not run yet; nullptr: it waits for nothing.
  const Wait* wait_or_null() const { return wait_; }
  /// The argument of a fiber that runs, or will run, this body; else nullptr.
  void* argument_of(void (*body)(void*)) const { return body_ == body ? argument_ : nullptr; }
  bool is_root() const { return stack_.base == nullptr; }

  /// The top of this fiber's stack, which is the layer above's to use; empty for the root.
  std::span<std::byte> reserve() const;
  /// The lowest address its C stack may reach, above the yellow zone; nullptr for the root.
  std::byte* stack_limit() const;
  std::byte* stack_start() const { return reinterpret_cast<std::byte*>(const_cast<Fiber*>(this)); }

  /// For whoever finds out, in a signal handler, that the running fiber has used up its stack:
  /// opens the yellow zone below stack_limit(), when `address` is in it and it was closed. False:
  /// it is not so, or there is no memory. Async-signal-safe.
  bool open_yellow_zone(const void* address);
  bool yellow_zone_open() const { return zone_open_; }
  /// On the fiber itself: closes the zone when the stack is high enough again. False: not yet.
  bool close_yellow_zone();

  /// The layer above's state; while it is not null, its SwitchHook is called around each switch.
  void* local = nullptr;

 private:
  friend class Scheduler;
  Fiber(Scheduler& scheduler, Stack stack, std::uint64_t number);
  /// It runs next: fetches what it reads first, while another runs.
  void prefetch() const;
  /// It is about to begin: the same for what it writes first, deep in its stack.
  void prefetch_depth() const;

  Scheduler& scheduler_;
  Stack stack_;
  void* context_ = nullptr;  // Where to go to run this fiber; valid unless it is running.
  const Wait* wait_ = nullptr;
  ExceptionState exceptions_;
  std::uint64_t number_;
  void (*body_)(void*) = nullptr;
  void* argument_ = nullptr;
  State state_ = State::ready;
  bool interrupted_ = false;
  bool zone_open_ = false;
#ifdef GREENWSGI_ASAN
  void* fake_stack_ = nullptr;
#endif
};

/// How the layer above takes part. All may be null.
struct SchedulerHooks {
  void (*leave)(void* local) noexcept = nullptr;  // The fiber with this `local` stops running.
  void (*enter)(void* local) noexcept = nullptr;  // It runs (again).
  void (*before_wait)() noexcept = nullptr;       // The hub is about to sleep: let go of the GIL.
  void (*after_wait)() noexcept = nullptr;
  void (*each_turn)() noexcept = nullptr;  // Once a turn of the hub, which may not have slept.
};

class Scheduler {
 public:
  static constexpr std::size_t kBodyBytes = 64;
  static constexpr std::size_t kTimersSpare = 16;  // The root's, and the next that is asked for.

  /// Adopts the calling thread: its stack becomes the root fiber, which is running.
  explicit Scheduler(Hub& hub, std::size_t stack_bytes = StackPool::kDefaultBytes)
      : Scheduler(hub, StackPool(stack_bytes)) {}
  /// The same with stacks from `stacks`, which must be able to provide() the first.
  Scheduler(Hub& hub, StackPool&& stacks);
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;
  ~Scheduler();  // On the root fiber, with no other fiber alive.

  /// The calling thread's scheduler, or nullptr.
  static Scheduler* current();

  Hub& hub() { return hub_; }
  Fiber& root() { return root_; }
  /// nullptr on the hub's stack.
  Fiber* running() { return running_; }
  std::size_t fibers_alive() const { return alive_; }  // The root not counted.
  void set_hooks(const SchedulerHooks& hooks) { hooks_ = hooks; }
  StackPool& stacks() { return stacks_; }

  /// A new fiber, ready to run body(argument); ENOMEM when there is no stack for it. It is gone
  /// when its body returns. It can start one timer at a time without further memory.
  /// `number`: from Fiber::take_number(), or 0 for the next.
  Result<Fiber*> spawn(void (*body)(void*), void* argument, std::uint64_t number = 0);
  /// The same for any callable of up to kBodyBytes, which is moved onto the fiber's own stack.
  template <class Body>
  Result<Fiber*> spawn(Body body, std::uint64_t number = 0);

  /// Runs other fibers until unpark(). When an interrupt is pending and `wait` can be cancelled, it
  /// is cancelled at once. Afterwards the caller asks its own state, and take_interrupt(), why.
  void park(Wait& wait);
  /// Makes a parked fiber ready, at the end of the queue. Only on the scheduler's thread.
  void unpark(Fiber& fiber);
  /// Lets every other ready fiber, and the hub, have a turn. The hub is left out when it has
  /// nothing to do and had its turn a microsecond ago, and no timer is due.
  void yield();
  /// Parks the root until no other fiber is alive. For tests and for plain C++ programs.
  void run();

  /// Ends the wait of `fiber` early, the present one or the next that can be cancelled.
  void interrupt(Fiber& fiber);
  /// Was the running fiber interrupted since the last call?
  bool take_interrupt();

  /// Can one more timer be started than the fibers, and those who have reserved one, have one each?
  /// False: there is no memory.
  bool make_room_for_timer() { return timers_.make_room(alive_ + reserved_ + kTimersSpare); }
  /// Until release_timer() one timer more can be started without further memory, again and again.
  /// False: there is none.
  bool reserve_timer() {
    const bool reserved = make_room_for_timer();
    if (reserved) reserved_ += 1;
    return reserved;
  }
  void release_timer() { reserved_ -= 1; }
  void start(Timer& timer, Instant when) { timers_.start(timer, when); }
  void stop(Timer& timer) { timers_.stop(timer); }
  std::size_t timers() const { return timers_.size(); }
  Instant now() const { return hub_.now(); }

  /// Calls `visit(Fiber&)` for each fiber that is ready to run, in their order. It must not park.
  template <class Visit>
  void for_each_ready(Visit visit) {
    turn_.for_each(visit);
    ready_.for_each(visit);
  }

  /// Runs message.run(message) on the hub's stack, soon. From any thread.
  void post(Message& message);

  /// On the hub's stack only (inside on_done or a timer): runs `fiber`, which is ready, right now
  /// instead of at its turn; comes back when it parks or ends.
  void run_now(Fiber& fiber);

  /// The calling thread is gone from this scheduler's point of view (after fork(2), in the child):
  /// forgets its fibers without running or freeing them.
  void abandon();

 private:
  [[noreturn]] void loop();
  void turn();
  void run_turn();
  bool has_next();
  Fiber& take_next();
  void leave(Fiber& self);
  void run_messages();
  void release(Fiber& fiber);
  Result<Fiber*> make_fiber(std::uint64_t number = 0);

  Hub& hub_;
  StackPool stacks_;
  SchedulerHooks hooks_;
  Fiber* running_;
  Fiber::ExceptionState& exceptions_;  // The thread's.
  void* loop_context_ = nullptr;  // Where to go to run the hub's turn; valid while a fiber runs.
  Fiber* run_waiter_ = nullptr;
  std::size_t alive_ = 0;
  std::size_t reserved_ = 0;  // Timers.
  List<Fiber> ready_;
  List<Fiber> turn_;  // Those of ready_ that have their turn now.
  TimerQueue timers_;
  Moment asked_;                 // Since the hub's last turn; does not last during one.
  Instant rings_soon_ = kNever;  // A timer that is due until then may ring while asked_ lasts.
  std::atomic<Message*> messages_{nullptr};
  Stack loop_stack_;
#ifdef GREENWSGI_ASAN
  void announce(void** fake_stack, const Fiber* next) const;
  const void* root_bottom_ = nullptr;
  std::size_t root_bytes_ = 0;
#endif
  Scheduler* previous_current_;
  Fiber root_;
};

template <class Body>
Result<Fiber*> Scheduler::spawn(Body body, std::uint64_t number) {
  static_assert(sizeof(Body) <= kBodyBytes);
  static_assert(alignof(Body) <= 16);
  static_assert(std::is_nothrow_move_constructible_v<Body>);
  Result<Fiber*> made = make_fiber(number);
  if (!made.ok()) return made;
  Fiber& fiber = **made;
  void* room =
      reinterpret_cast<std::byte*>(&fiber) - kBodyBytes;  // Below the Fiber, above its frames.
  fiber.argument_ = new (room) Body(std::move(body));
  fiber.body_ = [](void* argument) {
    Body own = std::move(*static_cast<Body*>(argument));
    static_cast<Body*>(argument)->~Body();
    own();
  };
  return made;
}

}  // namespace greenwsgi
