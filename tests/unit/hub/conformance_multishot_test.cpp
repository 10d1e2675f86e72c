// accept_multishot and recv_multishot: on and on, through floods and shortages, to the one last
// on_done().
#include "tests/unit/hub/rig.hpp"

using namespace greenwsgi;
using namespace greenwsgi::testing;

namespace {

void allow_descriptors(rlim_t wanted) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = std::min(wanted, limit.rlim_max);
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

TEST_CASE_TEMPLATE("accept_multishot: each connection comes once, until it is cancelled",
                   TypeParam,
                   GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  for (const int flags : {0, int(SOCK_NONBLOCK)}) {
    Listener listener(flags);
    TestOp op(Op::Kind::accept_multishot, listener.fd);
    op.flags = SOCK_CLOEXEC;
    std::vector<Ends> accepted, clients;
    op.then = [&](TestOp& self) {
      if (self.result >= 0) accepted.emplace_back(self.result, -1);
    };
    hub.submit(op);

    for (int round = 0; round < 10; ++round) {
      for (int i = 0; i < 30; ++i) clients.emplace_back(listener.connect(), -1);
      CHECK(run_until(hub, [&] { return accepted.size() == clients.size(); }));
      settle(hub);
    }

    CHECK(accepted.size() == 300);
    CHECK(op.in_flight);
    CHECK(op.ends == 0);
    cancel_and_run(hub, op);
    CHECK(op.result == -ECANCELED);
    CHECK(op.ends == 1);
  }
}

TEST_CASE_TEMPLATE("accept_multishot: running out of descriptors ends it with EMFILE",
                   TypeParam,
                   GW_REAL_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  Listener listener;
  TestOp op(Op::Kind::accept_multishot, listener.fd);
  Ends client{listener.connect(), -1};
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  const int lowest_free = ::dup(0);
  ::close(lowest_free);
  rlimit none = before;
  none.rlim_cur = static_cast<rlim_t>(lowest_free);
  ::setrlimit(RLIMIT_NOFILE, &none);

  hub.submit(op);
  const bool ended = run(hub, op);
  ::setrlimit(RLIMIT_NOFILE, &before);

  CHECK(ended);
  CHECK(op.result == -EMFILE);
  CHECK_FALSE(op.in_flight);
  op.ends = 0;
  hub.submit(op);  // The connection has been waiting.
  CHECK(run_until(hub, [&] { return op.results.size() == 2; }));
  CHECK(op.result >= 0);
  ::close(op.result);
  cancel_and_run(hub, op);
}

TEST_CASE_TEMPLATE("recv_multishot: pieces in their order, then the end, once",
                   TypeParam,
                   GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  for (const int flags : {0, int(SOCK_NONBLOCK)}) {
    Ends ends = stream_pair(flags);
    TestOp op(Op::Kind::recv_multishot, ends.a);
    hub.submit(op);
    std::string sent;
    for (int i = 0; i < 200; ++i) {
      const std::string piece = "piece " + std::to_string(i) + ";";
      put(ends.b, piece);
      sent += piece;
      if (i % 3 == 0) turn(hub, 1ms);
    }
    CHECK(run_until(hub, [&] { return op.text.size() == sent.size(); }));
    CHECK(op.text == sent);
    CHECK(op.in_flight);

    ends.close_b();

    CHECK(run(hub, op));
    CHECK(op.result == 0);
    settle(hub);
    CHECK(op.ends == 1);
    CHECK(hub.in_flight() == 0);
  }
}

TEST_CASE_TEMPLATE("recv_multishot: much at once arrives whole", TypeParam, GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  Ends ends = stream_pair();
  TestOp op(Op::Kind::recv_multishot, ends.a);
  hub.submit(op);
  std::string sent;
  for (int i = 0; sent.size() < 4'000'000; ++i) sent += std::to_string(i) + ",";
  std::size_t done = 0;

  CHECK(run_until(hub, [&] {
    const ssize_t bytes =
        ::send(ends.b, sent.data() + done, sent.size() - done, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (bytes > 0) done += static_cast<std::size_t>(bytes);
    return op.text.size() == sent.size();
  }));

  CHECK(op.text == sent);
  cancel_and_run(hub, op);
}

TEST_CASE_TEMPLATE("recv_multishot: thousands of connections with data at once",
                   TypeParam,
                   GW_REAL_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  allow_descriptors(12000);
  constexpr std::size_t kConnections = 4000;
  std::vector<Ends> ends;
  std::vector<std::unique_ptr<TestOp>> ops;
  for (std::size_t i = 0; i < kConnections; ++i) {
    ends.push_back(stream_pair());
    hub.submit(*ops.emplace_back(std::make_unique<TestOp>(Op::Kind::recv_multishot, ends[i].a)));
  }
  settle(hub);

  for (int round = 1; round <= 3; ++round) {
    for (std::size_t i = 0; i < kConnections; ++i) put(ends[i].b, std::to_string(i) + ";");
    CHECK(run_until(hub, [&] {
      for (std::size_t i = 0; i < kConnections; ++i)
        if (ops[i]->text.size() != (std::to_string(i).size() + 1) * std::size_t(round))
          return false;
      return true;
    }));
  }

  for (auto& op : ops) hub.cancel(*op);
  CHECK(run_until(hub, [&] { return hub.in_flight() == 0; }));
}

TEST_CASE_TEMPLATE("recv_multishot: a flood on one socket starves nobody",
                   TypeParam,
                   GW_REAL_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  Ends flooded = stream_pair(), quiet = stream_pair();
  const std::string block(100'000, 'f');
  const auto flood = [&] {
    while (::send(flooded.b, block.data(), block.size(), MSG_DONTWAIT) > 0) {
    }
  };
  TestOp big(Op::Kind::recv_multishot, flooded.a), small(Op::Kind::recv_multishot, quiet.a);
  big.then = [&](TestOp& self) {
    self.text.clear();
    flood();  // There is always more.
  };
  flood();
  hub.submit(big);
  hub.submit(small);
  put(quiet.b, "me too");

  for (int turns = 0; turns < 50 && small.text.empty(); ++turns) turn(hub, 1s);

  CHECK(small.text == "me too");
  big.then = nullptr;
  cancel_and_run(hub, big);
  cancel_and_run(hub, small);
}

TEST_CASE_TEMPLATE("multishot: cancelled inside on_done, ends once and loses no byte",
                   TypeParam,
                   GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  Ends ends = stream_pair();
  TestOp op(Op::Kind::recv_multishot, ends.a);
  op.then = [&](TestOp& self) {
    if (self.in_flight) hub.cancel(self);
  };
  hub.submit(op);
  settle(hub);
  put(ends.b, "first");

  CHECK(run(hub, op));
  put(ends.b, "second");
  settle(hub);

  CHECK(op.ends == 1);
  CHECK(op.results.back() == -ECANCELED);
  CHECK(op.text + take(ends.a) == "firstsecond");
}

TEST_CASE_TEMPLATE("multishot: an op that has ended may be submitted again at once",
                   TypeParam,
                   GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  Ends ends = stream_pair();
  TestOp op(Op::Kind::recv_multishot, ends.a);
  int left = 20;
  op.then = [&](TestOp& self) {
    if (!self.in_flight && --left > 0) hub.submit(self);
  };
  hub.submit(op);

  while (left > 0) {
    settle(hub);
    hub.cancel(op);
    const int before = op.ends;
    REQUIRE(run_until(hub, [&] { return op.ends > before; }));
  }

  CHECK(op.ends == 20);
  CHECK_FALSE(op.in_flight);
}
