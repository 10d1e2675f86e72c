// runtime_state.hpp - one OS thread's hub, scheduler and root green; the inside of runtime.hpp.
//
// Made when a thread first uses green threads, and kept until the thread ends (thread_end) or, on
// the main thread, for ever: parked greens may stand on its stacks. While the hub runs, the thread
// state holds the slice of whoever ran last, perhaps of a green that is gone; so before the GIL is
// let go the root's slice is loaded, for other threads may look.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "src/py/green_state.hpp"
#include "src/py/signal_mask.hpp"
#include "src/py/signals.hpp"

namespace greenwsgi::py {

struct Later;

class Runtime : public ListNode {
 public:
  Runtime(HubMade made, StackPool&& stacks);
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  /// The calling thread's, or nullptr.
  static Runtime* current() { return current_; }

  Scheduler& scheduler() { return scheduler_; }
  GreenState& root() { return root_; }
  PyThreadState& thread() { return thread_; }
  /// Those of all threads of the process, the oldest first.
  static List<Runtime>& all();
  /// Guards the list for the watchdog, which has no GIL; the GIL may be held, not waited for.
  static std::mutex& all_mutex();
  /// When the present turn of the hub began to run fibers or, when it has not slept, to ask the
  /// kernel; kNever while it sleeps. From any thread.
  Instant turn_began() const { return turn_began_.load(std::memory_order_relaxed); }
  const std::string& hub_reason() const { return hub_reason_; }
  List<GreenState>& greens() { return greens_; }
  List<Later>& laters() { return laters_; }
  /// The green that runs now; nullptr on the hub's stack and in a plain fiber.
  GreenState* running() {
    const Fiber* fiber = scheduler_.running();
    return fiber == nullptr ? nullptr : static_cast<GreenState*>(fiber->local);
  }

  /// Operations that the kernel has and that are not the runtime's own.
  std::size_t operations() { return scheduler_.hub().in_flight() - (signals_.watching() ? 1 : 0); }

  /// Greens are being ended: none may begin.
  bool closing() const { return closing_; }
  /// No green may wait any more: the interpreter, or the thread, ends.
  bool closed() const { return closed_; }
  /// Code of this thread may have to block: it is closed, or a green is in a blocking scope.
  bool may_block() const { return reasons_to_block_ > 0; }
  /// Throws GreenExit into every green until all have ended or a second has passed, then closes.
  /// On the root fiber.
  void close();
  /// Installs what belongs to the thread: signals, the overflow handler, the end of the thread.
  /// False: Python error set.
  bool start();

  /// Gives the scheduler the hooks it needs now: with a trace or without, with a fault or without.
  void set_hooks();
  static SchedulerHooks plain_hooks();
  /// The number of its thread, for people and for /proc.
  int tid() const { return tid_; }

  /// Trace's own: when the hub's turn and its sleep began; when its track got a name.
  struct {
    Instant poll{}, sleep{}, named{};
  } trace_mark;

  /// The watchdog's own, under all_mutex(): the turn it has seen; since when others have waited for
  /// it to end; when it was last seen; has it been reported?
  struct Watched {
    Instant turn{}, first = kNever, last{};
    bool told = false;
  } watched;

  /// How long the hub was away for others, a turn of it each: place i counts those of less than
  /// 2^i nanoseconds, the last one the rest. Sleeps are not counted.
  static constexpr std::size_t kLagPlaces = 40;
  struct Counters {
    Duration lag_longest{};
    std::uint64_t lag[kLagPlaces] = {};
  };
  const Counters& counters() const { return counters_; }

  std::size_t unstarted = 0;  // Greens that were spawned and have not run yet.

  /// The blocking scopes of the calling thread while it has no runtime; the root takes them over.
  static inline thread_local unsigned scopes_before = 0;
  /// Do greens that begin now have identities of their own?
  static inline bool gives_identities = false;

  /// The patch room's: a green that will never run again gives its turns to others. After all of
  /// its thread have left the parking lot.
  static inline void (*on_left_behind)(Fiber& fiber) = nullptr;

  /// In the child of fork(2): whatever runs now is the root of a runtime still to be made.
  static void after_fork_in_child();
  static void just_forked() noexcept;

 private:
  friend class GreenState;
  void mark_closed();
  void end_waits();
  void leave_to_parent(GreenState* survivor);
  friend class Trace;
  static void before_wait() noexcept;
  static void after_wait() noexcept;
  static void each_turn() noexcept;
  void count_turn(Duration away) noexcept;
  static void thread_end(PyObject* capsule);
  static inline thread_local Runtime* current_ = nullptr;

  PyThreadState& thread_;
  std::unique_ptr<Hub> hub_;
  std::string hub_reason_;
  Scheduler scheduler_;
  List<GreenState> greens_;  // Without the root.
  List<Later> laters_;
  GreenState root_;
  SignalPipe signals_;
  ThreadMask mask_;
  std::atomic<Instant> turn_began_{Clock::now()};
  Counters counters_;
  const int tid_;
  Instant gil_offered_{};
  unsigned reasons_to_block_ = 0;  // One for closed_, one for each open blocking scope.
  bool closing_ = false;
  bool closed_ = false;
};

/// The identity of the green that has forked and is now the root of the child; 0: none has.
extern thread_local unsigned long forked_ident;

/// The current exception when it is KeyboardInterrupt or SystemExit: the root green of this thread
/// gets it, and it is cleared. False: it is something else.
bool pass_to_root();

/// At the interpreter's exit: closes the calling thread's runtime, if it has one.
void close_runtime();

/// The green that forked has come to its end, in the child: so does the process, with the current
/// Python exception, if any, as its reason.
[[noreturn]] void end_forked_child();
/// At the module's import: is it the main thread that imports?
void note_main_thread();

}  // namespace greenwsgi::py
