#include "src/patch/rehash.hpp"

namespace greenwsgi::patch {

namespace {

using py::Ref;

bool has_one_as_key(PyObject* dict, PyObject* functions) {
  PyObject *key, *value;
  for (Py_ssize_t at = 0; PyDict_Next(dict, &at, &key, &value);) {
    if (!PyCFunction_CheckExact(key)) continue;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(functions); i++) {
      if (PyList_GET_ITEM(functions, i) == key) return true;
    }
  }
  return false;
}

bool refill_set(PyObject* set) {
  const Ref items = Ref::steal(PySequence_List(set));
  if (!items || PySet_Clear(set) < 0) return false;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(items.get()); i++) {
    if (PySet_Add(set, PyList_GET_ITEM(items.get(), i)) < 0) return false;
  }
  return true;
}

bool refill_dict(PyObject* dict) {
  const Ref items = Ref::steal(PyDict_Items(dict));
  if (!items) return false;
  PyDict_Clear(dict);
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(items.get()); i++) {
    PyObject* item = PyList_GET_ITEM(items.get(), i);
    if (PyDict_SetItem(dict, PyTuple_GET_ITEM(item, 0), PyTuple_GET_ITEM(item, 1)) < 0)
      return false;
  }
  return true;
}

}  // namespace

bool rehash_containers_of(PyObject* functions) {
  if (PyList_GET_SIZE(functions) == 0) return true;
  const Ref collector = Ref::steal(PyImport_ImportModule("gc"));
  const Ref find =
      collector ? Ref::steal(PyObject_GetAttrString(collector.get(), "get_referrers")) : Ref();
  const Ref arguments = find ? Ref::steal(PyList_AsTuple(functions)) : Ref();
  const Ref holders =
      arguments ? Ref::steal(PyObject_CallObject(find.get(), arguments.get())) : Ref();
  if (!holders) return false;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(holders.get()); i++) {
    PyObject* holder = PyList_GET_ITEM(holders.get(), i);
    if (PySet_CheckExact(holder) && !refill_set(holder)) return false;
    if (PyDict_CheckExact(holder) && has_one_as_key(holder, functions) && !refill_dict(holder))
      return false;
  }
  return true;
}

}  // namespace greenwsgi::patch
