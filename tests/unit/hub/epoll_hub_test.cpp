// What is epoll's own: when it is asked, and in which order it serves.
#include "tests/unit/hub/rig.hpp"

using namespace greenwsgi;
using namespace greenwsgi::testing;

namespace {

std::unique_ptr<EpollHub> make_epoll() {
  std::unique_ptr<EpollHub> hub;
  REQUIRE(EpollHub::make(hub) == "");
  return hub;
}

}  // namespace

TEST_CASE("epoll: a busy loop asks it now and then, not each time round") {
  const auto hub = make_epoll();
  const std::uint64_t before = hub->polls();
  const Instant start = hub->now();

  for (int i = 0; i < 10000; ++i) turn(*hub, -1s);

  const auto microseconds = (hub->now() - start) / 1us;
  CHECK(hub->polls() - before >= 1);
  CHECK(hub->polls() - before <= static_cast<std::uint64_t>(microseconds / 20 + 2));
}

TEST_CASE("epoll: a wake-up is seen in a busy loop too") {
  const auto hub = make_epoll();
  TestOp op(Op::Kind::offload, -1);
  op.work = [](Op& self) noexcept { self.result = 5; };
  hub->submit(op);

  const Instant give_up = hub->now() + 10s;
  while (op.in_flight && hub->now() < give_up) turn(*hub, -1s);

  CHECK(op.result == 5);
}

TEST_CASE("epoll: several readers of one socket are served first come, first served") {
  const auto hub = make_epoll();
  Ends ends = stream_pair();
  std::vector<std::unique_ptr<TestOp>> readers;
  for (int i = 0; i < 5; ++i) hub->submit(*readers.emplace_back(TestOp::recv(ends.a, 1)));
  settle(*hub);

  put(ends.b, "123");
  settle(*hub);
  put(ends.b, "45");

  CHECK(run(*hub, *readers.back()));
  std::string order;
  for (const auto& reader : readers) order += reader->text;
  CHECK(order == "12345");
}

TEST_CASE("epoll: nothing is left in it when a multishot op ends, so a copy cannot disturb") {
  const auto hub = make_epoll();
  Ends ends = stream_pair();
  TestOp op(Op::Kind::recv_multishot, ends.a);
  hub->submit(op);
  settle(*hub);
  const int copy = ::dup(ends.a);
  cancel_and_run(*hub, op);
  ends.close_a();
  put(ends.b, "level-triggered, for ever");
  const std::uint64_t before = hub->polls();

  hub->wait(hub->now() + 20ms);

  CHECK(hub->polls() == before + 1);
  const Instant start = hub->now();
  int waits = 0;
  for (; hub->now() < start + 20ms; ++waits) turn(*hub, 20ms);
  CHECK(waits <= 2);
  ::close(copy);
}
