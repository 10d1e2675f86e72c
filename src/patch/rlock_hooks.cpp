// _thread.RLock and _thread.get_ident: an RLock belongs to a green, not to its OS thread.
//
// No lock of our own: around each call of the original, the owner word of an RLock that belongs to
// the calling green says that the OS thread owns it (which is all the original can see), and
// afterwards the green's number again. An RLock that the OS thread owns by itself (code on the root
// fiber) looks taken to a green.
#include "src/patch/hooks.hpp"
#include "src/patch/layout.hpp"
#include "src/patch/lock_wait.hpp"

namespace greenwsgi::patch {

namespace {

using layout::rlock_owner;

// The identity of the calling green when that is not the OS thread's own; else 0.
unsigned long green_ident() {
  if (!py::in_runtime()) return 0;
  const unsigned long ident = py::current_ident();
  return ident == PyThread_get_thread_ident() ? 0 : ident;
}

// One attempt that does not wait, as `ident` (0: as the OS thread).
PyObject* attempt(const Call& call, unsigned long ident) {
  PyObject* lock = call.self();
  const unsigned long native = PyThread_get_thread_ident();
  if (ident == 0) return call.original(acquire_now);
  if (rlock_owner(lock) == native) Py_RETURN_FALSE;
  if (rlock_owner(lock) == ident) rlock_owner(lock) = native;
  PyObject* taken = call.original(acquire_now);
  if (rlock_owner(lock) == native) rlock_owner(lock) = ident;
  return taken;
}

PyObject* acquire(const Call& call, unsigned long ident, Instant deadline) {
  give_way_when_late();
  PyObject* taken = attempt(call, ident);
  if (taken != Py_False) return taken;
  return wait_for_lock(call, taken, deadline, [&] { return attempt(call, ident); });
}

// In a blocking scope: the thread waits, but the lock is the green's all the same.
PyObject* acquire_blocking(const Call& call, unsigned long ident) {
  PyObject* lock = call.self();
  const unsigned long native = PyThread_get_thread_ident();
  const unsigned long owner = rlock_owner(lock);
  if (owner == ident) rlock_owner(lock) = native;
  if (owner == native) rlock_owner(lock) = native + 1;
  PyObject* taken = call.pass_on();
  if (owner == native && rlock_owner(lock) == native + 1) rlock_owner(lock) = native;
  if (owner != native && rlock_owner(lock) == native) rlock_owner(lock) = ident;
  return taken;
}

PyObject* hook_acquire(Call& call) {
  if (!py::in_runtime()) return call.pass_on();
  const unsigned long ident = green_ident();
  if (!py::can_park()) return ident == 0 ? call.pass_on() : acquire_blocking(call, ident);
  Instant deadline = kNever;
  if (call.without_arguments() || acquire_deadline(call, &deadline)) {
    return acquire(call, ident, deadline);
  }
  // No waiting, or wrong arguments. An attempt of the original's own would mistake us for the
  // thread, so the owner must be lent here too.
  PyObject* lock = call.self();
  const unsigned long native = PyThread_get_thread_ident();
  const unsigned long owner = rlock_owner(lock);
  if (ident == 0 || owner == 0) {
    PyObject* taken = call.pass_on();
    if (ident != 0 && rlock_owner(lock) == native) rlock_owner(lock) = ident;
    return taken;
  }
  rlock_owner(lock) = owner == ident ? native : owner == native ? native + 1 : owner;
  PyObject* taken = call.pass_on();
  rlock_owner(lock) = owner;
  return taken;
}

// The calls that only an owner may make, or that ask who owns it.
PyObject* as_owner(Call& call) {
  PyObject* lock = call.self();
  const unsigned long ident = green_ident();
  if (ident == 0) return call.pass_on();
  const unsigned long native = PyThread_get_thread_ident();
  const unsigned long owner = rlock_owner(lock);
  if (owner != ident && owner != native) return call.pass_on();
  rlock_owner(lock) = owner == ident ? native : native + 1;
  PyObject* result = call.pass_on();
  if (rlock_owner(lock) != 0) rlock_owner(lock) = owner;
  return result;
}

PyObject* hook_ask(Call& call) {
  return as_owner(call);
}

PyObject* hook_release(Call& call) {
  PyObject* result = as_owner(call);
  if (result != nullptr && rlock_owner(call.self()) == 0) wake_one(call.self());
  return result;
}

// What _release_save() of this green returned was the OS thread's identity; Condition hands it back
// untouched. Should it hand it to another green, the lock must be that one's.
PyObject* hook_acquire_restore(Call& call) {
  if (!py::in_runtime()) return call.pass_on();
  PyObject* state = call.count() == 1 ? call.item(0) : nullptr;
  if (state == nullptr || !PyTuple_Check(state) || PyTuple_GET_SIZE(state) != 2) {
    return call.pass_on();
  }
  // Taken once and waited for by acquire(), then counted up: acquire() again, as its owner.
  const long count = PyLong_AsLong(PyTuple_GET_ITEM(state, 0));
  if (count <= 0) {
    PyErr_Clear();
    return call.pass_on();
  }
  const py::Ref method = py::Ref::steal(PyObject_GetAttrString(call.self(), "acquire"));
  if (!method) return nullptr;
  const py::HoldBack until_taken;
  for (long i = 0; i < count; i++) {
    const py::Ref taken = py::Ref::steal(PyObject_CallNoArgs(method.get()));
    if (!taken) return nullptr;
  }
  Py_RETURN_NONE;
}

PyObject* hook_get_ident(Call& call) {
  if (!py::in_runtime()) return call.pass_on();
  return PyLong_FromUnsignedLong(py::current_ident());
}

constexpr Target rlock_targets[] = {
    target<hook_get_ident, 0>("_thread", nullptr, "get_ident"),
    target<hook_acquire, 0>("_thread", "RLock", "acquire"),
    target<hook_acquire, 1>("_thread", "RLock", "__enter__"),
    target<hook_release, 0>("_thread", "RLock", "release"),
    target<hook_release, 1>("_thread", "RLock", "__exit__"),
    target<hook_release, 2>("_thread", "RLock", "_release_save"),
    target<hook_ask, 0>("_thread", "RLock", "_is_owned"),
    target<hook_ask, 1>("_thread", "RLock", "_recursion_count", true),
    target<hook_acquire_restore>("_thread", "RLock", "_acquire_restore"),
};

const char* check() {
  const char* wrong = layout::check_rlock();
  return wrong != nullptr ? wrong : make_acquire_now();
}

}  // namespace

const Group rlock_group = {"rlock", rlock_targets, check};

}  // namespace greenwsgi::patch
