// runtime.hpp - Python on fibers: what the other Python rooms need to know of it.
//
// A Runtime is one OS thread's hub and scheduler, made when the thread first uses green threads. A
// green is a fiber that has Python state of its own (its frames, exceptions, context, recursion
// depth, thread identity: green_state.hpp); the root fiber is the thread's own Python state. All
// greens of a thread share its one PyThreadState. Everything here needs the GIL.
#pragma once

#include <vector>

#include "greenwsgi/fiber/fiber.hpp"
#include "src/py/green_state.hpp"
#include "src/py/ref.hpp"

namespace greenwsgi::py {

/// The calling thread's scheduler with Python's hooks in it; made at the first call. nullptr: a
/// Python error is set (RuntimeError that names the remedy).
Scheduler* ensure_scheduler();
/// The same, or nullptr without an error when this thread has none.
Scheduler* scheduler_or_null();
/// How long the others of this thread's greens have had to wait for whoever runs: since the hub's
/// turn began. Zero on a thread without a scheduler.
Duration turn_lasts();
/// Has that been 10 ms? Then whoever could go on for long without a wait gives way.
bool turn_is_late();
/// The stack size of the schedulers made from now on; StackPool rounds it.
void set_stack_bytes(std::size_t bytes);

/// Does the code that runs now belong to this thread's runtime, if only to one that has been shut
/// down? False on threads that have none, on the hub's own stack, and in a subinterpreter.
bool in_runtime();
/// May the code that runs now switch to other greens? True on a green or on the root fiber of a
/// thread that has a runtime; false on other threads, on the hub's own stack, in a subinterpreter,
/// and after the runtime has been shut down.
bool can_switch();
/// The same, and it is in no blocking scope: may what can also block the thread wait cooperatively
/// instead? A few nanoseconds: hooks ask it first.
bool can_park();

/// Opens a scope of the running code, or closes the one opened last, in which can_park() is false.
/// Scopes nest; each green has its own, and so has a native thread. False, and a RuntimeError, when
/// there is none to close.
void enter_blocking();
bool leave_blocking();

/// The green object of the running fiber (type green.Green), made on demand; main's too. Empty: a
/// Python error is set.
Ref current_green();
/// Would a thread that the caller starts be a green? Where it may wait cooperatively, and in the
/// main program also before its first green. False after the end, and in a blocking scope.
bool threads_are_greens();

/// What get_ident() shows (idents.hpp): the native one on the root fiber (but a green that has
/// forked keeps its own as the root of the child), and in greens that had begun before
/// give_identities(): what they hold, they hold by that number.
unsigned long current_ident();
/// The same, but every green has its own from the start: for what only this package's objects see.
unsigned long own_ident();
/// Greens that begin from now on have identities of their own.
void give_identities();

/// The forks that this process is the child of. Who remembers waiters or owners remembers the count
/// with them: those of before a fork are gone, but for the green that forked, which is the root of
/// a new runtime, by another name.
class Forks {
 public:
  unsigned count = 0;
  /// In a new child: what own_ident() was in the parent, and, when that is settled, what it is.
  void begin(unsigned long ident);
  void end(unsigned long ident);
  /// What own_ident() is now of whom it was `ident` of when count was `since`.
  unsigned long heir_of(unsigned long ident, unsigned since) const;

 private:
  struct Survivor {
    unsigned long was, is;
  };
  std::vector<Survivor> survivors_;  // `count` of them.
};
extern Forks forks;

/// To be called after every wait that may have been interrupted (io:: gave ECANCELED, or after
/// park()): raises what was thrown at this green, or runs pending signal handlers on the root
/// fiber. True: a Python error is set, give up. False: the interrupt was not for an exception, wait
/// again for what is left.
bool raise_if_interrupted();
/// Has something been thrown at the running green that its next wait raises? Signals' handlers do
/// not count.
bool is_thrown_at();
/// Before a wait that ECANCELED would break for good: forgets an interrupt whose exception has been
/// taken back since, as by the end of a Timeout.
void drop_stale_interrupt();

/// While one exists, what is thrown at the running green is not raised: it is at the first wait
/// after that. For taking back a lock that the caller believes to hold. Signals are handled.
class HoldBack {
 public:
  HoldBack();
  HoldBack(const HoldBack&) = delete;
  HoldBack& operator=(const HoldBack&) = delete;
  ~HoldBack();

 private:
  GreenState& green_;
};

/// Sets the Python exception for an errno of io: OSError (its subclass), TimeoutError for
/// ETIMEDOUT. Always returns nullptr.
PyObject* set_os_error(Errno error);

/// Makes the running plain fiber a green for the time of a C++ scope: code inside may run Python
/// and park. `context`: a contextvars.Context to run in, borrowed; nullptr: an empty one. The
/// scheduler's hub stack is where it comes from and where it goes; no Python error may be set at
/// the end.
class GreenScope {
 public:
  explicit GreenScope(PyObject* context);
  GreenScope(const GreenScope&) = delete;
  GreenScope& operator=(const GreenScope&) = delete;
  ~GreenScope();

 private:
  GreenState state_;
};

/// Waits until `when`. False: a Python error is set. Switches.
bool sleep_until(Instant when);
/// The same from now, with a little slack; for no time at all: lets each other green have a turn.
bool sleep_for(Duration length);

/// A copy of the running green's context, as spawn makes it; empty and no error set when that
/// context is empty, which GreenScope(nullptr) does as well.
Ref copy_context();

/// Reports the current Python exception of code that nobody waits for: traceback to the error log,
/// through sys.unraisablehook's conventions; KeyboardInterrupt and SystemExit go to the main green
/// instead. Clears it. `where`: borrowed, what was running.
void report_exception(const char* what, PyObject* where);

}  // namespace greenwsgi::py
