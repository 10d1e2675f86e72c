// clock.hpp - the one notion of time below Python: CLOCK_MONOTONIC, as a type.
//
// Every deadline is an Instant, every length of time a Duration; a bare number is never a time. A
// Moment is neither: it only tells whether it is over.
#pragma once

#include <chrono>
#include <cstdint>

namespace greenwsgi {

using Clock = std::chrono::steady_clock;
using Instant = Clock::time_point;
using Duration = Clock::duration;  // Nanoseconds, 64 bits: 292 years.

/// "No deadline".
inline constexpr Instant kNever = Instant::max();

/// `from + length`, kNever when that is past the end of time.
constexpr Instant saturating_add(Instant from, Duration length) {
  return length >= kNever - from ? kNever : from + length;
}

/// One or two microseconds from begin(), asked about for less than a look at the clock costs: on
/// x86-64 in cycles of the processor's time stamp counter. One that has not begun does not last.
class Moment {
 public:
  static constexpr Duration kAtMost = std::chrono::microseconds(5);  // At 1 GHz.

  void begin() { begin_ = count(); }
  void end() { begin_ = 0; }
  bool lasts() const { return count() - begin_ < kLength; }

 private:
#ifdef __x86_64__
  static std::uint64_t count() {
    return __builtin_ia32_rdtsc();
  }
  static constexpr std::uint64_t kLength = 4096;
#else
  static std::uint64_t count() {
    return static_cast<std::uint64_t>(Clock::now().time_since_epoch().count());
  }
  static constexpr std::uint64_t kLength = 1500;
#endif
  std::uint64_t begin_ = 0;
};

}  // namespace greenwsgi
