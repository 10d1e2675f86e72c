// report.cpp - from errno to Python exception, and from an exception nobody waits for to the log.
#include <cerrno>

#include "src/py/runtime.hpp"
#include "src/py/runtime_state.hpp"

namespace greenwsgi::py {

PyObject* set_os_error(Errno error) {
  errno = error.code;
  return PyErr_SetFromErrno(PyExc_OSError);
}

bool pass_to_root() {
  if (!PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) && !PyErr_ExceptionMatches(PyExc_SystemExit))
    return false;
  Runtime* runtime = Runtime::current();
  if (runtime == nullptr || runtime->closed()) return false;
  const Ref exception = take_exception();
  if (!runtime->root().throw_at(exception.get())) PyErr_Clear();
  return true;
}

void report_exception(const char* what, PyObject* where) {
  GW_ASSERT(PyErr_Occurred());
  if (pass_to_root()) return;
  const Ref alive = Ref::share(where);
  write_unraisable(what, where != nullptr ? where : Py_None);
}

}  // namespace greenwsgi::py
