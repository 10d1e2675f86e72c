// Moment: it ends, and stays ended.
#include "greenwsgi/base/clock.hpp"

#include <doctest/doctest.h>

using namespace greenwsgi;
using namespace std::chrono_literals;

TEST_CASE("a moment is over within a millisecond, and stays so") {
  bool lasted = false;
  for (int i = 0; i < 1000; i++) lasted = lasted || Moment().lasts();
  CHECK(lasted);

  const Moment moment;
  const Instant later = Clock::now() + 1ms;
  while (Clock::now() < later) {
  }
  CHECK_FALSE(moment.lasts());

  const Moment next;
  CHECK_FALSE(moment.lasts());
}
