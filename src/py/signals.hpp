// signals.hpp - how a Unix signal reaches the main program while it is parked.
//
// CPython's C handler notes the signal and writes a byte to the "wakeup fd", which is ours unless
// the program has set one itself; the byte wakes the hub, which interrupts the root fiber, which
// runs the Python handlers on its own stack. A signal that comes while a green runs bytecode needs
// none of this: the interpreter handles it there, or, under the patch, puts it off until the root
// runs (src/patch/signal_hooks.cpp); a green that runs on and on is made to let it. Should another
// (asyncio does) have taken the wakeup fd and given it back to nobody, a sleep of the hub that a
// signal may have ended lets the root look as well. Only the main thread has one.
#pragma once

#include <cstdint>

#include "greenwsgi/fiber/fiber.hpp"

namespace greenwsgi::py {

class SignalPipe {
 public:
  explicit SignalPipe(Scheduler& scheduler) : scheduler_(scheduler) {}
  SignalPipe(const SignalPipe&) = delete;
  SignalPipe& operator=(const SignalPipe&) = delete;

  /// On the main thread. False: a Python error is set.
  bool open();
  /// The one that is open, or null. In the child of a fork, until it is closed, the parent's.
  static SignalPipe* opened() { return opened_; }

  /// Has the hub an operation of ours?
  bool watching() const { return watch_.in_flight; }

  // On the hub's stack.
  void after_wait() { quiet_ = true; }   // The hub has slept.
  void saw_python() { quiet_ = false; }  // Whoever runs Python runs signal handlers as well.
  void before_wait();

  /// Gives the wakeup fd back, and closes the pipe. The hub keeps its operation.
  void close();

 private:
  static void on_readable(Op& op) noexcept;
  static inline SignalPipe* opened_ = nullptr;

  struct Watch : Op {
    SignalPipe* pipe = nullptr;
  };
  void let_root_look();

  Scheduler& scheduler_;
  Watch watch_;
  int write_fd_ = -1;
  bool quiet_ = false;  // The hub slept, and no Python ran since.
};

/// What the program is not to see: it has set none. -1: there is none of ours.
inline int own_wakeup_fd = -1;
/// Of the one that the program has set.
inline bool wakeup_fd_warns = true;
/// It is this package that calls signal.set_wakeup_fd() now.
inline bool setting_wakeup_fd = false;

/// Bits of signals that the root is to handle when it runs. Only the main thread has any.
inline std::uint64_t put_off_signals = 0;
/// Has them come again.
void send_put_off_signals();

/// Must the signal (1 to 64) be handled here and now? On the root fiber, where nothing may switch,
/// and if it is a SIGINT that has come twice and the green has not waited since.
bool must_handle_signal(int number);
/// Has the signal come again as soon as the root fiber of the calling green's thread runs, and
/// wakes that if it waits; also when the green has run on for 0.1 s: then this switches, so that
/// the root runs. False: a Python error is set.
bool put_off_signal(int number);
/// The signal is handled now: it need not come again.
void take_put_off_signal(int number);

}  // namespace greenwsgi::py
