// native_call.hpp - a call that must block is made by a native thread, while the green waits.
//
// For originals that only know how to block: name look-ups, the end of a native thread. The thread
// makes exactly the call that the green would have made, so its result and its exception are the
// original's. Threads are started when no idle one is left and end when idle for a while; none
// holds up the interpreter's exit. An interrupted green leaves its call behind.
#pragma once

#include "src/patch/call.hpp"

namespace greenwsgi::patch {

enum class NativeWork : unsigned char {
  lookup,  // Many at once queue for a limited number of threads.
  wait,    // May depend on each other's end, so each has a thread at once.
};

/// What the original returns, or nullptr and its exception. Switches; needs py::can_park(). `what`:
/// for people. `undo`: called (on the native thread) with a result that nobody waits for any more.
PyObject* call_natively(const Call& call,
                        NativeWork work,
                        const char* what,
                        void (*undo)(PyObject* self, PyObject* result) = nullptr);

}  // namespace greenwsgi::patch
