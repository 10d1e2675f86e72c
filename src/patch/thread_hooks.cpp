// Waiting for native threads, which stay native: their end is announced by C code that no hook
// sees, so the original waits for it on a native thread. Up to CPython 3.12 a thread's end is the
// release of a lock (lock_hooks.cpp); from 3.13 on threads have handles.
#include "src/patch/hooks.hpp"
#include "src/patch/native_call.hpp"
#include "src/patch/waiting.hpp"

namespace greenwsgi::patch {

namespace {

PyObject* hook_join(Call& call) {
  if (!py::can_park()) return call.pass_on();
  const py::Ref done = py::Ref::steal(PyObject_CallMethod(call.self(), "is_done", nullptr));
  if (!done) return nullptr;
  if (done.get() == Py_True) return call.pass_on();
  return call_natively(call, NativeWork::wait, "the end of a thread");
}

// At the program's end: waits for all threads that are no daemons.
PyObject* hook_shutdown(Call& call) {
  if (!py::can_park()) return call.pass_on();
  return call_natively(call, NativeWork::wait, "the end of all threads");
}

constexpr Target targets[] = {
    target<hook_join>("_thread", "_ThreadHandle", "join", true),
    target<hook_shutdown>("_thread", nullptr, "_shutdown", true),
};

}  // namespace

const Group thread_group = {"thread", targets, nullptr};

}  // namespace greenwsgi::patch
