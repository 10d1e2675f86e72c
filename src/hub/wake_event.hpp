// wake_event.hpp - how another thread or a signal handler ends a hub's sleep: an eventfd, written
// at most once a sleep.
//
// raise() is the one function here that may run anywhere. What is to be found after a wake-up must
// be in place before raise(), and be looked for after lower(): then none is missed.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>

#include "greenwsgi/base/assert.hpp"

namespace greenwsgi {

class WakeEvent {
 public:
  /// `flags` as for eventfd(2). ok() is false when there is no descriptor left.
  explicit WakeEvent(int flags) : fd_(::eventfd(0, flags | EFD_CLOEXEC)) {}
  WakeEvent(const WakeEvent&) = delete;
  WakeEvent& operator=(const WakeEvent&) = delete;
  ~WakeEvent() {
    if (ok()) ::close(fd_);
  }

  bool ok() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  bool raised() const { return raised_.load(std::memory_order_acquire); }

  void raise() noexcept {
    if (raised_.exchange(true)) return;
    const int saved = errno;  // A signal handler must not change it.
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written =
        ::write(fd_, &one, sizeof one);  // Never full: see lower().
    errno = saved;
  }

  /// The count has been read from fd().
  void lower() { raised_.exchange(false); }

 private:
  int fd_;
  std::atomic<bool> raised_{false};
  static_assert(std::atomic<bool>::is_always_lock_free);
};

}  // namespace greenwsgi
