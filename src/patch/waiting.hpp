// waiting.hpp - what all hooks share about waits: lengths of time as Python passes them, wake-ups,
// and the exceptions that end a wait.
#pragma once

#include "src/py/parking_lot.hpp"
#include "src/py/runtime.hpp"

namespace greenwsgi::patch {

/// Seconds that need no judging: a float or an integer (or what has __index__), not negative, of
/// less than 292 years. False for all else, without an error: the original says what is wrong.
/// Rounded up to nanoseconds, as CPython rounds time-outs.
bool plain_seconds(PyObject* seconds, Duration* length);

/// The value of what stands for an int, and fits one. False for all else, without an error: the
/// original says what is wrong.
bool as_int(PyObject* number, int* value);

/// A size as "n" of PyArg_Parse takes it; false otherwise, likewise.
bool as_size(PyObject* number, Py_ssize_t* size);

/// `length` from now, on the clock of the calling thread's hub.
Instant deadline_after(Duration length);

/// Wakes a green that waits for `key`, if any does. From every thread and interpreter: the method
/// tables we hook are shared by all of them, the parking lot is not.
inline void wake_one(const void* key) {
  if (py::parked_count == 0) return;
  if (PyInterpreterState_Get() == PyInterpreterState_Main()) py::unpark_one(key);
}

/// Lets the others have a turn. False: a Python error is set.
bool yield_turn();

/// Counts a call that did not have to wait. True every so many calls: what is always ready at once
/// (a queue with items) must not starve the others.
bool turn_is_due();
/// yield_turn() when one is due. For calls that use a descriptor see fd_turns.hpp.
bool spend_turn();

/// How many more calls of what takes no time go on before one looks at the clock. Under the GIL.
inline unsigned calls_until_look = 1;
void look_at_clock();

/// For what is done at once and by the thousand (a free lock): once the hub's turn lasts 10 ms,
/// the others have theirs. So threads end that poll something under a lock and count on being
/// preempted. Raises nothing: a lock that is free can be taken whatever was thrown.
inline void give_way_when_late() {
  if (--calls_until_look == 0) look_at_clock();
}

/// Sets TimeoutError("timed out"), as sockets do.
void set_timed_out();
/// Sets the OSError of `code`, as sockets do.
void set_errno(int code);

}  // namespace greenwsgi::patch
