// What every call has in common: deadlines, interrupts, and that what has moved beats both.
#include "src/io/await.hpp"

#include <sys/ioctl.h>

#include "tests/unit/io/io_world.hpp"

using namespace greenwsgi;
using namespace greenwsgi::testing;

TEST_CASE("a deadline ends the wait at its time, with ETIMEDOUT") {
  IoWorld world;
  const SimStream stream = world.hub.stream();
  std::byte room[8];
  const Instant began = world.hub.now();

  CHECK(error_of(io::recv(stream.fd, room, 0, began + 100ms)) == ETIMEDOUT);

  CHECK(world.hub.now() == began + 100ms);
  CHECK(world.scheduler.timers() == 0);
  CHECK(world.hub.in_flight() == 0);
  ::close(stream.fd);
}

TEST_CASE("a deadline in the past still takes what is there") {
  IoWorld world;
  const SimStream stream = world.hub.stream();
  stream.peer->sends("abc");
  std::byte room[8];

  const Result<std::size_t> first = io::recv(stream.fd, room, 0, world.hub.now() - 1s);
  CHECK(*first == 3);
  CHECK(error_of(io::recv(stream.fd, room, 0, world.hub.now() - 1s)) == ETIMEDOUT);
  ::close(stream.fd);
}

TEST_CASE("an interrupt ends the wait with ECANCELED, and stays pending until it is taken") {
  IoWorld world;
  const SimStream stream = world.hub.stream();
  Fiber& fiber = world.spawn([&] {
    std::byte room[8];
    CHECK(error_of(io::recv(stream.fd, room)) == ECANCELED);
    CHECK(error_of(io::recv(stream.fd, room)) == ECANCELED);  // It still stands.
    CHECK(world.scheduler.take_interrupt());
    CHECK(error_of(io::recv(stream.fd, room)) == 0);
  });
  world.interrupt_after(10ms, fiber);
  stream.peer->sends("x", world.hub.in(1s));

  world.scheduler.run();

  CHECK(world.hub.in_flight() == 0);
  ::close(stream.fd);
}

TEST_CASE("bytes that race with the deadline or an interrupt are delivered, not dropped") {
  for (std::uint64_t seed = 1; seed <= 500; seed++) {
    CAPTURE(seed);
    IoWorld world(seed);
    const SimStream stream = world.hub.stream();
    std::string received;
    const Instant deadline = world.hub.in(10ms);
    Fiber& fiber = world.spawn([&] {
      for (int i = 0; i < 100 && received.size() < 6; i++) {
        std::byte room[4];
        const Result<std::size_t> got = io::recv(stream.fd, room, 0, i == 0 ? deadline : kNever);
        if (got.ok()) received += text_of(std::span(room).first(*got));
        world.scheduler.take_interrupt();
      }
    });
    stream.peer->sends("abc", deadline);
    stream.peer->sends("def", world.hub.in(20ms));
    world.interrupt_after(seed % 2 == 0 ? 10ms : 20ms, fiber);

    world.scheduler.run();

    REQUIRE(received == "abcdef");
    ::close(stream.fd);
  }
}

TEST_CASE("bytes that come when the deadline has asked for the end already are delivered, too") {
  int delivered = 0;
  for (std::uint64_t seed = 1; seed <= 100; seed++) {
    CAPTURE(seed);
    IoWorld world(seed);
    const SimStream stream = world.hub.stream();
    const Instant deadline = world.hub.in(10ms);
    world.spawn([&] {
      std::byte room[4];
      const Result<std::size_t> got = io::recv(stream.fd, room, 0, deadline);
      int left = 0;
      REQUIRE(::ioctl(stream.fd, FIONREAD, &left) == 0);
      CHECK((got.ok() ? *got : 0) + static_cast<std::size_t>(left) == 3);
      delivered += got.ok() ? 1 : 0;
    });
    world.spawn([&] {
      CHECK(io::sleep_until(deadline).ok());
      stream.peer->sends("abc");
    });

    world.scheduler.run();

    ::close(stream.fd);
  }
  CHECK(delivered > 10);
  CHECK(delivered < 90);
}

TEST_CASE("an interrupt and a deadline at once end one wait, once") {
  for (std::uint64_t seed = 0; seed < 50; seed++) {
    CAPTURE(seed);
    IoWorld world(seed);
    const SimStream stream = world.hub.stream();
    int error = 0;
    const Instant deadline = world.hub.in(10ms);
    Fiber& fiber = world.spawn([&] {
      std::byte room[4];
      error = error_of(io::recv(stream.fd, room, 0, deadline));
    });
    world.interrupt_after(10ms, fiber);

    world.scheduler.run();

    const bool either = error == ETIMEDOUT || error == ECANCELED;
    CHECK(either);
    ::close(stream.fd);
  }
}
