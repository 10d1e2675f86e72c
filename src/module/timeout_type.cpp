// timeout_type.cpp - Timeout: an exception that raises itself in its own green when its time comes.
//
// Eventlet's and gevent's vocabulary: it starts when it is made, is a context manager that cancels
// at the end, with `False` as its exception swallows itself (and only itself: nested ones are told
// apart by identity), and is not an Exception, so that `except Exception` lets it pass.
#include <new>

#include "src/module/types.hpp"
#include "src/py/green_state.hpp"
#include "src/py/runtime.hpp"
#include "src/py/runtime_state.hpp"

namespace greenwsgi::module {

using py::Ref;

namespace {

struct TimeoutObject {
  PyBaseExceptionObject base;
  PyObject* seconds;    // A number or None.
  PyObject* exception;  // What is raised: None or a bool: itself.
  Duration length;      // `seconds`, unless that is None.
  py::TimedThrow timed;
};

TimeoutObject* timeout_of(PyObject* self) {
  return reinterpret_cast<TimeoutObject*>(self);
}

PyTypeObject* base_type() {
  return reinterpret_cast<PyTypeObject*>(PyExc_BaseException);
}

bool start(TimeoutObject* self) {
  if (self->seconds == Py_None) return true;
  if (py::ensure_scheduler() == nullptr) return false;
  auto* owner = reinterpret_cast<PyObject*>(self);
  const bool itself = self->exception == Py_None || PyBool_Check(self->exception);
  return self->timed.arm(*py::Runtime::current()->running(),
                         saturating_add(Clock::now(), self->length), owner,
                         itself ? owner : self->exception);
}

PyObject* timeout_new(PyTypeObject* type, PyObject* args, PyObject*) {
  PyObject* self = base_type()->tp_new(type, args, nullptr);
  if (self == nullptr) return nullptr;
  TimeoutObject* timeout = timeout_of(self);
  timeout->seconds = Py_NewRef(Py_None);
  timeout->exception = Py_NewRef(Py_None);
  new (&timeout->timed) py::TimedThrow;
  return self;
}

bool take_arguments(TimeoutObject* self, PyObject* args, PyObject* kwargs) {
  static const char* keywords[] = {"seconds", "exception", nullptr};
  PyObject* seconds = Py_None;
  PyObject* exception = Py_None;
  if (kwargs == nullptr && PyTuple_GET_SIZE(args) == 1) {  // The usual call.
    seconds = PyTuple_GET_ITEM(args, 0);
  } else if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OO:Timeout", const_cast<char**>(keywords),
                                          &seconds, &exception)) {
    return false;
  }
  if (exception != Py_None && !PyBool_Check(exception) && !PyExceptionClass_Check(exception) &&
      !PyExceptionInstance_Check(exception)) {
    PyErr_SetString(PyExc_TypeError,
                    "Timeout: exception must be None, False, an exception or a class of them");
    return false;
  }
  if (seconds != Py_None && !parse_seconds(seconds, &self->length)) return false;
  Py_XSETREF(self->seconds, Py_NewRef(seconds));
  Py_XSETREF(self->exception, Py_NewRef(exception));
  return true;
}

int timeout_init(PyObject* self, PyObject* args, PyObject* kwargs) {
  TimeoutObject* timeout = timeout_of(self);
  timeout->timed.disarm();
  return take_arguments(timeout, args, kwargs) && start(timeout) ? 0 : -1;
}

PyObject* timeout_start(PyObject* self, PyObject*) {
  timeout_of(self)->timed.disarm();
  if (!start(timeout_of(self))) return nullptr;
  Py_RETURN_NONE;
}

PyObject* timeout_cancel(PyObject* self, PyObject*) {
  timeout_of(self)->timed.disarm();
  Py_RETURN_NONE;
}

PyObject* timeout_enter(PyObject* self, PyObject*) {
  TimeoutObject* timeout = timeout_of(self);
  if (!timeout->timed.pending() && !start(timeout)) return nullptr;
  return Py_NewRef(self);
}

PyObject* timeout_exit(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  TimeoutObject* timeout = timeout_of(self);
  timeout->timed.disarm();
  const bool own = count >= 2 && args[1] == self;
  return PyBool_FromLong(own && timeout->exception == Py_False);
}

// unstarted(seconds, exception): for those who raise one because their own deadline has passed.
PyObject* timeout_unstarted(PyObject* type, PyObject* args, PyObject* kwargs) {
  Ref self = Ref::steal(timeout_new(reinterpret_cast<PyTypeObject*>(type), args, nullptr));
  if (!self || !take_arguments(timeout_of(self.get()), args, kwargs)) return nullptr;
  return self.release();
}

// A copy, or one that comes from another process, is nobody's limit.
PyObject* timeout_reduce(PyObject* self, PyObject*) {
  const TimeoutObject* timeout = timeout_of(self);
  auto* type = reinterpret_cast<PyObject*>(Py_TYPE(self));
  const Ref make = Ref::steal(PyObject_GetAttrString(type, "unstarted"));
  if (!make) return nullptr;
  PyObject* own = timeout->base.dict != nullptr ? timeout->base.dict : Py_None;
  return Py_BuildValue("O(OO)O", make.get(), timeout->seconds, timeout->exception, own);
}

PyObject* get_pending(PyObject* self, void*) {
  return PyBool_FromLong(timeout_of(self)->timed.pending());
}

PyObject* get_seconds(PyObject* self, void*) {
  return Py_NewRef(timeout_of(self)->seconds);
}

PyObject* get_exception(PyObject* self, void*) {
  return Py_NewRef(timeout_of(self)->exception);
}

PyObject* timeout_str(PyObject* self) {
  const TimeoutObject* timeout = timeout_of(self);
  if (timeout->seconds == Py_None) return PyUnicode_FromString("");
  const Ref one = Ref::steal(PyLong_FromLong(1));
  const int single = PyObject_RichCompareBool(timeout->seconds, one.get(), Py_EQ);
  if (single < 0) return nullptr;
  return PyUnicode_FromFormat("%S second%s", timeout->seconds, single != 0 ? "" : "s");
}

int timeout_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(timeout_of(self)->seconds);
  Py_VISIT(timeout_of(self)->exception);
  return base_type()->tp_traverse(self, visit, arg);
}

int timeout_clear(PyObject* self) {
  // `seconds` and `exception` stay: while armed they are used, and neither can be part of a cycle
  // that the base does not break as well.
  return base_type()->tp_clear(self);
}

void free_timeout(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  TimeoutObject* timeout = timeout_of(self);
  const Ref seconds = Ref::steal(timeout->seconds);
  const Ref exception = Ref::steal(timeout->exception);
  timeout->seconds = timeout->exception = nullptr;
  timeout->timed.~TimedThrow();
  base_type()->tp_dealloc(self);
  Py_DECREF(type);
}

bool may_hold_another(const TimeoutObject* timeout) {
  return timeout->base.context != nullptr || timeout->base.cause != nullptr ||
         PyObject_IS_GC(timeout->exception) != 0;
}

// By way of the trashcan, as BaseException's own: one Timeout may be the context of the next, and
// so on.
void timeout_dealloc(PyObject* self) {
  if (!may_hold_another(timeout_of(self))) return free_timeout(self);
  PyObject_GC_UnTrack(self);
  Py_TRASHCAN_BEGIN(self, timeout_dealloc) free_timeout(self);
  Py_TRASHCAN_END
}

PyMethodDef methods[] = {
    {"start", timeout_start, METH_NOARGS,
     "start($self, /)\n--\n\nCount `seconds` from now, in the green that calls this."},
    {"cancel", timeout_cancel, METH_NOARGS,
     "cancel($self, /)\n--\n\nIt will not be raised; harmless when it was."},
    {"unstarted", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(timeout_unstarted)),
     METH_VARARGS | METH_KEYWORDS | METH_CLASS,
     "unstarted($type, seconds=None, exception=None)\n--\n\n"
     "One that does not count, to be raised by hand. Copies are such."},
    {"__reduce__", timeout_reduce, METH_NOARGS, nullptr},
    {"__enter__", timeout_enter, METH_NOARGS, nullptr},
    {"__exit__", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(timeout_exit)),
     METH_FASTCALL, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef properties[] = {
    {"pending", get_pending, nullptr, "Does it count, or wait to be raised?", nullptr},
    {"seconds", get_seconds, nullptr, "As given.", nullptr},
    {"exception", get_exception, nullptr, "As given.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot slots[] = {
    {Py_tp_doc,
     const_cast<char*>("Timeout(seconds=None, exception=None)\n--\n\n"
                       "Raises itself, or `exception`, in the green that made it after `seconds`, "
                       "at whatever it then waits for.\nAs a context manager it is cancelled at "
                       "the end of the block; with exception=False the block\nis left quietly.")},
    {Py_tp_new, reinterpret_cast<void*>(timeout_new)},
    {Py_tp_init, reinterpret_cast<void*>(timeout_init)},
    {Py_tp_dealloc, reinterpret_cast<void*>(timeout_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(timeout_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(timeout_clear)},
    {Py_tp_str, reinterpret_cast<void*>(timeout_str)},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {0, nullptr},
};

PyType_Spec spec = {
    "green.Timeout",
    sizeof(TimeoutObject),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    slots,
};

}  // namespace

int add_timeout_type(PyObject* module) {
  const Ref type = Ref::steal(PyType_FromModuleAndSpec(module, &spec, PyExc_BaseException));
  if (!type) return -1;
  return PyModule_AddObjectRef(module, "Timeout", type.get());
}

}  // namespace greenwsgi::module
