#include "src/hub/uring_sqe.hpp"

#include <sys/socket.h>

#include "src/hub/socket_facts.hpp"
#include "src/hub/uring_buffers.hpp"

namespace greenwsgi {

namespace {

constexpr unsigned kWriteAtOnce = 1 << 20;

void prepare_recv(io_uring_sqe& sqe, const Op& op) {
  const auto rest = op.buffer.subspan(op.hub_word);
  io_uring_prep_recv(&sqe, op.fd, rest.data(), rest.size(), op.flags);
  // Callers come here after an EAGAIN of their own: the kernel need not fail once more.
  const bool try_at_once = (op.hub_state & UringState::kPolled) != 0 || must_not_wait(op);
  if (!try_at_once) sqe.ioprio |= IORING_RECVSEND_POLL_FIRST;
}

void prepare_recv_multishot(io_uring_sqe& sqe, const Op& op) {
  io_uring_prep_recv_multishot(&sqe, op.fd, nullptr, 0, op.flags);
  sqe.flags |= IOSQE_BUFFER_SELECT;
  sqe.buf_group = UringBuffers::kGroup;
}

void prepare_itself(io_uring_sqe& sqe, const Op& op) {
  const auto bytes = static_cast<unsigned>(op.buffer.size());
  const auto offset = static_cast<std::uint64_t>(op.offset);
  switch (op.kind) {
    case Op::Kind::accept:
      return io_uring_prep_accept(&sqe, op.fd, nullptr, nullptr, op.flags);
    case Op::Kind::accept_multishot:
      return io_uring_prep_multishot_accept(&sqe, op.fd, nullptr, nullptr, op.flags);
    case Op::Kind::connect:
      return io_uring_prep_connect(&sqe, op.fd, op.address, op.address_bytes);
    case Op::Kind::recv:
      return prepare_recv(sqe, op);
    case Op::Kind::recv_multishot:
      return prepare_recv_multishot(sqe, op);
    case Op::Kind::send:
      return io_uring_prep_send(&sqe, op.fd, op.buffer.data(), bytes, op.flags | MSG_NOSIGNAL);
    case Op::Kind::sendmsg:
      return io_uring_prep_sendmsg(&sqe, op.fd, op.message,
                                   static_cast<unsigned>(op.flags | MSG_NOSIGNAL));
    case Op::Kind::read:
      return io_uring_prep_read(&sqe, op.fd, op.buffer.data(), bytes, offset);
    case Op::Kind::write:
      io_uring_prep_write(&sqe, op.fd, op.buffer.data(), bytes, offset);
      // Copying it into the page cache here would hold up this thread.
      if (bytes > kWriteAtOnce) sqe.flags |= IOSQE_ASYNC;
      return;
    case Op::Kind::poll:
      break;  // Always in its polling stage.
    case Op::Kind::close:
      return io_uring_prep_close(&sqe, op.fd);
    case Op::Kind::offload:
      break;  // Not the kernel's.
  }
  GW_ASSERT(false);
}

}  // namespace

void prepare(io_uring_sqe& sqe, const Op& op) {
  const bool polling = (op.hub_state & UringState::kPolling) != 0;
  if (polling)
    io_uring_prep_poll_add(&sqe, op.fd, static_cast<unsigned short>(events_awaited(op)));
  else
    prepare_itself(sqe, op);
  sqe.user_data = reinterpret_cast<std::uintptr_t>(&op) | (polling ? kPollTag : 0);
}

}  // namespace greenwsgi
