// cancel(): before, while and after; exactly one end, and nothing that moved is lost.
#include <random>

#include "tests/unit/hub/rig.hpp"

using namespace greenwsgi;
using namespace greenwsgi::testing;

namespace {

/// Operations that will wait for ever on `ends` and `listener`, one of each kind that can.
std::vector<std::unique_ptr<TestOp>> waiting_ops(const Ends& ends,
                                                 const Ends& pipe,
                                                 const Listener& listener) {
  std::vector<std::unique_ptr<TestOp>> ops;
  ops.push_back(TestOp::recv(ends.a, 10));
  ops.push_back(TestOp::recv(ends.a, 10, MSG_WAITALL));
  ops.push_back(std::make_unique<TestOp>(Op::Kind::recv_multishot, ends.a));
  ops.push_back(std::make_unique<TestOp>(Op::Kind::poll, ends.a));
  ops.back()->events = POLLIN;
  ops.push_back(std::make_unique<TestOp>(Op::Kind::accept, listener.fd));
  ops.push_back(std::make_unique<TestOp>(Op::Kind::accept_multishot, listener.fd));
  ops.push_back(TestOp::read(pipe.a, 10));
  return ops;
}

}  // namespace

TEST_CASE_TEMPLATE("cancel: before the kernel has heard of the op", TypeParam, GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  for (const int flags : {0, int(SOCK_NONBLOCK)}) {
    Ends ends = stream_pair(flags), pipe = pipe_pair();
    Listener listener(flags);
    for (auto& op : waiting_ops(ends, pipe, listener)) {
      CAPTURE(static_cast<int>(op->kind));
      hub.submit(*op);
      hub.cancel(*op);
      CHECK(op->results.empty());
      CHECK(run(hub, *op));
      CHECK(op->results == std::vector<int>{-ECANCELED});
    }
  }
}

TEST_CASE_TEMPLATE("cancel: while the op waits, and twice", TypeParam, GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  for (const int flags : {0, int(SOCK_NONBLOCK)}) {
    Ends ends = stream_pair(flags), pipe = pipe_pair(flags != 0 ? O_NONBLOCK : 0);
    Listener listener(flags);
    for (auto& op : waiting_ops(ends, pipe, listener)) {
      CAPTURE(static_cast<int>(op->kind));
      hub.submit(*op);
      settle(hub);
      CHECK(op->in_flight);
      hub.cancel(*op);
      hub.cancel(*op);
      CHECK(run(hub, *op));
      CHECK(op->results == std::vector<int>{-ECANCELED});
    }
    CHECK(hub.in_flight() == 0);
  }
}

TEST_CASE_TEMPLATE("cancel: a connect that nobody answers", TypeParam, GW_REAL_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  Listener listener(0, 0);
  const Ends first{listener.connect(), -1};
  const Ends second{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), -1};
  TestOp op(Op::Kind::connect, second.a);
  op.address = reinterpret_cast<sockaddr*>(&listener.address);
  op.address_bytes = listener.bytes;
  hub.submit(op);
  settle(hub);

  cancel_and_run(hub, op);

  const bool expected = op.result == -ECANCELED || op.result == -EAGAIN;
  CHECK(expected);
}

TEST_CASE_TEMPLATE("cancel: after the bytes have come, they are reported or stay",
                   TypeParam,
                   GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  for (int i = 0; i < 50; ++i) {
    Ends ends = stream_pair();
    auto op = TestOp::recv(ends.a, 100);
    hub.submit(*op);
    if (i % 2 == 0) settle(hub);
    put(ends.b, "bytes");
    if (i % 3 == 0) hub.wait(hub.now() + 1ms);

    if (op->in_flight) hub.cancel(*op);

    CHECK(run(hub, *op));
    CHECK(op->ends == 1);
    CHECK(op->text + take(ends.a) == "bytes");
  }
}

TEST_CASE_TEMPLATE("cancel: a descriptor that was accepted is reported", TypeParam, GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  for (int i = 0; i < 50; ++i) {
    Listener listener;
    TestOp op(Op::Kind::accept, listener.fd);
    hub.submit(op);
    if (i % 2 == 0) settle(hub);
    Ends client{listener.connect(), -1};
    if (i % 3 == 0) hub.wait(hub.now() + 1ms);

    if (op.in_flight) hub.cancel(op);

    CHECK(run(hub, op));
    if (op.result >= 0)
      ::close(op.result);
    else
      CHECK(::close(::accept4(listener.fd, nullptr, nullptr, SOCK_NONBLOCK)) == 0);
  }
}

TEST_CASE_TEMPLATE("cancel: from inside another op's on_done", TypeParam, GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  Ends one = stream_pair(), two = stream_pair();
  auto first = TestOp::recv(one.a, 10);
  auto second = TestOp::recv(two.a, 10);
  const auto cancel_the_other = [&](TestOp& self) {
    TestOp& other = &self == first.get() ? *second : *first;
    if (other.in_flight) hub.cancel(other);
  };
  first->then = second->then = cancel_the_other;
  hub.submit(*first);
  hub.submit(*second);
  settle(hub);

  put(one.b, "1");
  put(two.b, "2");

  CHECK(run_until(hub, [&] { return hub.in_flight() == 0; }));
  CHECK(first->ends == 1);
  CHECK(second->ends == 1);
  CHECK(first->text + take(one.a) == "1");
  CHECK(second->text + take(two.a) == "2");
}

TEST_CASE_TEMPLATE("cancel: of one reader leaves the others", TypeParam, GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  Ends ends = stream_pair();
  std::vector<std::unique_ptr<TestOp>> readers;
  for (int i = 0; i < 3; ++i) hub.submit(*readers.emplace_back(TestOp::recv(ends.a, 1)));
  settle(hub);

  hub.cancel(*readers[1]);
  CHECK(run(hub, *readers[1]));
  put(ends.b, "xx");

  CHECK(run(hub, *readers[0]));
  CHECK(run(hub, *readers[2]));
  CHECK(readers[0]->text + readers[2]->text == "xx");
}

// Whatever the order of sends, cancels and turns: each stream's bytes arrive once, in order.
TEST_CASE_TEMPLATE("cancel: a storm of them loses and doubles nothing", TypeParam, GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  const unsigned seed = 7;
  CAPTURE(seed);
  std::mt19937 random(seed);
  constexpr std::size_t kStreams = 20;
  std::vector<Ends> ends;
  std::vector<std::unique_ptr<TestOp>> ops;
  std::vector<std::string> sent(kStreams);
  for (std::size_t i = 0; i < kStreams; ++i) {
    ends.push_back(stream_pair(i % 2 == 0 ? SOCK_NONBLOCK : 0));
    ops.push_back(i % 3 == 0 ? std::make_unique<TestOp>(Op::Kind::recv_multishot, ends[i].a)
                             : TestOp::recv(ends[i].a, 16));
  }

  for (int step = 0; step < 20000; ++step) {
    const std::size_t i = random() % kStreams;
    switch (random() % 4) {
      case 0: {
        const std::string piece = std::to_string(step) + ",";
        if (::send(ends[i].b, piece.data(), piece.size(), MSG_DONTWAIT) > 0) sent[i] += piece;
        break;
      }
      case 1:
        if (ops[i]->in_flight) hub.cancel(*ops[i]);
        break;
      case 2:
        if (!ops[i]->in_flight) hub.submit(*ops[i]);
        break;
      default:
        hub.wait(Instant{});
        hub.dispatch();
    }
  }
  for (auto& op : ops)
    if (op->in_flight) hub.cancel(*op);
  CHECK(run_until(hub, [&] { return hub.in_flight() == 0; }));

  for (std::size_t i = 0; i < kStreams; ++i) {
    std::string rest;
    for (std::string text = take(ends[i].a); !text.empty(); text = take(ends[i].a)) rest += text;
    CHECK(ops[i]->text + rest == sent[i]);
  }
}
