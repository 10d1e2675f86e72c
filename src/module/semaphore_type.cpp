// semaphore_type.cpp - Semaphore: the one primitive that green's events and results are made of.
//
// A release hands over to the first in line instead of counting (turns.hpp), so `value` is above
// zero only while nobody waits. Who has been handed something and then leaves by an exception hands
// it on. In the child of fork(2) the value stays as it was, and nobody waits.
#include <new>

#include "src/module/arguments.hpp"
#include "src/module/turns.hpp"
#include "src/module/types.hpp"
#include "src/py/links.hpp"
#include "src/py/runtime.hpp"

namespace greenwsgi::module {

using py::Ref;

namespace {

struct SemaphoreObject {
  PyObject ob_base;
  Py_ssize_t value;
  Py_ssize_t value_max;
  Turns turns;
  py::Links links;  // Who wants to know that something can be taken.
};

SemaphoreObject* semaphore_of(PyObject* self) {
  return reinterpret_cast<SemaphoreObject*>(self);
}

void hand_over(SemaphoreObject* self, Py_ssize_t count) {
  for (; count > 0 && !self->turns.empty(); count--) self->turns.grant(self->turns.front());
  self->value += count;
  if (self->value == 0 || self->links.empty()) return;
  const py::SavedError saved;
  self->links.tell(reinterpret_cast<PyObject*>(self));
}

bool take_now(SemaphoreObject* self) {
  if (self->value == 0) return false;
  GW_ASSERT(self->turns.empty());
  self->value -= 1;
  return true;
}

// False: the time is over, or a Python error is set.
bool take(SemaphoreObject* self, const Patience& patience) {
  if (take_now(self)) return true;
  if (!patience.waits) return false;
  const Waited waited = self->turns.wait(Errand::take, patience.deadline, "semaphore");
  if (waited.granted && waited.failed) hand_over(self, 1);
  return waited.granted && !waited.failed;
}

PyObject* semaphore_acquire(PyObject* self,
                            PyObject* const* args,
                            Py_ssize_t count,
                            PyObject* names) {
  PyObject* given[2] = {Py_True, Py_None};
  if (!Given{args, count, names}.arrange("acquire", {"blocking", "timeout"}, given)) return nullptr;
  Patience patience;
  if (!parse_patience(given[0], nullptr, &patience)) return nullptr;
  if (!patience.waits && given[1] != Py_None) {
    PyErr_SetString(PyExc_ValueError, "acquire: who does not block has no timeout");
    return nullptr;
  }
  if (!parse_patience(nullptr, given[1], &patience)) return nullptr;
  const bool acquired = take(semaphore_of(self), patience);
  return PyErr_Occurred() ? nullptr : PyBool_FromLong(acquired);
}

PyObject* release(SemaphoreObject* semaphore, Py_ssize_t count) {
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

PyObject* semaphore_release(PyObject* self,
                            PyObject* const* args,
                            Py_ssize_t count,
                            PyObject* names) {
  PyObject* given[1] = {};
  if (!Given{args, count, names}.arrange("release", {"n"}, given)) return nullptr;
  const Py_ssize_t n = given[0] == nullptr ? 1 : PyNumber_AsSsize_t(given[0], PyExc_OverflowError);
  if (n == -1 && PyErr_Occurred()) return nullptr;
  return release(semaphore_of(self), n);
}

PyObject* semaphore_enter(PyObject* self, PyObject*) {
  if (!take(semaphore_of(self), {})) return nullptr;
  Py_RETURN_TRUE;
}

PyObject* semaphore_exit(PyObject* self, PyObject* const*, Py_ssize_t) {
  return release(semaphore_of(self), 1);
}

PyObject* semaphore_rawlink(PyObject* self, PyObject* callback) {
  SemaphoreObject* semaphore = semaphore_of(self);
  if (!semaphore->links.add(callback)) return nullptr;
  if (semaphore->value > 0) semaphore->links.tell(self);
  Py_RETURN_NONE;
}

PyObject* semaphore_unlink(PyObject* self, PyObject* callback) {
  if (!semaphore_of(self)->links.remove(callback)) return nullptr;
  Py_RETURN_NONE;
}

PyObject* get_value(PyObject* self, void*) {
  return PyLong_FromSsize_t(semaphore_of(self)->value);
}

PyObject* get_waiting(PyObject* self, void*) {
  return PyLong_FromSsize_t(semaphore_of(self)->turns.count());
}

// A class that derives from it may have an __init__() of its own, which takes what it likes.
PyObject* semaphore_new(PyTypeObject* type, PyObject*, PyObject*) {
  PyObject* self = type->tp_alloc(type, 0);
  if (self == nullptr) return nullptr;
  SemaphoreObject* semaphore = semaphore_of(self);
  semaphore->value = 1;
  semaphore->value_max = PY_SSIZE_T_MAX;
  new (&semaphore->turns) Turns;
  semaphore->links = {};
  return self;
}

int semaphore_init(PyObject* self, PyObject* args, PyObject* kwargs) {
  static const char* keywords[] = {"value", "bounded", nullptr};
  Py_ssize_t value = 1;
  int bounded = 0;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|n$p:Semaphore", const_cast<char**>(keywords),
                                   &value, &bounded))
    return -1;
  if (value < 0) {
    PyErr_SetString(PyExc_ValueError, "Semaphore: value must not be negative");
    return -1;
  }
  SemaphoreObject* semaphore = semaphore_of(self);
  semaphore->value_max = bounded != 0 ? value : PY_SSIZE_T_MAX;
  semaphore->value = 0;
  hand_over(semaphore, value);  // Called once more, it may find greens that wait.
  return 0;
}

int semaphore_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(semaphore_of(self)->links.list);
  return 0;
}

int semaphore_clear(PyObject* self) {
  Py_CLEAR(semaphore_of(self)->links.list);
  return 0;
}

void semaphore_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  semaphore_of(self)->turns.~Turns();
  semaphore_clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyMethodDef methods[] = {
    {"acquire", as_method(semaphore_acquire), METH_FASTCALL | METH_KEYWORDS,
     "acquire($self, /, blocking=True, timeout=None)\n--\n\nTake one, in turn; False when there is "
     "none, or none came in `timeout` seconds. May switch."},
    {"release", as_method(semaphore_release), METH_FASTCALL | METH_KEYWORDS,
     "release($self, /, n=1)\n--\n\nGive `n` to those who have waited longest. Never switches."},
    {"rawlink", semaphore_rawlink, METH_O,
     "rawlink($self, callback, /)\n--\n\nCall callback(semaphore) once, as soon as one can be "
     "taken, "
     "on the stack of whoever releases it,\nof any thread. It must not wait, and takes nothing by "
     "being called. Its exception is reported."},
    {"unlink", semaphore_unlink, METH_O,
     "unlink($self, callback, /)\n--\n\nTake back a rawlink(); nothing happens when there is "
     "none."},
    {"__enter__", semaphore_enter, METH_NOARGS, nullptr},
    {"__exit__", as_method(semaphore_exit), METH_FASTCALL, nullptr},
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
    {Py_tp_init, reinterpret_cast<void*>(semaphore_init)},
    {Py_tp_dealloc, reinterpret_cast<void*>(semaphore_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(semaphore_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(semaphore_clear)},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {0, nullptr},
};

PyType_Spec spec = {
    "green.Semaphore",
    sizeof(SemaphoreObject),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    slots,
};

}  // namespace

int add_semaphore_type(PyObject* module) {
  const Ref type = Ref::steal(PyType_FromModuleAndSpec(module, &spec, nullptr));
  if (!type) return -1;
  return PyModule_AddObjectRef(module, "Semaphore", type.get());
}

}  // namespace greenwsgi::module
