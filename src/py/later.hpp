// later.hpp - a green that is to start when a time comes. Until then it is a timer and costs no
// stack; killed before, it never had one. Guarded by the GIL, so that another thread may kill it.
#pragma once

#include "src/py/green_object.hpp"
#include "src/py/runtime_state.hpp"

namespace greenwsgi::py {

/// On the heap from spawning until the green has its fiber, or has been killed.
struct Later : ListNode, Timer, Message {
  Later(Runtime& its_runtime, GreenObject* its_green)
      : Timer(on_time), Message{on_message}, runtime(its_runtime), green(its_green) {}

  // On the hub's stack: no Python runs.
  static void on_time(Timer& timer) noexcept;
  static void on_message(Message& message) noexcept;
  void begin();

  Runtime& runtime;
  GreenObject* green;  // Owned.
};

/// spawn_green(), but it starts at `when`. nullptr: Python error set.
GreenObject* spawn_green_later(Instant when,
                               PyObject* function,
                               PyObject* arguments,
                               PyObject* keywords);

/// The green, which has a Later, is done: its timer goes. When it has links that need a green of
/// their own, its fiber comes at once, to spawn them on the thread where it would have run.
void cancel_later(GreenObject* green);

/// Kills all that this runtime has.
void kill_laters(Runtime& runtime);

}  // namespace greenwsgi::py
