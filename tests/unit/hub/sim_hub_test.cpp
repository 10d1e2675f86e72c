// The simulated hub's own promises: its clock, its script, its dice.
#include "tests/unit/hub/rig.hpp"

using namespace greenwsgi;
using namespace greenwsgi::testing;

TEST_CASE("simulation: time moves only in wait(), straight to what happens next") {
  SimHub hub;
  const Ends own{hub.stream().fd, -1};
  SimStream stream = hub.stream();
  const Ends code{stream.fd, -1};
  const Instant start = hub.now();
  stream.peer->sends("after an hour", hub.in(1h));
  auto op = TestOp::recv(stream.fd, 100);

  hub.submit(*op);
  CHECK(hub.now() == start);
  hub.wait(kNever);
  CHECK(hub.now() == start + 1h);
  hub.dispatch();

  CHECK(op->text == "after an hour");
}

TEST_CASE("simulation: a listener's clients, what they send and what they receive") {
  SimHub hub;
  const Ends listener{hub.listener(), -1};
  SimPeer& client = hub.connects(listener.a, hub.in(5ms));
  client.sends("question", hub.in(6ms));
  TestOp accepting(Op::Kind::accept, listener.a);
  hub.submit(accepting);
  REQUIRE(run(hub, accepting));
  Ends connection{accepting.result, -1};

  auto receiving = TestOp::recv(connection.a, 100);
  hub.submit(*receiving);
  CHECK(run(hub, *receiving));
  auto sending = TestOp::sending(Op::Kind::send, connection.a, "answer");
  hub.submit(*sending);
  CHECK(run(hub, *sending));
  connection.close_a();

  CHECK(receiving->text == "question");
  CHECK(client.received() == "answer");
  CHECK(client.saw_end());
}

TEST_CASE("simulation: a connect is answered when the script says so, or never") {
  SimHub hub;
  const Ends sockets{hub.socket(), hub.socket()};
  SimPeer& upstream = hub.answers_connect(sockets.a, hub.in(3ms));
  hub.answers_connect(sockets.b, kNever);
  TestOp answered(Op::Kind::connect, sockets.a), ignored(Op::Kind::connect, sockets.b);
  hub.submit(answered);
  hub.submit(ignored);

  CHECK(run(hub, answered));
  CHECK(answered.result == 0);
  put(sockets.a, "hello");
  CHECK(upstream.received() == "hello");
  hub.wait(hub.in(1h));
  CHECK(ignored.in_flight);
  cancel_and_run(hub, ignored);
}

TEST_CASE("simulation: a peer that stops reading stops the sender") {
  SimHub hub;
  SimStream stream = hub.stream(4096);
  const Ends code{stream.fd, -1};
  stream.peer->stops_reading(hub.now());
  stream.peer->reads_again(hub.in(2s));
  hub.wait(hub.now());
  const std::string block(4096, 'x');
  while (::send(stream.fd, block.data(), block.size(), MSG_DONTWAIT) > 0) {
  }
  auto op = TestOp::sending(Op::Kind::send, stream.fd, "more");
  const Instant start = hub.now();

  hub.submit(*op);
  CHECK(run(hub, *op));

  CHECK(hub.now() == start + 2s);
}

TEST_CASE("simulation: an operation fails as scripted, once") {
  SimHub hub;
  const Ends listener{hub.listener(), -1};
  hub.fails_next(listener.a, Op::Kind::accept, EMFILE);
  hub.connects(listener.a, hub.now());
  TestOp op(Op::Kind::accept, listener.a);

  hub.submit(op);
  CHECK(run(hub, op));
  CHECK(op.result == -EMFILE);
  op.ends = 0;
  hub.submit(op);
  CHECK(run(hub, op));
  CHECK(op.result >= 0);
  ::close(op.result);
}

TEST_CASE("simulation: the same seed plays the same game, others differ") {
  const auto play = [](std::uint64_t seed) {
    SimHub hub(seed);
    std::string log;
    std::vector<std::unique_ptr<TestOp>> ops;
    std::vector<Ends> ends;
    for (int i = 0; i < 8; ++i) {
      SimStream stream = hub.stream();
      ends.emplace_back(stream.fd, -1);
      stream.peer->sends("0123456789", hub.in(1ms));
      stream.peer->closes(hub.in(2ms));
      auto& op = ops.emplace_back(std::make_unique<TestOp>(Op::Kind::recv_multishot, stream.fd));
      op->then = [&log, i](TestOp& self) {
        log += std::to_string(i) + ":" + std::to_string(self.result) + " ";
      };
      hub.submit(*op);
    }
    REQUIRE(run_until(hub, [&] { return hub.in_flight() == 0; }));
    for (auto& op : ops) CHECK(op->text == "0123456789");
    return log;
  };

  CHECK(play(1) == play(1));
  CHECK(play(1) != play(2));
  CHECK(play(0).starts_with("0:10 1:10 2:10 "));
}
