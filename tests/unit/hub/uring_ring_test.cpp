// A ring that was opened works; one that could not be says why; one that ends lets go at once. What
// is said where the system refuses io_uring is in make_hub_test.cpp.
#include "src/hub/uring_ring.hpp"

#include <sys/wait.h>

#include "tests/unit/hub/rig.hpp"

using namespace greenwsgi;
using namespace greenwsgi::testing;

namespace {

constexpr UringSizes kSmall{.submissions = 4, .completions = 8, .buffers = 16, .buffers_first = 4};

bool opens(UringRing& ring) {
  const std::string why = ring.open(kSmall);
  if (!why.empty()) MESSAGE(why);
  return why.empty();
}

}  // namespace

TEST_CASE("ring: what opening tried out has left nothing behind") {
  UringRing ring;
  if (!opens(ring)) return;

  CHECK(io_uring_cq_ready(ring.get()) == 0);
  CHECK(io_uring_sq_ready(ring.get()) == 0);
  CHECK(ring.buffers().offered() == 4);
  CHECK(ring.owned_by_this_process());
}

TEST_CASE("ring: without a descriptor left there is a sentence that says so") {
  UringRing possible;
  if (!opens(possible)) return;
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  const int lowest_free = ::dup(0);
  ::close(lowest_free);
  rlimit none = before;
  none.rlim_cur = static_cast<rlim_t>(lowest_free);
  ::setrlimit(RLIMIT_NOFILE, &none);

  UringRing ring;
  const std::string why = ring.open(kSmall);
  ::setrlimit(RLIMIT_NOFILE, &before);

  CHECK(why == "io_uring_setup(2) was refused: Too many open files");
}

TEST_CASE("ring: a child after fork does not own it, and its end leaves the parent's alone") {
  auto ring = std::make_unique<UringRing>();
  if (!opens(*ring)) return;

  const pid_t child = ::fork();
  if (child == 0) {
    const bool owned = ring->owned_by_this_process();
    ring.reset();
    ::_exit(owned ? 1 : 0);
  }
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);

  CHECK(status == 0);
  io_uring_prep_nop(io_uring_get_sqe(ring->get()));
  CHECK(io_uring_submit_and_wait(ring->get(), 1) == 1);
  CHECK(io_uring_cq_ready(ring->get()) == 1);
}

TEST_CASE("ring: its end gives back the descriptors that operations still hold") {
  auto ring = std::make_unique<UringRing>();
  if (!opens(*ring)) return;
  Ends ends = stream_pair();
  io_uring_prep_poll_add(io_uring_get_sqe(ring->get()), ends.a, POLLIN);
  REQUIRE(io_uring_submit(ring->get()) == 1);
  ends.close_a();
  pollfd peer{ends.b, POLLIN, 0};
  REQUIRE(::poll(&peer, 1, 0) == 0);  // The ring keeps the socket open.

  ring.reset();

  CHECK(::poll(&peer, 1, 0) == 1);
  CHECK((peer.revents & POLLHUP) != 0);
}
