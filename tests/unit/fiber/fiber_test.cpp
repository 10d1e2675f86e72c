// What Fiber and Scheduler promise: turns, parking, interrupts, messages, and what a switch carries
// along.
#include "greenwsgi/fiber/fiber.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <exception>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "greenwsgi/io/io.hpp"
#include "tests/support/sim_hub.hpp"

using namespace greenwsgi;
using namespace greenwsgi::testing;
using namespace std::chrono_literals;

namespace {

struct World {
  SimHub hub;
  Scheduler scheduler{hub};
  std::string order;

  template <class Body>
  Fiber& spawn(Body body) {
    Result<Fiber*> fiber = scheduler.spawn(body);
    REQUIRE(fiber.ok());
    return **fiber;
  }
};

// A wait that anybody may end.
struct Gate : Wait {
  explicit Gate(Scheduler& its_scheduler)
      : Wait{"gate",
             [](Wait& ended) noexcept {
               auto& self = static_cast<Gate&>(ended);
               self.cancelled = true;
               self.open();
             }},
        scheduler(its_scheduler) {}

  void pass() {
    waiter = scheduler.running();
    scheduler.park(*this);
  }
  void open() {
    if (waiter != nullptr) scheduler.unpark(*std::exchange(waiter, nullptr));
  }

  Scheduler& scheduler;
  Fiber* waiter = nullptr;
  bool cancelled = false;
};

}  // namespace

TEST_CASE_FIXTURE(World, "fibers run in the order they became ready") {
  spawn([this] { order += 'a'; });
  spawn([this] { order += 'b'; });
  spawn([this] { order += 'c'; });

  scheduler.run();

  CHECK(order == "abc");
  CHECK(scheduler.fibers_alive() == 0);
}

TEST_CASE_FIXTURE(World, "yield lets every other ready fiber have a turn") {
  for (const char name : {'a', 'b'}) {
    spawn([this, name] {
      for (int i = 0; i < 3; i++) {
        order += name;
        scheduler.yield();
      }
    });
  }

  scheduler.run();

  CHECK(order == "ababab");
}

TEST_CASE_FIXTURE(World, "the hub has its turn although fibers are always ready") {
  const SimStream stream = hub.stream();
  bool received = false;
  int turns = 0;
  spawn([&] {
    std::byte room[8];
    CHECK(io::recv(stream.fd, room).ok());
    received = true;
  });
  spawn([&] {
    for (; !received && turns < 100; turns++) {
      if (turns == 10) stream.peer->sends("x");
      scheduler.yield();
    }
  });

  scheduler.run();

  CHECK(received);
  CHECK(turns > 10);
  ::close(stream.fd);
}

TEST_CASE_FIXTURE(World, "timers have their turn although fibers are always ready") {
  bool rang = false;
  int turns = 0;
  spawn([&] {
    for (; !rang && turns < 100; turns++) scheduler.yield();
  });
  spawn([&] {
    CHECK(io::sleep_until(scheduler.now()).ok());
    rang = true;
  });

  scheduler.run();

  CHECK(rang);
}

TEST_CASE_FIXTURE(World, "the root fiber parks like any other") {
  Gate gate(scheduler);
  spawn([this, &gate] {
    order += 'a';
    gate.open();
  });

  gate.pass();
  order += 'r';

  CHECK(order == "ar");
  CHECK(scheduler.running() == &scheduler.root());
}

TEST_CASE_FIXTURE(World, "park says what a fiber waits for") {
  Gate gate(scheduler);
  Fiber& fiber = spawn([&gate] { gate.pass(); });
  scheduler.yield();

  CHECK(fiber.state() == Fiber::State::parked);
  CHECK(std::string(fiber.wait().what) == "gate");

  gate.open();
  scheduler.run();
}

TEST_CASE_FIXTURE(World, "an interrupt ends the present wait, once") {
  Gate gate(scheduler);
  bool interrupted = false;
  bool again = false;
  Fiber& fiber = spawn([&] {
    gate.pass();
    interrupted = scheduler.take_interrupt();
    again = scheduler.take_interrupt();
  });
  scheduler.yield();

  scheduler.interrupt(fiber);
  scheduler.run();

  CHECK(gate.cancelled);
  CHECK(interrupted);
  CHECK_FALSE(again);
}

TEST_CASE_FIXTURE(World, "an interrupt that comes before the wait ends it at once") {
  Gate gate(scheduler);
  Fiber& fiber = spawn([&] {
    gate.pass();
    CHECK(scheduler.take_interrupt());
  });

  scheduler.interrupt(fiber);
  scheduler.run();

  CHECK(gate.cancelled);
}

TEST_CASE_FIXTURE(World, "a wait that cannot be cancelled stays, and the interrupt stays pending") {
  Wait uncancellable{"something uninterruptible"};
  bool interrupted = false;
  Fiber& fiber = spawn([&] {
    scheduler.park(uncancellable);
    interrupted = scheduler.take_interrupt();
  });
  scheduler.yield();
  scheduler.interrupt(fiber);
  scheduler.yield();
  CHECK(fiber.state() == Fiber::State::parked);

  scheduler.unpark(fiber);
  scheduler.run();

  CHECK(interrupted);
}

TEST_CASE_FIXTURE(World, "messages run on the hub's stack, in the order they were posted") {
  struct Note : Message {
    World* world;
    char name;
  };
  const auto run = [](Message& message) noexcept {
    auto& self = static_cast<Note&>(message);
    self.world->order += self.name;
    self.world->order += self.world->scheduler.running() == nullptr ? '!' : '?';
  };
  Note a{{run}, this, 'a'}, b{{run}, this, 'b'};

  scheduler.post(a);
  scheduler.post(b);
  scheduler.yield();

  CHECK(order == "a!b!");
}

TEST_CASE("a message from another thread wakes a sleeping hub") {
  HubMade made = make_hub(HubChoice::automatic);
  REQUIRE(made.hub != nullptr);
  Scheduler scheduler(*made.hub);
  struct Knock : Message {
    Gate* gate;
  };
  Gate gate(scheduler);
  Knock knock{{[](Message& message) noexcept { static_cast<Knock&>(message).gate->open(); }},
              &gate};
  std::thread other([&] { scheduler.post(knock); });

  gate.pass();

  other.join();
  CHECK_FALSE(gate.cancelled);
}

TEST_CASE_FIXTURE(World, "each fiber has its own list of C++ exceptions being handled") {
  const auto rethrows = [this](const char* name) {
    try {
      throw std::runtime_error(name);
    } catch (...) {
      scheduler.yield();  // Another fiber throws and catches meanwhile.
      try {
        throw;
      } catch (const std::runtime_error& error) {
        order += error.what();
      }
    }
    CHECK(std::uncaught_exceptions() == 0);
  };
  spawn([&] { rethrows("a"); });
  spawn([&] { rethrows("b"); });

  scheduler.run();

  CHECK(order == "ab");
}

TEST_CASE_FIXTURE(World, "a fiber that begins amid another's catch block handles no exception") {
  bool clean = false;
  spawn([&] {
    try {
      throw std::runtime_error("mine");
    } catch (const std::runtime_error&) {
      spawn([&clean] { clean = std::current_exception() == nullptr; });
      scheduler.yield();
      CHECK(std::current_exception() != nullptr);
    }
  });

  scheduler.run();

  CHECK(clean);
}

TEST_CASE_FIXTURE(World, "the hooks see every switch of a fiber with local state, and only those") {
  static std::string seen;
  seen.clear();
  SchedulerHooks hooks;
  hooks.leave = [](void* local) noexcept { seen += *static_cast<char*>(local), seen += '-'; };
  hooks.enter = [](void* local) noexcept { seen += *static_cast<char*>(local), seen += '+'; };
  scheduler.set_hooks(hooks);
  char name = 'a';
  spawn([this, &name] {
    scheduler.running()->local = &name;
    scheduler.yield();
    scheduler.yield();
    scheduler.running()->local = nullptr;
    scheduler.yield();
  });
  spawn([this] { scheduler.yield(); });

  scheduler.run();

  CHECK(seen == "a-a+a-a+");
}

TEST_CASE_FIXTURE(World, "the sleep hooks enclose a wait that may sleep, and no other") {
  static int sleeps;
  sleeps = 0;
  SchedulerHooks hooks;
  hooks.before_wait = []() noexcept { sleeps += 1; };
  scheduler.set_hooks(hooks);
  spawn([this] {
    for (int i = 0; i < 10; i++) scheduler.yield();
  });
  scheduler.run();
  CHECK(sleeps == 0);

  spawn([this] { CHECK(io::sleep_until(scheduler.now() + 1s).ok()); });
  scheduler.run();
  CHECK(sleeps == 1);
}

TEST_CASE_FIXTURE(World, "run_now runs a fiber from a timer, before its turn") {
  struct Ring : Timer {
    explicit Ring(World& its_world)
        : Timer([](Timer& timer) noexcept {
            World& world = static_cast<Ring&>(timer).world;
            Fiber& late = world.spawn([&world] { world.order += 'l'; });
            Fiber& now = world.spawn([&world] { world.order += 'n'; });
            world.scheduler.run_now(now);
            world.order += '|';
            CHECK(late.state() == Fiber::State::ready);
          }),
          world(its_world) {}
    World& world;
  } ring(*this);
  scheduler.start(ring, scheduler.now());

  scheduler.yield();
  scheduler.run();

  CHECK(order == "n|l");
}

TEST_CASE_FIXTURE(World, "a fiber's stack is as deep as it says, below its reserve") {
  spawn([this] {
    const Fiber& self = *scheduler.running();
    std::byte here{};
    CHECK(self.reserve().size() == StackPool::kReserveBytes);
    CHECK(&here < self.reserve().data());
    CHECK(&here > self.stack_limit());
    const auto depth = static_cast<std::size_t>(self.reserve().data() - self.stack_limit());
    const std::size_t zone = scheduler.stacks().zone_bytes();
    CHECK(depth > StackPool::kDefaultBytes - StackPool::kReserveBytes - zone - 8192);
  });
  scheduler.run();
}

TEST_CASE_FIXTURE(World, "ten thousand fibers park at once and all come back") {
  int back = 0;
  for (int i = 0; i < 10'000; i++) {
    spawn([this, &back, i] {
      CHECK(io::sleep_until(scheduler.now() + std::chrono::milliseconds(i % 100)).ok());
      back += 1;
    });
  }
  scheduler.run();
  CHECK(back == 10'000);
}

TEST_CASE_FIXTURE(World, "a stack overflow is a fault in the guard, not silent corruption") {
  Fiber& fiber = spawn([this] { scheduler.yield(); });
  scheduler.yield();
  CHECK(scheduler.stacks().in_guard(fiber.stack_limit() - 1));
  CHECK_FALSE(scheduler.stacks().in_guard(fiber.stack_limit()));
  scheduler.run();
}

TEST_CASE_FIXTURE(World, "a fiber's yellow zone opens for an address in it, and once") {
  spawn([this] {
    Fiber& self = *scheduler.running();
    std::byte* zone = self.stack_limit() - scheduler.stacks().zone_bytes();
    CHECK_FALSE(self.open_yellow_zone(self.stack_limit()));
    CHECK_FALSE(self.open_yellow_zone(zone - 1));
    CHECK_FALSE(self.yellow_zone_open());

    CHECK(self.open_yellow_zone(zone));
    CHECK(self.yellow_zone_open());
    *zone = std::byte{1};
    CHECK_FALSE(self.open_yellow_zone(zone));

    CHECK(self.close_yellow_zone());
    CHECK_FALSE(self.yellow_zone_open());
    CHECK(self.open_yellow_zone(zone));
  });
  scheduler.run();
}

TEST_CASE_FIXTURE(World, "a stack whose zone was left open has it closed for the next fiber") {
  const std::byte* limit = nullptr;
  spawn([this, &limit] {
    Fiber& self = *scheduler.running();
    limit = self.stack_limit();
    CHECK(self.open_yellow_zone(limit - 1));
  });
  scheduler.run();
  spawn([this, limit] {
    Fiber& self = *scheduler.running();
    CHECK(self.stack_limit() == limit);
    CHECK_FALSE(self.yellow_zone_open());
    CHECK(self.open_yellow_zone(limit - 1));
    CHECK(self.close_yellow_zone());
  });
  scheduler.run();
}

TEST_CASE("the yellow zone of the thread's own stack is not ours to open") {
  SimHub hub;
  Scheduler scheduler(hub);
  CHECK_FALSE(scheduler.root().open_yellow_zone(nullptr));
}
