// What is given a thread's identity: signal.pthread_kill and time.pthread_getcpuclockid, which take
// it for an address, and PyThreadState_SetAsyncExc, which looks for a PyThreadState that has it.
//
// A thread that is a green has an identity that no thread of the OS has (src/py/idents.hpp); what
// is meant is the OS thread that runs it, or the green itself. One that has ended is told as such.
#include <cerrno>

#include "src/patch/hooks.hpp"
#include "src/patch/waiting.hpp"
#include "src/py/inspect.hpp"
#include "src/py/runtime_state.hpp"

namespace greenwsgi::patch {

namespace {

using py::Ref;

PyObject* hook_with_ident(Call& call) {
  if (call.count() == 0 || !PyLong_Check(call.item(0))) return call.pass_on();
  const unsigned long given = PyLong_AsUnsignedLongMask(call.item(0));
  const unsigned long native = py::native_ident(given);
  if (native == given) return call.pass_on();
  if (native == 0) {
    set_errno(ESRCH);
    return nullptr;
  }
  const Ref arguments = Ref::steal(PyTuple_New(call.count()));
  if (!arguments) return nullptr;
  PyTuple_SET_ITEM(arguments.get(), 0, PyLong_FromUnsignedLong(native));
  for (Py_ssize_t i = 1; i < call.count(); i++)
    PyTuple_SET_ITEM(arguments.get(), i, Py_NewRef(call.item(i)));
  return call.original(arguments.get());
}

constexpr Target targets[] = {
    target<hook_with_ident, 0>("_signal", nullptr, "pthread_kill"),
    target<hook_with_ident, 1>("time", nullptr, "pthread_getcpuclockid"),
};

// As PyThreadState_SetAsyncExc(): how many threads it was, 0 or 1. Whoever runs finds the exception
// in the thread state, as natively; any other is in a wait, which raises it.
int set_async_exc(unsigned long ident, PyObject* exception) {
  if (ident == py::current_ident())
    return PyThreadState_SetAsyncExc(PyThread_get_thread_ident(), exception);
  py::GreenState* green = py::green_with(ident);
  if (green == nullptr) return PyThreadState_SetAsyncExc(ident, exception);
  py::Runtime& runtime = green->runtime();
  if (runtime.running() == green)
    return PyThreadState_SetAsyncExc(runtime.thread().thread_id, exception);
  if (exception == nullptr) return 1;  // To be taken back; but what was thrown has arrived.
  if (!PyExceptionClass_Check(exception)) {
    PyErr_Format(PyExc_TypeError, "an exception class is needed, not %.200s",
                 Py_TYPE(exception)->tp_name);
    return 0;
  }
  return green->throw_at(exception) ? 1 : 0;
}

}  // namespace

PyObject* async_exc_address(PyObject*, PyObject*) {
  return PyLong_FromVoidPtr(reinterpret_cast<void*>(set_async_exc));
}

const Group ident_group = {"ident", targets, nullptr};

}  // namespace greenwsgi::patch
