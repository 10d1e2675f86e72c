// os.waitpid, wait, wait3, wait4, waitid: the original without waiting, and when it finds nothing a
// wait for the child and the original once more. os.system: on a native thread.
//
// The end of one child is waited for by a pidfd (pidfd_open(2), Linux 5.3). Any child, a group, and
// a child that stops or goes on are waited for by a native thread, which looks (WNOWAIT) and leaves
// the child to be reaped here: so a green that is killed meanwhile takes nobody's child along.
// os.sched_yield: the other greens come first.
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

#include "greenwsgi/io/io.hpp"
#include "src/patch/hooks.hpp"
#include "src/patch/native_call.hpp"
#include "src/patch/waiting.hpp"

namespace greenwsgi::patch {

namespace {

using py::Ref;

// What waitid(2) is asked for.
struct Children {
  idtype_t type;
  int id;
  int options;  // Of WEXITED, WSTOPPED, WCONTINUED.
};

// --- Waiting

bool await_readable(int fd) {
  for (;;) {
    const Result<short> ready = io::poll(fd, POLLIN, kNever);
    if (ready.ok()) return true;
    const int code = ready.error().code;
    if (code == ECANCELED && !py::raise_if_interrupted()) continue;
    if (code != ECANCELED) set_errno(code);
    return false;
  }
}

PyObject* call_function(PyObject* function, PyObject* arguments) {
  return PyObject_Call(function, arguments, nullptr);
}

PyObject* look_natively(Call& call) {
  return call_natively(call, NativeWork::wait, "a child process");
}

bool await_natively(const Children& children) {
  const Ref posix = Ref::steal(PyImport_ImportModule("posix"));
  if (!posix) return false;
  const Ref waitid = Ref::steal(PyObject_GetAttrString(posix.get(), "waitid"));
  const Ref arguments = Ref::steal(Py_BuildValue("(iii)", static_cast<int>(children.type),
                                                 children.id, children.options | WNOWAIT));
  if (!waitid || !arguments) return false;
  using Entry = Hooked<look_natively>;
  Entry::original = call_function;
  return static_cast<bool>(Ref::steal(Entry::tuple(waitid.get(), arguments.get())));
}

// Until one of them may be found. False: a Python error is set. Switches.
bool await_children(const Children& children) {
  if (children.type == P_PID && children.options == WEXITED) {
    const auto fd = static_cast<int>(::syscall(SYS_pidfd_open, children.id, 0));
    if (fd >= 0) {
      const bool ended = await_readable(fd);
      ::close(fd);
      return ended;
    }
  }
  return await_natively(children);  // Which also knows what is wrong with it.
}

// A pid of 0 in a tuple, or None from waitid().
bool found_nothing(PyObject* found) {
  if (found == Py_None) return true;
  return PyTuple_CheckExact(found) && PyObject_Not(PyTuple_GET_ITEM(found, 0)) == 1;
}

// `arguments`: those of the original, with WNOHANG among the options.
PyObject* wait_for(const Call& call, const Children& children, PyObject* arguments) {
  // Who has ended and yet is not found (a debugger has it) must not make us spin.
  constexpr Duration kPause = std::chrono::milliseconds(20);
  for (bool waited = false;;) {
    PyObject* found = arguments == nullptr ? nullptr : call.original(arguments);
    if (found == nullptr || !found_nothing(found)) return found;
    Py_DECREF(found);
    if (waited && !py::sleep_for(kPause)) return nullptr;
    if (!await_children(children)) return nullptr;
    waited = true;
  }
}

// --- The hooks

// Options of wait4(2) that can be waited for here. WUNTRACED is WSTOPPED.
bool can_await(int options) {
  return (options & ~(WUNTRACED | WCONTINUED)) == 0;
}

Children children_of(int pid, int options) {
  const int wanted = options | WEXITED;
  if (pid > 0) return {P_PID, pid, wanted};
  if (pid == -1) return {P_ALL, 0, wanted};
  return {P_PGID, pid == 0 ? ::getpgrp() : -pid, wanted};
}

// waitpid(pid, options) and wait4(pid, options).
PyObject* wait_pid(Call& call) {
  PyObject* given[2] = {};
  int pid = 0, options = 0;
  if (!py::can_park() || !call.arrange({"pid", "options"}, given) || given[0] == nullptr ||
      given[1] == nullptr || !as_int(given[0], &pid) || !as_int(given[1], &options) ||
      !can_await(options) || pid == INT_MIN) {
    return call.pass_on();
  }
  const Ref arguments = Ref::steal(Py_BuildValue("(ii)", pid, options | WNOHANG));
  return wait_for(call, children_of(pid, options), arguments.get());
}

PyObject* hook_waitpid(Call& call) {
  return call.keywords() == nullptr ? wait_pid(call) : call.pass_on();
}

PyObject* hook_wait4(Call& call) {
  return wait_pid(call);
}

PyObject* hook_wait3(Call& call) {
  PyObject* given[1] = {};
  int options = 0;
  if (!py::can_park() || !call.arrange({"options"}, given) || given[0] == nullptr ||
      !as_int(given[0], &options) || !can_await(options)) {
    return call.pass_on();
  }
  const Ref arguments = Ref::steal(Py_BuildValue("(i)", options | WNOHANG));
  return wait_for(call, children_of(-1, options), arguments.get());
}

// wait() is waitpid(-1, 0), and only that can be told not to wait.
PyObject* hook_wait(Call& call) {
  if (!py::can_park()) return call.pass_on();
  const Ref posix = Ref::steal(PyImport_ImportModule("posix"));
  return posix ? PyObject_CallMethod(posix.get(), "waitpid", "ii", -1, 0) : nullptr;
}

PyObject* hook_waitid(Call& call) {
  int type = 0, id = 0, options = 0;
  if (!py::can_park() || call.count() != 3 || call.keywords() != nullptr ||
      !as_int(call.item(0), &type) || !as_int(call.item(1), &id) ||
      !as_int(call.item(2), &options) ||
      (options & ~(WEXITED | WSTOPPED | WCONTINUED | WNOWAIT)) != 0) {
    return call.pass_on();
  }
  const Ref arguments = Ref::steal(Py_BuildValue("(iii)", type, id, options | WNOHANG));
  return wait_for(call, {static_cast<idtype_t>(type), id, options & ~WNOWAIT}, arguments.get());
}

PyObject* hook_system(Call& call) {
  return py::can_park() ? call_natively(call, NativeWork::wait, "os.system") : call.pass_on();
}

PyObject* hook_sched_yield(Call& call) {
  return !py::can_park() || yield_turn() ? call.pass_on() : nullptr;
}

constexpr Target targets[] = {
    target<hook_waitpid>("posix", nullptr, "waitpid"),
    target<hook_wait>("posix", nullptr, "wait"),
    target<hook_wait3>("posix", nullptr, "wait3"),
    target<hook_wait4>("posix", nullptr, "wait4"),
    target<hook_waitid>("posix", nullptr, "waitid"),
    target<hook_system>("posix", nullptr, "system"),
    target<hook_sched_yield>("posix", nullptr, "sched_yield", true),
};

}  // namespace

const Group process_group = {"process", targets, nullptr};

}  // namespace greenwsgi::patch
