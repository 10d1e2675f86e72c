// What the switch, the spawn and the timers cost: nanoseconds an operation, median of nine rounds.
//
//   micro_fiber [ROUND_OPERATIONS]
//
// Pin it (taskset -c 1) and keep the machine quiet. Fibers without Python: the floor on which a
// green stands.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "greenwsgi/fiber/fiber.hpp"

using namespace greenwsgi;

namespace {

constexpr int kRounds = 9;

/// Prints the median of `round(operations)`, which returns how long so many took.
template <class Round>
void report(const char* what, long operations, Round round) {
  std::vector<double> ns;
  for (int i = 0; i < kRounds; i++) {
    const Duration length = round(operations);
    ns.push_back(static_cast<double>(length.count()) / static_cast<double>(operations));
  }
  std::sort(ns.begin(), ns.end());
  std::printf("%-44s %9.1f ns\n", what, ns[kRounds / 2]);
}

/// Runs `body` on a fiber and the scheduler until it has ended.
template <class Body>
Duration time_fibers(Scheduler& scheduler, int count, Body body) {
  for (int i = 0; i < count; i++) GW_ASSERT(scheduler.spawn(body).ok());
  const Instant began = Clock::now();
  scheduler.run();
  return Clock::now() - began;
}

void bench_switches(Scheduler& scheduler, long operations) {
  report("yield, 100 fibers (a switch pair)", operations, [&](long n) {
    return time_fibers(scheduler, 100, [&scheduler, n] {
      for (long i = 0; i < n / 100; i++) scheduler.yield();
    });
  });
  report("park and unpark, two fibers in turn", operations, [&](long n) {
    Fiber* sleeper = nullptr;
    return time_fibers(scheduler, 2, [&scheduler, &sleeper, n] {
      Wait wait{"its turn"};
      for (long i = 0; i < n / 2; i++) {
        if (sleeper != nullptr) scheduler.unpark(*std::exchange(sleeper, nullptr));
        sleeper = scheduler.running();
        scheduler.park(wait);
      }
      if (sleeper != nullptr) scheduler.unpark(*std::exchange(sleeper, nullptr));
    });
  });
}

void bench_spawns(Scheduler& scheduler, long operations) {
  report("spawn, run and end, one at a time", operations, [&](long n) {
    return time_fibers(scheduler, 1, [&scheduler, n] {
      for (long i = 0; i < n; i++) {
        GW_ASSERT(scheduler.spawn([] {}).ok());
        scheduler.yield();
      }
    });
  });
  report("spawn, run and end, 1000 at a time", operations, [&](long n) {
    return time_fibers(scheduler, 1, [&scheduler, n] {
      for (long i = 0; i < n; i++) {
        GW_ASSERT(scheduler.spawn([] {}).ok());
        if (i % 1000 == 999) scheduler.yield();
      }
    });
  });
}

void bench_timers(long operations, std::size_t pending) {
  TimerQueue queue;
  const auto nothing = [](Timer&) noexcept {};
  const Instant now = Clock::now();
  std::vector<std::unique_ptr<Timer>> others;
  for (std::size_t i = 0; i < pending; i++) {
    others.push_back(std::make_unique<Timer>(nothing));
    const auto spread = std::chrono::microseconds((i * 2654435761u) % 60'000'000u);
    queue.start(*others.back(), now + spread);
  }
  Timer timer(nothing);
  const auto add_and_cancel = [&](Duration in) {
    return [&queue, &timer, now, in](long n) {
      const Instant began = Clock::now();
      for (long i = 0; i < n; i++) {
        queue.start(timer, now + in);
        queue.stop(timer);
      }
      return Clock::now() - began;
    };
  };
  char what[80];
  std::snprintf(what, sizeof what, "timer, add behind and cancel, %zu pending", pending);
  report(what, operations, add_and_cancel(std::chrono::seconds(75)));
  std::snprintf(what, sizeof what, "timer, add in front and cancel, %zu pending", pending);
  report(what, operations, add_and_cancel(-std::chrono::seconds(1)));
  for (const auto& other : others) queue.stop(*other);
}

}  // namespace

int main(int argc, char** argv) {
  const long operations = argc > 1 ? std::atol(argv[1]) : 1'000'000;
  const HubMade made = make_hub(HubChoice::automatic);
  if (made.hub == nullptr || operations < 1000) return 1;
  std::printf("hub: %s\n", made.reason.c_str());
  Scheduler scheduler(*made.hub);
  bench_switches(scheduler, operations);
  bench_spawns(scheduler, operations);
  bench_timers(operations, 0);
  bench_timers(operations, 1'000'000);
}
