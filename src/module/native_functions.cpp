// native_functions.cpp - what green.native is made of: calls on the native threads for the
// program's own blocking work.
#include <algorithm>

#include "src/module/types.hpp"
#include "src/patch/native_call.hpp"
#include "src/py/runtime.hpp"

namespace greenwsgi::module {

using patch::Call;
using patch::NativeWork;
using py::Ref;

namespace {

PyObject* call_object(PyObject* function, PyObject* arguments, PyObject* keywords) {
  return PyObject_Call(function, arguments, keywords);
}

PyObject* call_and_wait(Call& call) {
  if (!py::can_park() || patch::on_native_thread(NativeWork::call)) return call.pass_on();
  return patch::call_natively(call, NativeWork::call, "a native call");
}

PyObject* start(Call& call) {
  if (!patch::start_natively(call, NativeWork::call)) return nullptr;
  Py_RETURN_NONE;
}

// (function, *arguments, **keywords)
template <PyObject* (*Hook)(Call&)>
PyObject* with_function(PyObject*, PyObject* arguments, PyObject* keywords) {
  if (PyTuple_GET_SIZE(arguments) == 0) {
    PyErr_SetString(PyExc_TypeError, "a native call needs a function");
    return nullptr;
  }
  const Ref rest = Ref::steal(PyTuple_GetSlice(arguments, 1, PyTuple_GET_SIZE(arguments)));
  if (!rest) return nullptr;
  using Entry = patch::Hooked<Hook>;
  Entry::original = patch::as_c_function(call_object);
  return Entry::tuple_keywords(PyTuple_GET_ITEM(arguments, 0), rest.get(), keywords);
}

PyObject* set_native_limits(PyObject*, PyObject* arguments) {
  int threads;
  PyObject* idle;
  Duration idle_max{};
  if (!PyArg_ParseTuple(arguments, "iO:set_native_limits", &threads, &idle) ||
      !parse_seconds(idle, &idle_max))
    return nullptr;
  if (threads < 1) {
    PyErr_SetString(PyExc_ValueError, "there must be one native thread at least");
    return nullptr;
  }
  constexpr Duration kIdleMost = std::chrono::hours(24 * 365);
  patch::set_native_limits(NativeWork::call,
                           {static_cast<unsigned>(threads), std::min(idle_max, kIdleMost)});
  Py_RETURN_NONE;
}

PyObject* native_counts(PyObject*, PyObject*) {
  const patch::NativeCounts counts = patch::native_counts(NativeWork::call);
  return Py_BuildValue("{s:I,s:I,s:I}", "threads", counts.threads, "idle", counts.idle, "queued",
                       counts.queued);
}

PyMethodDef functions[] = {
    {"native_call", patch::as_c_function(with_function<call_and_wait>),
     METH_VARARGS | METH_KEYWORDS, nullptr},
    {"native_start", patch::as_c_function(with_function<start>), METH_VARARGS | METH_KEYWORDS,
     nullptr},
    {"set_native_limits", set_native_limits, METH_VARARGS, nullptr},
    {"native_counts", native_counts, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

int add_native_functions(PyObject* module) {
  return PyModule_AddFunctions(module, functions);
}

}  // namespace greenwsgi::module
