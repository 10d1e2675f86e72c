// _multiprocessing.SemLock: the locks, semaphores and conditions that processes share.
//
// A POSIX semaphore has no descriptor and wakes nobody here, so a green that finds it taken parks
// for 1 to 16 ms at a time; a release in this process wakes it earlier. As with RLocks, the
// original knows the owner of a recursive one by the OS thread: around each call the word that
// names it says so for the green's own, and the green's number afterwards.
#include <algorithm>

#include "src/patch/hooks.hpp"
#include "src/patch/layout.hpp"
#include "src/patch/waiting.hpp"

namespace greenwsgi::patch {

namespace {

using layout::semlock_owner;
using py::Ref;

// While it lives, the original takes what belongs to the running green for the OS thread's, and
// what belongs to the OS thread's main program for somebody else's.
class Owner {
 public:
  explicit Owner(PyObject* lock) : lock_(lock) {
    const unsigned long ident = py::in_runtime() ? py::current_ident() : native_;
    if (ident == native_) return;
    ident_ = ident;
    shown_ = semlock_owner(lock);
    if (shown_ == ident_) semlock_owner(lock) = native_;
    if (shown_ == native_) semlock_owner(lock) = native_ + 1;
  }
  Owner(const Owner&) = delete;
  Owner& operator=(const Owner&) = delete;
  ~Owner() {
    if (ident_ == 0) return;
    if (semlock_owner(lock_) == native_) semlock_owner(lock_) = ident_;
    if (semlock_owner(lock_) == native_ + 1) semlock_owner(lock_) = native_;
  }

 private:
  PyObject* lock_;
  const unsigned long native_ = PyThread_get_thread_ident();
  unsigned long ident_ = 0;  // 0: nothing to disguise.
  unsigned long shown_ = 0;
};

PyObject* pass_on(const Call& call) {
  const Owner owner(call.self());
  return call.pass_on();
}

PyObject* try_once(const Call& call, PyObject* at_once) {
  const Owner owner(call.self());
  return call.original(at_once);
}

// The deadline of acquire(block=True, timeout=None). False: the original's affair.
bool acquire_deadline(const Call& call, Instant* deadline) {
  PyObject* given[2] = {};
  if (!call.arrange({"block", "timeout"}, given)) return false;
  if (given[0] != nullptr && given[0] != Py_True) {
    const int block = PyObject_IsTrue(given[0]);
    if (block < 0) PyErr_Clear();
    if (block <= 0) return false;
  }
  if (given[1] == nullptr || given[1] == Py_None) return true;
  // Of whatever has __float__().
  const Ref seconds = Ref::steal(PyFloat_FromDouble(PyFloat_AsDouble(given[1])));
  PyErr_Clear();
  Duration length{};
  if (!seconds || !plain_seconds(seconds.get(), &length)) return false;
  *deadline = deadline_after(length);
  return true;
}

PyObject* hook_acquire(Call& call) {
  Instant deadline = kNever;
  if (!py::can_park() || !acquire_deadline(call, &deadline)) return pass_on(call);
  const Ref at_once = Ref::steal(PyTuple_Pack(1, Py_False));
  if (!at_once) return nullptr;
  constexpr Duration kLongestPause = std::chrono::milliseconds(16);
  for (Duration pause = std::chrono::milliseconds(1);; pause = std::min(2 * pause, kLongestPause)) {
    PyObject* taken = try_once(call, at_once.get());
    if (taken != Py_False || py::scheduler_or_null()->now() >= deadline) return taken;
    Py_DECREF(taken);
    const Instant look = std::min(deadline, deadline_after(pause));
    const py::Woken why = py::park_on(call.self(), look, false, "a lock that processes share");
    if (!py::raise_if_interrupted()) continue;
    if (why == py::Woken::unparked) wake_one(call.self());
    return nullptr;
  }
}

// __enter__() takes no arguments where acquire() has two.
PyObject* hook_enter(Call& call) {
  if (!py::can_park()) return pass_on(call);
  return PyObject_CallMethod(call.self(), "acquire", nullptr);
}

PyObject* hook_release(Call& call) {
  PyObject* released = pass_on(call);
  if (released != nullptr) wake_one(call.self());
  return released;
}

PyObject* hook_ask(Call& call) {
  return pass_on(call);
}

constexpr Target targets[] = {
    target<hook_acquire>("_multiprocessing", "SemLock", "acquire", true),
    target<hook_enter>("_multiprocessing", "SemLock", "__enter__", true),
    target<hook_release, 0>("_multiprocessing", "SemLock", "release", true),
    target<hook_release, 1>("_multiprocessing", "SemLock", "__exit__", true),
    target<hook_ask>("_multiprocessing", "SemLock", "_is_mine", true),
};

}  // namespace

const Group semlock_group = {"semlock", targets, layout::check_semlock};

}  // namespace greenwsgi::patch
