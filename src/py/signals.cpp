#include "src/py/signals.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <utility>

#include "greenwsgi/base/signals_blocked.hpp"
#include "src/py/ref.hpp"
#include "src/py/runtime.hpp"
#include "src/py/runtime_state.hpp"

namespace greenwsgi::py {

namespace {

// signal.set_wakeup_fd(fd, warn_on_full_buffer=warns); -2: a Python error is set.
long set_wakeup_fd(int fd, bool warns = false) {
  static PyObject* function = nullptr;  // Kept: this may be in the middle of a switch.
  if (function == nullptr) {
    const Ref signal = Ref::steal(PyImport_ImportModule("signal"));
    if (signal) function = PyObject_GetAttrString(signal.get(), "set_wakeup_fd");
  }
  const Ref arguments = Ref::steal(Py_BuildValue("(i)", fd));
  const Ref keywords =
      Ref::steal(Py_BuildValue("{s:O}", "warn_on_full_buffer", warns ? Py_True : Py_False));
  if (function == nullptr || !arguments || !keywords) return -2;
  setting_wakeup_fd = true;
  const Ref previous = Ref::steal(PyObject_Call(function, arguments.get(), keywords.get()));
  setting_wakeup_fd = false;
  return previous ? PyLong_AsLong(previous.get()) : -2;
}

}  // namespace

bool SignalPipe::open() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0) {
    PyErr_SetFromErrno(PyExc_OSError);
    return false;
  }
  opened_ = this;
  write_fd_ = own_wakeup_fd = fds[1];
  watch_.pipe = this;
  watch_.kind = Op::Kind::poll;
  watch_.fd = fds[0];
  watch_.events = POLLIN;
  watch_.on_done = on_readable;
  scheduler_.hub().submit(watch_);
  const long previous = set_wakeup_fd(write_fd_);
  if (previous < 0) return previous == -1;
  return set_wakeup_fd(static_cast<int>(previous), wakeup_fd_warns) != -2;
}

void SignalPipe::close() {
  if (opened_ != this) return;
  const long previous = set_wakeup_fd(-1);
  if (previous >= 0 && previous != write_fd_) {
    set_wakeup_fd(static_cast<int>(previous), wakeup_fd_warns);
  }
  PyErr_Clear();  // The interpreter may be past importing; then no handler will run either.
  own_wakeup_fd = -1;
  opened_ = nullptr;
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

// --- Signals that a green has put off

namespace {

constexpr std::uint64_t bit_of(int number) {
  return std::uint64_t{1} << (number - 1);
}

// For how long a green may run on while a signal waits for the root.
constexpr Duration kSignalPatience = std::chrono::milliseconds(100);
Instant signal_waits_since;
std::uint64_t impatient_with = 0;  // The number of the last green that ran on for longer.

bool goes_on_and_on() {
  return impatient_with == own_ident() && turn_lasts() >= kSignalPatience;
}

// A pending call of CPython, which comes again until the root has run, or could have run and did
// not. What runs is not to be left here: as long as a pending call runs there is no other. So the
// signal comes again.
int look_for_put_off_signals(void*) {
  const Duration waits = Clock::now() - signal_waits_since;
  if (put_off_signals == 0 || waits - turn_lasts() >= kSignalPatience) return 0;
  if (waits >= kSignalPatience) {
    impatient_with = own_ident();
    send_put_off_signals();
  }
  Py_AddPendingCall(look_for_put_off_signals, nullptr);
  return 0;
}

}  // namespace

bool must_handle_signal(int number) {
  if (!can_switch() || Runtime::current()->running()->is_root()) return true;
  const bool put_off = (put_off_signals & bit_of(number)) != 0;
  // Sent again by us, or by a user: after the green has been made to let the root run, or before.
  return number == SIGINT && put_off != goes_on_and_on();
}

bool put_off_signal(int number) {
  if ((put_off_signals & bit_of(number)) != 0) {
    return !goes_on_and_on() || sleep_until(Instant::min());
  }
  if (put_off_signals == 0) {
    signal_waits_since = Clock::now();
    // If the queue is full the signal waits for the green, or comes again.
    Py_AddPendingCall(look_for_put_off_signals, nullptr);
  }
  put_off_signals |= bit_of(number);
  Scheduler& scheduler = Runtime::current()->scheduler();
  scheduler.interrupt(scheduler.root());
  return true;
}

void take_put_off_signal(int number) {
  put_off_signals &= ~bit_of(number);
}

void send_put_off_signals() {
  // The wakeup fd has had their bytes when they came. Signals that come meanwhile come afterwards.
  const SavedError error;
  const SignalsBlocked blocked;
  const long wakeup_fd = set_wakeup_fd(-1);
  for (int number = 1; number <= 64; number++) {
    if ((put_off_signals & bit_of(number)) != 0) PyErr_SetInterruptEx(number);
  }
  if (wakeup_fd >= 0) {
    const bool warns = wakeup_fd != own_wakeup_fd && wakeup_fd_warns;
    set_wakeup_fd(static_cast<int>(wakeup_fd), warns);
  }
  PyErr_Clear();  // The program has closed it: it gets nothing any more.
}

}  // namespace greenwsgi::py
