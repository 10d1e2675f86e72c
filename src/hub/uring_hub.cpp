#include "src/hub/uring_hub.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "greenwsgi/base/assert.hpp"
#include "src/hub/blocking.hpp"
#include "src/hub/socket_facts.hpp"
#include "src/hub/uring_sqe.hpp"

namespace greenwsgi {

namespace {

using State = UringState;

constexpr std::uint8_t kBase = OpState::kDone | OpState::kPool;

void forget(List<Op>& ops) {
  while (!ops.empty()) ops.pop_front();
}

}  // namespace

UringHub::~UringHub() {
  forget(backlog_);
  forget(cancels_);
}

std::string UringHub::make(std::unique_ptr<UringHub>& hub, const UringSizes& sizes) {
  std::unique_ptr<UringHub> made(new UringHub);
  if (!made->wake_event_.ok()) return "there is no descriptor left for an eventfd(2)";
  if (std::string why = made->ring_.open(sizes); !why.empty()) return why;
  made->arm_wake();
  hub = std::move(made);
  return "";
}

// Submission.

io_uring_sqe* UringHub::next_sqe() {
  io_uring_sqe* sqe = io_uring_get_sqe(ring_.get());
  if (sqe != nullptr) return sqe;
  // Full: hand over what is there. May be refused while completions wait to be fetched (EBUSY).
  ++enters_;
  check_enter(io_uring_submit(ring_.get()));
  return io_uring_get_sqe(ring_.get());
}

void UringHub::submit(Op& op) {
  take_on(op);
  if (op.kind == Op::Kind::offload) return submit_to_pool(op);
  if (op.kind == Op::Kind::poll) op.hub_state = State::kPolling;
  start(op);
}

void UringHub::start(Op& op) {
  io_uring_sqe* sqe = backlog_.empty() ? next_sqe() : nullptr;
  if (sqe != nullptr) return prepare(*sqe, op);
  op.hub_state |= State::kBacklog;
  backlog_.push_back(op);
}

void UringHub::cancel(Op& op) {
  GW_ASSERT(op.in_flight);
  if (op.cancel_requested) return;
  op.cancel_requested = true;
  if ((op.hub_state & kBase) != 0) return cancel_in_base(op);
  if ((op.hub_state & State::kBacklog) == 0) return send_cancel(op);
  op.unlink();
  finish_later(op, -ECANCELED);
}

void UringHub::send_cancel(Op& op) {
  if (op.linked()) op.unlink();  // From what lost_ends_ watches, or from cancels_.
  io_uring_sqe* sqe = next_sqe();
  if (sqe == nullptr) return cancels_.push_back(op);
  const bool polling = (op.hub_state & State::kPolling) != 0;
  io_uring_prep_cancel64(sqe, reinterpret_cast<std::uintptr_t>(&op) | (polling ? kPollTag : 0), 0);
  sqe->user_data = kIgnoredData;
}

void UringHub::arm_wake() {
  io_uring_sqe* sqe = next_sqe();
  wake_armed_ = sqe != nullptr;
  if (!wake_armed_) return;
  // Not from offset -1: an eventfd has no position, and 0 spares the kernel its lock.
  io_uring_prep_read(sqe, wake_event_.fd(), &wake_count_, sizeof wake_count_, 0);
  sqe->user_data = kWakeData;
}

void UringHub::send_backlog() {
  if (!wake_armed_) arm_wake();
  while (!cancels_.empty()) {
    Op& op = cancels_.pop_front();
    send_cancel(op);
    if (op.linked()) return;
  }
  while (!backlog_.empty()) {
    io_uring_sqe* sqe = next_sqe();
    if (sqe == nullptr) return;
    Op& op = backlog_.pop_front();
    op.hub_state &= static_cast<std::uint8_t>(~State::kBacklog);
    prepare(*sqe, op);
  }
}

// To begin a receive anew is to receive: it finds the end.
void UringHub::look_for_lost_ends() {
  List<Op> ended;
  lost_ends_.look(known_now_, ended);
  while (!ended.empty()) {
    Op& op = ended.pop_front();
    op.hub_state |= State::kAnew;
    send_cancel(op);
  }
}

// Waiting.

void UringHub::check_enter(int status) {
  // EBUSY, EAGAIN, ENOMEM: not everything was handed over; it stays in the ring for the next time.
  GW_ASSERT(status >= 0 || status == -ETIME || status == -EINTR || status == -EBUSY ||
            status == -EAGAIN || status == -ENOMEM);
}

bool UringHub::to_submit() const {
  return io_uring_sq_ready(ring_.get()) > 0;
}

// Does the kernel have completions that only a call brings into the ring?
bool UringHub::to_fetch() const {
  constexpr unsigned kFetch = IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW;
  return (__atomic_load_n(ring_.get()->sq.kflags, __ATOMIC_RELAXED) & kFetch) != 0;
}

bool UringHub::idle() const {
  return !is_behind() && !anything_done() && io_uring_cq_ready(ring_.get()) == 0 && !to_submit() &&
         !to_fetch();
}

void UringHub::enter() {
  const bool submits = to_submit();
  if (!submits && !to_fetch()) return;
  ++enters_;
  check_enter(submits ? io_uring_submit_and_get_events(ring_.get())
                      : io_uring_get_events(ring_.get()));
}

void UringHub::sleep(Duration length) {
  // Without any, liburing begins anew after a signal that came when something was handed over.
  length = std::min<Duration>(length, std::chrono::hours(24 * 365));
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(length);
  __kernel_timespec timeout{.tv_sec = seconds.count(), .tv_nsec = (length - seconds).count()};
  io_uring_cqe* first = nullptr;
  ++enters_;
  check_enter(io_uring_submit_and_wait_timeout(ring_.get(), &first, 1, &timeout, nullptr));
}

void UringHub::wait(Instant until) {
  if (is_behind()) send_backlog();
  if (lost_ends_.due() <= known_now_) look_for_lost_ends();
  until = std::min(until, lost_ends_.due());
  if (until <= known_now_ || anything_done() || io_uring_cq_ready(ring_.get()) > 0) return enter();
  if (until == kNever) return sleep(Duration::max());
  known_now_ = Clock::now();
  if (until <= known_now_) return enter();
  sleep(until - known_now_);
}

// Completion.

void UringHub::dispatch() {
  finish_done();
  for (unsigned left = io_uring_cq_ready(ring_.get()); left > 0; --left) {
    io_uring_cqe* cqe = nullptr;
    if (io_uring_peek_cqe(ring_.get(), &cqe) != 0) return;
    const io_uring_cqe copy = *cqe;
    io_uring_cqe_seen(ring_.get(), cqe);  // First, so that a callback finds the ring consistent.
    complete(copy.user_data, copy.res, copy.flags);
  }
}

void UringHub::complete(std::uint64_t user_data, int result, unsigned flags) {
  if (user_data == kIgnoredData) return;
  if (user_data == kWakeData) return on_wake();
  Op& op = *reinterpret_cast<Op*>(static_cast<std::uintptr_t>(user_data & ~kPollTag));
  GW_ASSERT(op.in_flight);
  const bool more = (flags & IORING_CQE_F_MORE) != 0;
  if ((user_data & kPollTag) != 0) return on_polled(op, result);
  if (op.kind == Op::Kind::recv_multishot) return on_received(op, result, flags);
  if (op.kind == Op::Kind::accept_multishot) return on_accepted(op, result, more);
  on_result(op, result);
}

void UringHub::on_result(Op& op, int result) {
  if (op.kind == Op::Kind::recv && wants_more(op, result)) {
    op.hub_word += static_cast<std::uint32_t>(result);
    return restart(op);
  }
  wait_or_finish(op, result);
}

void UringHub::on_accepted(Op& op, int result, bool more) {
  if (result < 0) return result == -ECONNABORTED ? restart(op) : wait_or_finish(op, result);
  op.result = result;
  op.on_done(op);
  if (!more) restart(op);
}

void UringHub::on_received(Op& op, int result, unsigned flags) {
  const bool more = (flags & IORING_CQE_F_MORE) != 0;
  const bool has_buffer = (flags & IORING_CQE_F_BUFFER) != 0;
  const unsigned buffer = flags >> IORING_CQE_BUFFER_SHIFT;
  if (result > 0) {
    GW_ASSERT(has_buffer);
    op.result = result;
    op.buffer = ring_.buffers().get(buffer, static_cast<std::size_t>(result));
    op.on_done(op);
  }
  if (has_buffer) ring_.buffers().recycle(buffer);
  if (more) {
    if (!op.linked() && !op.cancel_requested) lost_ends_.watch(op, known_now_);
    return;
  }
  if (op.linked()) op.unlink();  // From what lost_ends_ watches, or from cancels_.
  op.buffer = {};
  if (result == -ENOBUFS) ring_.buffers().grow();
  const bool anew = result == -ECANCELED && (op.hub_state & State::kAnew) != 0;
  op.hub_state &= static_cast<std::uint8_t>(~State::kAnew);
  if (result > 0 || result == -ENOBUFS || anew) return restart(op);
  wait_or_finish(op, result);
}

/// For an end that need not be one.
void UringHub::wait_or_finish(Op& op, int result) {
  const bool connecting =
      op.kind == Op::Kind::connect && (result == -EINPROGRESS || result == -EINTR);
  if (result == -EINTR && !connecting) return restart(op);
  const bool must_wait = (result == -EAGAIN && !must_not_wait(op)) || connecting;
  if (!must_wait) return finish(op, result);
  if (op.cancel_requested) return finish(op, -ECANCELED);
  // A regular file is always "ready", also when its pages must be fetched first.
  const bool is_file_io = op.kind == Op::Kind::read || op.kind == Op::Kind::write;
  if (is_file_io && is_disk_file(op.fd)) return submit_to_pool(op);
  op.hub_state |= State::kPolling;
  start(op);
}

/// The operation goes on, unless it was to end.
void UringHub::restart(Op& op) {
  if (op.cancel_requested) return finish(op, -ECANCELED);
  start(op);
}

void UringHub::on_polled(Op& op, int result) {
  if (op.kind == Op::Kind::poll || result < 0) return finish(op, result);
  if (op.kind == Op::Kind::connect) return finish(op, connect_result(op.fd));
  op.hub_state = State::kPolled;
  restart(op);
}

void UringHub::on_wake() {
  arm_wake();
  after_wake();
}

}  // namespace greenwsgi
