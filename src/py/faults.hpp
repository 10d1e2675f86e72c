// faults.hpp - for tests: throws an exception at the n-th wait of this thread's greens.
//
// A test runs the same thing once for each wait that it has, and each time one more of them goes
// wrong. Costs nothing while it is off: arming puts its own functions into the scheduler's hooks,
// as a trace does, and passes on to those that were to be there. The root's waits do not count, for
// whoever tests waits there. Needs the GIL, which is held whenever a green switches.
#pragma once

#include "src/py/runtime_state.hpp"

namespace greenwsgi::py {

class Faults {
 public:
  /// When in the n-th wait the exception is thrown: as it begins, so that it is given up before the
  /// hub has its turn; in that turn, when the kernel may have answered already; or when it is over
  /// and the green about to run, which then has both what it waited for and the exception.
  enum class Moment { begin, middle, end };

  /// Counts from now on the waits of the calling thread, which has a runtime; the number-th (from
  /// 1; 0: none) gets `exception`. Instead of what was armed before.
  static void arm(std::uint64_t number, PyObject* exception, Moment moment);
  /// How many waits there were since arm(); 0 when nothing is armed.
  static std::uint64_t disarm();
  /// The runtime goes away.
  static void forget(Runtime& runtime);
  /// Puts this into the hooks of `runtime`, if it is the one; false: it is not.
  static bool take_hooks(Runtime& runtime);

 private:
  static void leave(void* local) noexcept;
  static void enter(void* local) noexcept;
  static void in_the_middle(Message& message) noexcept;
  static void throw_now(GreenState& green);
};

}  // namespace greenwsgi::py
