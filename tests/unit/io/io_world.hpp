// io_world.hpp - a scheduler on a simulated hub, and a fiber to call io from.
#pragma once

#include <doctest/doctest.h>
#include <unistd.h>

#include <string>
#include <string_view>

#include "greenwsgi/io/io.hpp"
#include "tests/support/sim_hub.hpp"

namespace greenwsgi::testing {

using namespace std::chrono_literals;

struct IoWorld {
  explicit IoWorld(std::uint64_t seed = 0) : hub(seed) {}

  template <class Body>
  Fiber& spawn(Body body) {
    const Result<Fiber*> fiber = scheduler.spawn(body);
    REQUIRE(fiber.ok());
    return **fiber;
  }
  /// Interrupts `fiber` after `time`.
  void interrupt_after(Duration time, Fiber& fiber) {
    hub.at(hub.in(time), [this, &fiber] {
      scheduler.interrupt(fiber);
      hub.wake();  // As whoever interrupts from outside of a turn must.
    });
  }

  SimHub hub;
  Scheduler scheduler{hub};
};

inline std::string_view text_of(io::ConstBytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// 0, or the errno.
template <class T>
int error_of(const Result<T>& result) {
  return result.ok() ? 0 : result.error().code;
}

}  // namespace greenwsgi::testing
