// tracers.cpp - setting and taking back trace and profile functions where no Python frame is.
//
// CPython 3.12 and 3.13 look at the calling frame when a trace function is set or taken back while
// another thread or green traces, and crash when there is none. So both happen in a frame of a few
// words of Python, which are not traced themselves.
#include "src/py/tracers.hpp"

#include "src/py/thread_state.hpp"

namespace greenwsgi::py {

namespace {

// Debuggers that replace sys.settrace() warn of who calls it, but for a file of this name.
constexpr const char* kFile = "<green>/threading.py";
// As threading.Thread has it. pydevd traces only whom `threading` knows, so it is to know the
// green.
constexpr const char* kBegin =
    "threading.current_thread()\n"
    "if threading._trace_hook: sys.settrace(threading._trace_hook)\n"
    "if threading._profile_hook: sys.setprofile(threading._profile_hook)\n";

// Not by sys.settrace(), which debuggers replace.
PyObject* take_back(PyObject*, PyObject*) {
  PyEval_SetTrace(nullptr, nullptr);
  PyEval_SetProfile(nullptr, nullptr);
  Py_RETURN_NONE;
}

PyMethodDef take_back_method = {"take_back", take_back, METH_NOARGS, nullptr};

/// A few words of Python and the names they use. Made once; never destroyed.
struct Words {
  Ref code;
  Ref names;

  explicit Words(const char* text)
      : code(Ref::steal(Py_CompileString(text, kFile, Py_file_input))),
        names(Ref::steal(PyDict_New())) {}

  bool add(const char* name, const Ref& value) {
    return code && names && value && PyDict_SetItemString(names.get(), name, value.get()) == 0;
  }

  // The code of tracers runs in there, and has the frame for a caller.
  bool run() const {
    PyThreadState& thread = *PyThreadState_Get();
    PyThreadState_EnterTracing(&thread);
    const Ref done = Ref::steal(PyEval_EvalCode(code.get(), names.get(), names.get()));
    PyThreadState_LeaveTracing(&thread);
    return static_cast<bool>(done);
  }
};

bool run_begin() {
  static auto* words = new Words(kBegin);
  return words->add("sys", Ref::steal(PyImport_ImportModule("sys"))) &&
         words->add("threading", Ref::steal(PyImport_ImportModule("threading"))) && words->run();
}

bool run_end() {
  static auto* words = new Words("take_back()");
  return words->add("take_back", Ref::steal(PyCFunction_New(&take_back_method, nullptr))) &&
         words->run();
}

bool is_set(PyObject* names, const char* name) {
  PyObject* const hook = PyDict_GetItemString(names, name);
  return hook != nullptr && hook != Py_None;
}

// Do threads begin with one? Looked up again only after the names of `threading` have changed,
// since two look-ups would be a twentieth of what a green costs.
bool threads_are_traced() {
  static DictWatch watch;
  static bool traced = false;
  if (watch.unchanged()) [[likely]]
    return traced;
  if (!watch.watches()) {
    PyObject* module = PyDict_GetItemString(PyImport_GetModuleDict(), "threading");
    if (module == nullptr || !PyModule_Check(module)) return false;
    watch.begin(PyModule_GetDict(module));
  }
  watch.look();
  traced = is_set(watch.dict(), "_trace_hook") || is_set(watch.dict(), "_profile_hook");
  return traced;
}

}  // namespace

void begin_tracers() {
  if (!threads_are_traced()) [[likely]]
    return;
  if (!run_begin()) write_unraisable("setting the trace function of a green", Py_None);
}

void end_tracers() {
  if (!run_end()) write_unraisable("taking back the trace function of a green", Py_None);
}

}  // namespace greenwsgi::py
