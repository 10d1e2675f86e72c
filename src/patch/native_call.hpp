// native_call.hpp - a call that must block is made by a native thread, while the green waits.
//
// For originals that only know how to block (name look-ups, the end of a native thread), and for
// what a program knows to block (green.native). The thread makes exactly the call that the green
// would have made, so its result and its exception are the original's. Threads are started when no
// idle one is left and end when idle for a while; none holds up the interpreter's exit. An
// interrupted green leaves its call behind, unless it has not begun: then it never will. Needs the
// GIL.
#pragma once

#include "greenwsgi/base/clock.hpp"
#include "src/patch/call.hpp"
#include "src/patch/fd_turns.hpp"

namespace greenwsgi::patch {

enum class NativeWork : unsigned char {
  lookup,  // Many at once queue for a limited number of threads.
  wait,    // May depend on each other's end, so each has a thread at once.
  call,    // The program's own; as many threads as it says.
};

struct NativeLimits {
  unsigned threads_max;
  Duration idle_max = std::chrono::seconds(5);
};

struct NativeCounts {
  unsigned threads = 0;  // The idle ones included.
  unsigned idle = 0;
  unsigned queued = 0;
};

void set_native_limits(NativeWork work, NativeLimits limits);
NativeCounts native_counts(NativeWork work);

/// Is the caller a thread for this work? Then it should not wait for another.
bool on_native_thread(NativeWork work);

/// Has a native thread make the call, which nobody waits for: its exception is reported. On any
/// thread. False: a Python error is set.
bool start_natively(const Call& call, NativeWork work);

/// What the original returns, or nullptr and its exception. Switches; needs py::can_park(). `what`:
/// for people. `undo`: called (on the native thread) with a result that nobody waits for any more.
PyObject* call_natively(const Call& call,
                        NativeWork work,
                        const char* what,
                        void (*undo)(PyObject* self, PyObject* result) = nullptr);
/// The same with descriptors, which others may close before the thread begins: then EBADF.
PyObject* call_natively(const Call& call, NativeWork work, const char* what, const StillOpen& open);

}  // namespace greenwsgi::patch
