// Threads: one that is started where its starter may wait cooperatively, or in the main program,
// is a green; its function runs as on a thread, in an empty context.
//
// Others are native. Their end is announced by C code that no hook sees, so who waits for it has a
// native thread wait: for the lock that a thread's end releases (up to CPython 3.12;
// lock_hooks.cpp) or for the thread's handle (from 3.13). Greens have locks and handles of our own
// instead.
#include <pthread.h>
#include <unistd.h>

#include <new>

#include "greenwsgi/base/list.hpp"
#include "src/patch/hooks.hpp"
#include "src/patch/layout.hpp"
#include "src/patch/native_call.hpp"
#include "src/patch/waiting.hpp"
#include "src/py/green_object.hpp"
#include "src/py/idents.hpp"
#include "src/py/runtime_state.hpp"

namespace greenwsgi::patch {

namespace {

using py::Ref;

// A thread's function while it runs in a green; on the green's stack.
struct Running : ListNode {
  PyObject* lock = nullptr;  // Released at its end. Owned; null: nobody has asked for one.
  bool awaited = false;      // The program's end waits for it.
};

// Never destroyed: a thread may still be in it at the process's end. Guarded by the GIL, as what
// follows.
List<Running>& running = *new List<Running>;
Py_ssize_t running_count = 0;

// The child of a fork has one thread.
void forget_others() {
  new (&running) List<Running>;
  running_count = 0;
}

Running* current() {
  py::GreenState* green = py::can_park() ? py::Runtime::current()->running() : nullptr;
  return green != nullptr ? static_cast<Running*>(green->of_thread) : nullptr;
}

void release(PyObject* lock) {
  const Ref done = Ref::steal(PyObject_CallMethod(lock, "release", nullptr));
  if (!done) PyErr_Clear();  // Somebody else has released it.
}

// What ends a thread's function is told as CPython tells it: SystemExit is no error.
void tell_of_error(PyObject* function) {
  const bool quiet = PyErr_ExceptionMatches(PyExc_SystemExit) != 0 ||
                     PyErr_ExceptionMatches(py::names.green_exit) != 0;
  if (quiet)
    PyErr_Clear();
  else
    py::write_unraisable("thread started by", function);
}

// The green's function: run_thread(function, arguments, keywords or None, lock or None, awaited).
PyObject* run_thread(PyObject*, PyObject* packed) {
  py::Runtime* runtime = py::Runtime::current();
  PyObject* function = PyTuple_GET_ITEM(packed, 0);
  PyObject* keywords = PyTuple_GET_ITEM(packed, 2);
  PyObject* lock = PyTuple_GET_ITEM(packed, 3);
  Running self;
  self.lock = lock == Py_None ? nullptr : Py_NewRef(lock);
  self.awaited = PyTuple_GET_ITEM(packed, 4) == Py_True;
  running.push_back(self);
  running_count += 1;
  runtime->running()->of_thread = &self;
  const Ref result = Ref::steal(PyObject_Call(function, PyTuple_GET_ITEM(packed, 1),
                                              keywords == Py_None ? nullptr : keywords));
  if (!result) tell_of_error(function);
  // The child of a fork ends here, as its main thread, for whom nobody waits.
  if (py::Runtime::current() != runtime) py::end_forked_child();
  runtime->running()->drop_locals();  // Whoever joins it waits for that, too.
  runtime->running()->of_thread = nullptr;
  self.unlink();
  running_count -= 1;
  if (self.lock != nullptr) {
    release(self.lock);
    Py_DECREF(self.lock);
  }
  Py_RETURN_NONE;
}

PyMethodDef run_thread_method = {"run_thread", run_thread, METH_VARARGS, nullptr};

Ref new_lock() {
  const Ref module = Ref::steal(PyImport_ImportModule("_thread"));
  return module ? Ref::steal(PyObject_CallMethod(module.get(), "allocate_lock", nullptr)) : Ref();
}

// A lock that is taken. Empty: a Python error is set.
Ref taken_lock() {
  Ref lock = new_lock();
  if (!lock || !Ref::steal(PyObject_CallMethod(lock.get(), "acquire", nullptr))) return Ref();
  return lock;
}

// The green's name, for people: that of the threading.Thread whose method it runs.
void name_after(py::GreenObject* green, PyObject* function) {
  if (!PyMethod_Check(function)) return;
  const Ref name = Ref::steal(PyObject_GetAttrString(PyMethod_GET_SELF(function), "name"));
  if (!name) return PyErr_Clear();
  if (PyUnicode_Check(name.get())) Py_XSETREF(green->name, Py_NewRef(name.get()));
}

// Starts the green; its ident, 0 with a Python error set.
unsigned long start_green(
    PyObject* function, PyObject* arguments, PyObject* keywords, PyObject* lock, bool awaited) {
  static const int registered = pthread_atfork(nullptr, nullptr, forget_others);
  (void)registered;
  const Ref body = Ref::steal(PyCFunction_New(&run_thread_method, nullptr));
  Ref packed = Ref::steal(PyTuple_Pack(5, function, arguments, keywords ? keywords : Py_None,
                                       lock ? lock : Py_None, awaited ? Py_True : Py_False));
  if (!body || !packed) return 0;
  py::GreenObject* green =
      py::spawn_green(body.get(), packed.release(), nullptr, py::ContextOf::nothing);
  if (green == nullptr) {
    // As it is told of native threads.
    if (PyErr_ExceptionMatches(PyExc_MemoryError) != 0)
      PyErr_SetString(PyExc_RuntimeError, "can't start new thread");
    return 0;
  }
  const Ref owned = Ref::steal(reinterpret_cast<PyObject*>(green));
  green->begins_thread = true;
  name_after(green, function);
  return py::ident_of(green->number);
}

// start_new_thread(function, arguments, keywords)
PyObject* hook_start(Call& call) {
  PyObject* const keywords = call.count() == 3 ? call.item(2) : nullptr;
  const bool well_formed = call.keywords() == nullptr && call.count() >= 2 && call.count() <= 3 &&
                           PyCallable_Check(call.item(0)) && PyTuple_Check(call.item(1)) &&
                           (keywords == nullptr || PyDict_Check(keywords));
  if (!well_formed || !py::threads_are_greens()) return call.pass_on();
  if (PySys_Audit("_thread.start_new_thread", "OOO", call.item(0), call.item(1),
                  keywords != nullptr ? keywords : Py_None) < 0)
    return nullptr;
  const unsigned long ident = start_green(call.item(0), call.item(1), keywords, nullptr, false);
  return ident == 0 ? nullptr : PyLong_FromUnsignedLong(ident);
}

PyObject* hook_count(Call& call) {
  const Ref natives = Ref::steal(call.pass_on());
  return natives ? PyLong_FromSsize_t(PyLong_AsSsize_t(natives.get()) + running_count) : nullptr;
}

// Up to 3.12, by a new thread: the lock that its end will release.
PyObject* hook_sentinel(Call& call) {
  Running* self = current();
  if (self == nullptr) return call.pass_on();
  Ref lock = new_lock();
  if (lock) Py_XSETREF(self->lock, Py_NewRef(lock.get()));
  return lock.release();
}

// --- From 3.13: handles

// A handle of ours for `lock`, which the thread's end releases. Empty: a Python error is set.
Ref make_handle(PyObject* lock) {
  const Ref module = Ref::steal(PyImport_ImportModule("green._thread_handle"));
  return module ? Ref::steal(PyObject_CallMethod(module.get(), "ThreadHandle", "(O)", lock))
                : Ref();
}

// The threading.Thread that starts itself with its own `handle`, else nullptr; borrowed.
PyObject* thread_with_handle(PyObject* function, PyObject* handle) {
  if (!PyMethod_Check(function)) return nullptr;
  PyObject* self = PyMethod_GET_SELF(function);
  const Ref own = Ref::steal(PyObject_GetAttrString(self, layout::kHandleOfThread));
  if (!own) PyErr_Clear();
  return own.get() == handle ? self : nullptr;
}

// start_joinable_thread(function, handle=None, daemon=True)
PyObject* hook_start_joinable(Call& call) {
  PyObject* given[3] = {};
  if (!call.arrange({"function", "handle", "daemon"}, given) || given[0] == nullptr ||
      !PyCallable_Check(given[0]) || !py::threads_are_greens()) {
    return call.pass_on();
  }
  const bool has_handle = given[1] != nullptr && given[1] != Py_None;
  PyObject* thread = has_handle ? thread_with_handle(given[0], given[1]) : nullptr;
  if (has_handle && thread == nullptr) return call.pass_on();  // Somebody joins that very handle.
  const int daemon = given[2] == nullptr ? 1 : PyObject_IsTrue(given[2]);
  if (daemon < 0 || PySys_Audit("_thread.start_joinable_thread", "OiO", given[0], daemon,
                                has_handle ? given[1] : Py_None) < 0)
    return nullptr;
  const Ref lock = taken_lock();
  const Ref none = Ref::steal(PyTuple_New(0));
  Ref handle = lock && none ? make_handle(lock.get()) : Ref();
  if (!handle) return nullptr;
  const unsigned long ident = start_green(given[0], none.get(), nullptr, lock.get(), daemon == 0);
  const Ref told = ident != 0 ? Ref::steal(PyLong_FromUnsignedLong(ident)) : Ref();
  if (!told || PyObject_SetAttrString(handle.get(), "ident", told.get()) < 0) return nullptr;
  if (thread != nullptr &&
      PyObject_SetAttrString(thread, layout::kHandleOfThread, handle.get()) < 0)
    return nullptr;
  return handle.release();
}

PyObject* hook_join(Call& call) {
  if (!py::can_park()) return call.pass_on();
  const Ref done = Ref::steal(PyObject_CallMethod(call.self(), "is_done", nullptr));
  if (!done) return nullptr;
  if (done.get() == Py_True) return call.pass_on();
  return call_natively(call, NativeWork::wait, "the end of a thread");
}

// The lock of a green that the program's end waits for; empty when there is none.
Ref lock_of_awaited() {
  Ref lock;
  running.for_each([&lock](Running& one) {
    if (one.awaited && !lock) lock = Ref::share(one.lock);
  });
  return lock;
}

// At the program's end: waits for all threads that are no daemons.
PyObject* hook_shutdown(Call& call) {
  if (!py::can_park()) return call.pass_on();
  while (const Ref lock = lock_of_awaited()) {
    if (!Ref::steal(PyObject_CallMethod(lock.get(), "acquire", nullptr))) return nullptr;
    release(lock.get());
  }
  return call_natively(call, NativeWork::wait, "the end of all threads");
}

// From 3.14 on `threading` names the kernel's thread, which here is that of all greens.
PyObject* hook_set_name(Call& call) {
  const bool name = call.count() == 1 && PyUnicode_Check(call.item(0));
  if (!name || !py::can_switch() || py::Runtime::current()->running()->is_root())
    return call.pass_on();
  Py_RETURN_NONE;
}

constexpr Target targets[] = {
    target<hook_start, 0>("_thread", nullptr, "start_new_thread"),
    target<hook_start, 1>("_thread", nullptr, "start_new", true),
    target<hook_count>("_thread", nullptr, "_count"),
    target<hook_sentinel>("_thread", nullptr, "_set_sentinel", true),
    target<hook_start_joinable>("_thread", nullptr, "start_joinable_thread", true),
    target<hook_join>("_thread", "_ThreadHandle", "join", true),
    target<hook_shutdown>("_thread", nullptr, "_shutdown", true),
    target<hook_set_name>("_thread", nullptr, "set_name", true),
};

}  // namespace

const Group thread_group = {"thread", targets, nullptr};

}  // namespace greenwsgi::patch
