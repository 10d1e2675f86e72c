#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/un.h>

#include <cerrno>
#include <vector>

#include "tests/support/descriptor_message.hpp"
#include "tests/unit/io/io_world.hpp"

using namespace greenwsgi;
using namespace greenwsgi::testing;

namespace {

io::ConstBytes bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

}  // namespace

TEST_CASE("recv: what is there is taken at once; what is not is waited for; then the end") {
  IoWorld world;
  const SimStream stream = world.hub.stream();
  stream.peer->sends("now");
  stream.peer->sends("later", world.hub.in(1s));
  stream.peer->closes(world.hub.in(2s));
  std::byte room[64];

  CHECK(*io::recv(stream.fd, room) == 3);
  CHECK(*io::recv(stream.fd, room) == 5);
  CHECK(*io::recv(stream.fd, room) == 0);
  ::close(stream.fd);
}

TEST_CASE("recv and send report the errors of their man pages") {
  IoWorld world;
  std::byte room[8];
  CHECK(error_of(io::recv(-1, room)) == EBADF);
  CHECK(error_of(io::send(-1, room)) == EBADF);
  const SimStream stream = world.hub.stream();
  world.hub.fails_next(stream.fd, Op::Kind::recv, ECONNRESET);
  CHECK(error_of(io::recv(stream.fd, room)) == ECONNRESET);
  stream.peer->closes(world.hub.now());
  CHECK(io::sleep_until(world.hub.in(1ms)).ok());
  CHECK(error_of(io::send(stream.fd, room)) == EPIPE);
  ::close(stream.fd);
}

TEST_CASE("an expectation gives up after two misses, tries now and then, and a find restores it") {
  io::Expectation expectation;
  CHECK(expectation.worth_trying());
  expectation.found(false);
  CHECK(expectation.worth_trying());
  expectation.found(false);
  int tried = 0;
  for (int i = 0; i < 32; i++) tried += expectation.worth_trying() ? 1 : 0;
  CHECK(tried == 2);
  expectation.found(true);
  CHECK(expectation.worth_trying());
  CHECK(expectation.worth_trying());
}

TEST_CASE("recv with an expectation, met or not: nothing is lost, late or in another order") {
  IoWorld world;
  const SimStream stream = world.hub.stream();
  io::Expectation expectation;
  std::byte room[8];
  for (int round = 0; round < 40; round++) {
    // First it has to wait each time, then never, then as it happens.
    const bool there = round >= 20 && (round < 30 || round % 3 == 0);
    const std::string text = std::to_string(round);
    stream.peer->sends(text, there ? world.hub.now() : world.hub.in(1s));
    const Result<std::size_t> got = io::recv(stream.fd, room, 0, kNever, &expectation);
    REQUIRE(got.ok());
    CHECK(text_of(io::ConstBytes(room, *got)) == text);
  }
  CHECK(error_of(io::recv(stream.fd, room, 0, world.hub.in(1s), &expectation)) == ETIMEDOUT);
  stream.peer->closes(world.hub.in(1s));
  CHECK(*io::recv(stream.fd, room, 0, kNever, &expectation) == 0);
  CHECK(*io::recv(stream.fd, room, 0, kNever, &expectation) == 0);
  ::close(stream.fd);
}

TEST_CASE("recv: MSG_PEEK takes nothing away") {
  IoWorld world;
  const SimStream stream = world.hub.stream();
  stream.peer->sends("abc", world.hub.in(1s));
  std::byte room[8];

  CHECK(*io::recv(stream.fd, room, MSG_PEEK) == 3);
  CHECK(*io::recv(stream.fd, room) == 3);
  ::close(stream.fd);
}

TEST_CASE("send waits for room, and may be short") {
  IoWorld world;
  const SimStream stream = world.hub.stream(4096);
  stream.peer->stops_reading(world.hub.now());
  CHECK(io::sleep_until(world.hub.in(1ms)).ok());
  const std::string large(1'000'000, 'x');
  std::size_t sent = *io::send(stream.fd, bytes_of(large));
  CHECK(sent < large.size());
  CHECK(error_of(io::send(stream.fd, bytes_of(large), 0, world.hub.in(1s))) == ETIMEDOUT);

  stream.peer->reads_again(world.hub.in(1s));
  sent += *io::send(stream.fd, bytes_of(large));

  CHECK(io::sleep_until(world.hub.in(1ms)).ok());
  CHECK(stream.peer->received().size() == sent);
  ::close(stream.fd);
}

TEST_CASE("send_all sends all parts in order, however short each write is") {
  for (std::uint64_t seed = 0; seed < 100; seed++) {
    CAPTURE(seed);
    IoWorld world(seed);
    const SimStream stream = world.hub.stream(2048);
    std::string whole;
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < 50; i++) {
      texts.push_back(std::string(i % 7 == 0 ? 0 : i * 37 % 900, 'a' + char(i % 26)));
      whole += texts.back();
    }
    std::vector<iovec> parts;
    for (std::string& text : texts) parts.push_back({text.data(), text.size()});

    REQUIRE(io::send_all(stream.fd, parts).ok());
    ::close(stream.fd);

    REQUIRE(stream.peer->received() == whole);
  }
}

TEST_CASE("send_all: more parts than one system call takes") {
  IoWorld world;
  const SimStream stream = world.hub.stream();
  std::string letters(3000, 'x');
  std::vector<iovec> parts;
  for (char& letter : letters) parts.push_back({&letter, 1});

  CHECK(io::send_all(stream.fd, parts).ok());

  CHECK(stream.peer->received() == letters);
  ::close(stream.fd);
}

TEST_CASE("send_all: progress, not the whole, is what must not take too long") {
  IoWorld world;
  const SimStream stream = world.hub.stream(8192);
  std::string large(200'000, 'x');
  // It takes what there is every second and a half, and nothing in between.
  stream.peer->stops_reading(world.hub.now());
  for (int i = 1; i < 200; i++) {
    const Instant when = world.hub.in(1500ms * i);
    stream.peer->reads_again(when);
    world.hub.at(when, [&] { stream.peer->received(); });
    stream.peer->stops_reading(when);
  }
  iovec part{large.data(), large.size()};
  const Instant began = world.hub.now();
  CHECK(io::send_all(stream.fd, {&part, 1}, 2s).ok());
  CHECK(world.hub.now() - began > 4s);

  stream.peer->stops_reading(world.hub.in(1h));
  CHECK(io::sleep_until(world.hub.in(2h)).ok());
  part = {large.data(), large.size()};
  CHECK(error_of(io::send_all(stream.fd, {&part, 1}, 2s)) == ETIMEDOUT);
  ::close(stream.fd);
}

TEST_CASE("sendmsg carries descriptors") {
  IoWorld world;
  int pair[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  DescriptorMessage sent(pair[0]);

  CHECK(*io::sendmsg(pair[0], sent.message) == 1);

  DescriptorMessage received(-1);
  CHECK(::recvmsg(pair[1], &received.message, 0) == 1);
  CHECK(received.descriptor() > 2);
  for (const int fd : {pair[0], pair[1], received.descriptor()}) ::close(fd);
}

TEST_CASE("accept: close-on-exec, the flags asked for, deadlines and errors") {
  IoWorld world;
  const int listener = world.hub.listener();
  world.hub.connects(listener, world.hub.in(1s));

  CHECK(error_of(io::accept(listener, 0, world.hub.in(500ms))) == ETIMEDOUT);
  const Result<int> fd = io::accept(listener, SOCK_NONBLOCK);
  REQUIRE(fd.ok());
  CHECK((::fcntl(*fd, F_GETFD) & FD_CLOEXEC) != 0);
  CHECK((::fcntl(*fd, F_GETFL) & O_NONBLOCK) != 0);
  world.hub.fails_next(listener, Op::Kind::accept, EMFILE);
  CHECK(error_of(io::accept(listener)) == EMFILE);
  ::close(*fd);
  ::close(listener);
}

TEST_CASE("connect: success, refusal, deadline") {
  IoWorld world;
  sockaddr_in address{
      .sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  const int answered = world.hub.socket();
  world.hub.answers_connect(answered, world.hub.in(1s));
  CHECK(io::connect(answered, generic, sizeof address).ok());

  const int silent = world.hub.socket();
  world.hub.answers_connect(silent, kNever);
  CHECK(error_of(io::connect(silent, generic, sizeof address, world.hub.in(1s))) == ETIMEDOUT);

  const int refused = world.hub.socket();
  world.hub.fails_next(refused, Op::Kind::connect, ECONNREFUSED);
  CHECK(error_of(io::connect(refused, generic, sizeof address)) == ECONNREFUSED);
  for (const int fd : {answered, silent, refused}) ::close(fd);
}

TEST_CASE("the O_NONBLOCK flag of a descriptor neither matters nor changes") {
  for (const int flag : {0, O_NONBLOCK}) {
    IoWorld world;
    const SimStream stream = world.hub.stream();
    ::fcntl(stream.fd, F_SETFL, ::fcntl(stream.fd, F_GETFL) | flag);
    std::byte room[8];

    CHECK(error_of(io::recv(stream.fd, room, 0, world.hub.in(1s))) == ETIMEDOUT);
    CHECK(io::send(stream.fd, bytes_of("x")).ok());

    CHECK((::fcntl(stream.fd, F_GETFL) & O_NONBLOCK) == flag);
    ::close(stream.fd);
  }
}
