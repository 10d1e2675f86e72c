// One try at an operation: it never waits, whatever the descriptor is, and leaves O_NONBLOCK alone.
#include "src/hub/attempt.hpp"

#include <array>

#include "tests/unit/hub/rig.hpp"

using namespace greenwsgi;
using namespace greenwsgi::testing;

namespace {

bool is_nonblocking(int fd) {
  return (::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
}

int attempt_kind(Op::Kind kind, int fd, std::string text = "x") {
  const auto op = TestOp::sending(kind, fd, std::move(text));
  if (kind == Op::Kind::read || kind == Op::Kind::write) op->offset = -1;
  return attempt(*op);
}

}  // namespace

TEST_CASE("attempt: nothing to receive is EAGAIN, also on a blocking descriptor") {
  Ends socket = stream_pair();
  Ends pipe = pipe_pair();
  Listener listener;

  CHECK(attempt_kind(Op::Kind::recv, socket.a) == -EAGAIN);
  CHECK(attempt_kind(Op::Kind::read, pipe.a) == -EAGAIN);
  CHECK(attempt_kind(Op::Kind::accept, listener.fd) == -EAGAIN);

  CHECK_FALSE(is_nonblocking(socket.a));
  CHECK_FALSE(is_nonblocking(pipe.a));
  CHECK_FALSE(is_nonblocking(listener.fd));
}

TEST_CASE("attempt: a write goes as far as there is room, then is EAGAIN") {
  for (Ends& ends : std::array{stream_pair(), pipe_pair()}) {
    const bool is_socket = ::send(ends.b, nullptr, 0, MSG_DONTWAIT) == 0;
    const auto kind = is_socket ? Op::Kind::send : Op::Kind::write;
    int result = 0;
    do {
      result = attempt_kind(kind, ends.b, std::string(100'000, 'x'));
      REQUIRE((result > 0 || result == -EAGAIN));
    } while (result > 0);

    CHECK_FALSE(is_nonblocking(ends.b));
  }
}

TEST_CASE("attempt: a peer that is gone is an errno or the end, never a signal") {
  Ends socket = stream_pair();
  socket.close_b();

  CHECK(attempt_kind(Op::Kind::recv, socket.a) == 0);
  CHECK(attempt_kind(Op::Kind::send, socket.a) == -EPIPE);
  CHECK(attempt_kind(Op::Kind::recv, -1) == -EBADF);
}

TEST_CASE("attempt: a receive that was in part done goes on behind its bytes") {
  Ends ends = stream_pair();
  put(ends.b, "cd");
  const auto op = TestOp::sending(Op::Kind::recv, ends.a, "ab__");
  op->hub_word = 2;

  CHECK(attempt(*op) == 2);

  CHECK(op->room == "abcd");
}

TEST_CASE("attempt: poll says what is ready now") {
  Ends ends = stream_pair();
  TestOp op(Op::Kind::poll, ends.a);
  op.events = POLLIN;
  CHECK(attempt(op) == -EAGAIN);

  put(ends.b, "x");

  CHECK(attempt(op) == POLLIN);
}

TEST_CASE("begin_connect: a listener that is there connects, one that is not refuses") {
  auto listener = std::make_unique<Listener>();
  const sockaddr_un address = listener->address;
  TestOp op(Op::Kind::connect, ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const Ends owner{op.fd, -1};
  op.address = reinterpret_cast<const sockaddr*>(&address);
  op.address_bytes = listener->bytes;
  CHECK(begin_connect(op) == 0);
  CHECK(attempt(op) == 0);
  CHECK_FALSE(is_nonblocking(op.fd));

  listener.reset();

  CHECK(begin_connect(op) < 0);
}

TEST_CASE("make_nonblocking: stays on, and a second time changes nothing") {
  Ends ends = stream_pair();

  make_nonblocking(ends.a);
  make_nonblocking(ends.a);

  CHECK(is_nonblocking(ends.a));
}
