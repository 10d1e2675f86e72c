// signal.signal, getsignal: handlers run in the main program, as they run in the main thread. They
// are set there, too, as the wakeup fd is, of which ours is not shown.
// faulthandler.enable, disable: it hears of a stack overflow only when the green cannot be saved.
//
// CPython runs a handler in whatever Python code its main OS thread runs, which may be any green:
// an exception that it raises (Ctrl-C) would end that one, and a thread that is a green would
// report it and nobody else hear of it. So each handler is wrapped in a Relay: called in a green
// other than the root, it has the signal come again when the root runs. A green that runs on for
// 0.1 s is made to let it run. A second SIGINT is handled where the program runs, or a loop that
// never waits could not be ended.
#include "src/patch/signal_hooks.hpp"

#include "src/patch/hooks.hpp"
#include "src/patch/waiting.hpp"
#include "src/py/overflow.hpp"
#include "src/py/runtime_state.hpp"
#include "src/py/signals.hpp"

namespace greenwsgi::patch {

namespace {

using py::Ref;

struct Relay {
  PyObject ob_base;
  PyObject* handler;
};
PyTypeObject* relay_type = nullptr;

Relay* relay_or_null(PyObject* object) {
  return object != nullptr && Py_TYPE(object) == relay_type ? reinterpret_cast<Relay*>(object)
                                                            : nullptr;
}

PyObject* relay_call(PyObject* self, PyObject* arguments, PyObject* keywords) {
  int number = 0;
  const bool is_signal = PyTuple_GET_SIZE(arguments) == 2 &&
                         as_int(PyTuple_GET_ITEM(arguments, 0), &number) && number >= 1 &&
                         number <= 64;
  if (is_signal && !py::must_handle_signal(number)) {
    return py::put_off_signal(number) ? Py_NewRef(Py_None) : nullptr;
  }
  if (is_signal) py::take_put_off_signal(number);
  const Ref handler = Ref::share(relay_or_null(self)->handler);
  PyObject* result = PyObject_Call(handler.get(), arguments, keywords);
  signals_handled += 1;
  while (py::parked_count > 0 && py::unpark_one(&signals_handled)) {
  }
  return result;
}

void relay_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  Py_CLEAR(relay_or_null(self)->handler);
  type->tp_free(self);
  Py_DECREF(type);
}

int relay_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(relay_or_null(self)->handler);
  return 0;
}

PyType_Slot relay_slots[] = {
    {Py_tp_doc, const_cast<char*>("Calls a signal handler in the main program.")},
    {Py_tp_call, reinterpret_cast<void*>(relay_call)},
    {Py_tp_dealloc, reinterpret_cast<void*>(relay_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(relay_traverse)},
    {0, nullptr},
};
PyType_Spec relay_spec = {
    "green._core.SignalRelay", sizeof(Relay), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, relay_slots};

Ref make_relay(PyObject* handler) {
  Ref relay = Ref::steal(PyType_GenericAlloc(relay_type, 0));
  if (relay) relay_or_null(relay.get())->handler = Py_NewRef(handler);
  return relay;
}

// What the program knows of `handler`, which is taken over. A new reference.
PyObject* without_relay(PyObject* handler) {
  Relay* relay = relay_or_null(handler);
  if (relay == nullptr) return handler;
  PyObject* own = Py_NewRef(relay->handler);
  Py_DECREF(handler);
  return own;
}

/// A thread that is a green is on the main thread, but is none to its program. False: a Python
/// error is set.
bool must_be_no_thread(const char* what) {
  if (!py::can_park() || py::Runtime::current()->running()->of_thread == nullptr) return true;
  PyErr_Format(PyExc_ValueError, "%s only works in main thread of the main interpreter", what);
  return false;
}

PyObject* hook_set_wakeup_fd(Call& call) {
  if (py::setting_wakeup_fd) return call.pass_on();
  if (!must_be_no_thread("set_wakeup_fd")) return nullptr;
  const int own = py::own_wakeup_fd;
  const Ref previous = Ref::steal(call.pass_on());
  if (!previous) return nullptr;
  PyObject* given[] = {nullptr, Py_True};
  if (call.arrange({"", "warn_on_full_buffer"}, given)) {
    py::wakeup_fd_warns = PyObject_IsTrue(given[1]) == 1;
  }
  return own >= 0 && PyLong_AsLong(previous.get()) == own ? PyLong_FromLong(-1)
                                                          : Py_NewRef(previous.get());
}

PyObject* hook_signal(Call& call) {
  if (!must_be_no_thread("signal")) return nullptr;
  const bool relayed = call.keywords() == nullptr && call.count() == 2 &&
                       PyCallable_Check(call.item(1)) && relay_or_null(call.item(1)) == nullptr;
  if (!relayed) return without_relay(call.pass_on());
  const Ref relay = make_relay(call.item(1));
  const Ref arguments = relay ? Ref::steal(PyTuple_Pack(2, call.item(0), relay.get())) : Ref();
  return arguments ? without_relay(call.original(arguments.get())) : nullptr;
}

PyObject* hook_getsignal(Call& call) {
  return without_relay(call.pass_on());
}

PyObject* hook_faulthandler(Call& call) {
  const py::OverflowHandlerAside aside;
  return call.pass_on();
}

constexpr Target targets[] = {
    target<hook_signal>("_signal", nullptr, "signal"),
    target<hook_set_wakeup_fd>("_signal", nullptr, "set_wakeup_fd"),
    target<hook_getsignal>("_signal", nullptr, "getsignal"),
    target<hook_faulthandler, 0>("faulthandler", nullptr, "enable"),
    target<hook_faulthandler, 1>("faulthandler", nullptr, "disable"),
};

}  // namespace

unsigned long signals_handled = 0;

bool handlers_are_relayed() {
  return *targets[0].original != nullptr;
}

// Handlers that are set already get their relays. On another thread than the main one they cannot
// be set, and stay as they are.
void relay_what_is_set() {
  static bool all_set = false;
  if (all_set) return;
  all_set = true;
  const Ref module = Ref::steal(PyImport_ImportModule("_signal"));
  for (int number = 1; module && number <= 64; number++) {
    const Ref handler = Ref::steal(PyObject_CallMethod(module.get(), "getsignal", "i", number));
    if (handler && PyCallable_Check(handler.get()) && relay_or_null(handler.get()) == nullptr) {
      const Ref relay = make_relay(handler.get());
      const Ref set =
          relay ? Ref::steal(PyObject_CallMethod(module.get(), "signal", "iO", number, relay.get()))
                : Ref();
      all_set = all_set && set;
    }
    PyErr_Clear();
  }
}

namespace {

const char* check() {
  if (relay_type == nullptr) {
    relay_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&relay_spec));
    PyErr_Clear();
  }
  if (relay_type == nullptr) return "no memory";
  relay_what_is_set();
  return nullptr;
}

}  // namespace

const Group signal_group = {"signal", targets, check};

}  // namespace greenwsgi::patch
