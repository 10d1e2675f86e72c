// green_state.hpp - what a fiber that runs Python carries with it: its slice of the thread state,
// and the exceptions that others have thrown at it.
//
// A GreenState lives on its fiber's own stack (the root's in its Runtime) and is the fiber's
// `local`. Throwing is two steps: an exception is queued here and the fiber is interrupted; the
// fiber raises it itself, on its own stack, in raise_if_interrupted(). So a timer on the hub's
// stack may throw without running any Python. Guarded by the GIL.
#pragma once

#include "greenwsgi/fiber/fiber.hpp"
#include "src/py/signal_mask.hpp"
#include "src/py/thread_state.hpp"

namespace greenwsgi::py {

class GreenState;
class Runtime;
struct GreenObject;
class TimedThrow;

/// An exception on its way to a green.
struct Thrown : ListNode {
  PyObject* exception = nullptr;  // Owned: an exception, or a class of exceptions.
  TimedThrow* timed = nullptr;    // What it is part of; null: on the heap, whoever takes it frees.
};

/// An exception that is thrown when a time comes. Part of a Python object, which it keeps alive
/// while it is armed, and which the green in which it was armed lets go of at its end.
class TimedThrow : public ListNode {
 public:
  TimedThrow() : timer_(*this) { thrown_.timed = this; }
  TimedThrow(const TimedThrow&) = delete;
  TimedThrow& operator=(const TimedThrow&) = delete;

  /// Armed, or fired and not yet raised.
  bool pending() const { return owner_ != nullptr; }
  /// Throws `exception` at `green`, whose thread this is, at `when`. `owner`: the object this is
  /// part of. False: MemoryError is set.
  bool arm(GreenState& green, Instant when, PyObject* owner, PyObject* exception);
  /// Takes it back, also when it has fired and was not yet raised. May run destructors.
  void disarm();
  /// From now on it is that green's, whose thread this is, at the same time.
  void move_to(GreenState& green);

 private:
  friend class GreenState;
  static void on_time(Timer& timer) noexcept;
  struct TimerPart : Timer {
    explicit TimerPart(TimedThrow& timed) : Timer(on_time), of(timed) {}
    TimedThrow& of;
  };

  TimerPart timer_;
  Instant when_{};
  Thrown thrown_;
  GreenState* green_ = nullptr;
  PyObject* owner_ = nullptr;
};

/// The last thing that the trace knows of a green.
struct TraceMark {
  Instant at{};                // When it began to run or to wait; before the trace: unknown.
  const char* what = nullptr;  // It waits for: a literal.
  int fd = -1;
};

class GreenState : public ListNode {
 public:
  /// For the root fiber: its slice is what the thread state holds now.
  GreenState(Runtime& runtime, Fiber& root);
  /// For the running fiber, which becomes a green; from here on its thread has this `mask`.
  GreenState(Runtime& runtime, Fiber& fiber, PyObject* context, SignalMask mask);
  ~GreenState();
  GreenState(const GreenState&) = delete;
  GreenState& operator=(const GreenState&) = delete;

  Runtime& runtime() { return runtime_; }
  Fiber& fiber() { return fiber_; }
  bool is_root() const { return fiber_.is_root(); }
  /// Has it an identity of its own, other than its thread's?
  bool has_ident() const { return has_ident_; }

  /// Blocking scopes that are open (runtime.hpp).
  unsigned scopes() const { return scopes_; }
  void open_scopes(unsigned count);
  void close_scopes(unsigned count);

  /// The Green object of this green, made when it is first asked for. nullptr: Python error set.
  GreenObject* object();
  GreenObject* object_or_null() { return object_; }
  /// Gives the state its object, whose reference it takes over.
  void adopt(GreenObject* object);
  /// Takes its object away, which then finds this green no more. Empty: it had none.
  Ref take_object();
  /// In the child of a fork, for its new root: takes over from the green that forked what others
  /// know it by, and what is on its way to it.
  void succeed(GreenState& forked);
  /// Is there anything of that?
  bool has_heritage() const { return object_ != nullptr || !timed_.empty() || !thrown_.empty(); }
  /// On its own stack, at its end: the object is told, and everything is let go of. Runs
  /// destructors, which may park.
  void finish();
  /// At the end of what it runs, while it is still the current green: tracers, thread locals and
  /// the context are let go, with their destructors. Needs that no error is set.
  void drop_locals();
  /// The root's end, which is its thread's: what it holds for the thread state stays there.
  void retire();

  /// Queues `exception` and interrupts the green. From any thread. False: MemoryError set.
  bool throw_at(PyObject* exception);
  /// Sets the oldest exception thrown at the running green as Python's; false when there is none.
  bool raise_thrown();
  bool has_thrown() const { return !thrown_.empty(); }
  /// In how many HoldBacks (runtime.hpp) it is.
  unsigned holds_back = 0;

  /// Has it been thrown what the end of the interpreter throws?
  bool told_to_end = false;
  /// Does it run a thread, and waits, after it was told, as if nothing had been thrown? What waits
  /// in a finally block, or handles the exception, does not.
  bool has_ignored_its_end() const;

  /// Its signal mask, in force while it runs but for faults(); new greens begin with their
  /// spawner's.
  SignalMask mask() const { return mask_ | faults_; }
  /// What is part of its mask, but not of the kernel's; nothing of the root's.
  SignalMask faults() const { return faults_; }
  /// While it runs: its mask is `value`, which the kernel has by now, or soon, but for kFaults.
  void choose_mask(SignalMask value);

  /// What the patch room keeps for the green that runs a thread's function.
  void* of_thread = nullptr;
  /// Its innermost Python frame; of any thread's green. Empty: none, and no error set.
  Ref frame() const;
  /// When it began, and when it last stopped running: the beginning of that turn of the hub.
  Instant began() const { return began_; }
  Instant stopped() const { return stopped_; }
  /// Trace's own.
  TraceMark trace_mark;

  /// In a signal handler, on its thread while it runs: has its stack overflowed into the yellow
  /// zone, at `address`? Then the zone is opened and CPython's next check of recursion raises
  /// RecursionError. False: it is something else, or too late. Async-signal-safe.
  bool survives_overflow(const void* address);

  // The switch: hooks of the scheduler.
  static void leave(void* local) noexcept;
  static void enter(void* local) noexcept;
  void load() { slice_.load(thread_); }
  /// After a load() for others to look at, who may have set a trace function.
  void unload() { slice_.save_tracers(thread_); }
  /// While it does not run: ThreadSlice::change_tracers().
  template <class Change>
  void change_tracers(PyThreadState& caller, Change change) {
    slice_.change_tracers(caller, change);
  }

 private:
  friend class Faults;
  friend class TimedThrow;
  struct Poke : Message {
    GreenState* green = nullptr;
    bool in_flight = false;
    bool awaited = false;
  };
  void queue(Thrown& thrown);
  void retire_object();
  void drop_thrown();
  void await_poke();
  void end_overflow();
  static void poked(Message& message) noexcept;

  ThreadSlice slice_;
  PyThreadState& thread_;
  Runtime& runtime_;
  Fiber& fiber_;
  GreenObject* object_ = nullptr;  // Owned.
  List<Thrown> thrown_;
  List<TimedThrow> timed_;
  Poke poke_;
  SignalMask mask_ = kThreadsMask;
  SignalMask faults_ = 0;
  unsigned scopes_ = 0;
  int recursion_taken_ = 0;  // While the yellow zone is open.
  bool has_ident_ = false;
  Instant began_;
  Instant stopped_;
};

}  // namespace greenwsgi::py
