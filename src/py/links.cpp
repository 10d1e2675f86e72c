#include "src/py/links.hpp"

#include "src/py/green_object.hpp"
#include "src/py/runtime.hpp"
#include "src/py/runtime_state.hpp"

namespace greenwsgi::py {

namespace {

// In a green of its own, unless this thread can run none: then here and now.
PyObject* spawn_callback(PyObject* callback, PyObject* owner) {
  Runtime* runtime = Runtime::current();
  if (runtime == nullptr || runtime->closing()) return PyObject_CallOneArg(callback, owner);
  Ref arguments = Ref::steal(PyTuple_Pack(1, owner));
  if (!arguments) return nullptr;
  return reinterpret_cast<PyObject*>(spawn_green(callback, arguments.release(), nullptr));
}

PyMethodDef spawn_callback_method = {"link", spawn_callback, METH_O, nullptr};

bool is_spawning(PyObject* entry) {
  return PyCFunction_Check(entry) && PyCFunction_GET_FUNCTION(entry) == spawn_callback;
}

// What whoever added it knows it by.
PyObject* callback_of(PyObject* entry) {
  return is_spawning(entry) ? PyCFunction_GET_SELF(entry) : entry;
}

bool check_callable(PyObject* callback) {
  if (PyCallable_Check(callback)) return true;
  PyErr_Format(PyExc_TypeError, "a link must be callable, not %s", Py_TYPE(callback)->tp_name);
  return false;
}

bool append(PyObject** list, PyObject* entry) {
  if (*list == nullptr) *list = PyList_New(0);
  return *list != nullptr && PyList_Append(*list, entry) == 0;
}

void tell_one(PyObject* entry, PyObject* owner) {
  const Ref result = Ref::steal(PyObject_CallOneArg(entry, owner));
  if (!result) report_exception("a link", callback_of(entry));
}

}  // namespace

bool Links::add(PyObject* callback) {
  return check_callable(callback) && append(&list, callback);
}

bool Links::add_spawning(PyObject* callback) {
  if (!check_callable(callback)) return false;
  const Ref entry = Ref::steal(PyCFunction_New(&spawn_callback_method, callback));
  return entry && append(&list, entry.get());
}

bool Links::remove(PyObject* callback) {
  const Ref entries = Ref::share(list);  // A comparison runs any code.
  for (Py_ssize_t i = 0; entries && i < PyList_GET_SIZE(entries.get()); i++) {
    const Ref entry = Ref::share(PyList_GET_ITEM(entries.get(), i));
    const int equal = PyObject_RichCompareBool(callback_of(entry.get()), callback, Py_EQ);
    if (equal < 0) return false;
    if (equal == 0) continue;
    if (i >= PyList_GET_SIZE(entries.get()) || PyList_GET_ITEM(entries.get(), i) != entry.get())
      continue;
    if (PyList_SetSlice(entries.get(), i, i + 1, nullptr) < 0) return false;
    if (list == entries.get() && PyList_GET_SIZE(list) == 0) Py_CLEAR(list);
    return true;
  }
  return true;
}

void Links::tell(PyObject* owner) {
  const Ref entries = Ref::steal(std::exchange(list, nullptr));
  for (Py_ssize_t i = 0; entries && i < PyList_GET_SIZE(entries.get()); i++) {
    const Ref entry = Ref::share(PyList_GET_ITEM(entries.get(), i));
    tell_one(entry.get(), owner);
  }
}

void Links::tell_plain(PyObject* owner) {
  const Ref entries = Ref::steal(std::exchange(list, nullptr));
  for (Py_ssize_t i = 0; entries && i < PyList_GET_SIZE(entries.get()); i++) {
    const Ref entry = Ref::share(PyList_GET_ITEM(entries.get(), i));
    if (!is_spawning(entry.get()))
      tell_one(entry.get(), owner);
    else if (!append(&list, entry.get()))
      report_exception("a link", callback_of(entry.get()));
  }
}

}  // namespace greenwsgi::py
