// signal.pthread_kill, time.pthread_getcpuclockid: they take a thread's identity for an address.
//
// A thread that is a green has an identity that no thread of the OS has (src/py/idents.hpp); what
// is meant is the OS thread that runs it. One that has ended is told as such.
#include <cerrno>

#include "src/patch/hooks.hpp"
#include "src/patch/waiting.hpp"
#include "src/py/inspect.hpp"

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

}  // namespace

const Group ident_group = {"ident", targets, nullptr};

}  // namespace greenwsgi::patch
