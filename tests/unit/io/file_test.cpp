#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>

#include "tests/unit/io/io_world.hpp"

using namespace greenwsgi;
using namespace greenwsgi::testing;

namespace {

/// A file without a name, with `text` in it, its position at the beginning.
struct TemporaryFile {
  explicit TemporaryFile(std::string_view text) {
    char path[] = "/tmp/file_test.XXXXXX";
    fd = ::mkstemp(path);
    REQUIRE(fd >= 0);
    ::unlink(path);
    REQUIRE(::pwrite(fd, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
  }
  ~TemporaryFile() { ::close(fd); }
  int fd;
};

}  // namespace

TEST_CASE("read: at an offset, at the file's position, and at its end") {
  IoWorld world;
  const TemporaryFile file("0123456789");
  std::byte room[4];

  CHECK(*io::read(file.fd, room, 6) == 4);
  CHECK(text_of(room) == "6789");
  CHECK(*io::read(file.fd, room) == 4);
  CHECK(*io::read(file.fd, room) == 4);
  CHECK(text_of(room) == "4567");
  CHECK(*io::read(file.fd, room) == 2);
  CHECK(*io::read(file.fd, room) == 0);
  CHECK(error_of(io::read(-1, room)) == EBADF);
}

TEST_CASE("write: at an offset and at the file's position") {
  IoWorld world;
  const TemporaryFile file("0123456789");
  const std::string_view text = "ab";

  CHECK(*io::write(file.fd, std::as_bytes(std::span(text)), 4) == 2);
  CHECK(*io::write(file.fd, std::as_bytes(std::span(text))) == 2);

  std::byte room[16];
  CHECK(*io::read(file.fd, room, 0) == 10);
  CHECK(text_of(std::span(room).first(10)) == "ab23ab6789");
}

TEST_CASE("read: a pipe is waited for, until the deadline") {
  IoWorld world;
  int pair[2];
  REQUIRE(::pipe2(pair, O_CLOEXEC) == 0);
  std::byte room[8];
  CHECK(error_of(io::read(pair[0], room, -1, world.hub.in(1s))) == ETIMEDOUT);
  world.hub.at(world.hub.in(1s), [&] { CHECK(::write(pair[1], "abc", 3) == 3); });

  CHECK(*io::read(pair[0], room) == 3);

  ::close(pair[1]);
  CHECK(*io::read(pair[0], room) == 0);
  ::close(pair[0]);
}

TEST_CASE("send_file: a part of a file, fewer bytes at its end") {
  IoWorld world;
  const TemporaryFile file("0123456789");
  const SimStream stream = world.hub.stream();

  CHECK(*io::send_file(stream.fd, file.fd, 2, 5) == 5);
  CHECK(*io::send_file(stream.fd, file.fd, 8, 5) == 2);
  CHECK(*io::send_file(stream.fd, file.fd, 100, 5) == 0);

  CHECK(stream.peer->received() == "2345689");
  CHECK((::fcntl(stream.fd, F_GETFL) & O_NONBLOCK) == 0);
  ::close(stream.fd);
}

TEST_CASE("send_file: a large file to a peer that reads slowly arrives whole") {
  IoWorld world;
  std::string large;
  while (large.size() < 3'000'000) large += std::to_string(large.size()) + ",";
  const TemporaryFile file(large);
  const SimStream stream = world.hub.stream();
  for (int i = 0; i < 50; i++) {
    stream.peer->stops_reading(world.hub.in(1s * i));
    stream.peer->reads_again(world.hub.in(1s * i + 900ms));
  }

  CHECK(*io::send_file(stream.fd, file.fd, 0, large.size(), 5s) == large.size());

  CHECK(io::sleep_until(world.hub.in(2s)).ok());
  CHECK(stream.peer->received() == large);
  ::close(stream.fd);
}

TEST_CASE("send_file: a file that is closed while its peer takes nothing is EBADF") {
  IoWorld world;
  const TemporaryFile file(std::string(2'000'000, 'x'));
  const SimStream stream = world.hub.stream();
  stream.peer->stops_reading(world.hub.now());
  unsigned closes = 7;
  bool blocking_meanwhile = false;
  world.hub.at(world.hub.in(1s), [&] {
    closes += 1;
    blocking_meanwhile = (::fcntl(stream.fd, F_GETFL) & O_NONBLOCK) == 0;
    stream.peer->reads_again(world.hub.in(1s));
  });

  CHECK(error_of(io::send_file(stream.fd, file.fd, 0, 2'000'000, Duration::max(), &closes)) ==
        EBADF);

  CHECK(blocking_meanwhile);
  CHECK(stream.peer->received().size() < 2'000'000);
  ::close(stream.fd);
}

TEST_CASE("send_file: a peer that takes nothing is ETIMEDOUT, an interrupt ECANCELED") {
  IoWorld world;
  const TemporaryFile file(std::string(2'000'000, 'x'));
  const SimStream stream = world.hub.stream();
  stream.peer->stops_reading(world.hub.now());
  Fiber& fiber = world.spawn([&] {
    CHECK(io::sleep_until(world.hub.in(1ms)).ok());
    CHECK(error_of(io::send_file(stream.fd, file.fd, 0, 2'000'000, 3s)) == ETIMEDOUT);
    CHECK(error_of(io::send_file(stream.fd, file.fd, 0, 2'000'000)) == ECANCELED);
  });
  world.interrupt_after(10s, fiber);

  world.scheduler.run();

  CHECK((::fcntl(stream.fd, F_GETFL) & O_NONBLOCK) == 0);
  ::close(stream.fd);
}

TEST_CASE("send_file: what is no file is EINVAL; a peer that has gone is EPIPE") {
  IoWorld world;
  int pair[2];
  REQUIRE(::pipe(pair) == 0);
  const TemporaryFile file("0123456789");
  const SimStream stream = world.hub.stream();

  CHECK(error_of(io::send_file(stream.fd, pair[0], 0, 5)) == EINVAL);
  stream.peer->closes(world.hub.now());
  CHECK(io::sleep_until(world.hub.in(1ms)).ok());
  for (const auto action : {SIG_DFL, SIG_IGN}) {
    const auto before = ::signal(SIGPIPE, action);
    CHECK(error_of(io::send_file(stream.fd, file.fd, 0, 5)) == EPIPE);
    ::signal(SIGPIPE, before);
  }
  for (const int fd : {pair[0], pair[1], stream.fd}) ::close(fd);
}

TEST_CASE("close closes, and says when there was nothing to close") {
  IoWorld world;
  const SimStream stream = world.hub.stream();

  CHECK(io::close(stream.fd).ok());

  CHECK(io::sleep_until(world.hub.in(1ms)).ok());
  CHECK(stream.peer->saw_end());
  CHECK(error_of(io::close(stream.fd)) == EBADF);
}
