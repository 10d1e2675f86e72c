// signal.pause, sigwait, sigwaitinfo, sigtimedwait.
//
// pause() is over when a handler has run: the main program runs it on its own stack, and whoever
// else waits is told afterwards. The others take a signal that is blocked and pending by
// sigtimedwait(2) without waiting, and wait for one by a signalfd(2). One that is not blocked goes
// its own way (a handler, the end of the process) and is no affair of these calls, as POSIX has it.
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>

#include "greenwsgi/io/io.hpp"
#include "src/patch/hooks.hpp"
#include "src/patch/signal_hooks.hpp"
#include "src/patch/waiting.hpp"

namespace greenwsgi::patch {

namespace {

using py::Ref;

PyObject* hook_pause(Call& call) {
  if (!py::can_park()) return call.pass_on();
  relay_what_is_set();
  const unsigned long before = signals_handled;
  while (signals_handled == before) {
    py::park_on(&signals_handled, kNever, false, "a signal");
    if (py::raise_if_interrupted()) return nullptr;
  }
  Py_RETURN_NONE;
}

class SignalDescriptor {
 public:
  /// `signals`: a list that sigtimedwait() has taken.
  explicit SignalDescriptor(PyObject* signals) {
    sigset_t set;
    sigemptyset(&set);
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(signals); i++)
      sigaddset(&set, static_cast<int>(PyLong_AsLong(PyList_GET_ITEM(signals, i))));
    fd_ = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  }
  SignalDescriptor(const SignalDescriptor&) = delete;
  SignalDescriptor& operator=(const SignalDescriptor&) = delete;
  ~SignalDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int fd() const { return fd_; }

 private:
  int fd_;
};

// One of `signals`, as sigtimedwait() tells it; None at the deadline. Empty: a Python error is set.
Ref await_signal(PyObject* signals, Instant deadline) {
  const Ref module = Ref::steal(PyImport_ImportModule("_signal"));
  if (!module) return {};
  const auto take = [&] {
    return Ref::steal(PyObject_CallMethod(module.get(), "sigtimedwait", "Oi", signals, 0));
  };
  Ref taken = take();
  if (!taken || taken.get() != Py_None) return taken;
  const SignalDescriptor descriptor(signals);
  if (descriptor.fd() < 0) {
    PyErr_SetFromErrno(PyExc_OSError);
    return {};
  }
  for (;;) {
    const Result<short> ready = io::poll(descriptor.fd(), POLLIN, deadline);
    const int code = ready.ok() ? 0 : ready.error().code;
    // Who was killed meanwhile leaves the signal to others.
    if (py::raise_if_interrupted()) return {};
    if (code != 0 && code != ETIMEDOUT && code != ECANCELED) {
      set_errno(code);
      return {};
    }
    taken = take();
    if (!taken || taken.get() != Py_None || code == ETIMEDOUT) return taken;
  }
}

PyObject* hook_sigwaitinfo(Call& call) {
  if (!py::can_park()) return call.pass_on();
  const Ref signals = Ref::steal(PySequence_List(call.item(0)));
  return signals ? await_signal(signals.get(), kNever).release() : nullptr;
}

PyObject* hook_sigwait(Call& call) {
  if (!py::can_park()) return call.pass_on();
  const Ref signals = Ref::steal(PySequence_List(call.item(0)));
  const Ref taken = signals ? await_signal(signals.get(), kNever) : Ref();
  return taken ? PyObject_GetAttrString(taken.get(), "si_signo") : nullptr;
}

PyObject* hook_sigtimedwait(Call& call) {
  Duration length{};
  if (!py::can_park() || call.count() != 2 || !plain_seconds(call.item(1), &length) ||
      length == Duration::zero()) {
    return call.pass_on();
  }
  const Instant deadline = deadline_after(length);
  const Ref signals = Ref::steal(PySequence_List(call.item(0)));
  return signals ? await_signal(signals.get(), deadline).release() : nullptr;
}

constexpr Target targets[] = {
    target<hook_pause>("_signal", nullptr, "pause"),
    target<hook_sigwait>("_signal", nullptr, "sigwait"),
    target<hook_sigwaitinfo>("_signal", nullptr, "sigwaitinfo"),
    target<hook_sigtimedwait>("_signal", nullptr, "sigtimedwait"),
};

const char* check() {
  return handlers_are_relayed() ? nullptr : "it needs the group signal, which is not in place";
}

}  // namespace

const Group sigwait_group = {"sigwait", targets, check};

}  // namespace greenwsgi::patch
