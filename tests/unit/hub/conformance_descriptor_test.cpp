// close, reuse of descriptor numbers, many operations at once, and offload.
#include <signal.h>

#include <thread>

#include "tests/unit/hub/rig.hpp"

using namespace greenwsgi;
using namespace greenwsgi::testing;

TEST_CASE_TEMPLATE("close: closes, once", TypeParam, GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  Ends ends = stream_pair();
  TestOp op(Op::Kind::close, ends.a);

  hub.submit(op);
  CHECK(run(hub, op));

  CHECK(op.result == 0);
  CHECK(::fcntl(ends.a, F_GETFD) == -1);
  ends.a = -1;
}

TEST_CASE_TEMPLATE("close and reuse: a number's new owner gets its own events only",
                   TypeParam,
                   GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  for (int i = 0; i < 10000; ++i) {
    Ends ends = stream_pair();
    const int number = ends.a;
    auto op = TestOp::recv(ends.a, 10);
    TestOp multishot(Op::Kind::recv_multishot, ends.a);
    TestOp& used = i % 2 == 0 ? *op : multishot;
    hub.submit(used);
    if (i % 4 < 2) turn(hub, 0ms);
    if (i % 3 != 0) put(ends.b, "late");  // Arrives for one that does not wait any more.
    hub.cancel(used);
    REQUIRE(run_until(hub, [&] { return !used.in_flight; }));
    if (i % 5 != 0) {
      ends.close_a();  // Behind the hub's back.
    } else {
      TestOp closing(Op::Kind::close, std::exchange(ends.a, -1));
      hub.submit(closing);
      REQUIRE(run(hub, closing));
    }

    Ends reused = stream_pair();
    REQUIRE(reused.a == number);
    auto fresh = TestOp::recv(reused.a, 10);
    hub.submit(*fresh);
    if (i % 100 == 0) settle(hub);
    REQUIRE(fresh->results.empty());
    put(reused.b, "mine");
    REQUIRE(run(hub, *fresh));
    REQUIRE(fresh->text == std::string("mine").substr(0, fresh->text.size()));
  }
}

TEST_CASE_TEMPLATE("close and reuse: a copy of the old descriptor that lives on disturbs nobody",
                   TypeParam,
                   GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  Ends old = stream_pair();
  const int number = old.a;
  auto op = TestOp::recv(old.a, 10);
  hub.submit(*op);
  settle(hub);
  cancel_and_run(hub, *op);
  const int copy = ::dup(old.a);
  old.close_a();
  Ends reused = stream_pair();
  REQUIRE(reused.a == number);
  auto fresh = TestOp::recv(reused.a, 10);
  hub.submit(*fresh);

  put(old.b, "for the copy");
  settle(hub);
  CHECK(fresh->in_flight);
  put(reused.b, "x");

  CHECK(run(hub, *fresh));
  CHECK(fresh->text == "x");
  ::close(copy);
}

TEST_CASE_TEMPLATE("many: more operations at once than any ring has entries",
                   TypeParam,
                   GW_REAL_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  Ends ends = stream_pair();
  std::vector<std::unique_ptr<TestOp>> ops;
  for (int i = 0; i < 20000; ++i) {
    ops.push_back(std::make_unique<TestOp>(Op::Kind::poll, ends.a));
    ops.back()->events = POLLIN;
    hub.submit(*ops.back());
  }
  settle(hub);
  CHECK(hub.in_flight() == 20000);

  put(ends.b, "x");

  CHECK(run_until(hub, [&] { return hub.in_flight() == 0; }));
  for (auto& op : ops) REQUIRE(op->results == std::vector<int>{POLLIN});
}

TEST_CASE_TEMPLATE("offload: runs elsewhere, with signals blocked, and reports",
                   TypeParam,
                   GW_REAL_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  static std::thread::id where;
  static bool blocked;
  TestOp op(Op::Kind::offload, -1);
  op.work = [](Op& self) noexcept {
    where = std::this_thread::get_id();
    sigset_t mask;
    ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    blocked = sigismember(&mask, SIGINT) == 1 && sigismember(&mask, SIGCHLD) == 1;
    self.result = 99;
  };

  hub.submit(op);
  CHECK(run(hub, op));

  CHECK(op.result == 99);
  CHECK(where != std::this_thread::get_id());
  CHECK(blocked);
}

TEST_CASE_TEMPLATE("offload: hundreds at once, each once", TypeParam, GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  std::vector<std::unique_ptr<TestOp>> ops;
  for (int i = 0; i < 500; ++i) {
    ops.push_back(std::make_unique<TestOp>(Op::Kind::offload, i));
    ops.back()->work = [](Op& self) noexcept { self.result = self.fd * 2; };
    hub.submit(*ops.back());
  }

  CHECK(run_until(hub, [&] { return hub.in_flight() == 0; }));

  for (int i = 0; i < 500; ++i) REQUIRE(ops[std::size_t(i)]->results == std::vector<int>{i * 2});
}

TEST_CASE_TEMPLATE("offload: cancelled, it has run to its end or never", TypeParam, GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  static std::atomic<int> runs;
  runs = 0;
  std::vector<std::unique_ptr<TestOp>> ops;
  for (int i = 0; i < 200; ++i) {
    ops.push_back(std::make_unique<TestOp>(Op::Kind::offload, -1));
    ops.back()->work = [](Op& self) noexcept {
      ++runs;
      self.result = 1;
    };
    hub.submit(*ops.back());
  }
  for (auto& op : ops) hub.cancel(*op);

  CHECK(run_until(hub, [&] { return hub.in_flight() == 0; }));

  int reported = 0;
  for (auto& op : ops) {
    REQUIRE(op->results.size() == 1);
    REQUIRE((op->result == 1 || op->result == -ECANCELED));
    reported += op->result == 1;
  }
  CHECK(reported == runs);
}
