// arguments.hpp - the arguments of METH_FASTCALL | METH_KEYWORDS methods, and those that say how
// long a call may wait.
#pragma once

#include <cstddef>

#include "greenwsgi/base/clock.hpp"
#include "src/py/ref.hpp"

namespace greenwsgi::module {

/// A call's arguments as the interpreter passes them; all borrowed.
struct Given {
  PyObject* const* values;
  Py_ssize_t count;  // By position; those by name follow.
  PyObject* names;   // A tuple, or null.

  /// Puts each in its place: `found` has one for each of `parameters`, and keeps what it has where
  /// nothing was given. False: TypeError is set.
  template <std::size_t N>
  bool arrange(const char* function,
               const char* const (&parameters)[N],
               PyObject* (&found)[N]) const {
    if (count == 0 && names == nullptr) return true;
    return arrange(function, parameters, found, N);
  }

 private:
  bool arrange(const char* function,
               const char* const* parameters,
               PyObject** found,
               std::size_t parameter_count) const;
};

/// How long a call waits for what is not there.
struct Patience {
  bool waits = true;
  Instant deadline = kNever;
};

/// From `block` and `timeout` as Python has them (a null or None timeout: for ever). A timeout of 0
/// does not wait. False: a Python error is set.
bool parse_patience(PyObject* block, PyObject* timeout, Patience* patience);

/// A function of any calling convention, as a method table wants it.
template <class Function>
PyCFunction as_method(Function function) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

}  // namespace greenwsgi::module
