// io.BufferedReader, BufferedWriter, BufferedRandom: one caller at a time.
//
// Each has a lock of its own, in C, which knows its holder by the OS thread: to it all greens of a
// thread are one, and while one of them waits in the raw file below, the others would be told that
// they call themselves. So who comes second waits here, before the original is called: a green in
// the parking lot, a native thread for the condition below. Nobody waits for the lock itself, or a
// native thread could get it, wait for a green of ours, and have us wait for the lock.
#include <pthread.h>

#include <condition_variable>
#include <mutex>
#include <new>

#include "greenwsgi/base/list.hpp"
#include "src/patch/hooks.hpp"
#include "src/patch/layout.hpp"
#include "src/patch/waiting.hpp"

namespace greenwsgi::patch {

namespace {

using py::Ref;

// A call of the original that a green is in, perhaps parked. On its stack.
struct Inside : ListNode {
  Inside(PyObject* entered, const Fiber* caller) : buffered(entered), fiber(caller) {}
  PyObject* buffered;
  const Fiber* fiber;
};
// Never destroyed: a green may still be in it at the process's end. Guarded by the GIL.
List<Inside>& insides = *new List<Inside>;

bool is_inside(PyObject* buffered, const Fiber* fiber) {
  bool found = false;
  insides.for_each([&](Inside& one) { found |= one.buffered == buffered && one.fiber == fiber; });
  return found;
}

// A call that began before the patch, on another thread, ends without telling.
constexpr auto kLook = std::chrono::milliseconds(10);

// --- Native threads that wait. The mutex is taken with the GIL, which is not asked for under it.

std::mutex native_mutex;
std::condition_variable somebody_left;
unsigned native_waiters = 0;  // Guarded by the GIL.

// The child of a fork has none of those who wait, nor who holds the mutex.
void forget_native_waiters() {
  new (&native_mutex) std::mutex;
  new (&somebody_left) std::condition_variable;
  native_waiters = 0;
}

// Both waits: until nobody else is in it. False: a Python error is set.
bool wait_as_thread(PyObject* buffered) {
  static const int registered = pthread_atfork(nullptr, nullptr, forget_native_waiters);
  (void)registered;
  const unsigned long self = PyThread_get_thread_ident();
  for (;;) {
    const unsigned long owner = layout::buffered_owner(buffered);
    if (owner == 0 || owner == self) return true;
    std::unique_lock lock(native_mutex);
    native_waiters += 1;
    PyThreadState* thread = PyEval_SaveThread();
    somebody_left.wait_for(lock, kLook);
    lock.unlock();
    PyEval_RestoreThread(thread);
    native_waiters -= 1;
    if (PyErr_CheckSignals() < 0) return false;
  }
}

bool wait_as_green(PyObject* buffered, const Fiber* self) {
  for (bool front = false;; front = true) {
    const unsigned long owner = layout::buffered_owner(buffered);
    if (owner == 0 || is_inside(buffered, self)) return true;
    const bool foreign = owner != PyThread_get_thread_ident();
    const py::Woken why = py::park_on(buffered, foreign ? deadline_after(kLook) : kNever, front,
                                      "another's call of a file object");
    if (!py::raise_if_interrupted()) continue;
    if (why == py::Woken::unparked) wake_one(buffered);
    return false;
  }
}

void wake_others(PyObject* buffered) {
  wake_one(buffered);
  if (native_waiters == 0) return;
  const std::lock_guard lock(native_mutex);
  somebody_left.notify_all();
}

template <class Function>
auto alone(PyObject* buffered, Function original) -> decltype(original()) {
  const bool green = py::can_park();
  const Fiber* self = green ? py::scheduler_or_null()->running() : nullptr;
  const bool busy = layout::buffered_owner(buffered) != 0;
  if (busy && !(green ? wait_as_green(buffered, self) : wait_as_thread(buffered))) return nullptr;
  Inside inside(buffered, self);
  if (green) insides.push_back(inside);
  const auto result = original();
  if (green) inside.unlink();
  wake_others(buffered);
  return result;
}

PyObject* hook(Call& call) {
  return alone(call.self(), [&call] { return call.pass_on(); });
}

// --- Iteration, which is a slot of the type and of those derived from it

iternextfunc original_next = nullptr;

PyObject* hook_next(PyObject* buffered) {
  return alone(buffered, [buffered] { return original_next(buffered); });
}

// The types derived from `type`, and it itself, that have its slot. False: a Python error is set.
bool replace_next(PyObject* type) {
  auto* slots = reinterpret_cast<PyTypeObject*>(type);
  if (slots->tp_iternext != original_next) return true;
  const Ref derived = Ref::steal(PyObject_CallMethod(type, "__subclasses__", nullptr));
  if (!derived) return false;
  slots->tp_iternext = hook_next;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(derived.get()); i++) {
    if (!replace_next(PyList_GET_ITEM(derived.get(), i))) return false;
  }
  return true;
}

const char* hook_iteration() {
  const Ref io = Ref::steal(PyImport_ImportModule("_io"));
  for (const char* name : {"BufferedReader", "BufferedRandom"}) {
    const Ref type = io ? Ref::steal(PyObject_GetAttrString(io.get(), name)) : Ref();
    if (!type) break;
    if (original_next == nullptr)
      original_next = reinterpret_cast<PyTypeObject*>(type.get())->tp_iternext;
    if (!replace_next(type.get())) break;
  }
  const bool failed = PyErr_Occurred() != nullptr;
  PyErr_Clear();
  return failed ? "the types of buffered files could not be walked" : nullptr;
}

const char* check() {
  const char* wrong = layout::check_buffered();
  return wrong != nullptr ? wrong : hook_iteration();
}

#define GW_READER(number, name) target<hook, number>("_io", "BufferedReader", name)
#define GW_WRITER(number, name) target<hook, number>("_io", "BufferedWriter", name)
#define GW_RANDOM(number, name) target<hook, number>("_io", "BufferedRandom", name)

constexpr Target targets[] = {
    GW_READER(0, "read"),      GW_READER(1, "read1"),     GW_READER(2, "readinto"),
    GW_READER(3, "readinto1"), GW_READER(4, "readline"),  GW_READER(5, "peek"),
    GW_READER(6, "seek"),      GW_READER(7, "truncate"),  GW_READER(8, "close"),
    GW_WRITER(10, "write"),    GW_WRITER(11, "flush"),    GW_WRITER(12, "seek"),
    GW_WRITER(13, "truncate"), GW_WRITER(14, "close"),    GW_RANDOM(20, "read"),
    GW_RANDOM(21, "read1"),    GW_RANDOM(22, "readinto"), GW_RANDOM(23, "readinto1"),
    GW_RANDOM(24, "readline"), GW_RANDOM(25, "peek"),     GW_RANDOM(26, "seek"),
    GW_RANDOM(27, "truncate"), GW_RANDOM(28, "close"),    GW_RANDOM(29, "write"),
    GW_RANDOM(30, "flush"),
};

#undef GW_READER
#undef GW_WRITER
#undef GW_RANDOM

}  // namespace

const Group buffered_group = {"buffered", targets, check};

}  // namespace greenwsgi::patch
