// signal_mask.hpp - which signals an OS thread blocks while each of its greens runs.
//
// A green has a mask as a thread has: its spawner's at first, then what it makes of it. All that is
// kept of it is a number, and a switch compares two. As long as nobody changes a mask through
// ThreadMask all have the same number, kThreadsMask, and nothing is ever asked of the kernel; what
// C code changes behind our back is then everybody's, as ever. Knows no green and no Python.
#pragma once

#include <signal.h>

#include <cstdint>

namespace greenwsgi::py {

/// The mask as the kernel has it, signal n at bit n - 1; or kThreadsMask.
using SignalMask = std::uint64_t;

/// What the thread blocked before any of its greens changed a mask. No mask has this bit.
inline constexpr SignalMask kThreadsMask = SignalMask{1} << (SIGKILL - 1);

/// What the kernel never blocks while a green runs, because a fault that is blocked ends the
/// process: the handler for stacks that overflow (overflow.hpp) must come to run.
inline constexpr SignalMask kFaults = SignalMask{1} << (SIGSEGV - 1);

SignalMask mask_of(const sigset_t& signals);

/// What the calling thread blocks now.
SignalMask kernel_mask() noexcept;

class ThreadMask {
 public:
  /// On the thread: has it block `wanted` from now on. True: it blocked something else.
  bool put(SignalMask wanted) noexcept {
    if (wanted == in_force_) [[likely]]
      return false;
    change(wanted);
    return true;
  }

  /// The code that runs now has set the kernel's mask to `value`, or is about to. By which name it
  /// goes.
  SignalMask choose(SignalMask value) noexcept;

 private:
  void change(SignalMask wanted) noexcept;

  SignalMask in_force_ = kThreadsMask;
  SignalMask threads_ = 0;  // What kThreadsMask stands for, while another one is in force.
};

}  // namespace greenwsgi::py
