// When the hub has its turn, and when fibers go on without it.
#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "greenwsgi/fiber/fiber.hpp"

using namespace greenwsgi;
using namespace std::chrono_literals;

namespace {

// Has something to do only when it is told so.
struct IdleHub : Hub {
  void submit(Op&) override { FAIL("nothing is submitted here"); }
  void cancel(Op&) override { FAIL("nothing is submitted here"); }
  void wait(Instant) override { waits += 1; }
  void dispatch() override { is_idle = true; }
  bool idle() const override { return is_idle; }
  void wake() noexcept override {}
  Instant now() const override { return Clock::now(); }
  const char* name() const override { return "idle"; }

  bool is_idle = true;
  long waits = 0;
};

}  // namespace

TEST_CASE("a hub with nothing to do is left out by rounds that follow at once, not for long") {
  IdleHub hub;
  Scheduler scheduler(hub);
  std::string order;
  for (const char name : {'a', 'b'}) {
    REQUIRE(scheduler
                .spawn([&order, &scheduler, name] {
                  for (int i = 0; i < 100'000; i++) {
                    order += name;
                    scheduler.yield();
                  }
                })
                .ok());
  }

  scheduler.run();

  bool alternates = true;
  for (std::size_t i = 0; i < order.size(); i++) alternates &= order[i] == (i % 2 == 0 ? 'a' : 'b');
  CHECK(alternates);
  CHECK(order.size() == 200'000);
  CHECK(hub.waits > 10);
  CHECK(hub.waits < 100'000);
}

TEST_CASE("the only fiber that is ready stays where it is when the hub has nothing to do") {
  IdleHub hub;
  Scheduler scheduler(hub);

  const std::function<void(int)> yield_deep = [&](int depth) {
    if (depth > 0) yield_deep(depth - 1);
    if (depth == 0) scheduler.yield();
  };
  for (int i = 0; i < 1000; i++) yield_deep(i % 3);

  CHECK(hub.waits > 0);
  CHECK(hub.waits < 1000);
}

TEST_CASE("a hub that has something to do is asked before the next round") {
  IdleHub hub;
  Scheduler scheduler(hub);

  for (int i = 0; i < 1000; i++) {
    scheduler.yield();
    const long before = hub.waits;
    hub.is_idle = false;
    scheduler.yield();
    CHECK(hub.waits == before + 1);
  }
}

TEST_CASE("the very first yield gives the hub its turn, also when it has nothing to do") {
  for (int i = 0; i < 100; i++) {
    IdleHub hub;
    Scheduler scheduler(hub);

    scheduler.yield();

    CHECK(hub.waits == 1);
  }
}

TEST_CASE("a timer that is due rings before the next round, also when the hub has nothing to do") {
  struct Bell : Timer {
    Bell() : Timer([](Timer& timer) noexcept { static_cast<Bell&>(timer).rang = true; }) {}
    bool rang = false;
  };
  IdleHub hub;
  Scheduler scheduler(hub);
  Bell later;
  int left_out = 0;
  for (int i = 0; i < 1000; i++) {
    if (i == 500) scheduler.start(later, hub.now() + 1h);
    scheduler.yield();
    Bell bell;
    scheduler.start(bell, hub.now());
    scheduler.yield();
    REQUIRE(bell.rang);

    const long before = hub.waits;
    scheduler.yield();
    if (later.pending()) left_out += hub.waits == before ? 1 : 0;
  }
  CHECK(left_out > 0);
  scheduler.stop(later);
}

TEST_CASE("whom a callback runs comes back to it, before others run") {
  struct Ringing : Timer {
    explicit Ringing(Scheduler& its_scheduler)
        : Timer([](Timer& timer) noexcept { static_cast<Ringing&>(timer).ring(); }),
          scheduler(its_scheduler) {}
    void ring() noexcept {
      rings = true;
      scheduler.unpark(*waiter);
      scheduler.run_now(*waiter);
      rings = false;
    }
    void wait() {
      waiter = scheduler.running();
      scheduler.start(*this, scheduler.now());
      Wait wait{"the bell"};
      scheduler.park(wait);
    }
    Scheduler& scheduler;
    Fiber* waiter = nullptr;
    bool rings = false;
  };
  IdleHub hub;
  Scheduler scheduler(hub);
  Ringing timer(scheduler);
  bool done = false;
  int amid = 0;
  const auto other = [&] {
    for (; !done; scheduler.yield()) amid += timer.rings ? 1 : 0;
  };
  REQUIRE(scheduler.spawn(other).ok());
  REQUIRE(scheduler
              .spawn([&] {
                for (int i = 0; i < 1000; i++) {
                  timer.wait();
                  scheduler.yield();
                }
                done = true;
              })
              .ok());

  scheduler.run();

  CHECK(amid == 0);
}

TEST_CASE("a message is run before the next round, also when the hub has nothing to do") {
  struct Note : Message {
    bool ran = false;
  };
  IdleHub hub;
  Scheduler scheduler(hub);

  for (int i = 0; i < 1000; i++) {
    Note note;
    note.run = [](Message& message) noexcept { static_cast<Note&>(message).ran = true; };
    scheduler.post(note);
    scheduler.yield();
    REQUIRE(note.ran);
  }
}

namespace {

// A fiber that sleeps until `when`, and notes in which turn of the hub it went on.
void spawn_sleeper(Scheduler& scheduler, IdleHub& hub, Instant when, std::vector<long>& turns) {
  struct Alarm : Timer {
    explicit Alarm(Fiber& its_fiber)
        : Timer([](Timer& timer) noexcept {
            Fiber& fiber = static_cast<Alarm&>(timer).fiber;
            fiber.scheduler().unpark(fiber);
          }),
          fiber(its_fiber) {}
    Fiber& fiber;
  };
  REQUIRE(scheduler
              .spawn([&scheduler, &hub, &turns, when] {
                Alarm alarm(*scheduler.running());
                scheduler.start(alarm, when);
                Wait wait{"its alarm"};
                scheduler.park(wait);
                turns.push_back(hub.waits);
              })
              .ok());
}

}  // namespace

TEST_CASE("of thousands of sleepers that are due together some run before the hub is asked again") {
  IdleHub hub;
  Scheduler scheduler(hub);
  std::vector<long> turns;
  const Instant when = hub.now() + 1ms;
  for (int i = 0; i < 4000; i++) spawn_sleeper(scheduler, hub, when, turns);

  scheduler.run();

  REQUIRE(turns.size() == 4000);
  CHECK(std::is_sorted(turns.begin(), turns.end()));
  for (std::size_t i = 0; i < 1900; i += 100) CHECK(turns[i] < turns[i + 100]);
  CHECK(turns.back() - turns.front() < 400);  // But not one by one.
}

TEST_CASE(
    "of thousands of sleepers that are due together all run in one turn when others are ready") {
  IdleHub hub;
  Scheduler scheduler(hub);
  std::vector<long> turns;
  const Instant when = hub.now() + 1ms;
  for (int i = 0; i < 4000; i++) spawn_sleeper(scheduler, hub, when, turns);
  REQUIRE(scheduler
              .spawn([&] {
                while (turns.empty()) scheduler.yield();
              })
              .ok());

  scheduler.run();

  REQUIRE(turns.size() == 4000);
  CHECK(turns.front() == turns.back());
}
