// semaphore_type.cpp - Semaphore: the one primitive that green's events and results are made of.
//
// Greens of any thread and native threads wait in one queue, first come first served. A release
// hands over to the first of the queue instead of counting, so nobody who comes later can overtake,
// and `value` is above zero only while nobody waits. The GIL makes each step one. Who has been
// handed something and then leaves by an exception hands it on. After fork(2) those who waited in
// the parent still stand in the child's queue: a semaphore is not for use across it.
#include <algorithm>
#include <new>

#include "greenwsgi/base/list.hpp"
#include "src/module/types.hpp"
#include "src/py/parking_lot.hpp"
#include "src/py/runtime.hpp"

namespace greenwsgi::module {

using py::Ref;

namespace {

// One that waits: in the queue exactly until it is handed something or gives up.
struct Turn : ListNode {
  PyThread_type_lock native = nullptr;  // What a native thread sleeps on; a green has none.
  bool granted = false;
};

struct SemaphoreObject {
  PyObject ob_base;
  Py_ssize_t value;
  Py_ssize_t value_max;
  List<Turn> turns;
};

SemaphoreObject* semaphore_of(PyObject* self) {
  return reinterpret_cast<SemaphoreObject*>(self);
}

void hand_over(SemaphoreObject* self, Py_ssize_t count) {
  for (; count > 0 && !self->turns.empty(); count--) {
    Turn& turn = self->turns.pop_front();
    turn.granted = true;
    if (turn.native != nullptr)
      PyThread_release_lock(turn.native);
    else
      py::unpark_one(&turn);  // False: its time is over, but it has not run; it will look.
  }
  self->value += count;
}

// The end of a wait. `failed`: a Python error is set.
bool leave(SemaphoreObject* self, Turn& turn, bool failed) {
  if (!turn.granted) {
    turn.unlink();
    return false;
  }
  if (failed) hand_over(self, 1);
  return !failed;
}

// Both waits: true: acquired. False: the time is over, or a Python error is set.
bool wait_as_green(SemaphoreObject* self, Instant deadline) {
  Turn turn;
  self->turns.push_back(turn);
  bool failed = false;
  while (!turn.granted && !failed) {
    const py::Woken woken = py::park_on(&turn, deadline, false, "semaphore");
    failed = py::raise_if_interrupted();
    if (woken == py::Woken::timed_out) break;
  }
  return leave(self, turn, failed);
}

PyLockStatus sleep_on(PyThread_type_lock lock, Instant deadline) {
  using Microseconds = std::chrono::microseconds;
  PY_TIMEOUT_T left = -1;
  if (deadline != kNever) {
    // Rounded up, and in portions, so that nothing overflows.
    const auto rest = std::chrono::ceil<Microseconds>(deadline - Clock::now());
    left = std::clamp<PY_TIMEOUT_T>(rest.count(), 0, Microseconds(std::chrono::hours(1)).count());
  }
  PyThreadState* thread = PyEval_SaveThread();
  const PyLockStatus status = PyThread_acquire_lock_timed(lock, left, 1);
  PyEval_RestoreThread(thread);
  return status;
}

bool wait_as_thread(SemaphoreObject* self, Instant deadline) {
  // On the heap and freed by hand: at the interpreter's end this thread may be unwound without the
  // GIL, and then nothing here may run or vanish.
  auto* turn = new (std::nothrow) Turn;
  PyThread_type_lock lock = turn != nullptr ? PyThread_allocate_lock() : nullptr;
  if (lock == nullptr) {
    delete turn;
    PyErr_NoMemory();
    return false;
  }
  PyThread_acquire_lock(lock, WAIT_LOCK);
  turn->native = lock;
  self->turns.push_back(*turn);
  bool failed = false;
  while (!turn->granted && !failed) {
    const PyLockStatus status = sleep_on(lock, deadline);
    if (status == PY_LOCK_INTR) failed = PyErr_CheckSignals() < 0;
    if (status == PY_LOCK_FAILURE && Clock::now() >= deadline) break;
  }
  const bool acquired = leave(self, *turn, failed);
  PyThread_acquire_lock(lock, NOWAIT_LOCK);  // Held or not, now it is; it is freed unlocked.
  PyThread_release_lock(lock);
  PyThread_free_lock(lock);
  delete turn;
  return acquired;
}

bool take_now(SemaphoreObject* self) {
  if (self->value == 0) return false;
  GW_ASSERT(self->turns.empty());
  self->value -= 1;
  return true;
}

bool take(SemaphoreObject* self, Instant deadline) {
  if (take_now(self)) return true;
  return py::can_park() ? wait_as_green(self, deadline) : wait_as_thread(self, deadline);
}

PyObject* semaphore_acquire(PyObject* self, PyObject* args, PyObject* kwargs) {
  static const char* keywords[] = {"blocking", "timeout", nullptr};
  int blocking = 1;
  PyObject* timeout = Py_None;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|pO:acquire", const_cast<char**>(keywords),
                                   &blocking, &timeout))
    return nullptr;
  Duration length{};
  if (timeout != Py_None && !parse_seconds(timeout, &length)) return nullptr;
  if (blocking == 0 && timeout != Py_None) {
    PyErr_SetString(PyExc_ValueError, "acquire: who does not block has no timeout");
    return nullptr;
  }
  SemaphoreObject* semaphore = semaphore_of(self);
  const bool at_once = blocking == 0 || (timeout != Py_None && length == Duration::zero());
  if (at_once) return PyBool_FromLong(take_now(semaphore));
  const bool acquired =
      take(semaphore, timeout == Py_None ? kNever : saturating_add(Clock::now(), length));
  return PyErr_Occurred() ? nullptr : PyBool_FromLong(acquired);
}

PyObject* semaphore_release(PyObject* self, PyObject* args, PyObject* kwargs) {
  static const char* keywords[] = {"n", nullptr};
  Py_ssize_t count = 1;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|n:release", const_cast<char**>(keywords),
                                   &count))
    return nullptr;
  SemaphoreObject* semaphore = semaphore_of(self);
  if (count < 1) {
    PyErr_SetString(PyExc_ValueError, "release: n must be one or more");
    return nullptr;
  }
  if (count > semaphore->value_max - semaphore->value) {
    PyErr_SetString(PyExc_ValueError, "a semaphore was released too many times");
    return nullptr;
  }
  hand_over(semaphore, count);
  Py_RETURN_NONE;
}

PyObject* semaphore_enter(PyObject* self, PyObject*) {
  if (!take(semaphore_of(self), kNever)) return nullptr;
  Py_RETURN_TRUE;
}

PyObject* semaphore_exit(PyObject* self, PyObject*) {
  const Ref none = Ref::steal(PyTuple_New(0));
  return none ? semaphore_release(self, none.get(), nullptr) : nullptr;
}

PyObject* get_value(PyObject* self, void*) {
  return PyLong_FromSsize_t(semaphore_of(self)->value);
}

PyObject* get_waiting(PyObject* self, void*) {
  Py_ssize_t count = 0;
  semaphore_of(self)->turns.for_each([&count](Turn&) { count += 1; });
  return PyLong_FromSsize_t(count);
}

PyObject* semaphore_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  static const char* keywords[] = {"value", "bounded", nullptr};
  Py_ssize_t value = 1;
  int bounded = 0;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|n$p:Semaphore", const_cast<char**>(keywords),
                                   &value, &bounded))
    return nullptr;
  if (value < 0) {
    PyErr_SetString(PyExc_ValueError, "Semaphore: value must not be negative");
    return nullptr;
  }
  PyObject* self = type->tp_alloc(type, 0);
  if (self == nullptr) return nullptr;
  SemaphoreObject* semaphore = semaphore_of(self);
  semaphore->value = value;
  semaphore->value_max = bounded != 0 ? value : PY_SSIZE_T_MAX;
  new (&semaphore->turns) List<Turn>;
  return self;
}

void semaphore_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  semaphore_of(self)->turns.~List();  // Whoever waits holds a reference: it is empty.
  type->tp_free(self);
  Py_DECREF(type);
}

template <class Function>
PyCFunction as_method(Function function) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

PyMethodDef methods[] = {
    {"acquire", as_method(semaphore_acquire), METH_VARARGS | METH_KEYWORDS,
     "acquire($self, /, blocking=True, timeout=None)\n--\n\nTake one, in turn; False when there is "
     "none, or none came in `timeout` seconds. May switch."},
    {"release", as_method(semaphore_release), METH_VARARGS | METH_KEYWORDS,
     "release($self, /, n=1)\n--\n\nGive `n` to those who have waited longest. Never switches."},
    {"__enter__", semaphore_enter, METH_NOARGS, nullptr},
    {"__exit__", semaphore_exit, METH_VARARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef properties[] = {
    {"value", get_value, nullptr, "How many can be taken now.", nullptr},
    {"waiting", get_waiting, nullptr, "How many greens and threads wait.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot slots[] = {
    {Py_tp_doc, const_cast<char*>("Semaphore(value=1, *, bounded=False)\n--\n\n"
                                  "Counts what may be taken; greens and native threads wait for it "
                                  "in one queue, first come first served.")},
    {Py_tp_new, reinterpret_cast<void*>(semaphore_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(semaphore_dealloc)},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {0, nullptr},
};

PyType_Spec spec = {
    "green.Semaphore", sizeof(SemaphoreObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots,
};

}  // namespace

int add_semaphore_type(PyObject* module) {
  const Ref type = Ref::steal(PyType_FromModuleAndSpec(module, &spec, nullptr));
  if (!type) return -1;
  return PyModule_AddObjectRef(module, "Semaphore", type.get());
}

}  // namespace greenwsgi::module
