// patch.cpp - the room's names in green._core: installing the groups, and what the fallback by name
// (green/_fallback.py) is made of.
#include "src/patch/patch.hpp"

#include <algorithm>
#include <iterator>

#include "greenwsgi/io/io.hpp"
#include "src/patch/hooks.hpp"
#include "src/patch/native_call.hpp"
#include "src/patch/rehash.hpp"
#include "src/patch/waiting.hpp"

namespace greenwsgi::patch {

namespace {

using py::Ref;

const Group* const groups[] = {
    &sleep_group,  &lock_group,     &rlock_group,  &thread_group,  &queue_group,     &close_group,
    &socket_group, &names_group,    &select_group, &poll_group,    &tls_group,       &process_group,
    &file_group,   &buffered_group, &open_group,   &signal_group,  &sigwait_group,   &mask_group,
    &trace_group,  &ident_group,    &device_group, &semlock_group, &descriptor_group};

/// {group: "in place", or how it fell back and why}, of those that were asked for.
PyObject* report = nullptr;

// Installs the group, or has `python_side` (green._fallback) replace its names instead. What was
// done and why, as a text; "in place" when all is well. Empty: a Python error is set. Functions
// whose ml_meth was overwritten go to the list `changed`.
Ref install_or_fall_back(PyObject* python_side, const Group& group, PyObject* changed) {
  const std::string why = install(group, changed);
  if (why.empty()) return Ref::steal(PyUnicode_FromString("in place"));
  return Ref::steal(PyObject_CallMethod(python_side, "fall_back", "ss", group.name, why.c_str()));
}

// Are all of these, a sequence of names, names of groups? False: a Python error is set.
bool are_groups(PyObject* names) {
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(names); i++) {
    PyObject* name = PySequence_Fast_GET_ITEM(names, i);
    const bool known = std::ranges::any_of(groups, [name](const Group* group) {
      return PyUnicode_Check(name) && PyUnicode_CompareWithASCIIString(name, group->name) == 0;
    });
    if (known) continue;
    PyErr_Format(PyExc_ValueError, "there is no group of hooks %R", name);
    return false;
  }
  return true;
}

bool contains(PyObject* names, const char* wanted) {
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(names); i++) {
    PyObject* name = PySequence_Fast_GET_ITEM(names, i);
    if (PyUnicode_CompareWithASCIIString(name, wanted) == 0) return true;
  }
  return false;
}

// What greens need besides the hooks once they are told apart. False: a Python error is set.
bool tell_greens_apart(PyObject* python_side) {
  py::give_identities();
  return bool(Ref::steal(PyObject_CallMethod(python_side, "complete", nullptr)));
}

// Patches one group that has not been; a message that tells of a fallback goes to `messages`.
bool patch_group(const Group& group, PyObject* python_side, PyObject* messages, PyObject* changed) {
  const Ref text = install_or_fall_back(python_side, group, changed);
  if (!text || PyDict_SetItemString(report, group.name, text.get()) < 0) return false;
  if (&group == &rlock_group && !tell_greens_apart(python_side)) return false;
  if (PyUnicode_CompareWithASCIIString(text.get(), "in place") == 0) return true;
  const Ref message = Ref::steal(PyUnicode_FromFormat("%s: %U", group.name, text.get()));
  return message && PyList_Append(messages, message.get()) == 0;
}

PyObject* patch(PyObject*, PyObject* wanted) {
  if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
    PyErr_SetString(PyExc_RuntimeError, "patching is for the main interpreter: call it there");
    return nullptr;
  }
  const Ref names = Ref::steal(PySequence_Fast(wanted, "patch() needs names of groups"));
  if (!names || !are_groups(names.get())) return nullptr;
  const Ref python_side = Ref::steal(PyImport_ImportModule("green._fallback"));
  Ref messages = Ref::steal(PyList_New(0));
  const Ref changed = Ref::steal(PyList_New(0));
  if (!python_side || !messages || !changed) return nullptr;
  for (const Group* group : groups) {
    if (!contains(names.get(), group->name)) continue;
    if (PyDict_GetItemString(report, group->name) != nullptr) continue;
    if (!patch_group(*group, python_side.get(), messages.get(), changed.get())) return nullptr;
  }
  if (!rehash_containers_of(changed.get())) return nullptr;
  return messages.release();
}

PyObject* patch_groups(PyObject*, PyObject*) {
  Ref names = Ref::steal(PyTuple_New(std::size(groups)));
  if (!names) return nullptr;
  for (std::size_t i = 0; i < std::size(groups); i++) {
    PyObject* name = PyUnicode_FromString(groups[i]->name);
    if (name == nullptr) return nullptr;
    PyTuple_SET_ITEM(names.get(), i, name);
  }
  return names.release();
}

PyObject* patch_report(PyObject*, PyObject*) {
  return PyDict_Copy(report);
}

// --- For the fallback

PyObject* current_ident(PyObject*, PyObject*) {
  return PyLong_FromUnsignedLong(py::current_ident());
}

PyObject* thread_ident(PyObject*, PyObject*) {
  return PyLong_FromUnsignedLong(PyThread_get_thread_ident());
}

PyObject* enter_blocking(PyObject*, PyObject*) {
  py::enter_blocking();
  Py_RETURN_NONE;
}

PyObject* leave_blocking(PyObject*, PyObject*) {
  if (!py::leave_blocking()) return nullptr;
  Py_RETURN_NONE;
}

PyObject* can_park(PyObject*, PyObject*) {
  return PyBool_FromLong(py::can_park());
}

// A number of seconds or None, as a deadline. False: a Python error is set.
bool as_deadline(PyObject* timeout, Instant* deadline) {
  *deadline = kNever;
  if (timeout == Py_None) return true;
  Duration length{};
  if (!plain_seconds(timeout, &length)) {
    PyErr_SetString(PyExc_ValueError, "timeout must be None or a number that is not negative");
    return false;
  }
  *deadline = deadline_after(length);
  return true;
}

// What Condition calls for a plain lock, where a green must come out with it, as
// hook_acquire_restore does for a reentrant one.
PyObject* take_back(PyObject*, PyObject* lock) {
  if (!py::can_park()) return PyObject_CallMethod(lock, "acquire", nullptr);
  const py::HoldBack until_taken;
  return PyObject_CallMethod(lock, "acquire", nullptr);
}

bool check_can_park() {
  if (py::can_park()) return true;
  PyErr_SetString(PyExc_RuntimeError, "nothing can wait cooperatively here: ask can_park() first");
  return false;
}

// park(key, timeout, front): True when unparked, False when the time is over.
PyObject* park(PyObject*, PyObject* arguments) {
  PyObject *key, *timeout;
  int front;
  Instant deadline;
  if (!PyArg_ParseTuple(arguments, "OOp:park", &key, &timeout, &front) || !check_can_park() ||
      !as_deadline(timeout, &deadline)) {
    return nullptr;
  }
  const Ref keep = Ref::share(key);
  const py::Woken why = py::park_on(key, deadline, front != 0, "a lock");
  if (py::raise_if_interrupted()) {
    if (why == py::Woken::unparked) wake_one(key);
    return nullptr;
  }
  return PyBool_FromLong(why != py::Woken::timed_out);
}

PyObject* unpark(PyObject*, PyObject* key) {
  wake_one(key);
  Py_RETURN_NONE;
}

// wait_fd(fd, events, timeout): True when ready, False when the time is over.
PyObject* wait_fd(PyObject*, PyObject* arguments) {
  int fd;
  short events;
  PyObject* timeout;
  Instant deadline;
  if (!PyArg_ParseTuple(arguments, "ihO:wait_fd", &fd, &events, &timeout) || !check_can_park() ||
      !as_deadline(timeout, &deadline)) {
    return nullptr;
  }
  for (;;) {
    const Result<short> ready = io::poll(fd, events, deadline);
    if (ready.ok()) Py_RETURN_TRUE;
    if (ready.error().code == ETIMEDOUT) Py_RETURN_FALSE;
    if (ready.error().code == ECANCELED && !py::raise_if_interrupted()) continue;
    if (ready.error().code != ECANCELED) set_errno(ready.error().code);
    return nullptr;
  }
}

PyObject* call_object(PyObject* function, PyObject* arguments, PyObject* keywords) {
  return PyObject_Call(function, arguments, keywords);
}

PyObject* natively(Call& call) {
  return py::can_park() ? call_natively(call, NativeWork::wait, "a native thread") : call.pass_on();
}

// call_natively(function, *arguments, **keywords)
PyObject* run_natively(PyObject*, PyObject* arguments, PyObject* keywords) {
  if (PyTuple_GET_SIZE(arguments) == 0) {
    PyErr_SetString(PyExc_TypeError, "call_natively() needs a function");
    return nullptr;
  }
  const Ref rest = Ref::steal(PyTuple_GetSlice(arguments, 1, PyTuple_GET_SIZE(arguments)));
  if (!rest) return nullptr;
  using Entry = Hooked<natively>;
  Entry::original = as_c_function(call_object);
  return Entry::tuple_keywords(PyTuple_GET_ITEM(arguments, 0), rest.get(), keywords);
}

PyMethodDef methods[] = {
    {"patch", patch, METH_O,
     "patch(groups, /)\n--\n\nMake what these groups of functions do cooperative, in place. "
     "Returns a message for each that fell back now."},
    {"patch_groups", patch_groups, METH_NOARGS,
     "patch_groups()\n--\n\nThe names of all groups, in the order of their installation."},
    {"patch_report", patch_report, METH_NOARGS,
     "patch_report()\n--\n\n{group: 'in place', or how it fell back and why}, of those patched."},
    {"take_back", take_back, METH_O,
     "take_back(lock, /)\n--\n\nlock.acquire(), whatever is thrown meanwhile: the next wait has "
     "it."},
    {"can_park", can_park, METH_NOARGS, "May the caller wait cooperatively?"},
    {"enter_blocking", enter_blocking, METH_NOARGS,
     "enter_blocking()\n--\n\nFrom here on what blocks blocks the thread, for the caller."},
    {"leave_blocking", leave_blocking, METH_NOARGS,
     "leave_blocking()\n--\n\nTake the last enter_blocking() of the caller back."},
    {"current_ident", current_ident, METH_NOARGS, "threading.get_ident() of the running green."},
    {"async_exc_address", async_exc_address, METH_NOARGS,
     "The address of a C function to be called instead of PyThreadState_SetAsyncExc."},
    {"thread_ident", thread_ident, METH_NOARGS, "threading.get_ident() of the native thread."},
    {"park", park, METH_VARARGS, nullptr},
    {"unpark", unpark, METH_O, nullptr},
    {"wait_fd", wait_fd, METH_VARARGS, nullptr},
    {"call_natively", as_c_function(run_natively), METH_VARARGS | METH_KEYWORDS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

int add_to_module(PyObject* module) {
  if (report == nullptr) report = PyDict_New();
  return report == nullptr ? -1 : PyModule_AddFunctions(module, methods);
}

}  // namespace greenwsgi::patch
