// The kernel takes buffers from what was offered, reports when there are none, and takes those that
// were given back. One receive at a time, straight on a ring.
#include "src/hub/uring_buffers.hpp"

#include "src/hub/uring_ring.hpp"
#include "tests/unit/hub/rig.hpp"

using namespace greenwsgi;
using namespace greenwsgi::testing;

namespace {

struct Received {
  int result;
  unsigned buffer;
};

/// A small ring, and a stream on which bytes wait.
struct Rig {
  UringRing ring;
  Ends ends = stream_pair();
  bool is_open;

  Rig() {
    const std::string why =
        ring.open({.submissions = 4, .completions = 8, .buffers = 8, .buffers_first = 2});
    is_open = why.empty();
    if (!is_open) MESSAGE(why);
    put(ends.b, std::string(50, 'x'));
  }

  Received receive(unsigned bytes) {
    io_uring_sqe* sqe = io_uring_get_sqe(ring.get());
    io_uring_prep_recv(sqe, ends.a, nullptr, bytes, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = UringBuffers::kGroup;
    REQUIRE(io_uring_submit_and_wait(ring.get(), 1) == 1);
    io_uring_cqe* cqe = nullptr;
    REQUIRE(io_uring_peek_cqe(ring.get(), &cqe) == 0);
    const Received received{cqe->res, cqe->flags >> IORING_CQE_BUFFER_SHIFT};
    io_uring_cqe_seen(ring.get(), cqe);
    return received;
  }

  /// How many more receives are served before the kernel finds no buffer.
  int served() {
    for (int count = 0;; ++count) {
      const int result = receive(1).result;
      if (result == -ENOBUFS) return count;
      REQUIRE(result == 1);
    }
  }
};

}  // namespace

TEST_CASE("buffers: no more are taken than were offered") {
  Rig rig;
  if (!rig.is_open) return;

  CHECK(rig.served() == 2);
}

TEST_CASE("buffers: one that was recycled serves again, with its bytes where get() says") {
  Rig rig;
  if (!rig.is_open) return;
  const Received first = rig.receive(1);
  REQUIRE(rig.served() == 1);

  rig.ring.buffers().recycle(first.buffer);
  const Received again = rig.receive(3);

  CHECK(again.result == 3);
  CHECK(again.buffer == first.buffer);
  const auto bytes = rig.ring.buffers().get(again.buffer, 3);
  CHECK(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()) == "xxx");
}

TEST_CASE("buffers: growing doubles what is offered, up to all there are") {
  Rig rig;
  if (!rig.is_open) return;
  UringBuffers& buffers = rig.ring.buffers();
  REQUIRE(rig.served() == 2);

  buffers.grow();
  CHECK(buffers.offered() == 4);
  CHECK(rig.served() == 2);
  buffers.grow();
  buffers.grow();

  CHECK(buffers.offered() == 8);
  CHECK(rig.served() == 4);
}

TEST_CASE("buffers: no two share memory") {
  Rig rig;
  if (!rig.is_open) return;
  const UringBuffers& buffers = rig.ring.buffers();

  const auto one = buffers.get(0, UringBuffers::kBytes);
  const auto two = buffers.get(1, UringBuffers::kBytes);

  CHECK((one.data() + one.size() <= two.data() || two.data() + two.size() <= one.data()));
}
