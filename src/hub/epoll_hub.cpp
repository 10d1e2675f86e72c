#include "src/hub/epoll_hub.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "greenwsgi/base/assert.hpp"
#include "src/hub/attempt.hpp"
#include "src/hub/blocking.hpp"
#include "src/hub/socket_facts.hpp"

namespace greenwsgi {

namespace {

constexpr std::uint8_t kWaiting = 1;  // Op::hub_state: in a list of its Descriptor.

// A busy loop need not ask the kernel each time round.
constexpr Duration kPollInterval = std::chrono::microseconds(20);

// How often one descriptor may repeat in one dispatch(), however much it has.
constexpr int kRecvRepeats = 4;
constexpr int kAcceptRepeats = 64;

}  // namespace

EpollHub::EpollHub()
    : HubBase(EFD_NONBLOCK),
      epoll_fd_(::epoll_create1(EPOLL_CLOEXEC)),
      buffer_(new std::byte[kBufferBytes]) {}

EpollHub::~EpollHub() {
  for (auto& block : descriptors_) {
    if (block == nullptr) continue;
    for (Descriptor& descriptor : *block)
      for (List<Op>* list : {&descriptor.readers, &descriptor.writers, &descriptor.pollers})
        while (!list->empty()) list->pop_front();
  }
  if (epoll_fd_ >= 0) ::close(epoll_fd_);
}

std::string EpollHub::make(std::unique_ptr<EpollHub>& hub) {
  std::unique_ptr<EpollHub> made(new EpollHub);
  epoll_event event{.events = EPOLLIN, .data = {.fd = made->wake_event_.fd()}};
  if (made->epoll_fd_ < 0 || !made->wake_event_.ok() ||
      ::epoll_ctl(made->epoll_fd_, EPOLL_CTL_ADD, made->wake_event_.fd(), &event) != 0)
    return std::string("epoll failed: ") + std::strerror(errno);
  hub = std::move(made);
  return "";
}

// Submission.

List<Op>& EpollHub::Descriptor::list_for(const Op& op) {
  if (op.kind == Op::Kind::poll) return pollers;
  return events_awaited(op) == POLLOUT ? writers : readers;
}

std::uint32_t EpollHub::Descriptor::wanted() {
  std::uint32_t events = 0;
  bool level = false;
  const auto add = [&](const Op& op) {
    events |= static_cast<std::uint16_t>(events_awaited(op));
    level |= op.kind == Op::Kind::accept_multishot || op.kind == Op::Kind::recv_multishot;
  };
  readers.for_each(add);
  if (!writers.empty()) events |= EPOLLOUT;
  pollers.for_each(add);
  return level || idle() ? events : events | EPOLLONESHOT;
}

bool EpollHub::knows(int fd) const {
  const auto block = static_cast<std::size_t>(fd / kBlock);
  return block < descriptors_.size() && descriptors_[block] != nullptr;
}

bool EpollHub::has_room_for(int fd) try {
  if (knows(fd)) return true;
  const auto block = static_cast<std::size_t>(fd / kBlock);
  if (block >= descriptors_.size()) descriptors_.resize(block + 1);
  unarmed_.reserve(descriptors_.size() * kBlock);
  descriptors_[block] = std::make_unique<std::array<Descriptor, kBlock>>();
  return true;
} catch (const std::bad_alloc&) {
  return false;
}

EpollHub::Descriptor& EpollHub::descriptor(int fd) {
  return (*descriptors_[static_cast<std::size_t>(fd / kBlock)])[fd % kBlock];
}

void EpollHub::submit(Op& op) {
  take_on(op);
  if (op.kind == Op::Kind::offload) return submit_to_pool(op);
  if (op.fd < 0) return finish_later(op, -EBADF);
  if (op.kind == Op::Kind::close) {
    forget(op.fd);
    return finish_later(op, attempt(op));
  }
  if (!has_room_for(op.fd)) return finish_later(op, -ENOMEM);
  begin(op);
}

void EpollHub::begin(Op& op) {
  switch (op.kind) {
    case Op::Kind::connect:
      if (const int result = begin_connect(op); result != -EINPROGRESS)
        return finish_later(op, result);
      return wait_for_events(op);
    case Op::Kind::read:
    case Op::Kind::write:
      // Callers could not try by themselves: read(2) has no MSG_DONTWAIT.
      if (is_disk_file(op.fd)) return submit_to_pool(op);
      if (!descriptor(op.fd).list_for(op).empty()) return wait_for_events(op);
      if (const int result = attempt(op); result != -EAGAIN) return finish_later(op, result);
      return wait_for_events(op);
    default:
      if (must_not_wait(op)) return finish_later(op, attempt(op));
      return wait_for_events(op);
  }
}

void EpollHub::wait_for_events(Op& op) {
  Descriptor& waited_for = descriptor(op.fd);
  op.hub_state = kWaiting;
  waited_for.list_for(op).push_back(op);
  arm_later(op.fd, waited_for);
}

void EpollHub::cancel(Op& op) {
  GW_ASSERT(op.in_flight);
  if (op.cancel_requested) return;
  op.cancel_requested = true;
  if (op.hub_state != kWaiting) return cancel_in_base(op);
  op.unlink();
  Descriptor& waited_for = descriptor(op.fd);
  if (waited_for.idle()) stop_waiting(op.fd, waited_for);
  finish_later(op, -ECANCELED);
}

// What epoll is told.

void EpollHub::arm_later(int fd, Descriptor& descriptor) {
  if (descriptor.in_unarmed) return;
  descriptor.in_unarmed = true;
  unarmed_.push_back(fd);
}

void EpollHub::arm_all() {
  for (std::size_t i = 0; i < unarmed_.size(); ++i) {
    Descriptor& changed = descriptor(unarmed_[i]);
    changed.in_unarmed = false;
    arm(unarmed_[i], changed);
  }
  unarmed_.clear();
}

void EpollHub::arm(int fd, Descriptor& descriptor) {
  const std::uint32_t wanted = descriptor.wanted();
  if (descriptor.armed == wanted || descriptor.idle()) return;
  if (const int error = control(fd, descriptor, wanted); error != 0)
    return refuse(descriptor, error);
  descriptor.armed = wanted;
}

int EpollHub::control(int fd, Descriptor& descriptor, std::uint32_t events) {
  epoll_event event{.events = events, .data = {.fd = fd}};
  const int first = descriptor.registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
  int status = ::epoll_ctl(epoll_fd_, first, fd, &event);
  // ENOENT: closed and reused without our knowledge. EEXIST: forgotten, but open elsewhere.
  if (status != 0 && (errno == ENOENT || errno == EEXIST))
    status = ::epoll_ctl(epoll_fd_, errno == ENOENT ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event);
  descriptor.registered = status == 0;
  return status == 0 ? 0 : errno;
}

/// Nobody waits any more: the descriptor may be closed and its number reused without a word.
void EpollHub::stop_waiting(int fd, Descriptor& descriptor) {
  const bool level = descriptor.armed != 0 && (descriptor.armed & EPOLLONESHOT) == 0;
  if (level) forget(fd);
  descriptor.armed = 0;
}

void EpollHub::forget(int fd) {
  if (!knows(fd)) return;
  Descriptor& forgotten = descriptor(fd);
  if (forgotten.registered) ::epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr);
  forgotten.registered = false;
  forgotten.armed = 0;
}

/// epoll will not watch this descriptor: EPERM for files that are always "ready".
void EpollHub::refuse(Descriptor& descriptor, int error) {
  for (List<Op>* list : {&descriptor.readers, &descriptor.writers, &descriptor.pollers})
    while (!list->empty()) refuse_one(list->pop_front(), error);
  descriptor.armed = 0;
}

void EpollHub::refuse_one(Op& op, int error) {
  if (error != EPERM) return finish_later(op, -error);
  const bool is_file_io = op.kind == Op::Kind::read || op.kind == Op::Kind::write;
  is_file_io ? submit_to_pool(op) : finish_later(op, attempt(op));
}

// Waiting.

void EpollHub::wait(Instant until) {
  const bool changed = !unarmed_.empty();
  arm_all();
  if (event_count_ > 0) return;  // Of a wait() before: dispatch() has them first.
  if (anything_done()) until = known_now_;
  known_now_ = Clock::now();
  const bool asked_lately = known_now_ - polled_at_ < kPollInterval && !wake_event_.raised();
  if (until <= known_now_ && !changed && asked_lately) return;
  ++polls_;
  event_count_ = poll_events(until, known_now_);
  polled_at_ = until <= known_now_ ? known_now_ : Clock::now();
}

/// How many events there are; 0 after a signal.
int EpollHub::poll_events(Instant until, Instant now) {
  using std::chrono::ceil, std::chrono::milliseconds, std::chrono::seconds;
  // Instant::min() less anything would overflow.
  const Duration length = until <= now ? Duration::zero() : until - now;
  int count = -1;
  if (has_pwait2_) {
    const auto whole = std::chrono::duration_cast<seconds>(length);
    const timespec timeout{.tv_sec = whole.count(), .tv_nsec = (length - whole).count()};
    count = static_cast<int>(::syscall(SYS_epoll_pwait2, epoll_fd_, events_.data(), kEvents,
                                       until == kNever ? nullptr : &timeout, nullptr, 0));
    // EPERM: what old sandboxes answer to calls they do not know.
    has_pwait2_ = count >= 0 || (errno != ENOSYS && errno != EPERM);
  }
  if (!has_pwait2_) {
    const auto rounded = std::min<std::int64_t>(ceil<milliseconds>(length).count(), INT32_MAX);
    count = ::epoll_wait(epoll_fd_, events_.data(), kEvents,
                         until == kNever ? -1 : static_cast<int>(rounded));
  }
  if (count < 0 && errno == EBADF) GW_ASSERT(!"the program has not closed this hub's descriptors");
  GW_ASSERT(count >= 0 || errno == EINTR);
  return std::max(count, 0);
}

// Completion.

void EpollHub::dispatch() {
  finish_done();
  const int count = std::exchange(event_count_, 0);
  for (int i = 0; i < count; ++i) {
    const epoll_event event = events_[static_cast<std::size_t>(i)];
    if (event.data.fd != wake_event_.fd()) {
      serve(event.data.fd, event.events);
      continue;
    }
    std::uint64_t ignored = 0;
    [[maybe_unused]] const auto bytes = ::read(wake_event_.fd(), &ignored, sizeof ignored);
    after_wake();
  }
}

void EpollHub::serve(int fd, std::uint32_t events) {
  Descriptor& ready = descriptor(fd);
  if ((ready.armed & EPOLLONESHOT) != 0) ready.armed = 0;
  constexpr std::uint32_t kBoth = EPOLLERR | EPOLLHUP;
  if ((events & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | kBoth)) != 0) serve_list(ready.readers);
  if ((events & (EPOLLOUT | kBoth)) != 0) serve_list(ready.writers);
  serve_pollers(ready.pollers);
  ready.idle() ? stop_waiting(fd, ready) : arm_later(fd, ready);
}

/// Serves those who wait now, in their order; who comes meanwhile waits for the next event.
void EpollHub::serve_list(List<Op>& list) {
  if (list.empty()) return;
  List<Op> turn;
  turn.splice_back(list);
  while (!turn.empty() && serve_one(turn.front())) {
  }
  turn.splice_back(list);
  list.splice_back(turn);
}

/// Each waits for events of its own.
void EpollHub::serve_pollers(List<Op>& list) {
  List<Op> turn;
  turn.splice_back(list);
  while (!turn.empty()) {
    Op& op = turn.front();
    if (serve_one(op)) continue;
    op.unlink();
    list.push_back(op);
  }
}

/// False when `op` goes on waiting.
bool EpollHub::serve_one(Op& op) {
  if (op.kind == Op::Kind::accept_multishot) return serve_accept(op);
  if (op.kind == Op::Kind::recv_multishot) return serve_recv(op);
  int result = attempt(op);
  while (wants_more(op, result)) {
    op.hub_word += static_cast<std::uint32_t>(result);
    result = attempt(op);
  }
  if (result == -EAGAIN) return false;
  finish(op, result);
  return true;
}

bool EpollHub::serve_accept(Op& op) {
  make_nonblocking(op.fd);
  for (int i = 0; i < kAcceptRepeats; ++i) {
    const int result = attempt(op);
    if (result == -EAGAIN) return false;
    if (result == -ECONNABORTED) continue;
    if (result < 0) {
      finish(op, result);
      return true;
    }
    op.result = result;
    op.on_done(op);
    if (op.cancel_requested) return true;  // And in done_ by now.
  }
  return false;
}

bool EpollHub::serve_recv(Op& op) {
  for (int i = 0; i < kRecvRepeats; ++i) {
    op.buffer = {buffer_.get(), kBufferBytes};
    const int result = attempt(op);
    if (result <= 0) op.buffer = {};
    if (result == -EAGAIN) return false;
    if (result <= 0) {
      finish(op, result);
      return true;
    }
    op.result = result;
    op.buffer = op.buffer.first(static_cast<std::size_t>(result));
    op.on_done(op);
    if (op.cancel_requested) return true;  // And in done_ by now.
    if (static_cast<std::size_t>(result) < kBufferBytes) return false;
  }
  return false;
}

}  // namespace greenwsgi
