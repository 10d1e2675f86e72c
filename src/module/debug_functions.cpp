// debug_functions.cpp - the functions of green._core by which green.debug looks inside.
#include "src/module/types.hpp"
#include "src/py/faults.hpp"
#include "src/py/inspect.hpp"
#include "src/py/parking_lot.hpp"
#include "src/py/runtime.hpp"
#include "src/py/runtime_state.hpp"
#include "src/py/trace.hpp"
#include "src/py/watchdog.hpp"

namespace greenwsgi::module {

using py::Ref;

namespace {

PyObject* greens(PyObject*, PyObject*) {
  return py::all_greens().release();
}

PyObject* green_details(PyObject*, PyObject* arg) {
  if (!Py_IS_TYPE(arg, py::names.green_type)) {
    PyErr_SetString(PyExc_TypeError, "green_details() needs a Green");
    return nullptr;
  }
  return py::green_details(reinterpret_cast<py::GreenObject*>(arg)).release();
}

PyObject* start_trace(PyObject*, PyObject* args) {
  int fd = -1;
  const char* title = nullptr;
  if (!PyArg_ParseTuple(args, "is:start_trace", &fd, &title)) return nullptr;
  if (!py::start_trace(fd, title)) return nullptr;
  Py_RETURN_NONE;
}

PyObject* stop_trace(PyObject*, PyObject*) {
  py::stop_trace();
  Py_RETURN_NONE;
}

PyObject* watch_hub(PyObject*, PyObject* args) {
  PyObject* seconds = nullptr;
  PyObject* report = nullptr;
  Duration limit{};
  if (!PyArg_ParseTuple(args, "OO:watch_hub", &seconds, &report)) return nullptr;
  if (seconds == Py_None) {
    py::stop_watchdog();
    Py_RETURN_NONE;
  }
  if (!parse_seconds(seconds, &limit)) return nullptr;
  if (limit < std::chrono::milliseconds(10)) {
    PyErr_SetString(PyExc_ValueError, "watch_hub: the limit is at least 0.01 seconds");
    return nullptr;
  }
  if (!py::start_watchdog(limit, report)) return nullptr;
  Py_RETURN_NONE;
}

struct States {
  Py_ssize_t running = 0, ready = 0, waiting = 0;
  void count(py::GreenState& green) {
    const Fiber::State state = green.fiber().state();
    if (state == Fiber::State::parked)
      waiting += 1;
    else
      (state == Fiber::State::running ? running : ready) += 1;
  }
};

Ref lag_places(const py::Runtime::Counters& counters) {
  Ref lag = Ref::steal(PyTuple_New(py::Runtime::kLagPlaces));
  if (!lag) return {};
  for (std::size_t i = 0; i < py::Runtime::kLagPlaces; i++) {
    PyObject* count = PyLong_FromUnsignedLongLong(counters.lag[i]);
    if (count == nullptr) return {};
    PyTuple_SET_ITEM(lag.get(), Py_ssize_t(i), count);
  }
  return lag;
}

PyObject* hub_statistics(PyObject*, PyObject*) {
  if (py::ensure_scheduler() == nullptr) return nullptr;
  py::Runtime& runtime = *py::Runtime::current();
  Scheduler& scheduler = runtime.scheduler();
  const py::Runtime::Counters counters = runtime.counters();
  const Ref lag = lag_places(counters);
  if (!lag) return nullptr;
  States states;
  states.count(runtime.root());
  runtime.greens().for_each([&](py::GreenState& green) { states.count(green); });
  return Py_BuildValue(
      "{s:s,s:n,s:n,s:n,s:n,s:n,s:n,s:n,s:d,s:O}", "hub", scheduler.hub().name(), "running",
      states.running, "ready", states.ready, "waiting", states.waiting, "not_started",
      Py_ssize_t(runtime.unstarted), "timers", Py_ssize_t(scheduler.timers()), "operations",
      Py_ssize_t(scheduler.hub().in_flight()), "stacks", Py_ssize_t(scheduler.stacks().in_use()),
      "lag_longest", std::chrono::duration<double>(counters.lag_longest).count(), "lag", lag.get());
}

// Of all threads: what might make a green go on, but signals and native threads.
PyObject* outlook(PyObject*, PyObject*) {
  Py_ssize_t ready = 0, timers = 0, operations = 0, thrown = 0;
  const Ref threads = Ref::steal(PyList_New(0));
  if (!threads) return nullptr;
  bool failed = false;
  py::Runtime::all().for_each([&](py::Runtime& runtime) {
    runtime.scheduler().for_each_ready([&](Fiber&) { ready += 1; });
    timers += Py_ssize_t(runtime.scheduler().timers());
    operations += Py_ssize_t(runtime.operations());
    const auto count = [&](py::GreenState& green) { thrown += green.has_thrown() ? 1 : 0; };
    count(runtime.root());
    runtime.greens().for_each(count);
    const Ref tid = Ref::steal(PyLong_FromLong(runtime.tid()));
    failed = failed || !tid || PyList_Append(threads.get(), tid.get()) < 0;
  });
  if (failed) return nullptr;
  return Py_BuildValue("{s:n,s:n,s:n,s:n,s:n,s:O}", "ready", ready, "timers", timers, "operations",
                       operations, "thrown", thrown, "parked", Py_ssize_t(py::parked_count),
                       "threads", threads.get());
}

PyObject* throw_at_wait(PyObject*, PyObject* args) {
  Py_ssize_t number = 0;
  PyObject* exception = nullptr;
  const char* moment = nullptr;
  if (!PyArg_ParseTuple(args, "nOs:throw_at_wait", &number, &exception, &moment)) return nullptr;
  using Moment = py::Faults::Moment;
  const std::string_view when = moment;
  const bool known = when == "begin" || when == "middle" || when == "end";
  if (number < 0 || !known ||
      !(PyExceptionClass_Check(exception) || PyExceptionInstance_Check(exception))) {
    PyErr_SetString(PyExc_ValueError, "throw_at_wait(number, exception, begin|middle|end)");
    return nullptr;
  }
  if (py::ensure_scheduler() == nullptr) return nullptr;
  py::Faults::arm(std::uint64_t(number), exception,
                  when == "begin"    ? Moment::begin
                  : when == "middle" ? Moment::middle
                                     : Moment::end);
  Py_RETURN_NONE;
}

PyObject* throw_no_more(PyObject*, PyObject*) {
  return PyLong_FromUnsignedLongLong(py::Faults::disarm());
}

PyMethodDef functions[] = {
    {"greens", greens, METH_NOARGS,
     "greens()\n--\n\nThe greens of all threads that have not ended."},
    {"green_details", green_details, METH_O,
     "green_details(green, /)\n--\n\nWhat the green does, or None when it has ended."},
    {"start_trace", start_trace, METH_VARARGS,
     "start_trace(fd, title, /)\n--\n\nTrace all threads to a file, whose descriptor it takes."},
    {"stop_trace", stop_trace, METH_NOARGS, "stop_trace()\n--\n\nComplete the file."},
    {"watch_hub", watch_hub, METH_VARARGS,
     "watch_hub(seconds, report, /)\n--\n\nReport hubs that are blocked for longer; None: stop."},
    {"hub_statistics", hub_statistics, METH_NOARGS,
     "hub_statistics()\n--\n\nFigures of the calling thread's hub."},
    {"outlook", outlook, METH_NOARGS,
     "outlook()\n--\n\nWhat might make greens go on, in all threads."},
    {"throw_at_wait", throw_at_wait, METH_VARARGS,
     "throw_at_wait(number, exception, moment, /)\n--\n\nFor tests: throw at the number-th wait of "
     "this thread's greens."},
    {"throw_no_more", throw_no_more, METH_NOARGS,
     "throw_no_more()\n--\n\nHow many waits there were since throw_at_wait(), which ends."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

int add_debug_functions(PyObject* module) {
  return PyModule_AddFunctions(module, functions);
}

}  // namespace greenwsgi::module
