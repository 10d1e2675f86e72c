// lock_wait.hpp - waiting for a lock of _thread, plain or reentrant, in the parking lot.
#pragma once

#include "src/patch/call.hpp"
#include "src/patch/waiting.hpp"

namespace greenwsgi::patch {

/// (False,): the arguments of an acquire() that does not wait.
extern PyObject* acquire_now;
/// Makes it; a check of the groups that use it. nullptr when all is well.
const char* make_acquire_now();

/// Until when an acquire() with these arguments waits. False: it does not wait, or its arguments
/// are wrong, both of which the original knows best.
bool acquire_deadline(const Call& call, Instant* deadline);

/// After `attempt()` has returned `refused` (False, taken over): parks until another attempt gives
/// anything else, or the deadline has passed; what the last attempt gave. `attempt` does not
/// switch.
template <class Attempt>
PyObject* wait_for_lock(const Call& call, PyObject* refused, Instant deadline, Attempt attempt) {
  const py::Ref keep = py::Ref::share(call.self());
  for (bool front = false;; front = true) {
    Py_DECREF(refused);
    const py::Woken why = py::park_on(call.self(), deadline, front, "a lock");
    const bool woken = why == py::Woken::unparked;
    const bool passes_on = woken && py::anyone_parked_on(call.self());
    if (woken && !passes_on) {
      // Nobody else needs the lock that is free now, so it beats what was thrown meanwhile, which
      // the next wait raises: a Condition's notification is such a lock's release, and would be
      // lost.
      refused = attempt();
      if (refused != Py_False) return refused;
      Py_DECREF(refused);
    }
    if (py::raise_if_interrupted()) {
      if (passes_on) wake_one(call.self());
      return nullptr;
    }
    refused = attempt();
    if (refused != Py_False || why == py::Woken::timed_out) return refused;
  }
}

}  // namespace greenwsgi::patch
