#include <poll.h>

#include <cerrno>

#include "tests/unit/io/io_world.hpp"

using namespace greenwsgi;
using namespace greenwsgi::testing;

namespace {

/// What an offloaded work does, and what became of it.
struct Work {
  int runs = 0;
  int discards = 0;
  static void run(void* self) noexcept { static_cast<Work*>(self)->runs += 1; }
  static void discard(void* self) noexcept { static_cast<Work*>(self)->discards += 1; }
};

}  // namespace

TEST_CASE("sleep_until returns at its time, not before") {
  IoWorld world;
  const Instant began = world.hub.now();
  CHECK(io::sleep_until(began + 3s).ok());
  CHECK(world.hub.now() == began + 3s);
  CHECK(io::sleep_until(began).ok());
  CHECK(world.hub.now() == began + 3s);
}

TEST_CASE("an interrupt ends a sleep early, with ECANCELED") {
  IoWorld world;
  const Instant began = world.hub.now();
  Fiber& fiber = world.spawn([&] {
    CHECK(error_of(io::sleep_until(began + 100s)) == ECANCELED);
    CHECK(world.hub.now() - began == 1s);
  });
  world.interrupt_after(1s, fiber);

  world.scheduler.run();

  CHECK(world.scheduler.timers() == 0);
}

TEST_CASE("an interrupt at the very time of waking does no harm") {
  for (std::uint64_t seed = 0; seed < 50; seed++) {
    IoWorld world(seed);
    const Instant when = world.hub.in(1s);
    Fiber& fiber = world.spawn([&] { (void)io::sleep_until(when).ok(); });
    world.interrupt_after(1s, fiber);
    world.scheduler.run();
    CHECK(world.scheduler.fibers_alive() == 0);
  }
}

TEST_CASE("poll: events that are there, events that come, deadlines, bad descriptors") {
  IoWorld world;
  const SimStream stream = world.hub.stream();
  stream.peer->sends("x", world.hub.in(1s));

  CHECK(*io::poll(stream.fd, POLLOUT) == POLLOUT);
  CHECK(error_of(io::poll(stream.fd, POLLIN, world.hub.in(500ms))) == ETIMEDOUT);
  CHECK(*io::poll(stream.fd, POLLIN) == POLLIN);
  stream.peer->closes(world.hub.now());
  CHECK(io::sleep_until(world.hub.in(1ms)).ok());
  CHECK((*io::poll(stream.fd, POLLIN) & POLLHUP) != 0);
  ::close(stream.fd);
  CHECK(error_of(io::poll(stream.fd, POLLIN)) == EBADF);
}

TEST_CASE(
    "offload runs the work once and returns when it is done; its argument stays the caller's") {
  IoWorld world;
  Work work;
  CHECK(io::offload(Work::run, &work, Work::discard).ok());
  CHECK(work.runs == 1);
  CHECK(work.discards == 0);
}

TEST_CASE("offload that is given up discards its argument, exactly once") {
  for (std::uint64_t seed = 0; seed < 200; seed++) {
    CAPTURE(seed);
    IoWorld world(seed);
    Work work;
    Status status = Done{};
    Fiber& fiber = world.spawn([&] { status = io::offload(Work::run, &work, Work::discard); });
    world.scheduler.interrupt(fiber);  // Before it began.

    world.scheduler.run();
    while (world.hub.in_flight() > 0) world.scheduler.yield();

    CHECK(error_of(status) == ECANCELED);
    CHECK(work.discards == 1);
    CHECK(work.runs <= 1);
  }
}

TEST_CASE("offload: a deadline gives the work up, on a real pool of threads") {
  struct Gate {
    std::atomic<bool> open{false};
    std::atomic<bool> discarded{false};
  } gate;
  const HubMade made = make_hub(HubChoice::automatic);
  REQUIRE(made.hub != nullptr);
  Scheduler scheduler(*made.hub);

  const Status status = io::offload(
      [](void* argument) noexcept { static_cast<Gate*>(argument)->open.wait(false); }, &gate,
      [](void* argument) noexcept { static_cast<Gate*>(argument)->discarded = true; },
      scheduler.now() + 20ms);

  CHECK(error_of(status) == ETIMEDOUT);
  CHECK_FALSE(gate.discarded);
  gate.open = true;
  gate.open.notify_all();
  while (!gate.discarded) CHECK(io::sleep_until(scheduler.now() + 1ms).ok());
}
