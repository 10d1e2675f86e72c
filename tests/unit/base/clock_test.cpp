// Moment: not yet, for a while, over.
#include "greenwsgi/base/clock.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace greenwsgi;
using namespace std::chrono_literals;

TEST_CASE("a moment lasts from its beginning, for less than a millisecond") {
  Moment moment;
  CHECK_FALSE(moment.lasts());

  bool lasted = false;
  for (int i = 0; i < 1000 && !lasted; i++) {
    moment.begin();
    lasted = moment.lasts();
  }
  CHECK(lasted);

  const Instant later = Clock::now() + 1ms;
  while (Clock::now() < later) {
  }
  CHECK_FALSE(moment.lasts());
}

TEST_CASE("a moment lasts no longer than it says") {
  Duration shortest = 1h;  // Of many: others may run in between.
  for (int i = 0; i < 1000; i++) {
    Moment moment;
    moment.begin();
    const Instant begun = Clock::now();
    Instant asked = begun;
    while (moment.lasts()) asked = Clock::now();
    shortest = std::min(shortest, asked - begun);
  }
  CHECK(shortest <= Moment::kAtMost);
}

TEST_CASE("a moment can be ended") {
  for (int i = 0; i < 1000; i++) {
    Moment moment;
    moment.begin();
    moment.end();
    REQUIRE_FALSE(moment.lasts());
  }
}
