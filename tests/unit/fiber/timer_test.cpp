// What TimerQueue promises: exact order, stopping in place, callbacks that start timers.
#include "greenwsgi/fiber/timer.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

using namespace greenwsgi;
using namespace std::chrono_literals;

namespace {

constexpr Instant kStart{};

struct Noted : Timer {
  Noted(int its_number, std::vector<int>& its_fired)
      : Timer([](Timer& timer) noexcept {
          auto& self = static_cast<Noted&>(timer);
          self.fired.push_back(self.number);
        }),
        number(its_number),
        fired(its_fired) {}
  int number;
  std::vector<int>& fired;
};

struct World {
  TimerQueue timers;
  std::vector<int> fired;
};

}  // namespace

TEST_CASE_FIXTURE(World, "timers fire in the order of their deadlines") {
  Noted third(3, fired), first(1, fired), second(2, fired);
  timers.start(third, kStart + 3s);
  timers.start(first, kStart + 1s);
  timers.start(second, kStart + 2s);

  timers.fire(kStart + 10s);

  CHECK(fired == std::vector{1, 2, 3});
  CHECK(timers.size() == 0);
}

TEST_CASE_FIXTURE(World, "timers with equal deadlines fire in the order they were started") {
  std::vector<std::unique_ptr<Noted>> many;
  std::vector<int> expected;
  for (int i = 0; i < 100; i++) {
    many.push_back(std::make_unique<Noted>(i, fired));
    timers.start(*many.back(), kStart + 1s);
    expected.push_back(i);
  }

  timers.fire(kStart + 1s);

  CHECK(fired == expected);
}

TEST_CASE_FIXTURE(World, "of timers with equal deadlines any may be stopped and started again") {
  std::vector<std::unique_ptr<Noted>> many;
  for (int i = 0; i < 6; i++) many.push_back(std::make_unique<Noted>(i, fired));
  for (auto& each : many) timers.start(*each, kStart + 1s);
  timers.stop(*many[0]);  // The first, one between, the last.
  timers.stop(*many[3]);
  timers.stop(*many[5]);
  timers.start(*many[0], kStart + 1s);
  CHECK(timers.size() == 4);

  timers.fire(kStart + 1s);

  CHECK(fired == std::vector{1, 2, 4, 0});
  CHECK(timers.size() == 0);
}

TEST_CASE_FIXTURE(World, "timers with equal deadlines fire in order whatever was started between") {
  std::vector<std::unique_ptr<Noted>> many;
  std::vector<int> expected;
  for (int i = 0; i < 300; i++) {
    many.push_back(std::make_unique<Noted>(i, fired));
    timers.start(*many.back(), kStart + std::chrono::nanoseconds(i % 100));
  }
  for (int i = 0; i < 300; i++) expected.push_back(i % 3 * 100 + i / 3);

  timers.fire(kStart + 1s);

  CHECK(fired == expected);
}

TEST_CASE_FIXTURE(World, "timers that are due may be fired some at a time, in the same order") {
  std::vector<std::unique_ptr<Noted>> many;
  for (int i = 0; i < 7; i++) {
    many.push_back(std::make_unique<Noted>(i, fired));
    timers.start(*many.back(), kStart + (i < 4 ? 1s : 2s));
  }

  timers.fire(kStart + 2s, 3);
  CHECK(fired == std::vector{0, 1, 2});
  timers.start(*many[0], kStart + 1s);  // Behind those with its deadline, before the later ones.
  timers.fire(kStart + 2s, 3);
  CHECK(fired == std::vector{0, 1, 2, 3, 0, 4});
  timers.fire(kStart + 2s, 3);

  CHECK(fired == std::vector{0, 1, 2, 3, 0, 4, 5, 6});
  CHECK(timers.size() == 0);
}

TEST_CASE_FIXTURE(World, "a callback may stop others with its deadline, and free them") {
  struct Stopper : Timer {
    explicit Stopper(World& its_world)
        : Timer([](Timer& timer) noexcept {
            World& world = static_cast<Stopper&>(timer).world;
            for (auto& each : static_cast<Stopper&>(timer).victims) world.timers.stop(*each);
            static_cast<Stopper&>(timer).victims.clear();
          }),
          world(its_world) {}
    World& world;
    std::vector<std::unique_ptr<Noted>> victims;
  } stopper(*this);
  Noted before(1, fired), after(2, fired);
  timers.start(before, kStart + 1s);
  timers.start(stopper, kStart + 1s);
  for (int i = 10; i < 14; i++) {
    stopper.victims.push_back(std::make_unique<Noted>(i, fired));
    timers.start(*stopper.victims.back(), kStart + 1s);
  }
  timers.start(after, kStart + 1s);

  timers.fire(kStart + 1s);

  CHECK(fired == std::vector{1, 2});
}

TEST_CASE_FIXTURE(World, "a timer does not fire before its time") {
  Noted timer(1, fired);
  timers.start(timer, kStart + 5s);

  timers.fire(kStart + 5s - 1ns);

  CHECK(fired.empty());
  CHECK(timer.pending());
  CHECK(timers.next() == kStart + 5s);
  timers.stop(timer);
}

TEST_CASE_FIXTURE(World, "a stopped timer never fires, and stopping it again is harmless") {
  Noted stays(1, fired), goes(2, fired);
  timers.start(stays, kStart + 1s);
  timers.start(goes, kStart + 1s);
  timers.stop(goes);
  timers.stop(goes);

  timers.fire(kStart + 2s);

  CHECK(fired == std::vector{1});
}

TEST_CASE_FIXTURE(World, "starting a pending timer moves it, and kNever stops it") {
  Noted moved(1, fired), never(2, fired), other(3, fired);
  timers.start(moved, kStart + 1s);
  timers.start(other, kStart + 2s);
  timers.start(moved, kStart + 3s);
  timers.start(never, kStart + 1s);
  timers.start(never, kNever);

  timers.fire(kStart + 4s);

  CHECK(fired == std::vector{3, 1});
  CHECK_FALSE(never.pending());
}

TEST_CASE_FIXTURE(World,
                  "a callback that starts its own timer in the past fires in the next call") {
  struct Again : Timer {
    explicit Again(TimerQueue& its_queue)
        : Timer([](Timer& timer) noexcept {
            auto& self = static_cast<Again&>(timer);
            self.count += 1;
            self.queue.start(self, kStart);
          }),
          queue(its_queue) {}
    TimerQueue& queue;
    int count = 0;
  } again(timers);
  timers.start(again, kStart);

  timers.fire(kStart + 1s);
  CHECK(again.count == 1);
  timers.fire(kStart + 1s);
  CHECK(again.count == 2);
  timers.stop(again);
}

TEST_CASE_FIXTURE(World,
                  "a hundred thousand random starts, moves and stops leave the order right") {
  std::mt19937_64 random(20261123);
  std::vector<std::unique_ptr<Noted>> many;
  std::vector<std::int64_t> deadline(2000, -1);
  for (int i = 0; i < 2000; i++) many.push_back(std::make_unique<Noted>(i, fired));
  for (int step = 0; step < 100'000; step++) {
    const auto i = static_cast<std::size_t>(random() % many.size());
    if (random() % 3 == 0) {
      timers.stop(*many[i]);
      deadline[i] = -1;
    } else {
      deadline[i] = static_cast<std::int64_t>(random() % 1'000'000);
      timers.start(*many[i], kStart + std::chrono::nanoseconds(deadline[i]));
    }
  }

  timers.fire(kStart + 1s);

  const auto pending = std::ranges::count_if(deadline, [](auto when) { return when >= 0; });
  REQUIRE(fired.size() == static_cast<std::size_t>(pending));
  for (std::size_t i = 1; i < fired.size(); i++) {
    const auto before = static_cast<std::size_t>(fired[i - 1]);
    const auto after = static_cast<std::size_t>(fired[i]);
    REQUIRE(deadline[before] <= deadline[after]);
  }
}

TEST_CASE("slack puts off by a 64th or a millisecond at most, and never calls early") {
  std::mt19937_64 random(7);
  for (int i = 0; i < 100'000; i++) {
    const Instant now = kStart + std::chrono::nanoseconds(random() % 1'000'000'000'000);
    const auto length = std::chrono::nanoseconds(random() % 100'000'000'000);
    const Instant end = with_slack(now, now + length);
    REQUIRE(end >= now + length);
    REQUIRE(end - (now + length) <= std::min<std::chrono::nanoseconds>(length / 64, 1049us));
  }
}

TEST_CASE("sleeps of the same length that begin within the slack end together") {
  const Instant now = kStart + 1s;

  CHECK(with_slack(now + 1us, now + 1us + 50ms) == with_slack(now + 20us, now + 20us + 50ms));
  CHECK(with_slack(now, kNever) == kNever);
  CHECK(with_slack(now, now) == now);
  CHECK(with_slack(now, now + 100ns) == now + 100ns);
}

TEST_CASE("room can be made for as many timers as memory is there for, and not for more") {
  TimerQueue queue;

  CHECK(queue.make_room(1000));
  CHECK(queue.make_room(1000));
#ifndef GREENWSGI_ASAN  // Which ends the process instead.
  CHECK_FALSE(queue.make_room(std::size_t{1} << 50));
#endif
  CHECK(queue.size() == 0);
}
