// signal.pthread_sigmask: the mask of the calling green, not of all that share its OS thread.
//
// The original does it, and the mask is the green's from then on: a switch puts it in force. But
// the original also runs the handlers of signals that it has let through, and these may switch: so
// what it is about to do is worked out before.
#include <signal.h>

#include "src/patch/hooks.hpp"
#include "src/patch/waiting.hpp"
#include "src/py/runtime_state.hpp"

namespace greenwsgi::patch {

namespace {

using py::Ref;
using py::SignalMask;

// Makes plain integers of the list's items. What is none stays, for the original to refuse.
void take_indices(PyObject* signals) {
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(signals); i++) {
    PyObject* number = PyNumber_Index(PyList_GET_ITEM(signals, i));
    if (number != nullptr)
      PyList_SetItem(signals, i, number);
    else
      PyErr_Clear();
  }
}

// As pthread_sigmask(3) does it: what cannot be blocked is left out. What the original refuses may
// be anything here.
SignalMask after_change(int how, PyObject* signals) {
  sigset_t given;
  sigemptyset(&given);
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(signals); i++) {
    int number = 0;
    if (as_int(PyList_GET_ITEM(signals, i), &number)) sigaddset(&given, number);
  }
  sigdelset(&given, SIGKILL);
  sigdelset(&given, SIGSTOP);
  const SignalMask before = py::kernel_mask();
  const SignalMask mask = py::mask_of(given);
  if (how == SIG_BLOCK) return before | mask;
  if (how == SIG_UNBLOCK) return before & ~mask;
  return how == SIG_SETMASK ? mask : before;
}

PyObject* hook_pthread_sigmask(Call& call) {
  int how = 0;
  if (!py::can_switch() || call.count() != 2 || call.keywords() != nullptr ||
      !as_int(call.item(0), &how)) {
    return call.pass_on();
  }
  const Ref signals = Ref::steal(PySequence_List(call.item(1)));
  if (!signals) return nullptr;
  take_indices(signals.get());
  const Ref arguments = Ref::steal(PyTuple_Pack(2, call.item(0), signals.get()));
  if (!arguments) return nullptr;
  py::Runtime* runtime = py::Runtime::current();
  py::GreenState& green = *runtime->running();
  green.choose_mask(after_change(how, signals.get()));
  PyObject* result = call.original(arguments.get());
  // A handler may have forked: then this is another runtime's child.
  if (py::Runtime::current() == runtime) green.choose_mask(py::kernel_mask());
  return result;
}

constexpr Target targets[] = {
    target<hook_pthread_sigmask>("_signal", nullptr, "pthread_sigmask"),
};

const char* check() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGHUP);
  sigaddset(&signals, 64);
  const bool as_believed = py::mask_of(signals) == (SignalMask{1} | SignalMask{1} << 63);
  return as_believed ? nullptr : "sets of signals are laid out otherwise here";
}

}  // namespace

const Group mask_group = {"mask", targets, check};

}  // namespace greenwsgi::patch
