// How operations are spelled: their tags, and the flags that the hub adds to the caller's. That the
// kernel understands them is the conformance suite's.
#include "src/hub/uring_sqe.hpp"

#include "src/hub/uring_buffers.hpp"
#include "tests/unit/hub/rig.hpp"

using namespace greenwsgi;
using namespace greenwsgi::testing;

namespace {

io_uring_sqe prepared(const Op& op) {
  io_uring_sqe sqe{};
  prepare(sqe, op);
  return sqe;
}

}  // namespace

TEST_CASE("submission: names its op, and its polling stage apart") {
  TestOp op(Op::Kind::recv, 3);
  const auto address = reinterpret_cast<std::uintptr_t>(&op);
  CHECK(prepared(op).user_data == address);
  CHECK(prepared(op).opcode == IORING_OP_RECV);

  op.hub_state = UringState::kPolling;

  CHECK(prepared(op).user_data == (address | kPollTag));
  CHECK(prepared(op).opcode == IORING_OP_POLL_ADD);
  CHECK(prepared(op).poll32_events == POLLIN);
}

TEST_CASE("submission: a receive polls first, unless it was polled or must not wait") {
  TestOp op(Op::Kind::recv, 3);
  CHECK((prepared(op).ioprio & IORING_RECVSEND_POLL_FIRST) != 0);

  op.hub_state = UringState::kPolled;
  CHECK((prepared(op).ioprio & IORING_RECVSEND_POLL_FIRST) == 0);

  op.hub_state = 0;
  op.flags = MSG_DONTWAIT;
  CHECK((prepared(op).ioprio & IORING_RECVSEND_POLL_FIRST) == 0);
}

TEST_CASE("submission: a receive that was in part done goes on behind its bytes") {
  const auto op = TestOp::recv(3, 10);
  op->hub_word = 4;

  const io_uring_sqe sqe = prepared(*op);

  CHECK(sqe.addr == reinterpret_cast<std::uintptr_t>(op->room.data() + 4));
  CHECK(sqe.len == 6);
}

TEST_CASE("submission: no send raises a signal, and the caller's flags stay") {
  for (const auto kind : {Op::Kind::send, Op::Kind::sendmsg}) {
    TestOp op(kind, 3);
    op.flags = MSG_MORE;
    CHECK(prepared(op).msg_flags == (MSG_MORE | MSG_NOSIGNAL));
  }
}

TEST_CASE("submission: a large write is a kernel thread's from the start") {
  std::vector<std::byte> data((1 << 20) + 1);
  TestOp op(Op::Kind::write, 3);

  op.buffer = std::span(data).first(1 << 20);
  CHECK((prepared(op).flags & IOSQE_ASYNC) == 0);

  op.buffer = data;
  CHECK((prepared(op).flags & IOSQE_ASYNC) != 0);
}

TEST_CASE("submission: a multishot receive takes the hub's buffers") {
  const io_uring_sqe sqe = prepared(TestOp(Op::Kind::recv_multishot, 3));

  CHECK((sqe.flags & IOSQE_BUFFER_SELECT) != 0);
  CHECK(sqe.buf_group == UringBuffers::kGroup);
  CHECK((sqe.ioprio & IORING_RECV_MULTISHOT) != 0);
}
