// wait(), dispatch() and wake(): when a hub sleeps, what ends its sleep, and that submit() and
// wait() run no callback.
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <algorithm>
#include <thread>

#include "tests/unit/hub/rig.hpp"

using namespace greenwsgi;
using namespace greenwsgi::testing;

namespace {

Hub* signalled_hub = nullptr;
volatile sig_atomic_t signalled = 0;

/// Sends SIGALRM in `milliseconds`, and each second after that: one that comes just before a wait
/// does not end it. The timer belongs to the test.
struct SignalSoon {
  explicit SignalSoon(int milliseconds, void (*handler)(int)) {
    signalled = 0;
    struct sigaction action {};
    action.sa_handler = handler;
    ::sigaction(SIGALRM, &action, &before);
    itimerval timer{};
    timer.it_value.tv_usec = milliseconds * 1000;
    timer.it_interval.tv_sec = 1;
    ::setitimer(ITIMER_REAL, &timer, nullptr);
  }
  ~SignalSoon() {
    const itimerval never{};
    ::setitimer(ITIMER_REAL, &never, nullptr);
    ::sigaction(SIGALRM, &before, nullptr);
  }
  struct sigaction before {};
};

/// A machine's own pauses do not come five times in a row.
template <class Work>
Duration shortest_of_five(Hub& hub, Work work) {
  Duration shortest = Duration::max();
  for (int i = 0; i < 5; ++i) {
    const Instant before = hub.now();
    work();
    shortest = std::min(shortest, hub.now() - before);
  }
  return shortest;
}

}  // namespace

TEST_CASE_TEMPLATE("wait: sleeps until its time has come, not shorter", TypeParam, GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);

  for (const Duration length : {Duration(300us), Duration(1ms), Duration(7ms)}) {
    const Instant until = hub.now() + length;
    int waits = 0;
    for (; hub.now() < until; ++waits) hub.wait(until);
    // Each ring of an earlier test interrupts this thread once, when the kernel is done with it;
    // who does not sleep at all comes to hundreds.
    CHECK(waits <= 20);
    CHECK(hub.now() < until + 5s);
  }
}

TEST_CASE_TEMPLATE("wait: does not sleep when its time is not in the future", TypeParam, GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);

  const Duration took = shortest_of_five(hub, [&] {
    for (int i = 0; i < 100; ++i) hub.wait(i % 2 == 0 ? Instant{} : hub.now());
  });

  CHECK(took < 50ms);
}

TEST_CASE_TEMPLATE("idle: no hub is that has something to pass on, or to report",
                   TypeParam,
                   GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  Ends ends = stream_pair();
  const auto op = TestOp::recv(ends.a, 1);
  const auto other = TestOp::recv(ends.a, 1);

  hub.submit(*op);
  CHECK_FALSE(hub.idle());  // Not handed over yet.
  settle(hub);
  put(ends.b, "x");
  CHECK_FALSE(hub.idle());  // Done, as far as the kernel is concerned.
  hub.wait(kNever);
  CHECK_FALSE(hub.idle());  // Not dispatched yet.
  CHECK(run(hub, *op));

  hub.submit(*other);
  settle(hub);
  hub.cancel(*other);
  CHECK_FALSE(hub.idle());
  CHECK(run_until(hub, [&] { return !other->in_flight; }));
  hub.wake();
  CHECK_FALSE(hub.idle());
}

TEST_CASE_TEMPLATE("wait: does not sleep until the beginning of time", TypeParam, GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);

  const Duration took = shortest_of_five(hub, [&] {
    hub.wait(Instant::min());
    // A hub that has just asked the kernel may not ask again: here it has not.
    for (const Instant last = Clock::now(); Clock::now() < last + 1ms;) continue;
    hub.wait(Instant::min());
  });

  CHECK(took < 50ms);
}

TEST_CASE_TEMPLATE("submit and wait: run no callback; dispatch does", TypeParam, GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  Ends ends = stream_pair();
  put(ends.b, "ready");
  auto op = TestOp::recv(ends.a, 5);

  hub.submit(*op);
  CHECK(op->results.empty());
  CHECK(op->in_flight);
  CHECK(hub.in_flight() == 1);
  hub.wait(kNever);
  CHECK(op->results.empty());

  CHECK(run(hub, *op));
  CHECK_FALSE(op->in_flight);
  CHECK(hub.in_flight() == 0);
}

TEST_CASE_TEMPLATE("submit: a refusal comes through on_done too", TypeParam, GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  Ends ends = pipe_pair();
  auto not_a_socket = TestOp::recv(ends.a, 5);
  put(ends.b, "x");

  hub.submit(*not_a_socket);
  CHECK(not_a_socket->results.empty());

  CHECK(run(hub, *not_a_socket));
  CHECK(not_a_socket->result == -ENOTSOCK);
}

TEST_CASE_TEMPLATE("submit: a bad descriptor is EBADF for every kind", TypeParam, GW_REAL_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  const int closed = ::dup(0);
  ::close(closed);
  sockaddr_un address{};
  using enum Op::Kind;
  for (const Op::Kind kind :
       {accept, accept_multishot, connect, recv, recv_multishot, send, read, write, poll, close}) {
    for (const int fd : {closed, -1}) {
      CAPTURE(static_cast<int>(kind));
      CAPTURE(fd);
      auto op = TestOp::sending(kind, fd, "room");
      if (kind == connect) op->address = reinterpret_cast<sockaddr*>(&address);
      if (kind == connect) op->address_bytes = sizeof address;
      if (kind == poll) op->events = POLLIN;
      hub.submit(*op);
      CHECK(run(hub, *op));
      CHECK(op->result == -EBADF);
    }
  }
}

TEST_CASE_TEMPLATE("on_done: may submit the same op, and others", TypeParam, GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  Ends ends = stream_pair();
  put(ends.b, "abc");
  auto op = TestOp::recv(ends.a, 1);
  auto other = TestOp::sending(Op::Kind::send, ends.a, "r");
  op->then = [&](TestOp& self) {
    if (self.text.size() < 3) hub.submit(self);
    if (self.text.size() == 3) hub.submit(*other);
  };

  hub.submit(*op);

  CHECK(run(hub, *other));
  CHECK(op->text == "abc");
  CHECK(take(ends.b) == "r");
}

TEST_CASE_TEMPLATE("dispatch: is bounded when a callback always has more", TypeParam, GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  Ends ends = stream_pair();
  auto op = std::make_unique<TestOp>(Op::Kind::poll, ends.a);
  op->events = POLLOUT;
  op->then = [&](TestOp& self) { hub.submit(self); };
  hub.submit(*op);

  for (int i = 0; i < 50; ++i) turn(hub, 1s);

  CHECK(op->ends > 5);
  CHECK(op->ends <= 60);
  op->then = nullptr;
  cancel_and_run(hub, *op);
}

TEST_CASE_TEMPLATE("wake: before wait() ends the next one", TypeParam, GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);

  for (int i = 0; i < 100; ++i) {
    hub.wake();
    hub.wake();
    const Instant before = hub.now();
    hub.wait(before + 5s);
    hub.dispatch();
    CHECK(hub.now() < before + 1s);
  }
}

TEST_CASE_TEMPLATE("wake: one wake-up ends one sleep", TypeParam, GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  int ended_early = 0;

  for (int round = 0; round < 5; ++round) {
    hub.wake();
    turn(hub, 1s);
    const Instant before = hub.now();
    int waits = 0;
    for (; hub.now() < before + 20ms; ++waits) turn(hub, 20ms);
    ended_early += waits > 2 ? 1 : 0;
  }

  CHECK(ended_early <= 1);  // A signal may end a sleep, or work that the kernel has.
}

TEST_CASE_TEMPLATE("wake: from another thread, none is missed", TypeParam, GW_REAL_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  constexpr int kRounds = 20000;
  std::atomic<int> sent{0}, seen{0};
  std::thread other([&] {
    for (int i = 1; i <= kRounds; ++i) {
      sent = i;
      hub.wake();
      while (seen < i) std::this_thread::yield();
    }
  });

  const Instant give_up = hub.now() + 30s;
  while (seen < kRounds && hub.now() < give_up) {
    hub.wait(give_up);
    hub.dispatch();
    seen = sent.load();
  }

  CHECK(hub.now() < give_up);
  seen = kRounds;
  other.join();
}

TEST_CASE_TEMPLATE("wake: from several threads at once", TypeParam, GW_REAL_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  std::atomic<int> running{4};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int round = 0; round < 5000; ++round) hub.wake();
      --running;
      hub.wake();
    });

  CHECK(run_until(hub, [&] { return running == 0; }));

  for (std::thread& thread : threads) thread.join();
}

TEST_CASE_TEMPLATE("wake: from a signal handler", TypeParam, GW_REAL_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  signalled_hub = &hub;
  const SignalSoon soon(20, [](int) {
    signalled = 1;
    signalled_hub->wake();
  });
  const Instant before = hub.now();

  while (signalled == 0) hub.wait(before + 10s);
  hub.wait(before + 10s);  // The signal ended the last, its wake() ends this one.
  hub.dispatch();

  CHECK(hub.now() - before < 5s);
}

TEST_CASE_TEMPLATE("wait: a signal ends it, and costs nothing that was done",
                   TypeParam,
                   GW_REAL_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  Ends ends = stream_pair();
  auto op = TestOp::recv(ends.a, 5);
  hub.submit(*op);
  const SignalSoon soon(20, [](int) { signalled = 1; });
  const Instant before = hub.now();

  while (signalled == 0) turn(hub, 10s);

  CHECK(hub.now() - before < 5s);
  CHECK(op->in_flight);
  put(ends.b, "after");
  CHECK(run(hub, *op));
  CHECK(op->text == "after");
}

TEST_CASE_TEMPLATE("wait: a signal ends one that has no end and hands something over",
                   TypeParam,
                   GW_REAL_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  const Ends ends = stream_pair();
  bool first_ends_it = false;

  // The first may be lost, then the second ends the wait.
  for (int tries = 0; tries < 5 && !first_ends_it; ++tries) {
    TestOp op(Op::Kind::poll, ends.a);
    op.events = POLLIN;
    const SignalSoon soon(20, [](int) { signalled = signalled + 1; });
    hub.submit(op);
    while (signalled == 0) {
      hub.wait(kNever);
      hub.dispatch();
    }
    first_ends_it = signalled == 1;
    CHECK(op.in_flight);
    hub.cancel(op);
    CHECK(run(hub, op));
  }

  CHECK(first_ends_it);
}

TEST_CASE_TEMPLATE("fork: a hub destroyed in the child leaves the parent's alone",
                   TypeParam,
                   GW_REAL_HUBS) {
  auto made = TypeParam::make();
  if (made == nullptr) return;
  Ends ends = stream_pair();
  auto op = TestOp::recv(ends.a, 5);
  auto work = std::make_unique<TestOp>(Op::Kind::offload, -1);
  work->work = [](Op& self) noexcept { self.result = 1; };
  made->submit(*work);
  CHECK(run(*made, *work));  // There is a native thread now, which the child will not have.
  made->submit(*op);
  settle(*made);

  const pid_t child = ::fork();
  if (child == 0) {
    made.reset();
    auto own = TypeParam::make();
    own->wake();
    own->wait(kNever);
    ::_exit(0);
  }
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);

  CHECK(status == 0);
  put(ends.b, "still");
  CHECK(run(*made, *op));
  CHECK(op->text == "still");
}
