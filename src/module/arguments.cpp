#include "src/module/arguments.hpp"

#include "src/module/types.hpp"

namespace greenwsgi::module {

bool Given::arrange(const char* function,
                    const char* const* parameters,
                    PyObject** found,
                    std::size_t parameter_count) const {
  if (count > Py_ssize_t(parameter_count)) {
    PyErr_Format(PyExc_TypeError, "%s() takes at most %zu arguments (%zd given)", function,
                 parameter_count, count);
    return false;
  }
  for (Py_ssize_t i = 0; i < count; i++) found[i] = values[i];
  const Py_ssize_t named = names != nullptr ? PyTuple_GET_SIZE(names) : 0;
  for (Py_ssize_t i = 0; i < named; i++) {
    PyObject* name = PyTuple_GET_ITEM(names, i);
    std::size_t place = 0;
    while (place < parameter_count &&
           PyUnicode_CompareWithASCIIString(name, parameters[place]) != 0)
      place += 1;
    if (place == parameter_count) {
      PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'", function, name);
      return false;
    }
    if (Py_ssize_t(place) < count) {
      PyErr_Format(PyExc_TypeError, "%s() got two values for argument '%U'", function, name);
      return false;
    }
    found[place] = values[count + i];
  }
  return true;
}

bool parse_patience(PyObject* block, PyObject* timeout, Patience* patience) {
  if (block != nullptr) {
    const int waits = PyObject_IsTrue(block);
    if (waits < 0) return false;
    patience->waits = waits != 0;
  }
  if (timeout == nullptr || timeout == Py_None || !patience->waits) return true;
  Duration length{};
  if (!parse_seconds(timeout, &length)) return false;
  patience->waits = length != Duration::zero();
  if (patience->waits) patience->deadline = saturating_add(Clock::now(), length);
  return true;
}

}  // namespace greenwsgi::module
