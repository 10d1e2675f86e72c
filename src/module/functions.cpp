// functions.cpp - the functions of green._core that are not a type's: spawn, sleep and the like.
#include <cmath>
#include <ctime>

#include "greenwsgi/base/log.hpp"
#include "src/module/arguments.hpp"
#include "src/module/types.hpp"
#include "src/py/exit_after.hpp"
#include "src/py/green_object.hpp"
#include "src/py/later.hpp"
#include "src/py/runtime.hpp"
#include "src/py/runtime_state.hpp"
#include "src/py/trace.hpp"
#include "src/py/watchdog.hpp"

namespace greenwsgi::module {

using py::Ref;

bool parse_seconds(PyObject* seconds, Duration* length) {
  // PyFloat_AsDouble() would make a float of an int, and drop it.
  const double value =
      PyLong_CheckExact(seconds) ? PyLong_AsDouble(seconds) : PyFloat_AsDouble(seconds);
  if (value == -1.0 && PyErr_Occurred()) return false;
  if (std::isnan(value) || value < 0) {
    PyErr_SetString(PyExc_ValueError, "a time in seconds must not be negative or NaN");
    return false;
  }
  constexpr double kMost = 9.2e9;  // Seconds in 63 bits of nanoseconds.
  *length = value >= kMost
                ? Duration::max()
                : std::chrono::duration_cast<Duration>(std::chrono::duration<double>(value));
  return true;
}

namespace {

// All arguments as a call takes them. False: a Python error is set.
bool pack_arguments(
    PyObject* const* args, Py_ssize_t count, PyObject* names, Ref* arguments, Ref* keywords) {
  *arguments = Ref::steal(PyTuple_New(count));
  if (!*arguments) return false;
  for (Py_ssize_t i = 0; i < count; i++) PyTuple_SET_ITEM(arguments->get(), i, Py_NewRef(args[i]));
  if (names == nullptr || PyTuple_GET_SIZE(names) == 0) return true;
  *keywords = Ref::steal(PyDict_New());
  if (!*keywords) return false;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
    if (PyDict_SetItem(keywords->get(), PyTuple_GET_ITEM(names, i), args[count + i]) < 0)
      return false;
  }
  return true;
}

PyObject* spawn(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* keyword_names) {
  if (count < 1 || !PyCallable_Check(args[0])) {
    PyErr_SetString(PyExc_TypeError, "spawn() needs a callable as its first argument");
    return nullptr;
  }
  Ref arguments, keywords;
  if (!pack_arguments(args + 1, count - 1, keyword_names, &arguments, &keywords)) return nullptr;
  return reinterpret_cast<PyObject*>(
      py::spawn_green(args[0], arguments.release(), keywords.release()));
}

PyObject* spawn_later(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* keyword_names) {
  if (count < 2 || !PyCallable_Check(args[1])) {
    PyErr_SetString(PyExc_TypeError, "spawn_later() needs seconds and a callable");
    return nullptr;
  }
  Duration length{};
  Ref arguments, keywords;
  if (!parse_seconds(args[0], &length)) return nullptr;
  if (!pack_arguments(args + 2, count - 2, keyword_names, &arguments, &keywords)) return nullptr;
  return reinterpret_cast<PyObject*>(py::spawn_green_later(
      saturating_add(Clock::now(), length), args[1], arguments.release(), keywords.release()));
}

// After the runtime has been closed nobody else can run: the thread itself sleeps.
PyObject* sleep_in_the_kernel(Duration length) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(length);
  timespec left{seconds.count(), (length - seconds).count()};
  PyThreadState* thread = PyEval_SaveThread();
  while (::nanosleep(&left, &left) != 0) {
    PyEval_RestoreThread(thread);
    if (PyErr_CheckSignals() < 0) return nullptr;
    thread = PyEval_SaveThread();
  }
  PyEval_RestoreThread(thread);
  Py_RETURN_NONE;
}

PyObject* sleep(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* keyword_names) {
  const Py_ssize_t named = keyword_names != nullptr ? PyTuple_GET_SIZE(keyword_names) : 0;
  const bool known =
      named == 0 || (named == 1 && PyUnicode_CompareWithASCIIString(
                                       PyTuple_GET_ITEM(keyword_names, 0), "seconds") == 0);
  if (count + named > 1 || !known) {
    PyErr_SetString(PyExc_TypeError, "sleep(seconds=0) takes one argument");
    return nullptr;
  }
  Duration length{};
  if (count + named == 1 && !parse_seconds(args[0], &length)) return nullptr;
  py::Runtime* runtime = py::Runtime::current();
  if (runtime != nullptr && runtime->closed()) return sleep_in_the_kernel(length);
  if (runtime == nullptr && py::ensure_scheduler() == nullptr) return nullptr;
  if (!py::sleep_for(length)) return nullptr;
  Py_RETURN_NONE;
}

PyObject* getcurrent(PyObject*, PyObject*) {
  return py::current_green().release();
}

PyObject* hub_reason(PyObject*, PyObject*) {
  if (py::ensure_scheduler() == nullptr) return nullptr;
  return PyUnicode_FromString(py::Runtime::current()->hub_reason().c_str());
}

PyObject* exit_after(PyObject*, PyObject* seconds) {
  Duration length{};
  if (!parse_seconds(seconds, &length)) return nullptr;
  if (!py::exit_after(length)) return PyErr_SetFromErrno(PyExc_OSError);
  Py_RETURN_NONE;
}

PyObject* log_line(PyObject*, PyObject* args) {
  const char* level = nullptr;
  const char* line = nullptr;
  if (!PyArg_ParseTuple(args, "ss:log", &level, &line)) return nullptr;
  for (const LogLevel known :
       {LogLevel::debug, LogLevel::info, LogLevel::warning, LogLevel::error}) {
    if (name_of(known) != level) continue;
    log(known, "%s", line);
    Py_RETURN_NONE;
  }
  PyErr_Format(PyExc_ValueError, "log: no level %s; there are debug, info, warning, error", level);
  return nullptr;
}

PyObject* set_log_level_by_name(PyObject*, PyObject* arg) {
  const char* level = PyUnicode_AsUTF8(arg);
  if (level == nullptr) return nullptr;
  for (const LogLevel known :
       {LogLevel::debug, LogLevel::info, LogLevel::warning, LogLevel::error}) {
    if (name_of(known) != level) continue;
    set_log_level(known);
    Py_RETURN_NONE;
  }
  PyErr_Format(PyExc_ValueError, "no log level %s", level);
  return nullptr;
}

PyObject* report_exception(PyObject*, PyObject* args) {
  const char* what = nullptr;
  PyObject* where = nullptr;
  if (!PyArg_ParseTuple(args, "sO:report_exception", &what, &where)) return nullptr;
  const Ref exception = Ref::steal(PyErr_GetHandledException());
  if (!exception) {
    PyErr_SetString(PyExc_RuntimeError, "report_exception: none is being handled");
    return nullptr;
  }
  PyErr_SetObject(PyExceptionInstance_Class(exception.get()), exception.get());
  py::report_exception(what, where);
  Py_RETURN_NONE;
}

PyObject* set_stack_bytes(PyObject*, PyObject* arg) {
  const std::size_t bytes = PyLong_AsSize_t(arg);
  if (bytes == static_cast<std::size_t>(-1) && PyErr_Occurred()) return nullptr;
  py::set_stack_bytes(bytes);
  Py_RETURN_NONE;
}

PyObject* debug_counts(PyObject*, PyObject*) {
  py::Runtime* runtime = py::Runtime::current();
  if (runtime == nullptr) return PyDict_New();
  Py_ssize_t greens = 0;
  runtime->greens().for_each([&greens](py::GreenState&) { greens += 1; });
  Scheduler& scheduler = runtime->scheduler();
  return Py_BuildValue(
      "{s:n,s:n,s:n,s:n,s:n,s:n,s:n}", "fibers", Py_ssize_t(scheduler.fibers_alive()), "greens",
      greens, "unstarted", Py_ssize_t(runtime->unstarted), "timers", Py_ssize_t(scheduler.timers()),
      "parked", Py_ssize_t(py::parked_count), "stacks", Py_ssize_t(scheduler.stacks().in_use()),
      "operations", Py_ssize_t(scheduler.hub().in_flight()));
}

// Greens end when all exit handlers have run, also those that were registered before this module
// was imported and so run after ours: `atexit` lets go of what it was given when it has called them
// all, and then the last reference to the argument of ours goes.
constexpr const char* kExitName = "greenwsgi.exit";
bool exits = false;  // Else atexit._clear() was called.

PyObject* at_exit(PyObject*, PyObject*) {
  exits = true;
  Py_RETURN_NONE;
}

void after_exit_handlers(PyObject*) {
  if (!exits) return;
  py::close_runtime();
  py::stop_watchdog();
  py::stop_trace();
}

PyObject* after_fork_in_child(PyObject*, PyObject*) {
  py::Runtime::after_fork_in_child();
  Py_RETURN_NONE;
}

PyMethodDef functions[] = {
    {"spawn", as_method(spawn), METH_FASTCALL | METH_KEYWORDS,
     "spawn(function, /, *args, **kwargs)\n--\n\nStart function(*args, **kwargs) in a green thread "
     "of its own, in a copy of the caller's context."},
    {"spawn_later", as_method(spawn_later), METH_FASTCALL | METH_KEYWORDS,
     "spawn_later(seconds, function, /, *args, **kwargs)\n--\n\nspawn(), but the green starts "
     "after "
     "`seconds`; until then it costs no stack, and may be killed."},
    {"sleep", as_method(sleep), METH_FASTCALL | METH_KEYWORDS,
     "sleep(seconds=0)\n--\n\nLet others run for `seconds`; 0: let each have a turn."},
    {"getcurrent", getcurrent, METH_NOARGS,
     "getcurrent()\n--\n\nThe green thread that calls this; of the main program, its own."},
    {"hub_reason", hub_reason, METH_NOARGS,
     "hub_reason()\n--\n\nWhich hub runs this thread and why: one sentence."},
    {"exit_after", exit_after, METH_O,
     "exit_after(seconds, /)\n--\n\nEnd the process after `seconds` with status 0, whatever its "
     "threads do, unless it has ended by then."},
    {"log", log_line, METH_VARARGS,
     "log(level, line, /)\n--\n\nWrite a line to the error log, without blocking."},
    {"set_log_level", set_log_level_by_name, METH_O,
     "set_log_level(level, /)\n--\n\nDrop lines below `level`."},
    {"report_exception", report_exception, METH_VARARGS,
     "report_exception(what, where, /)\n--\n\nTell of the exception being handled, which nobody "
     "waits for."},
    {"set_stack_bytes", set_stack_bytes, METH_O,
     "set_stack_bytes(size, /)\n--\n\nThe stack of each green of threads that have none yet."},
    {"debug_counts", debug_counts, METH_NOARGS,
     "debug_counts()\n--\n\nHow many of each thing this thread has; for tests."},
    {nullptr, nullptr, 0, nullptr},
};

PyMethodDef at_exit_method = {"at_exit", at_exit, METH_O, nullptr};
PyMethodDef after_fork_method = {"after_fork_in_child", after_fork_in_child, METH_NOARGS, nullptr};

bool register_at_exit() {
  const Ref module = Ref::steal(PyImport_ImportModule("atexit"));
  const Ref callback = Ref::steal(PyCFunction_New(&at_exit_method, nullptr));
  const Ref last = Ref::steal(PyCapsule_New(&exits, kExitName, after_exit_handlers));
  if (!module || !callback || !last) return false;
  return bool(
      Ref::steal(PyObject_CallMethod(module.get(), "register", "OO", callback.get(), last.get())));
}

bool register_at_fork() {
  const Ref module = Ref::steal(PyImport_ImportModule("os"));
  const Ref callback = Ref::steal(PyCFunction_New(&after_fork_method, nullptr));
  if (!module || !callback) return false;
  const Ref function = Ref::steal(PyObject_GetAttrString(module.get(), "register_at_fork"));
  const Ref none = Ref::steal(PyTuple_New(0));
  const Ref keywords = Ref::steal(Py_BuildValue("{s:O}", "after_in_child", callback.get()));
  if (!function || !none || !keywords) return false;
  return bool(Ref::steal(PyObject_Call(function.get(), none.get(), keywords.get())));
}

}  // namespace

int add_functions(PyObject* module) {
  if (PyModule_AddFunctions(module, functions) < 0) return -1;
  return register_at_exit() && register_at_fork() ? 0 : -1;
}

}  // namespace greenwsgi::module
