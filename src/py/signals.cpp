#include "src/py/signals.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <utility>

#include "src/py/ref.hpp"

namespace greenwsgi::py {

namespace {

// signal.set_wakeup_fd(fd, warn_on_full_buffer=False); -2: a Python error is set.
long set_wakeup_fd(int fd) {
  const Ref signal = Ref::steal(PyImport_ImportModule("signal"));
  if (!signal) return -2;
  const Ref set = Ref::steal(PyObject_GetAttrString(signal.get(), "set_wakeup_fd"));
  const Ref arguments = Ref::steal(Py_BuildValue("(i)", fd));
  const Ref keywords = Ref::steal(Py_BuildValue("{s:O}", "warn_on_full_buffer", Py_False));
  if (!set || !arguments || !keywords) return -2;
  const Ref previous = Ref::steal(PyObject_Call(set.get(), arguments.get(), keywords.get()));
  return previous ? PyLong_AsLong(previous.get()) : -2;
}

}  // namespace

bool SignalPipe::open() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0) {
    PyErr_SetFromErrno(PyExc_OSError);
    return false;
  }
  write_fd_ = fds[1];
  watch_.pipe = this;
  watch_.kind = Op::Kind::poll;
  watch_.fd = fds[0];
  watch_.events = POLLIN;
  watch_.on_done = on_readable;
  scheduler_.hub().submit(watch_);
  const long previous = set_wakeup_fd(write_fd_);
  return previous == -1 || (previous >= 0 && set_wakeup_fd(static_cast<int>(previous)) != -2);
}

void SignalPipe::close() {
  if (write_fd_ < 0) return;
  const long previous = set_wakeup_fd(-1);
  if (previous >= 0 && previous != write_fd_) set_wakeup_fd(static_cast<int>(previous));
  PyErr_Clear();  // The interpreter may be past importing; then no handler will run either.
  ::close(std::exchange(write_fd_, -1));
  ::close(watch_.fd);
}

void SignalPipe::before_wait() {
  if (write_fd_ < 0 || !std::exchange(quiet_, false)) return;
  let_root_look();
}

void SignalPipe::let_root_look() {
  if (scheduler_.root().state() != Fiber::State::parked) return;
  scheduler_.interrupt(scheduler_.root());
}

void SignalPipe::on_readable(Op& op) noexcept {
  auto& watch = static_cast<Watch&>(op);
  if (watch.result < 0) return;
  // What was signalled is CPython's to know; here it only matters that something was.
  char numbers[64];
  while (::read(watch.fd, numbers, sizeof numbers) == sizeof numbers) {
  }
  watch.pipe->let_root_look();
  watch.pipe->scheduler_.hub().submit(watch);
}

}  // namespace greenwsgi::py
