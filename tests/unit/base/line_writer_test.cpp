// The log writer against real pipes: what arrives, what is dropped, and that nobody waits for it.
#include "greenwsgi/base/line_writer.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <utility>

#include "greenwsgi/base/clock.hpp"

using namespace greenwsgi;
using namespace std::chrono_literals;

namespace {

struct Pipe {
  int ends[2];
  Pipe() { REQUIRE(::pipe2(ends, O_CLOEXEC) == 0); }
  ~Pipe() {
    close_reader();
    ::close(ends[1]);
  }
  void close_reader() {
    if (ends[0] >= 0) ::close(std::exchange(ends[0], -1));
  }
  std::string read_available() {
    std::string text(1 << 20, '\0');
    const ssize_t bytes = ::read(ends[0], text.data(), text.size());
    text.resize(bytes > 0 ? static_cast<std::size_t>(bytes) : 0);
    return text;
  }
  void fill() {
    ::fcntl(ends[1], F_SETFL, O_NONBLOCK);
    const std::string block(4096, 'x');
    while (::write(ends[1], block.data(), block.size()) > 0) {
    }
    ::fcntl(ends[1], F_SETFL, 0);
  }
};

}  // namespace

TEST_CASE("line writer: lines arrive whole and in order") {
  Pipe pipe;
  LineWriter writer(pipe.ends[1]);

  writer.write("first");
  writer.write("second");
  writer.flush();

  CHECK(pipe.read_available() == "first\nsecond\n");
  CHECK(writer.dropped() == 0);
}

TEST_CASE("line writer: the destructor writes what is left") {
  Pipe pipe;

  { LineWriter(pipe.ends[1]).write("last words"); }

  CHECK(pipe.read_available() == "last words\n");
}

TEST_CASE("line writer: one that was never used has nothing to stop") {
  Pipe pipe;

  { LineWriter unused(pipe.ends[1]); }
}

TEST_CASE("line writer: lines beyond its memory are dropped, counted, and the count is written") {
  Pipe pipe;
  pipe.fill();
  LineWriter writer(pipe.ends[1]);
  const std::string line(1 << 20, 'y');

  for (int i = 0; i < 40; ++i) writer.write(line);
  const std::size_t dropped = writer.dropped();

  CHECK(dropped > 0);
  CHECK(dropped < 40);
  std::string seen;
  while (seen.find("lines were dropped here") == std::string::npos) seen += pipe.read_available();
  CHECK(seen.find(std::to_string(dropped) + " lines were dropped here") != std::string::npos);
}

TEST_CASE("line writer: a stuck descriptor holds the destructor for about a second, not for ever") {
  Pipe pipe;
  pipe.fill();
  const Instant before = Clock::now();

  { LineWriter(pipe.ends[1]).write("nobody reads this"); }

  CHECK(Clock::now() - before < 3s);
  CHECK(Clock::now() - before > 900ms);
}

TEST_CASE("line writer: a reader that has gone costs the lines, not the process") {
  Pipe pipe;
  pipe.close_reader();
  LineWriter writer(pipe.ends[1]);

  writer.write("to nobody");
  writer.flush();

  CHECK(writer.dropped() == 1);
}

TEST_CASE("line writer: a line that a full disk has torn is ended before the next, and told of") {
  char name[] = "/tmp/line-writer-XXXXXX";
  const int fd = ::mkostemp(name, O_APPEND | O_CLOEXEC);
  REQUIRE(fd >= 0);
  ::unlink(name);
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const rlimit few{6, before.rlim_max};
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  {
    LineWriter writer(fd);
    ::setrlimit(RLIMIT_FSIZE, &few);
    writer.write("first, which is long");
    writer.flush();
    CHECK(writer.dropped() == 1);
    ::setrlimit(RLIMIT_FSIZE, &before);
    writer.write("second");
  }
  ::signal(SIGXFSZ, handler);

  char text[200] = {};
  CHECK(::pread(fd, text, sizeof text - 1, 0) > 0);
  CHECK(std::string(text) ==
        "first,\nsecond\n1 lines were dropped here: the log did not keep up\n");
  ::close(fd);
}

TEST_CASE("line writer: lines that others may write between are never torn") {
  Pipe pipe;
  REQUIRE(::fcntl(pipe.ends[1], F_SETFL, O_DIRECT) == 0);  // Each write is a packet.
  LineWriter writer(pipe.ends[1]);
  for (int i = 0; i < 500; ++i) writer.write(std::string(99, 'z'));

  for (std::size_t seen = 0; seen < 500 * 100;) {
    const std::string packet = pipe.read_available();
    REQUIRE(packet.size() % 100 == 0);
    seen += packet.size();
  }
}

TEST_CASE("line writer: the child of a fork, which has no writer's thread, writes by itself") {
  Pipe pipe;
  LineWriter writer(pipe.ends[1]);
  writer.write("parent");
  writer.flush();

  const pid_t child = ::fork();
  if (child == 0) {
    writer.write("child");
    ::_exit(0);
  }
  REQUIRE(::waitpid(child, nullptr, 0) == child);

  CHECK(pipe.read_available() == "parent\nchild\n");
}
