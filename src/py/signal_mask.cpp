#include "src/py/signal_mask.hpp"

#include <cstring>

namespace greenwsgi::py {

namespace {

// glibc's and musl's sets begin with the kernel's word; the rest of theirs means nothing.
sigset_t signals_of(SignalMask mask) {
  sigset_t signals;
  sigemptyset(&signals);
  std::memcpy(&signals, &mask, sizeof mask);
  return signals;
}

}  // namespace

SignalMask mask_of(const sigset_t& signals) {
  static_assert(sizeof(sigset_t) >= sizeof(SignalMask));
  SignalMask mask;
  std::memcpy(&mask, &signals, sizeof mask);
  return mask;
}

SignalMask kernel_mask() noexcept {
  sigset_t signals;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &signals);
  return mask_of(signals);
}

SignalMask ThreadMask::choose(SignalMask value) noexcept {
  if (in_force_ == kThreadsMask) threads_ = kernel_mask();
  in_force_ = value == threads_ ? kThreadsMask : value;
  return in_force_;
}

void ThreadMask::change(SignalMask wanted) noexcept {
  const sigset_t signals = signals_of(wanted == kThreadsMask ? threads_ : wanted);
  sigset_t before;
  ::pthread_sigmask(SIG_SETMASK, &signals, &before);
  if (in_force_ == kThreadsMask) threads_ = mask_of(before);
  in_force_ = wanted;
}

}  // namespace greenwsgi::py
