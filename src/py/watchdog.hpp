// watchdog.hpp - tells when a hub has not turned for too long, and who keeps it from turning.
//
// A native thread of its own looks at each hub's clock a few times in the time allowed, without the
// GIL and without signals; nobody is interrupted. The stack is read with the GIL, by another native
// thread that asks for it. Python code lets go of it within milliseconds. C code that holds it does
// not: then that is logged, and the stack is told when the C code is back.
#pragma once

#include "greenwsgi/base/clock.hpp"
#include "src/py/ref.hpp"

namespace greenwsgi::py {

/// Watches the hubs of all threads, in the place of a watch before. `report` is called on a native
/// thread, once a block, with (seconds, native id of the thread, number of the green, its name or
/// None, is it the main program, its frame or None). False: a Python error is set.
bool start_watchdog(Duration limit, PyObject* report);
/// Harmless when none watches. Waits for its thread, without the GIL.
void stop_watchdog();
/// In the child of fork(2): forgets the thread, which stayed in the parent.
void forget_watchdog();

}  // namespace greenwsgi::py
