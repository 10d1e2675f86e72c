// clock.hpp - the one notion of time below Python: CLOCK_MONOTONIC, as a type.
//
// Every deadline is an Instant, every length of time a Duration; a bare number is never a time.
#pragma once

#include <chrono>

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

}  // namespace greenwsgi
