#include "tests/support/sim_hub.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "greenwsgi/base/assert.hpp"
#include "src/hub/attempt.hpp"
#include "src/hub/blocking.hpp"
#include "src/hub/socket_facts.hpp"

namespace greenwsgi::testing {

namespace {

int new_socket() {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  GW_ASSERT(fd >= 0);
  return fd;
}

/// Connects `fd` to a listening socket; both are ours, so it cannot wait or fail.
void connect_to(int fd, int listener) {
  sockaddr_un address;
  socklen_t bytes = sizeof address;
  GW_ASSERT(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &bytes) == 0);
  GW_ASSERT(::connect(fd, reinterpret_cast<sockaddr*>(&address), bytes) == 0);
}

// Op::hub_state of a connect.
constexpr std::uint8_t kNotBegun = 0;
constexpr std::uint8_t kBegun = 1;

bool is_multishot(const Op& op) {
  return op.kind == Op::Kind::accept_multishot || op.kind == Op::Kind::recv_multishot;
}

}  // namespace

SimHub::SimHub(std::uint64_t seed) : random_(seed), draws_(seed != 0), buffer_(64 * 1024) {}

std::size_t SimHub::draw(std::size_t end) {
  GW_ASSERT(end > 0);
  return draws_ ? random_() % end : 0;
}

// The script.

void SimHub::at(Instant when, std::function<void()> act) {
  script_.emplace(when, std::move(act));
}

SimStream SimHub::stream(int send_buffer_bytes) {
  int pair[2];
  GW_ASSERT(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
  if (send_buffer_bytes > 0)
    ::setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &send_buffer_bytes, sizeof send_buffer_bytes);
  return {pair[0], &peers_.emplace_back(*this, pair[1])};
}

int SimHub::socket() {
  return new_socket();
}

int SimHub::listener() {
  const int fd = new_socket();
  const sockaddr_un any{.sun_family = AF_UNIX, .sun_path = {}};
  GW_ASSERT(::bind(fd, reinterpret_cast<const sockaddr*>(&any), sizeof any.sun_family) == 0);
  GW_ASSERT(::listen(fd, 4096) == 0);
  return fd;
}

SimPeer& SimHub::connects(int listener, Instant when) {
  SimPeer& peer = peers_.emplace_back(*this, -1);
  at(when, [&peer, listener] {
    const int fd = new_socket();
    connect_to(fd, listener);
    peer.fd_ = fd;
  });
  return peer;
}

SimPeer& SimHub::answers_connect(int fd, Instant when) {
  SimPeer& peer = peers_.emplace_back(*this, -1);
  answered_[fd] = false;
  at(when, [this, &peer, fd] {
    const int own = listener();
    connect_to(fd, own);
    peer.fd_ = ::accept4(own, nullptr, nullptr, SOCK_CLOEXEC);
    ::close(own);
    answered_[fd] = true;
  });
  return peer;
}

void SimHub::fails_next(int fd, Op::Kind kind, int error) {
  GW_ASSERT(error > 0);
  faults_.emplace(Target{fd, kind}, error);
}

// The hub.

void SimHub::submit(Op& op) {
  GW_ASSERT(!op.in_flight);
  GW_ASSERT(op.on_done != nullptr);
  op.in_flight = true;
  op.cancel_requested = false;
  op.hub_word = 0;
  op.hub_state = 0;
  ++in_flight_;
  if (op.kind == Op::Kind::accept_multishot) make_nonblocking(op.fd);
  pending_.push_back(&op);
}

void SimHub::cancel(Op& op) {
  GW_ASSERT(op.in_flight);
  op.cancel_requested = true;
}

void SimHub::run_due() {
  while (!script_.empty() && script_.begin()->first <= now_) {
    const auto act = std::move(script_.begin()->second);
    script_.erase(script_.begin());
    act();
  }
  for (SimPeer& peer : peers_) peer.pump();
}

void SimHub::wait(Instant until) {
  for (;;) {
    run_due();
    find_ready();
    if (!ready_.empty() || woken_.exchange(false) || until <= now_) return;
    const Instant next = script_.empty() ? until : std::min(until, script_.begin()->first);
    if (next == kNever) waits_for_ever();
    now_ = next;
  }
}

void SimHub::waits_for_ever() const {
  for (const Op* op : pending_)
    std::fprintf(stderr, "SimHub: in flight: an op of kind %d on descriptor %d\n", int(op->kind),
                 op->fd);
  constexpr bool kSomethingWillHappen = false;
  GW_ASSERT(kSomethingWillHappen);
  std::abort();
}

/// What could go on now, in the order of submission.
std::vector<Op*> SimHub::ready_now() {
  std::vector<pollfd> polled;
  for (const Op* op : pending_) {
    const bool has_events = op->kind != Op::Kind::close && op->kind != Op::Kind::offload;
    polled.push_back({has_events ? op->fd : -1, events_awaited(*op), 0});
  }
  ::poll(polled.data(), polled.size(), 0);
  std::vector<Op*> ready;
  for (std::size_t i = 0; i < pending_.size(); ++i) {
    Op& op = *pending_[i];
    bool is_ready = polled[i].fd < 0 || polled[i].revents != 0;
    if (op.kind == Op::Kind::connect) is_ready |= op.hub_state == kNotBegun;
    if (const auto answer = answered_.find(op.fd); answer != answered_.end())
      is_ready = answer->second;
    if (is_ready || op.cancel_requested || must_not_wait(op) || faults_.contains({op.fd, op.kind}))
      ready.push_back(&op);
  }
  return ready;
}

void SimHub::find_ready() {
  ready_ = ready_now();
  if (!draws_ || ready_.empty()) return;
  std::shuffle(ready_.begin(), ready_.end(), random_);
  keep_order_per_descriptor(ready_);
  if (chance(4)) ready_.resize(1 + draw(ready_.size()));  // The others happen to be a bit slower.
}

/// Bytes of one stream go to its readers in the order of these, whatever the order of streams.
void SimHub::keep_order_per_descriptor(std::vector<Op*>& ops) {
  const auto rank = [&](const Op* op) {
    return std::find(pending_.begin(), pending_.end(), op) - pending_.begin();
  };
  for (std::size_t i = 0; i < ops.size(); ++i)
    for (std::size_t j = i + 1; j < ops.size(); ++j)
      if (ops[i]->fd == ops[j]->fd && rank(ops[j]) < rank(ops[i])) std::swap(ops[i], ops[j]);
}

void SimHub::dispatch() {
  for (Op* op : std::exchange(ready_, {})) step(*op);
}

/// One step of an operation that is, or was, ready.
void SimHub::step(Op& op) {
  const bool cancel_wins = op.cancel_requested && op.kind != Op::Kind::close && !chance(2);
  if (cancel_wins) return finish(op, -ECANCELED);
  if (is_multishot(op)) return step_multishot(op);
  const int result = attempt_drawn(op);
  if (wants_more(op, result)) {
    op.hub_word += static_cast<std::uint32_t>(result);
    return step(op);
  }
  if (result != -EAGAIN || must_not_wait(op)) return finish(op, result);
  if (op.cancel_requested) finish(op, -ECANCELED);
}

void SimHub::step_multishot(Op& op) {
  const bool receives = op.kind == Op::Kind::recv_multishot;
  if (receives) op.buffer = buffer_;
  const int result = attempt_drawn(op);
  const bool moved = receives ? result > 0 : result >= 0;
  op.buffer = {};
  if (moved) {
    if (receives) op.buffer = {buffer_.data(), static_cast<std::size_t>(result)};
    op.result = result;
    return op.on_done(op);  // When it is cancelled, the next turn says so.
  }
  if (result != -EAGAIN && result != -ECONNABORTED) return finish(op, result);
  if (op.cancel_requested) finish(op, -ECANCELED);
}

/// attempt(), made to fail as scripted, or to move less than it could.
int SimHub::attempt_drawn(Op& op) {
  if (const auto fault = faults_.find({op.fd, op.kind}); fault != faults_.end()) {
    const int error = fault->second;
    faults_.erase(fault);
    return -error;
  }
  if (op.kind == Op::Kind::connect) return attempt_connect(op);
  if (op.kind == Op::Kind::offload) {
    op.work(op);
    return op.result;
  }
  const bool is_file_io = op.kind == Op::Kind::read || op.kind == Op::Kind::write;
  if (is_file_io && is_disk_file(op.fd)) {
    run_blocking(op);
    return op.result;
  }
  const bool is_datagram = (op.kind == Op::Kind::recv || op.kind == Op::Kind::recv_multishot ||
                            op.kind == Op::Kind::send || op.kind == Op::Kind::sendmsg) &&
                           !is_stream_socket(op.fd);
  if (is_datagram || !chance(2)) return attempt(op);
  if (op.kind == Op::Kind::sendmsg) return attempt_message(op, 1 + draw(64));
  const std::span<std::byte> whole = op.buffer;
  const std::size_t rest = whole.size() - op.hub_word;
  if (rest > 1) op.buffer = whole.first(op.hub_word + 1 + draw(rest));
  const int result = attempt(op);
  op.buffer = whole;
  return result;
}

/// Sends at most `bytes_max` of the first part.
int SimHub::attempt_message(Op& op, std::size_t bytes_max) {
  msghdr* const whole = op.message;
  if (whole->msg_iovlen == 0) return attempt(op);
  iovec part = whole->msg_iov[0];
  part.iov_len = std::min(part.iov_len, bytes_max);
  msghdr shortened = *whole;
  shortened.msg_iov = &part;
  shortened.msg_iovlen = 1;
  op.message = &shortened;
  const int result = part.iov_len > 0 ? attempt(op) : -EAGAIN;
  op.message = whole;
  return result == -EAGAIN ? attempt(op) : result;
}

int SimHub::attempt_connect(Op& op) {
  if (const auto answer = answered_.find(op.fd); answer != answered_.end()) {
    if (!answer->second) return -EAGAIN;
    answered_.erase(answer);
    return 0;
  }
  if (std::exchange(op.hub_state, kBegun) == kBegun) return attempt(op);
  const int result = begin_connect(op);
  return result == -EINPROGRESS ? -EAGAIN : result;
}

void SimHub::finish(Op& op, int result) {
  GW_ASSERT(op.in_flight);
  pending_.erase(std::find(pending_.begin(), pending_.end(), &op));
  if (op.hub_word > 0 && result < 0) result = 0;
  op.result = static_cast<int>(op.hub_word) + result;
  op.in_flight = false;
  --in_flight_;
  op.on_done(op);
}

}  // namespace greenwsgi::testing
