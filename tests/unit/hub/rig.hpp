// rig.hpp - what the hub's tests stand on: a hub of each kind, operations that remember what became
// of them, and real descriptors with short names.
//
// A conformance test is a TEST_CASE_TEMPLATE over GW_HUBS: the same sentences hold for all of them.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "src/hub/epoll_hub.hpp"
#include "src/hub/uring_hub.hpp"
#include "tests/support/sim_hub.hpp"

namespace greenwsgi::testing {

using namespace std::chrono_literals;

struct OnUring {
  static constexpr bool kRealTime = true;
  static std::unique_ptr<Hub> make() {
    std::unique_ptr<UringHub> hub;
    if (const std::string why = UringHub::make(hub); !why.empty()) MESSAGE(why);
    return hub;
  }
};
struct OnEpoll {
  static constexpr bool kRealTime = true;
  static std::unique_ptr<Hub> make() {
    std::unique_ptr<EpollHub> hub;
    REQUIRE(EpollHub::make(hub) == "");
    return hub;
  }
};
struct OnSim {
  static constexpr bool kRealTime = false;
  static std::unique_ptr<Hub> make() { return std::make_unique<SimHub>(); }
};
struct OnSeededSim {
  static constexpr bool kRealTime = false;
  static std::unique_ptr<Hub> make() { return std::make_unique<SimHub>(42); }
};

#define GW_HUBS OnUring, OnEpoll, OnSim, OnSeededSim
#define GW_REAL_HUBS OnUring, OnEpoll
/// The first line of a test: where the machine has no io_uring, its part is skipped, with a
/// message.
#define GW_HUB_OR_SKIP(made, hub)      \
  const auto made = TypeParam::make(); \
  if (made == nullptr) return;         \
  Hub& hub = *made

struct TestOp : Op {
  TestOp() {
    on_done = [](Op& op) noexcept { static_cast<TestOp&>(op).record(); };
  }
  TestOp(Kind kind_, int fd_) : TestOp() {
    kind = kind_;
    fd = fd_;
  }
  ~TestOp() { CHECK_FALSE(in_flight); }

  static std::unique_ptr<TestOp> recv(int fd, std::size_t bytes, int flags = 0) {
    auto op = with_room(Kind::recv, fd, bytes);
    op->flags = flags;
    return op;
  }
  static std::unique_ptr<TestOp> read(int fd, std::size_t bytes, std::int64_t offset = -1) {
    auto op = with_room(Kind::read, fd, bytes);
    op->offset = offset;
    return op;
  }
  static std::unique_ptr<TestOp> sending(Kind kind, int fd, std::string text) {
    auto op = std::make_unique<TestOp>(kind, fd);
    op->room = std::move(text);
    op->buffer = std::as_writable_bytes(std::span(op->room));
    return op;
  }

  void record() {
    results.push_back(result);
    const bool receives = kind == Kind::recv || kind == Kind::recv_multishot || kind == Kind::read;
    if (receives && result > 0)
      text.append(reinterpret_cast<const char*>(buffer.data()), static_cast<std::size_t>(result));
    if (!in_flight) ++ends;
    if (then) then(*this);
  }
  bool done() const { return ends > 0; }

  std::vector<int> results;
  std::string text;  // What was received.
  std::string room;
  int ends = 0;
  std::function<void(TestOp&)> then;

 private:
  static std::unique_ptr<TestOp> with_room(Kind kind, int fd, std::size_t bytes) {
    return sending(kind, fd, std::string(bytes, '\0'));
  }
};

/// Two ends of something; closes what is left of it.
struct Ends {
  int a = -1;
  int b = -1;
  Ends(int a_, int b_) : a(a_), b(b_) {}
  Ends(Ends&& other) : a(std::exchange(other.a, -1)), b(std::exchange(other.b, -1)) {}
  ~Ends() {
    close_a();
    close_b();
  }
  void close_a() {
    if (a >= 0) ::close(std::exchange(a, -1));
  }
  void close_b() {
    if (b >= 0) ::close(std::exchange(b, -1));
  }
};

inline Ends stream_pair(int flags = 0) {
  int pair[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0, pair) == 0);
  return {pair[0], pair[1]};
}

/// a: the end to read.
inline Ends pipe_pair(int flags = 0) {
  int pair[2];
  REQUIRE(::pipe2(pair, O_CLOEXEC | flags) == 0);
  return {pair[0], pair[1]};
}

inline void put(int fd, std::string_view text) {
  REQUIRE(::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
}

inline std::string take(int fd, std::size_t bytes = 65536) {
  std::string text(bytes, '\0');
  const ssize_t got = ::recv(fd, text.data(), text.size(), MSG_DONTWAIT);
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return text;
}

/// A listening Unix socket with an address of the kernel's choice.
struct Listener {
  int fd;
  sockaddr_un address{};
  socklen_t bytes = sizeof address;

  explicit Listener(int flags = 0, int backlog = 4096)
      : fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0)) {
    address.sun_family = AF_UNIX;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(::bind(fd, generic, sizeof address.sun_family) == 0);
    REQUIRE(::listen(fd, backlog) == 0);
    REQUIRE(::getsockname(fd, generic, &bytes) == 0);
  }
  ~Listener() { ::close(fd); }
  int connect() const {
    const int client = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(::connect(client, reinterpret_cast<const sockaddr*>(&address), bytes) == 0);
    return client;
  }
};

inline void turn(Hub& hub, Duration patience) {
  hub.wait(hub.now() + patience);
  hub.dispatch();
}

/// Turns the hub until `met()`; false when that takes longer than any test may.
template <class Condition>
bool run_until(Hub& hub, Condition met) {
  const Instant give_up = hub.now() + 10s;
  while (!met() && hub.now() < give_up) {
    hub.wait(give_up);
    hub.dispatch();
  }
  return met();
}

inline bool run(Hub& hub, TestOp& op) {
  return run_until(hub, [&] { return op.done(); });
}

/// Gives what is under way every chance to happen.
inline void settle(Hub& hub) {
  for (int i = 0; i < 5; ++i) turn(hub, 1ms);
}

inline void cancel_and_run(Hub& hub, TestOp& op) {
  if (op.in_flight) hub.cancel(op);
  CHECK(run_until(hub, [&] { return !op.in_flight; }));
}

}  // namespace greenwsgi::testing
