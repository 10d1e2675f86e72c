// The switch, and the hub's turn. The only file of the project that includes Boost.Context.
//
// Who runs where: a fiber leaves by jumping to the next that has its turn or, when all had theirs,
// to the hub's stack (leave), which asks the hub and jumps to the first that is ready (turn). A
// finished fiber always goes to the hub's stack, from where its own is given back.
#include "greenwsgi/fiber/fiber.hpp"

#include <cxxabi.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <boost/context/detail/fcontext.hpp>

#include "greenwsgi/base/prefetch.hpp"

#ifdef GREENWSGI_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

namespace greenwsgi {

namespace context = boost::context::detail;

namespace {

// A fiber never changes threads, so a compiler that keeps this address in a register across a
// switch does no harm.
thread_local Scheduler* this_scheduler = nullptr;

std::atomic<std::uint64_t> last_number{0};

// Of more fibers than these, the one that runs next is not in the processor's caches; it reads so
// much of its stack, and of the layer above's state, first: as far up as a WSGI call has callers.
constexpr std::size_t kFibersInCache = 256;
constexpr std::size_t kStackPrefetch = 2048;
constexpr std::size_t kLocalPrefetch = 128;
// A stack that is used again was used last where a fiber waited. This far below its start, where a
// WSGI call has its callees, it has not been for long.
constexpr std::size_t kDepthPrefetchFrom = 1664;
constexpr std::size_t kDepthPrefetchTo = 2816;

// Where there are more fibers than kFibersWarm, of the timers that are due together so many are
// fired, and their fibers run, before the hub is asked again: what they leave behind, stacks and
// Python's objects, is still in the caches when it is used for what has come in meanwhile. The
// timers of fewer fibers are seldom so many at once that it matters, and end in fewer turns.
constexpr std::size_t kFibersWarm = 2048;
constexpr std::size_t kTimersAtOnce = 32;

// The C++ runtime lists the exceptions being handled per thread, and a switch inside a catch block
// (an extension module that calls Python from one is enough) would leave one fiber's exception in
// another's list. So each fiber takes its own list along; the hub's stack has none.
Fiber::ExceptionState& exception_state() {
  return *reinterpret_cast<Fiber::ExceptionState*>(abi::__cxa_get_globals());
}

// Whoever jumps sends along where its own context is kept: whoever comes to run stores it there.
void keep_context(const context::transfer_t& from) {
  *static_cast<void**>(from.data) = from.fctx;
}

}  // namespace

#ifdef GREENWSGI_ASAN
// AddressSanitizer must know on which stack the thread stands; it hands out a fake stack for each.
// `next`: whose stack it will be; nullptr: the hub's.
void Scheduler::announce(void** fake_stack, const Fiber* next) const {
  if (next != nullptr && next->is_root())
    return __sanitizer_start_switch_fiber(fake_stack, root_bottom_, root_bytes_);
  const Stack& stack = next != nullptr ? next->stack_ : loop_stack_;
  __sanitizer_start_switch_fiber(fake_stack, stack.base, stack.bytes);
}
#define GW_ASAN_START(fake_stack, next) announce(fake_stack, next)
#define GW_ASAN_FINISH(fake_stack) __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr)
#else
#define GW_ASAN_START(fake_stack, next) void(0)
#define GW_ASAN_FINISH(fake_stack) void(0)
#endif

// --- Fiber

Fiber::Fiber(Scheduler& scheduler, Stack stack, std::uint64_t number)
    : scheduler_(scheduler), stack_(stack), number_(number != 0 ? number : take_number()) {}

void Fiber::prefetch() const {
  // No further than to its start, where this object lies. The root's lies elsewhere: what is
  // fetched of that stack may be too much, and does no harm.
  const auto up =
      reinterpret_cast<std::uintptr_t>(this + 1) - reinterpret_cast<std::uintptr_t>(context_);
  greenwsgi::prefetch(context_, std::min(kStackPrefetch, up));
  if (local != nullptr) greenwsgi::prefetch(local, kLocalPrefetch);
}

void Fiber::prefetch_depth() const {
  greenwsgi::prefetch(static_cast<const std::byte*>(context_) - kDepthPrefetchTo,
                      kDepthPrefetchTo - kDepthPrefetchFrom);
}

std::uint64_t Fiber::take_number() {
  return last_number.fetch_add(1, std::memory_order_relaxed) + 1;
}

std::uint64_t Fiber::number_taken_last() {
  return last_number.load(std::memory_order_relaxed);
}

const Wait& Fiber::wait() const {
  GW_ASSERT(wait_ != nullptr);
  return *wait_;
}

std::span<std::byte> Fiber::reserve() const {
  if (is_root()) return {};
  return {stack_.top() - StackPool::kReserveBytes, StackPool::kReserveBytes};
}

std::byte* Fiber::stack_limit() const {
  return is_root() ? nullptr : scheduler_.stacks().limit(stack_);
}

bool Fiber::open_yellow_zone(const void* address) {
  if (is_root() || zone_open_) return false;
  const auto* at = static_cast<const std::byte*>(address);
  const std::byte* limit = stack_limit();
  if (at >= limit || at < limit - scheduler_.stacks().zone_bytes()) return false;
  zone_open_ = scheduler_.stacks().open_zone(stack_);
  return zone_open_;
}

bool Fiber::close_yellow_zone() {
  if (!zone_open_) return true;
  // Well above it, or the next call would open it again.
  const auto* here = static_cast<const std::byte*>(__builtin_frame_address(0));
  if (here < stack_limit() + scheduler_.stacks().zone_bytes()) return false;
  zone_open_ = !scheduler_.stacks().close_zone(stack_);
  return !zone_open_;
}

// --- Scheduler: construction

Scheduler::Scheduler(Hub& hub, StackPool&& stacks)
    : hub_(hub),
      stacks_(std::move(stacks)),
      running_(&root_),
      exceptions_(exception_state()),
      previous_current_(this_scheduler),
      root_(*this, Stack{}, 0) {
  root_.state_ = Fiber::State::running;
  Result<Stack> stack = stacks_.take();
  GW_ASSERT(stack.ok());
  loop_stack_ = *stack;
  loop_context_ =
      context::make_fcontext(loop_stack_.top(), loop_stack_.bytes, [](context::transfer_t from) {
        Scheduler& self = *this_scheduler;
#ifdef GREENWSGI_ASAN
        // The root is the first to leave. It need not stand on the thread's own stack: in the child
        // of a fork it is the fiber that forked.
        __sanitizer_finish_switch_fiber(nullptr, &self.root_bottom_, &self.root_bytes_);
#endif
        keep_context(from);
        self.running_ = nullptr;
        self.loop();
      });
  this_scheduler = this;
}

Scheduler::~Scheduler() {
  GW_ASSERT(this_scheduler == this);
  GW_ASSERT(running_ == &root_);
  GW_ASSERT(alive_ == 0);
  stacks_.give_back(loop_stack_);
  this_scheduler = previous_current_;
}

Scheduler* Scheduler::current() {
  return this_scheduler;
}

void Scheduler::abandon() {
  GW_ASSERT(this_scheduler == this);
  this_scheduler = nullptr;
}

// --- Scheduler: the life of a fiber

Result<Fiber*> Scheduler::make_fiber(std::uint64_t number) {
  if (!make_room_for_timer()) return Errno{ENOMEM};
  const Result<Stack> stack = stacks_.take();
  if (!stack.ok()) return stack.error();
  std::byte* top = (*stack).top() - StackPool::kReserveBytes;
  constexpr std::size_t room = (sizeof(Fiber) + 15) / 16 * 16;
  auto* fiber = new (top - room) Fiber(*this, *stack, number);
  std::byte* start = top - room - kBodyBytes;
  const auto bytes = static_cast<std::size_t>(start - (*stack).base);
  fiber->context_ = context::make_fcontext(start, bytes, [](context::transfer_t from) {
    GW_ASAN_FINISH(nullptr);
    keep_context(from);
    Fiber& self = *this_scheduler->running_;
    self.body_(self.argument_);
    self.state_ = Fiber::State::done;
    self.scheduler_.leave(self);
    GW_ASSERT(!"a finished fiber was resumed");
  });
  alive_ += 1;
  ready_.push_back(*fiber);
  return fiber;
}

Result<Fiber*> Scheduler::spawn(void (*body)(void*), void* argument, std::uint64_t number) {
  Result<Fiber*> made = make_fiber(number);
  if (!made.ok()) return made;
  (*made)->body_ = body;
  (*made)->argument_ = argument;
  return made;
}

void Scheduler::release(Fiber& fiber) {
  const Stack stack = fiber.stack_;
  if (fiber.zone_open_) stacks_.close_zone(stack);
  fiber.~Fiber();
  stacks_.give_back(stack);
  alive_ -= 1;
  if (alive_ == 0 && run_waiter_ != nullptr) unpark(*std::exchange(run_waiter_, nullptr));
}

// --- Scheduler: switching

// From the fiber that runs, until it runs again.
void Scheduler::leave(Fiber& self) {
  if (self.local != nullptr && hooks_.leave != nullptr) hooks_.leave(self.local);
  self.exceptions_ = std::exchange(exceptions_, {});
  const bool done = self.state_ == Fiber::State::done;
  if (done || !has_next()) {
    GW_ASAN_START(done ? nullptr : &self.fake_stack_, nullptr);
    keep_context(context::jump_fcontext(loop_context_, &self.context_));
    GW_ASAN_FINISH(self.fake_stack_);
  } else if (Fiber& next = take_next(); &next != &self) {
    GW_ASAN_START(&self.fake_stack_, &next);
    keep_context(context::jump_fcontext(next.context_, &self.context_));
    GW_ASAN_FINISH(self.fake_stack_);
  }
  GW_ASSERT(running_ == &self);
  exceptions_ = self.exceptions_;
  if (self.local != nullptr && hooks_.enter != nullptr) hooks_.enter(self.local);
}

// Is there a fiber to run before the hub's turn? Of all that have become ready, when the hub was
// asked just now, would have nothing to do, and no timer rings meanwhile.
bool Scheduler::has_next() {
  if (!turn_.empty()) return true;
  if (ready_.empty() || messages_.load(std::memory_order_relaxed) != nullptr) return false;
  if (timers_.size() > 0 && timers_.next() <= rings_soon_) return false;
  if (!hub_.idle() || !asked_.lasts()) return false;
  turn_.splice_back(ready_);
  return true;
}

// It runs from now on.
Fiber& Scheduler::take_next() {
  Fiber& fiber = turn_.pop_front();
  if (alive_ > kFibersInCache && !turn_.empty()) turn_.front().prefetch();
  GW_ASSERT(fiber.state_ == Fiber::State::ready);
  fiber.state_ = Fiber::State::running;
  running_ = &fiber;
  return fiber;
}

// From the hub's stack, until a fiber comes back to it.
void Scheduler::run_turn() {
  GW_ASSERT(running_ == nullptr);
  Fiber& first = take_next();
  [[maybe_unused]] void* loop_fake_stack = nullptr;
  GW_ASAN_START(&loop_fake_stack, &first);
  keep_context(context::jump_fcontext(first.context_, &loop_context_));
  GW_ASAN_FINISH(loop_fake_stack);
  Fiber& last = *std::exchange(running_, nullptr);
  if (last.state_ == Fiber::State::done) release(last);
}

void Scheduler::run_now(Fiber& fiber) {
  GW_ASSERT(turn_.empty());
  if (alive_ > kFibersInCache) fiber.prefetch_depth();
  fiber.unlink();
  turn_.push_back(fiber);
  run_turn();
}

void Scheduler::park(Wait& wait) {
  GW_ASSERT(running_ != nullptr);
  Fiber& self = *running_;
  self.wait_ = &wait;
  self.state_ = Fiber::State::parked;
  if (self.interrupted_ && wait.cancel != nullptr) wait.cancel(wait);
  leave(self);
  self.wait_ = nullptr;
}

void Scheduler::unpark(Fiber& fiber) {
  GW_ASSERT(fiber.state_ == Fiber::State::parked);
  fiber.state_ = Fiber::State::ready;
  ready_.push_back(fiber);
}

void Scheduler::yield() {
  GW_ASSERT(running_ != nullptr);
  Fiber& self = *running_;
  self.state_ = Fiber::State::ready;
  ready_.push_back(self);
  leave(self);
}

void Scheduler::run() {
  GW_ASSERT(running_ == &root_);
  GW_ASSERT(run_waiter_ == nullptr);
  if (alive_ == 0) return;
  run_waiter_ = &root_;
  Wait wait{"the other fibers"};
  park(wait);
}

void Scheduler::interrupt(Fiber& fiber) {
  GW_ASSERT(fiber.state_ != Fiber::State::done);
  fiber.interrupted_ = true;
  if (fiber.state_ != Fiber::State::parked) return;
  Wait& wait = const_cast<Wait&>(*fiber.wait_);
  if (wait.cancel != nullptr) wait.cancel(wait);
}

bool Scheduler::take_interrupt() {
  GW_ASSERT(running_ != nullptr);
  return std::exchange(running_->interrupted_, false);
}

// --- Scheduler: the hub's turn

void Scheduler::loop() {
  for (;;) turn();
}

// The hub is asked, then every fiber that is ready runs once: neither can starve the other. The hub
// comes first, so that the very first yield() of a thread gives it a turn, too.
void Scheduler::turn() {
  asked_.end();  // Whom a callback runs comes back to it.
  if (hooks_.each_turn != nullptr) hooks_.each_turn();

  Instant until = ready_.empty() ? timers_.next() : Instant::min();
  if (messages_.load(std::memory_order_relaxed) != nullptr) until = Instant::min();
  const bool sleeps = until != Instant::min();
  if (sleeps && hooks_.before_wait != nullptr) hooks_.before_wait();
  hub_.wait(ready_.empty() ? until : Instant::min());  // before_wait() may have woken one.
  if (sleeps && hooks_.after_wait != nullptr) hooks_.after_wait();
  run_messages();
  hub_.dispatch();
  Moment asked;
  asked.begin();
  rings_soon_ = kNever;  // Who starts the first timer does not say what time it is.
  if (timers_.size() > 0) {
    const Instant now = hub_.now();
    rings_soon_ = now + Moment::kAtMost;
    // When others are ready, their turns would put the rest off.
    const bool all = alive_ <= kFibersWarm || !ready_.empty();
    timers_.fire(now, all ? SIZE_MAX : kTimersAtOnce);
  }
  asked_ = asked;

  turn_.splice_back(ready_);
  while (!turn_.empty()) run_turn();
}

void Scheduler::post(Message& message) {
  Message* first = messages_.load(std::memory_order_relaxed);
  do {
    message.next = first;
  } while (!messages_.compare_exchange_weak(first, &message, std::memory_order_release,
                                            std::memory_order_relaxed));
  hub_.wake();
}

void Scheduler::run_messages() {
  if (messages_.load(std::memory_order_relaxed) == nullptr) return;
  Message* newest = messages_.exchange(nullptr, std::memory_order_acquire);
  Message* oldest = nullptr;  // They were pushed in front: turn them round.
  while (newest != nullptr) {
    Message* next = std::exchange(newest->next, oldest);
    oldest = std::exchange(newest, next);
  }
  while (oldest != nullptr) {
    Message& message = *std::exchange(oldest, oldest->next);
    message.run(message);  // The sender may free it now.
  }
}

}  // namespace greenwsgi
