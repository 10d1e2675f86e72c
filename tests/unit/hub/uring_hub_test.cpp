// What is io_uring's own: system calls that are not made, rings that overflow, buffers that grow.
#include <atomic>

#include "tests/support/descriptor_message.hpp"
#include "tests/unit/hub/rig.hpp"

using namespace greenwsgi;
using namespace greenwsgi::testing;

namespace {

std::unique_ptr<UringHub> make_uring(const UringSizes& sizes = {}) {
  std::unique_ptr<UringHub> hub;
  if (const std::string why = UringHub::make(hub, sizes); !why.empty()) MESSAGE(why);
  return hub;
}

constexpr UringSizes kTiny{.submissions = 4, .completions = 8, .buffers = 16, .buffers_first = 2};

}  // namespace

TEST_CASE("io_uring: a turn with nothing to do makes no system call") {
  const auto hub = make_uring();
  if (hub == nullptr) return;
  settle(*hub);
  const std::uint64_t before = hub->enters();

  for (int i = 0; i < 1000; ++i) turn(*hub, -1s);

  CHECK(hub->enters() == before);
}

TEST_CASE("io_uring: is idle when everything was passed on and reported") {
  const auto hub = make_uring();
  if (hub == nullptr) return;
  Ends ends = stream_pair();
  const auto op = TestOp::recv(ends.a, 1);
  hub->submit(*op);
  settle(*hub);

  CHECK(hub->idle());  // Though one is under way.

  put(ends.b, "x");
  CHECK(run(*hub, *op));
  CHECK(hub->idle());
}

TEST_CASE("io_uring: is not idle with more operations than the ring has room for") {
  const auto hub = make_uring(kTiny);
  if (hub == nullptr) return;
  Ends ends = stream_pair();
  std::vector<std::unique_ptr<TestOp>> ops;
  for (int i = 0; i < 100; ++i) hub->submit(*ops.emplace_back(TestOp::recv(ends.a, 1)));

  CHECK_FALSE(hub->idle());

  put(ends.b, std::string(100, 'x'));
  CHECK(run_until(*hub, [&] { return hub->in_flight() == 0; }));
}

TEST_CASE("io_uring: is not idle when an op ended without the kernel") {
  const auto hub = make_uring();
  if (hub == nullptr) return;
  static std::atomic<bool> released;
  released = false;
  std::vector<std::unique_ptr<TestOp>> ops;
  for (int i = 0; i < 100; ++i) {  // More than the pool has threads.
    ops.push_back(std::make_unique<TestOp>(Op::Kind::offload, -1));
    ops.back()->work = [](Op&) noexcept { released.wait(false); };
    hub->submit(*ops.back());
  }
  settle(*hub);
  REQUIRE(hub->idle());

  hub->cancel(*ops.back());
  CHECK_FALSE(hub->idle());

  released = true;
  released.notify_all();
  CHECK(run_until(*hub, [&] { return hub->in_flight() == 0; }));
  CHECK(ops.back()->result == -ECANCELED);
}

TEST_CASE("io_uring: many submissions of a turn are handed over by one system call") {
  const auto hub = make_uring();
  if (hub == nullptr) return;
  Ends ends = stream_pair();
  std::vector<std::unique_ptr<TestOp>> ops;
  settle(*hub);
  const std::uint64_t before = hub->enters();
  for (int i = 0; i < 100; ++i) hub->submit(*ops.emplace_back(TestOp::recv(ends.a, 1)));
  put(ends.b, std::string(100, 'x'));

  hub->wait(kNever);
  CHECK(hub->enters() == before + 1);

  CHECK(run_until(*hub, [&] { return hub->in_flight() == 0; }));
  CHECK(hub->enters() <= before + 10);  // The kernel reports some 20 of them at a time.
}

TEST_CASE("io_uring: more operations than the rings have entries, all come back once") {
  const auto hub = make_uring(kTiny);
  if (hub == nullptr) return;
  Ends ends = stream_pair();
  std::vector<std::unique_ptr<TestOp>> ops;
  for (int i = 0; i < 1000; ++i) {
    ops.push_back(std::make_unique<TestOp>(Op::Kind::poll, ends.a));
    ops.back()->events = i % 2 == 0 ? POLLIN : POLLOUT;
    hub->submit(*ops.back());
  }
  settle(*hub);
  for (int i = 0; i < 1000; i += 4) hub->cancel(*ops[std::size_t(i)]);
  put(ends.b, "x");

  CHECK(run_until(*hub, [&] { return hub->in_flight() == 0; }));

  for (auto& op : ops) CHECK(op->ends == 1);
}

TEST_CASE("io_uring: multishot ops go on when the completion ring overflows") {
  const auto hub = make_uring(kTiny);
  if (hub == nullptr) return;
  Listener listener;
  TestOp accepting(Op::Kind::accept_multishot, listener.fd);
  std::vector<Ends> accepted, clients;
  accepting.then = [&](TestOp& self) {
    if (self.result >= 0) accepted.emplace_back(self.result, -1);
  };
  hub->submit(accepting);
  settle(*hub);

  for (int i = 0; i < 300; ++i) clients.emplace_back(listener.connect(), -1);
  CHECK(run_until(*hub, [&] { return accepted.size() == clients.size(); }));

  CHECK(accepting.in_flight);
  cancel_and_run(*hub, accepting);
}

TEST_CASE("io_uring: when buffers run out, more are offered, and no byte is lost") {
  const auto hub = make_uring(kTiny);
  if (hub == nullptr) return;
  CHECK(hub->buffers().offered() == 2);
  std::vector<Ends> ends;
  std::vector<std::unique_ptr<TestOp>> ops;
  for (std::size_t i = 0; i < 200; ++i) {
    ends.push_back(stream_pair());
    hub->submit(*ops.emplace_back(std::make_unique<TestOp>(Op::Kind::recv_multishot, ends[i].a)));
  }
  settle(*hub);

  for (Ends& each : ends) put(each.b, std::string(20000, 'x'));
  CHECK(run_until(*hub, [&] {
    return std::all_of(ops.begin(), ops.end(), [](auto& op) { return op->text.size() == 20000; });
  }));

  CHECK(hub->buffers().offered() == 16);
  for (auto& op : ops) hub->cancel(*op);
  CHECK(run_until(*hub, [&] { return hub->in_flight() == 0; }));
}

TEST_CASE("io_uring: a cancel in the piece after which the buffers ran out ends the op") {
  const auto hub = make_uring(kTiny);
  if (hub == nullptr) return;
  Ends ends = stream_pair();
  TestOp op(Op::Kind::recv_multishot, ends.a);
  op.then = [&](TestOp& self) {
    if (self.in_flight) hub->cancel(self);
  };
  put(ends.b, std::string(3 * UringBuffers::kBytes, 'x'));  // One buffer more than are offered.
  hub->submit(op);

  CHECK(run(*hub, op));

  // The kernel had ended it before the cancel: what came is delivered, and nothing begins anew.
  CHECK(op.text.size() == 2 * UringBuffers::kBytes);
  CHECK(op.result == -ECANCELED);
  settle(*hub);
  CHECK(op.ends == 1);
  CHECK(hub->in_flight() == 0);
}

TEST_CASE("io_uring: wake() finds its way through full rings") {
  const auto hub = make_uring(kTiny);
  if (hub == nullptr) return;
  Ends ends = stream_pair();
  TestOp busy(Op::Kind::poll, ends.a);
  busy.events = POLLOUT;
  busy.then = [&](TestOp& self) { hub->submit(self); };
  hub->submit(busy);
  std::vector<std::unique_ptr<TestOp>> work;
  for (int i = 0; i < 100; ++i) {
    work.push_back(std::make_unique<TestOp>(Op::Kind::offload, -1));
    work.back()->work = [](Op& self) noexcept { self.result = 1; };
    hub->submit(*work.back());
  }

  CHECK(run_until(*hub, [&] { return hub->in_flight() == 1; }));

  busy.then = nullptr;
  cancel_and_run(*hub, busy);
}

namespace {

// The kernel takes 32 pieces in one go, and forgets an end that is there already. A piece is what a
// receive does not join with the next one: it carries a descriptor.
void put_pieces_and_end(Ends& ends) {
  const DescriptorMessage piece(STDERR_FILENO);
  for (int i = 0; i < 40; ++i) REQUIRE(::sendmsg(ends.b, &piece.message, 0) == 1);
  ends.close_b();
}

}  // namespace

TEST_CASE("io_uring: the end of a stream is found behind more than the kernel takes in one go") {
  const auto hub = make_uring();
  if (hub == nullptr) return;
  Ends ends = stream_pair();
  put_pieces_and_end(ends);
  TestOp op(Op::Kind::recv_multishot, ends.a);
  hub->submit(op);

  CHECK(run(*hub, op));

  CHECK(op.text.size() == 40);
  CHECK(op.result == 0);
  CHECK(op.ends == 1);
}

TEST_CASE("io_uring: a receive whose end is being looked for is cancelled, once") {
  const auto hub = make_uring();
  if (hub == nullptr) return;
  for (const bool looked : {false, true}) {
    CAPTURE(looked);
    Ends ends = stream_pair();
    put_pieces_and_end(ends);
    TestOp op(Op::Kind::recv_multishot, ends.a);
    hub->submit(op);
    REQUIRE(run_until(*hub, [&] { return op.text.size() == 40; }));
    if (looked) {
      hub->wait(kNever);  // Until a look is due.
      hub->wait(hub->now());
    }

    hub->cancel(op);
    CHECK(run(*hub, op));

    settle(*hub);
    CHECK(op.ends == 1);
    CHECK(hub->in_flight() == 0);
  }
}

TEST_CASE("io_uring: who has received and waits for more costs one look, and nothing after it") {
  const auto hub = make_uring();
  if (hub == nullptr) return;
  Ends ends = stream_pair();
  TestOp op(Op::Kind::recv_multishot, ends.a);
  hub->submit(op);
  put(ends.b, "x");
  CHECK(run_until(*hub, [&] { return op.text == "x"; }));

  hub->wait(kNever);  // Until the look is due.
  turn(*hub, 0s);
  const std::uint64_t before = hub->enters();
  turn(*hub, 2 * LostEnds::kLookAfter);

  CHECK(hub->enters() == before + 1);
  CHECK(op.in_flight);
  put(ends.b, "y");
  CHECK(run_until(*hub, [&] { return op.text == "xy"; }));
  cancel_and_run(*hub, op);
}
