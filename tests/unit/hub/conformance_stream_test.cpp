// One-shot operations on streams, pipes and files.
#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>

#include "tests/unit/hub/rig.hpp"

using namespace greenwsgi;
using namespace greenwsgi::testing;

namespace {

void fill(int fd) {
  const std::string block(65536, 'x');
  while (::send(fd, block.data(), block.size(), MSG_DONTWAIT) > 0) {
  }
}

std::size_t drain(int fd) {
  std::size_t total = 0;
  for (std::string text = take(fd); !text.empty(); text = take(fd)) total += text.size();
  return total;
}

/// A file without a name that holds `text`.
int file_with(std::string_view text) {
  const int fd = ::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  REQUIRE(fd >= 0);
  put(fd, text);
  return fd;
}

}  // namespace

TEST_CASE_TEMPLATE("recv: waits for bytes, then for the end of the stream", TypeParam, GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  Ends ends = stream_pair();
  auto op = TestOp::recv(ends.a, 100);

  hub.submit(*op);
  settle(hub);
  CHECK(op->in_flight);
  put(ends.b, "bytes");
  while (op->text.size() < 5) {
    if (!op->in_flight) hub.submit(*op);
    turn(hub, 1s);
  }
  CHECK(op->text == "bytes");

  ends.close_b();
  if (!op->in_flight) hub.submit(*op);
  CHECK(run_until(hub, [&] { return !op->in_flight; }));
  CHECK(op->result == 0);
}

TEST_CASE_TEMPLATE("recv: O_NONBLOCK does not matter, and stays", TypeParam, GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  Ends ends = stream_pair(SOCK_NONBLOCK);
  auto first = TestOp::recv(ends.a, 1);
  auto second = TestOp::recv(ends.a, 1);

  hub.submit(*first);
  hub.submit(*second);
  settle(hub);
  CHECK(first->in_flight);
  put(ends.b, "1");
  CHECK(run_until(hub, [&] { return first->done() || second->done(); }));
  settle(hub);
  CHECK(hub.in_flight() == 1);
  put(ends.b, "2");
  CHECK(run_until(hub, [&] { return first->done() && second->done(); }));

  CHECK(first->text.size() == 1);
  CHECK(second->text.size() == 1);
  CHECK((::fcntl(ends.a, F_GETFL) & O_NONBLOCK) != 0);
}

TEST_CASE_TEMPLATE("recv: MSG_DONTWAIT reports EAGAIN", TypeParam, GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  Ends ends = stream_pair();
  auto op = TestOp::recv(ends.a, 1, MSG_DONTWAIT);

  hub.submit(*op);

  CHECK(run(hub, *op));
  CHECK(op->result == -EAGAIN);
}

TEST_CASE_TEMPLATE("recv: MSG_PEEK leaves the bytes", TypeParam, GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  Ends ends = stream_pair();
  auto op = TestOp::recv(ends.a, 1, MSG_PEEK);

  hub.submit(*op);
  put(ends.b, "stays");

  CHECK(run(hub, *op));
  CHECK(op->text == "s");
  CHECK(take(ends.a) == "stays");
}

TEST_CASE_TEMPLATE("recv: MSG_WAITALL fills the buffer, on blocking and other sockets",
                   TypeParam,
                   GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  for (const int flags : {0, int(SOCK_NONBLOCK)}) {
    Ends ends = stream_pair(flags);
    auto op = TestOp::recv(ends.a, 6, MSG_WAITALL);

    hub.submit(*op);
    for (const char* piece : {"ab", "cd", "ef"}) {
      settle(hub);
      CHECK(op->in_flight);
      put(ends.b, piece);
    }

    CHECK(run(hub, *op));
    CHECK(op->text == "abcdef");
  }
}

TEST_CASE_TEMPLATE("recv: MSG_WAITALL that is cut short reports what came", TypeParam, GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  for (const int flags : {0, int(SOCK_NONBLOCK)}) {
    for (const bool by_cancel : {false, true}) {
      CAPTURE(flags);
      CAPTURE(by_cancel);
      Ends ends = stream_pair(flags);
      auto op = TestOp::recv(ends.a, 6, MSG_WAITALL);
      hub.submit(*op);
      settle(hub);
      put(ends.b, "abc");
      settle(hub);

      by_cancel ? hub.cancel(*op) : ends.close_b();

      CHECK(run(hub, *op));
      CHECK(op->result == 3);
      CHECK(op->text == "abc");
    }
  }
}

TEST_CASE_TEMPLATE("recv: each byte goes to one of several readers of a socket",
                   TypeParam,
                   GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  Ends ends = stream_pair();
  std::vector<std::unique_ptr<TestOp>> readers;
  for (int i = 0; i < 5; ++i) hub.submit(*readers.emplace_back(TestOp::recv(ends.a, 1)));
  settle(hub);

  put(ends.b, "12345");

  CHECK(run_until(hub, [&] { return hub.in_flight() == 0; }));
  std::string all;
  for (const auto& reader : readers) all += reader->text;
  std::sort(all.begin(), all.end());  // Whose turn it is, is the kernel's choice.
  CHECK(all == "12345");
}

TEST_CASE_TEMPLATE("send: waits for room, may be short, loses nothing", TypeParam, GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  for (const int flags : {0, int(SOCK_NONBLOCK)}) {
    Ends ends = stream_pair(flags);
    fill(ends.a);
    auto op = TestOp::sending(Op::Kind::send, ends.a, std::string(1 << 20, 'y'));
    hub.submit(*op);
    settle(hub);
    CHECK(op->in_flight);

    std::size_t before = drain(ends.b);
    std::size_t after = 0;
    CHECK(run_until(hub, [&] {
      after += drain(ends.b);
      return op->done();
    }));
    after += drain(ends.b);

    CHECK(before > 0);
    CHECK(op->result > 0);
    CHECK(after == static_cast<std::size_t>(op->result));
  }
}

TEST_CASE_TEMPLATE("send: a broken stream is EPIPE, without SIGPIPE", TypeParam, GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  Ends ends = stream_pair();
  ends.close_b();
  auto op = TestOp::sending(Op::Kind::send, ends.a, "x");

  hub.submit(*op);

  CHECK(run(hub, *op));
  CHECK(op->result == -EPIPE);
}

TEST_CASE_TEMPLATE("sendmsg: sends its parts, or a beginning of them", TypeParam, GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  Ends ends = stream_pair();
  char head[] = "head ", body[] = "body";
  iovec parts[] = {{head, 5}, {body, 4}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  TestOp op(Op::Kind::sendmsg, ends.a);
  op.message = &message;

  hub.submit(op);

  CHECK(run(hub, op));
  REQUIRE(op.result > 0);
  CHECK(take(ends.b) == std::string("head body").substr(0, static_cast<std::size_t>(op.result)));
}

TEST_CASE_TEMPLATE("accept: a new descriptor with the flags that were asked for",
                   TypeParam,
                   GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  for (const int listener_flags : {0, int(SOCK_NONBLOCK)}) {
    Listener listener(listener_flags);
    TestOp op(Op::Kind::accept, listener.fd);
    op.flags = SOCK_CLOEXEC | SOCK_NONBLOCK;
    hub.submit(op);
    settle(hub);
    CHECK(op.in_flight);

    const Ends ends{listener.connect(), -1};

    CHECK(run(hub, op));
    REQUIRE(op.result >= 0);
    CHECK((::fcntl(op.result, F_GETFL) & O_NONBLOCK) != 0);
    CHECK((::fcntl(op.result, F_GETFD) & FD_CLOEXEC) != 0);
    CHECK((::fcntl(listener.fd, F_GETFL) & O_NONBLOCK) == (listener_flags != 0 ? O_NONBLOCK : 0));
    ::close(op.result);
  }
}

TEST_CASE_TEMPLATE("accept: what is no listening stream is refused at once", TypeParam, GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  for (const auto& [type, error] : {std::pair{SOCK_DGRAM, EOPNOTSUPP}, {SOCK_STREAM, EINVAL}}) {
    const Ends ends{::socket(AF_INET, type, 0), -1};
    TestOp op(Op::Kind::accept, ends.a);

    hub.submit(op);

    CHECK(run(hub, op));
    CHECK(op.result == -error);
  }
}

TEST_CASE_TEMPLATE("connect: succeeds, is refused, and leaves O_NONBLOCK as it was",
                   TypeParam,
                   GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  socklen_t bytes = sizeof address;
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  REQUIRE(::bind(listener, generic, bytes) == 0);
  REQUIRE(::getsockname(listener, generic, &bytes) == 0);

  for (const int expected : {-ECONNREFUSED, 0}) {
    if (expected == 0) REQUIRE(::listen(listener, 8) == 0);
    for (const int flags : {0, int(SOCK_NONBLOCK)}) {
      CAPTURE(flags);
      const Ends own{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0), -1};
      TestOp op(Op::Kind::connect, own.a);
      op.address = generic;
      op.address_bytes = bytes;
      hub.submit(op);
      CHECK(run(hub, op));
      CHECK(op.result == expected);
      CHECK((::fcntl(own.a, F_GETFL) & O_NONBLOCK) == (flags != 0 ? O_NONBLOCK : 0));
    }
  }
  ::close(listener);
}

TEST_CASE_TEMPLATE("connect: a Unix listener's full queue is reported, or waited for",
                   TypeParam,
                   GW_REAL_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  Listener listener(0, 0);
  const Ends first{listener.connect(), -1};
  const Ends second{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), -1};
  TestOp op(Op::Kind::connect, second.a);
  op.address = reinterpret_cast<sockaddr*>(&listener.address);
  op.address_bytes = listener.bytes;

  hub.submit(op);

  CHECK(run(hub, op));
  CHECK(op.result == -EAGAIN);
}

TEST_CASE_TEMPLATE("poll: reports what happened, for each direction apart", TypeParam, GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  Ends ends = stream_pair();
  TestOp readable(Op::Kind::poll, ends.a), writable(Op::Kind::poll, ends.a);
  readable.events = POLLIN;
  writable.events = POLLOUT;

  hub.submit(readable);
  hub.submit(writable);
  CHECK(run(hub, writable));
  settle(hub);
  CHECK(readable.in_flight);
  put(ends.b, "x");

  CHECK(run(hub, readable));
  CHECK(writable.result == POLLOUT);
  CHECK(readable.result == POLLIN);
}

TEST_CASE_TEMPLATE("poll: a hang-up is reported though nobody asked", TypeParam, GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  Ends ends = pipe_pair();
  TestOp op(Op::Kind::poll, ends.a);
  op.events = POLLIN;
  hub.submit(op);

  ends.close_b();

  CHECK(run(hub, op));
  CHECK((op.result & POLLHUP) != 0);
}

TEST_CASE_TEMPLATE("read and write: pipes are waited for, blocking or not", TypeParam, GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  for (const int flags : {0, O_NONBLOCK}) {
    CAPTURE(flags);
    Ends ends = pipe_pair(flags);
    auto reading = TestOp::read(ends.a, 4);
    hub.submit(*reading);
    settle(hub);
    CHECK(reading->in_flight);

    auto writing = TestOp::sending(Op::Kind::write, ends.b, "pipe");
    hub.submit(*writing);

    CHECK(run(hub, *writing));
    CHECK(run(hub, *reading));
    CHECK(reading->text == std::string("pipe").substr(0, reading->text.size()));
  }
}

TEST_CASE_TEMPLATE("write: a full pipe stops the op, not the hub", TypeParam, GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  for (const int flags : {0, O_NONBLOCK}) {
    CAPTURE(flags);
    Ends ends = pipe_pair(flags);
    ::fcntl(ends.b, F_SETPIPE_SZ, 4096);
    auto first = TestOp::sending(Op::Kind::write, ends.b, std::string(4096, 'x'));
    while (first->results.empty() || first->result == 1) {
      hub.submit(*first);
      if (!run_until(hub, [&] { return !first->in_flight; }) || first->result > 1) break;
    }
    auto second = TestOp::sending(Op::Kind::write, ends.b, std::string(65536, 'y'));
    hub.submit(*second);
    settle(hub);

    std::string text(65536, '\0');
    CHECK(run_until(hub, [&] {
      pollfd one{ends.a, POLLIN, 0};
      if (::poll(&one, 1, 0) > 0) CHECK(::read(ends.a, text.data(), text.size()) > 0);
      return second->done();
    }));
    CHECK(second->result > 0);
  }
}

TEST_CASE_TEMPLATE("read and write: files, at an offset and at the end", TypeParam, GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  const Ends file{file_with("0123456789"), -1};
  auto reading = TestOp::read(file.a, 4, 3);
  auto at_end = TestOp::read(file.a, 4, 10);

  hub.submit(*reading);
  hub.submit(*at_end);
  CHECK(run(hub, *reading));
  CHECK(run(hub, *at_end));
  CHECK(reading->text == std::string("3456").substr(0, reading->text.size()));
  CHECK(at_end->result == 0);

  auto writing = TestOp::sending(Op::Kind::write, file.a, "X");
  writing->offset = 5;
  hub.submit(*writing);
  CHECK(run(hub, *writing));
  char byte = 0;
  CHECK(::pread(file.a, &byte, 1, 5) == 1);
  CHECK(byte == 'X');
}

TEST_CASE_TEMPLATE("read: a file at its own position, which moves; O_NONBLOCK or not",
                   TypeParam,
                   GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  for (const int flags : {0, O_NONBLOCK}) {
    const Ends file{file_with("ab"), -1};
    ::fcntl(file.a, F_SETFL, flags);
    ::lseek(file.a, 0, SEEK_SET);
    auto op = TestOp::read(file.a, 1);

    for (int i = 0; i < 3; ++i) {
      hub.submit(*op);
      CHECK(run_until(hub, [&] { return !op->in_flight; }));
    }

    CHECK(op->text == "ab");
    CHECK(op->result == 0);
  }
}

TEST_CASE_TEMPLATE("poll, read: files and devices that are always ready", TypeParam, GW_HUBS) {
  GW_HUB_OR_SKIP(made, hub);
  const Ends file{file_with("x"), ::open("/dev/zero", O_RDONLY | O_CLOEXEC)};
  for (const int fd : {file.a, file.b}) {
    TestOp polling(Op::Kind::poll, fd);
    polling.events = POLLIN;
    hub.submit(polling);
    CHECK(run(hub, polling));
    CHECK((polling.result & POLLIN) != 0);
  }
  auto reading = TestOp::read(file.b, 8);
  hub.submit(*reading);
  CHECK(run(hub, *reading));
  CHECK(reading->result > 0);
}
