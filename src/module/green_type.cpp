// green_type.cpp - the type Green: what Python sees of src/py/green_object.hpp.
#include "src/module/types.hpp"
#include "src/py/green_object.hpp"
#include "src/py/inspect.hpp"
#include "src/py/runtime.hpp"
#include "src/py/runtime_state.hpp"

// After Python.h, which ref.hpp includes.
#include <structmember.h>

namespace greenwsgi::module {

using py::GreenObject;
using py::Ref;
using py::Woken;

namespace {

GreenObject* green_of(PyObject* self) {
  return reinterpret_cast<GreenObject*>(self);
}

bool is_done(const GreenObject* green) {
  return green->status == GreenObject::Status::done;
}

// The `timeout` argument of join() and get(). False: a Python error is set.
bool parse_deadline(PyObject* timeout, Instant* deadline) {
  *deadline = kNever;
  if (timeout == nullptr || timeout == Py_None) return true;
  Duration length{};
  if (!parse_seconds(timeout, &length)) return false;
  *deadline = saturating_add(Clock::now(), length);
  return true;
}

// Parks only where that is possible; a Python error is set when not.
bool wait_for(GreenObject* green, PyObject* timeout, Woken* how) {
  Instant deadline;
  if (!parse_deadline(timeout, &deadline)) return false;
  if (!is_done(green)) {
    if (py::ensure_scheduler() == nullptr) return false;
    if (green->state != nullptr && green->state == py::Runtime::current()->running()) {
      PyErr_SetString(PyExc_RuntimeError, "a green cannot wait for its own end");
      return false;
    }
  }
  *how = py::wait_for_green(green, deadline);
  return *how != Woken::interrupted;
}

PyObject* green_join(PyObject* self, PyObject* args, PyObject* kwargs) {
  static const char* keywords[] = {"timeout", nullptr};
  PyObject* timeout = nullptr;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:join", const_cast<char**>(keywords), &timeout))
    return nullptr;
  Woken how;
  if (!wait_for(green_of(self), timeout, &how)) return nullptr;
  Py_RETURN_NONE;
}

// Raises Timeout(timeout), one that was never started.
PyObject* raise_timeout(PyObject* self, PyObject* timeout) {
  const Ref module = Ref::share(PyType_GetModule(Py_TYPE(self)));
  const Ref type = Ref::steal(PyObject_GetAttrString(module.get(), "Timeout"));
  if (!type) return nullptr;
  const Ref instance = Ref::steal(PyObject_CallMethod(type.get(), "unstarted", "(O)", timeout));
  if (instance) PyErr_SetObject(type.get(), instance.get());
  return nullptr;
}

PyObject* green_get(PyObject* self, PyObject* args, PyObject* kwargs) {
  static const char* keywords[] = {"timeout", nullptr};
  PyObject* timeout = nullptr;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:get", const_cast<char**>(keywords), &timeout))
    return nullptr;
  GreenObject* green = green_of(self);
  Woken how;
  if (!wait_for(green, timeout, &how)) return nullptr;
  if (how == Woken::timed_out) return raise_timeout(self, timeout);
  if (green->exception != nullptr) {
    // Each who asks would make it longer, and be kept by it.
    PyObject* traceback = green->traceback != nullptr ? green->traceback : Py_None;
    if (PyException_SetTraceback(green->exception, traceback) < 0) return nullptr;
    PyErr_SetObject(PyExceptionInstance_Class(green->exception), green->exception);
    return nullptr;
  }
  return Py_NewRef(green->value != nullptr ? green->value : Py_None);
}

// From (exception), (type, value) or (type, value, traceback), as a generator's throw() takes it.
Ref exception_from(PyObject* exception) {
  if (PyExceptionInstance_Check(exception) || PyExceptionClass_Check(exception))
    return Ref::share(exception);
  PyErr_Format(PyExc_TypeError, "exceptions must be classes or instances of BaseException, not %s",
               Py_TYPE(exception)->tp_name);
  return {};
}

PyObject* green_kill(PyObject* self, PyObject* args, PyObject* kwargs) {
  static const char* keywords[] = {"exception", "block", nullptr};
  PyObject* exception = py::names.green_exit;
  int block = 0;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|Op:kill", const_cast<char**>(keywords),
                                   &exception, &block))
    return nullptr;
  const Ref thrown = exception_from(exception);
  if (!thrown) return nullptr;
  GreenObject* green = green_of(self);
  green->seen = true;  // Whoever kills knows.
  if (!py::throw_at_green(green, thrown.get())) return nullptr;
  Woken how;
  if (block != 0 && !wait_for(green, nullptr, &how)) return nullptr;
  Py_RETURN_NONE;
}

PyObject* green_throw(PyObject* self, PyObject* exception) {
  const Ref thrown = exception_from(exception);
  if (!thrown || !py::throw_at_green(green_of(self), thrown.get())) return nullptr;
  Py_RETURN_NONE;
}

// After the end, whoever is linked is told at once.
PyObject* tell_if_done(GreenObject* green) {
  if (is_done(green)) green->links.tell(reinterpret_cast<PyObject*>(green));
  Py_RETURN_NONE;
}

PyObject* green_link(PyObject* self, PyObject* callback) {
  if (!green_of(self)->links.add_spawning(callback)) return nullptr;
  return tell_if_done(green_of(self));
}

PyObject* green_rawlink(PyObject* self, PyObject* callback) {
  if (!green_of(self)->links.add(callback)) return nullptr;
  return tell_if_done(green_of(self));
}

PyObject* green_unlink(PyObject* self, PyObject* callback) {
  if (!green_of(self)->links.remove(callback)) return nullptr;
  Py_RETURN_NONE;
}

PyObject* get_name(PyObject* self, void*) {
  GreenObject* green = green_of(self);
  if (green->name == nullptr) {
    const bool root = green->state != nullptr && green->state->is_root();
    green->name =
        root ? PyUnicode_FromString("main") : PyUnicode_FromFormat("green-%llu", green->number);
  }
  return Py_XNewRef(green->name);
}

int set_name(PyObject* self, PyObject* name, void*) {
  if (name == nullptr || !PyUnicode_Check(name)) {
    PyErr_SetString(PyExc_TypeError, "the name of a green is a str");
    return -1;
  }
  Py_XSETREF(green_of(self)->name, Py_NewRef(name));
  return 0;
}

PyObject* get_dead(PyObject* self, void*) {
  return PyBool_FromLong(is_done(green_of(self)));
}

PyObject* get_number(PyObject* self, void*) {
  return PyLong_FromUnsignedLongLong(green_of(self)->number);
}

PyObject* get_value(PyObject* self, void*) {
  PyObject* value = green_of(self)->value;
  return Py_NewRef(value != nullptr ? value : Py_None);
}

PyObject* get_exception(PyObject* self, void*) {
  GreenObject* green = green_of(self);
  if (is_done(green)) green->seen = true;
  return Py_NewRef(green->exception != nullptr ? green->exception : Py_None);
}

PyObject* get_frame(PyObject* self, void*) {
  return py::green_frame(green_of(self)).release();
}

const char* status_of(const GreenObject* green) {
  switch (green->status) {
    case GreenObject::Status::ready:
      return green->later != nullptr ? "to start later" : "not started";
    case GreenObject::Status::done:
      return green->exception != nullptr ? "failed" : "finished";
    case GreenObject::Status::started:
      break;
  }
  if (green->state == nullptr) return "ending";
  const Fiber& fiber = green->state->fiber();
  switch (fiber.state()) {
    case Fiber::State::running:
      return "running";
    case Fiber::State::parked:
      return fiber.wait().what;
    default:
      return "ready";
  }
}

PyObject* green_repr(PyObject* self) {
  const GreenObject* green = green_of(self);
  const Ref name = Ref::steal(get_name(self, nullptr));
  if (!name) return nullptr;
  const bool parked =
      green->state != nullptr && green->state->fiber().state() == Fiber::State::parked;
  return PyUnicode_FromFormat("<Green %U, %s%s>", name.get(), parked ? "waiting for: " : "",
                              status_of(green));
}

PyObject* green_await(PyObject* self) {
  const Ref module = Ref::steal(PyImport_ImportModule("green._awaiting"));
  return module ? PyObject_CallMethod(module.get(), "result_of", "(O)", self) : nullptr;
}

int green_traverse(PyObject* self, visitproc visit, void* arg) {
  GreenObject* green = green_of(self);
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(green->function);
  Py_VISIT(green->arguments);
  Py_VISIT(green->keywords);
  Py_VISIT(green->context);
  Py_VISIT(green->value);
  Py_VISIT(green->exception);
  Py_VISIT(green->traceback);
  Py_VISIT(green->links.list);
  return 0;
}

int green_clear(PyObject* self) {
  GreenObject* green = green_of(self);
  // A green that has not started is held by its own stack: nothing of it is garbage.
  Py_CLEAR(green->value);
  Py_CLEAR(green->exception);
  Py_CLEAR(green->traceback);
  Py_CLEAR(green->links.list);
  return 0;
}

// Before anything of the garbage has been cleared: who is told of the exception may keep it.
void green_finalize(PyObject* self) {
  py::report_outcome(green_of(self));
}

bool may_hold_another(const GreenObject* green) {
  return green->exception != nullptr || !green->links.empty() ||
         (green->value != nullptr && PyObject_IS_GC(green->value) != 0);
}

// Results that are greens themselves make chains of any length, which must not be let go of link by
// link on one stack: those go by way of the trashcan.
void green_dealloc(PyObject* self) {
  if (!may_hold_another(green_of(self))) return py::free_green_object(green_of(self));
  PyObject_GC_UnTrack(self);
  Py_TRASHCAN_BEGIN(self, green_dealloc) py::free_green_object(green_of(self));
  Py_TRASHCAN_END
}

PyMethodDef methods[] = {
    {"join", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(green_join)),
     METH_VARARGS | METH_KEYWORDS,
     "join($self, /, timeout=None)\n--\n\nWait until the green is done, or for `timeout` seconds."},
    {"get", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(green_get)),
     METH_VARARGS | METH_KEYWORDS,
     "get($self, /, timeout=None)\n--\n\nWhat the green returned; raises what ended it, or Timeout "
     "after `timeout` seconds."},
    {"kill", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(green_kill)),
     METH_VARARGS | METH_KEYWORDS,
     "kill($self, /, exception=GreenExit, block=False)\n--\n\nRaise `exception` where the green "
     "waits; one that has not started never will. `block`: wait for its end."},
    {"throw", green_throw, METH_O,
     "throw($self, exception, /)\n--\n\nRaise `exception` in the green, where it waits."},
    {"link", green_link, METH_O,
     "link($self, callback, /)\n--\n\nAt the end of this green, call callback(green) in a new "
     "green "
     "of the same thread,\nwhich may wait; at once when it has ended. Its exception is reported. "
     "On a thread\nwhose green threads are ending, or that has none, it is called in place."},
    {"rawlink", green_rawlink, METH_O,
     "rawlink($self, callback, /)\n--\n\nAt the end of this green, call callback(green) on the "
     "stack of whoever ends it, of any thread;\nat once when it has ended. It must not wait. Its "
     "exception is reported."},
    {"unlink", green_unlink, METH_O,
     "unlink($self, callback, /)\n--\n\nTake back one link() or rawlink() of `callback`; nothing "
     "happens when there is none."},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef properties[] = {
    {"name", get_name, set_name, "For people; settable.", nullptr},
    {"dead", get_dead, nullptr, "Has it come to its end?", nullptr},
    {"number", get_number, nullptr, "Unique in the process, counted from 1.", nullptr},
    {"value", get_value, nullptr, "What it returned, or the GreenExit that ended it.", nullptr},
    {"exception", get_exception, nullptr, "What ended it, or None.", nullptr},
    {"frame", get_frame, nullptr, "Where it runs or waits: its innermost frame, or None.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(GreenObject, weakrefs), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

PyType_Slot slots[] = {
    {Py_tp_doc, const_cast<char*>("A green thread; made by green.spawn().")},
    {Py_tp_dealloc, reinterpret_cast<void*>(green_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(green_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(green_clear)},
    {Py_tp_finalize, reinterpret_cast<void*>(green_finalize)},
    {Py_tp_repr, reinterpret_cast<void*>(green_repr)},
    {Py_am_await, reinterpret_cast<void*>(green_await)},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {Py_tp_members, members},
    {0, nullptr},
};

PyType_Spec spec = {
    "green.Green",
    sizeof(GreenObject),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    slots,
};

}  // namespace

int add_green_type(PyObject* module) {
  const Ref type = Ref::steal(PyType_FromModuleAndSpec(module, &spec, nullptr));
  if (!type) return -1;
  const Ref green_exit = Ref::steal(PyErr_NewExceptionWithDoc(
      "green.GreenExit", "Ends a green thread, quietly.", PyExc_BaseException, nullptr));
  if (!green_exit) return -1;
  // For the life of the process, as the runtime below them.
  py::names.green_type = reinterpret_cast<PyTypeObject*>(Py_NewRef(type.get()));
  py::names.green_exit = Py_NewRef(green_exit.get());
  if (PyModule_AddObjectRef(module, "Green", type.get()) < 0) return -1;
  return PyModule_AddObjectRef(module, "GreenExit", green_exit.get());
}

}  // namespace greenwsgi::module
