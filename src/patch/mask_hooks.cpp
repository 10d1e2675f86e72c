// signal.pthread_sigmask: the mask of the calling green, not of all that share its OS thread.
//
// The original does it, and the mask is the green's from then on: a switch puts it in force. But
// the original also runs the handlers of signals that it has let through, and these may switch: so
// what it is about to do is worked out before. Faults are never blocked while a green other than
// the root runs (signal_mask.hpp): they are left out of what the original is told, and put into
// what it answers.
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

// False for what is no int yet, whose __index__ fails: no Python code may run between the looks at
// the mask.
bool is_signal(PyObject* object, int* number) {
  return PyLong_Check(object) && as_int(object, number);
}

// As pthread_sigmask(3) does it: what cannot be blocked is left out. What the original refuses may
// be anything here.
SignalMask after_change(SignalMask before, int how, PyObject* signals) {
  sigset_t given;
  sigemptyset(&given);
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(signals); i++) {
    int number = 0;
    if (is_signal(PyList_GET_ITEM(signals, i), &number)) sigaddset(&given, number);
  }
  sigdelset(&given, SIGKILL);
  sigdelset(&given, SIGSTOP);
  const SignalMask mask = py::mask_of(given);
  if (how == SIG_BLOCK) return before | mask;
  if (how == SIG_UNBLOCK) return before & ~mask;
  return how == SIG_SETMASK ? mask : before;
}

// False: a Python error is set.
bool leave_out_faults(PyObject* signals) {
  for (Py_ssize_t i = PyList_GET_SIZE(signals); i-- > 0;) {
    int number = 0;
    const bool fault = is_signal(PyList_GET_ITEM(signals, i), &number) && number == SIGSEGV;
    if (fault && PyList_SetSlice(signals, i, i + 1, nullptr) < 0) return false;
  }
  return true;
}

PyObject* with_faults(PyObject* told) {
  const Ref number = told != nullptr ? Ref::steal(PyLong_FromLong(SIGSEGV)) : Ref();
  if (number && PySet_Add(told, number.get()) == 0) return told;
  Py_XDECREF(told);
  return nullptr;
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
  const SignalMask faults = green.faults();
  green.choose_mask(after_change(py::kernel_mask() | faults, how, signals.get()));
  if (!green.is_root() && !leave_out_faults(signals.get())) return nullptr;
  PyObject* result = call.original(arguments.get());
  // A handler may have forked: then this is another runtime's child.
  if (py::Runtime::current() == runtime) green.choose_mask(py::kernel_mask() | green.faults());
  return faults != 0 ? with_faults(result) : result;
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
