// _thread.lock: the original with a time-out of nothing, and when that fails the parking lot.
//
// Native threads block in the original. Every release, by whom ever, wakes one parked green, which
// tries again and, when somebody was quicker, parks at the front.
#include <cmath>

#include "src/patch/hooks.hpp"
#include "src/patch/layout.hpp"
#include "src/patch/lock_wait.hpp"
#include "src/patch/native_call.hpp"

namespace greenwsgi::patch {

namespace {

// -1 second, as CPython rounds to nanoseconds: away from zero.
bool is_for_ever(PyObject* timeout) {
  if (PyFloat_Check(timeout)) return std::floor(PyFloat_AS_DOUBLE(timeout) * 1e9) == -1e9;
  int number = 0;
  return as_int(timeout, &number) && number == -1;
}

void release_again(PyObject* lock, PyObject* taken) {
  if (taken != Py_True) return;
  const py::Ref released = py::Ref::steal(PyObject_CallMethod(lock, "release", nullptr));
  if (!released) PyErr_Clear();
}

PyObject* hook_acquire(Call& call) {
  if (!py::can_park()) return call.pass_on();
  Instant deadline = kNever;
  if (!call.without_arguments() && !acquire_deadline(call, &deadline)) return call.pass_on();
  give_way_when_late();
  PyObject* taken = call.original(acquire_now);
  if (taken != Py_False) return taken;
  if (layout::is_released_by_thread_end(call.self())) {
    Py_DECREF(taken);
    return call_natively(call, NativeWork::wait, "the end of a thread", release_again);
  }
  return wait_for_lock(call, taken, deadline, [&] { return call.original(acquire_now); });
}

PyObject* hook_release(Call& call) {
  PyObject* done = call.pass_on();
  if (done != nullptr) wake_one(call.self());
  return done;
}

// A lock may be replaced by a free one under its waiters (in the child of a fork).
constexpr Target targets[] = {
    target<hook_acquire, 0>("_thread", "LockType", "acquire"),
    target<hook_acquire, 1>("_thread", "LockType", "acquire_lock", true),
    target<hook_acquire, 2>("_thread", "LockType", "__enter__"),
    target<hook_release, 0>("_thread", "LockType", "release"),
    target<hook_release, 1>("_thread", "LockType", "release_lock", true),
    target<hook_release, 2>("_thread", "LockType", "__exit__"),
};

// False as well where the original will raise an error: there is none yet.
bool is_true(PyObject* blocking) {
  const long number = layout::kBlockingIsInt ? PyLong_AsLong(blocking) : PyObject_IsTrue(blocking);
  if (PyErr_Occurred() == nullptr) return number != 0 && number == static_cast<int>(number);
  PyErr_Clear();
  return false;
}

}  // namespace

PyObject* acquire_now = nullptr;

const char* make_acquire_now() {
  if (acquire_now == nullptr) acquire_now = PyTuple_Pack(1, Py_False);
  if (acquire_now != nullptr) return nullptr;
  PyErr_Clear();
  return "no memory";
}

bool acquire_deadline(const Call& call, Instant* deadline) {
  PyObject* given[2] = {};
  if (!call.arrange({"blocking", "timeout"}, given)) return false;
  if (given[0] != nullptr && given[0] != Py_True && !is_true(given[0])) return false;
  if (given[1] == nullptr) return true;
  if (is_for_ever(given[1])) return true;
  Duration length{};
  if (!plain_seconds(given[1], &length) || length == Duration::zero()) return false;
  *deadline = deadline_after(length);
  return true;
}

const Group lock_group = {"lock", targets, make_acquire_now};

}  // namespace greenwsgi::patch
