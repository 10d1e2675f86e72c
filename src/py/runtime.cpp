// runtime.cpp - a thread's Runtime: made on demand, hooked into the scheduler, closed at the end.
//
// The hooks below run on the hub's stack, where no Python may run and no reference may be let go
// of: they only move fields and let go of the GIL.
#include "src/py/runtime.hpp"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>

#include "greenwsgi/base/log.hpp"
#include "src/py/faults.hpp"
#include "src/py/green_object.hpp"
#include "src/py/idents.hpp"
#include "src/py/later.hpp"
#include "src/py/left_behind.hpp"
#include "src/py/overflow.hpp"
#include "src/py/parking_lot.hpp"
#include "src/py/runtime_state.hpp"
#include "src/py/trace.hpp"
#include "src/py/tracers.hpp"
#include "src/py/tuple_hash.hpp"

namespace greenwsgi::py {

namespace {

std::size_t stack_bytes = StackPool::kDefaultBytes;

// How often the GIL is offered while the hub runs no Python. A thread that waits for it begins its
// sys.getswitchinterval(), 5 ms by default, again at each offer, and is only certain to get it when
// that is over: offered more often, it would hardly ever be taken.
constexpr Duration kGilInterval = std::chrono::milliseconds(10);

// sys.getswitchinterval, when it is CPython's own: a C function that runs no Python. For ever.
PyObject* get_switch_interval = nullptr;

void find_switch_interval() {
  PyObject* found = PySys_GetObject("getswitchinterval");
  const bool plain = found != nullptr && PyCFunction_CheckExact(found) != 0 &&
                     PyCFunction_GET_FLAGS(found) == METH_NOARGS;
  if (plain && get_switch_interval == nullptr) get_switch_interval = Py_NewRef(found);
}

constexpr const char* kThreadEndKey = "greenwsgi.runtime";

// A thread that asks for the GIL while the interpreter ends is told to die, by a forced unwinding
// that our stacks would not survive: it stops here instead, as CPython's own threads do from 3.14.
void take_gil(PyThreadState& thread) noexcept {
  try {
    PyEval_RestoreThread(&thread);
  } catch (...) {
    for (;;) ::pause();
  }
}

// Is the switch interval of a thread that waits for the GIL not over at the next offer, so that it
// never asks for it with force?
bool waits_longer_than_offers() noexcept {
  if (get_switch_interval == nullptr) return false;
  const Ref seconds = Ref::steal(PyCFunction_GET_FUNCTION(get_switch_interval)(
      PyCFunction_GET_SELF(get_switch_interval), nullptr));
  if (!seconds) {
    PyErr_Clear();
    return false;
  }
  return PyFloat_AS_DOUBLE(seconds.get()) * 2 > std::chrono::duration<double>(kGilInterval).count();
}

// Offers the GIL, where need be so long that whoever waits for it wakes.
void offer_gil(PyThreadState& thread) noexcept {
  constexpr timespec kNap{0, 50'000};
  const bool naps = waits_longer_than_offers();
  PyEval_SaveThread();
  if (naps) [[unlikely]]
    ::nanosleep(&kNap, nullptr);
  take_gil(thread);
}

bool on_main_thread() {
  return ::gettid() == ::getpid();
}

}  // namespace

// --- Making one

Runtime::Runtime(HubMade made, StackPool&& stacks)
    : thread_(*PyThreadState_Get()),
      hub_(std::move(made.hub)),
      hub_reason_(std::move(made.reason)),
      scheduler_(*hub_, std::move(stacks)),
      root_(*this, scheduler_.root()),
      signals_(scheduler_),
      tid_(::gettid()) {
  set_hooks();
  current_ = this;
  root_.open_scopes(std::exchange(scopes_before, 0));
  const std::lock_guard lock(all_mutex());
  all().push_back(*this);
}

SchedulerHooks Runtime::plain_hooks() {
  if (trace == nullptr)
    return {GreenState::leave, GreenState::enter, before_wait, after_wait, each_turn};
  return {Trace::leave, Trace::enter, before_wait, after_wait, Trace::each_turn};
}

void Runtime::set_hooks() {
  if (!Faults::take_hooks(*this)) scheduler_.set_hooks(plain_hooks());
}

std::mutex& Runtime::all_mutex() {
  static auto* mutex = new std::mutex;
  return *mutex;
}

List<Runtime>& Runtime::all() {
  static auto* list = new List<Runtime>;  // Never destroyed, as the main thread's runtime.
  return *list;
}

namespace {

std::unique_ptr<Runtime> make_runtime() {
  if (PyThreadState_Get()->interp != PyInterpreterState_Main()) {
    PyErr_SetString(PyExc_RuntimeError,
                    "green threads run in the main interpreter only: call from there");
    return nullptr;
  }
  HubChoice choice{};
  std::string bad;
  if (!hub_choice_from_environment(&choice, &bad)) {
    PyErr_Format(PyExc_RuntimeError, "GREENWSGI_HUB=%s: say auto, uring or epoll", bad.c_str());
    return nullptr;
  }
  HubMade made = make_hub(choice);
  if (made.hub == nullptr) {
    PyErr_SetString(PyExc_RuntimeError, made.reason.c_str());
    return nullptr;
  }
  StackPool stacks(stack_bytes);
  if (!stacks.provide()) {
    PyErr_SetString(PyExc_MemoryError, "no memory for the first stacks of green threads");
    return nullptr;
  }
  log(LogLevel::debug, "hub of this thread: %s", made.reason.c_str());
  return std::make_unique<Runtime>(std::move(made), std::move(stacks));
}

}  // namespace

// Of greens that will never run: what they wait for is to wake somebody else, and the kernel is not
// to give them what others read.
void Runtime::end_waits() {
  if (greens_.empty()) return;
  greens_.for_each([this](GreenState& green) {
    if (green.fiber().state() == Fiber::State::parked) scheduler_.interrupt(green.fiber());
  });
  hub_->wait(Instant::min());
  if (on_left_behind == nullptr) return;
  greens_.for_each([](GreenState& green) { on_left_behind(green.fiber()); });
}

void Runtime::thread_end(PyObject* capsule) {
  auto* self = static_cast<Runtime*>(PyCapsule_GetPointer(capsule, kThreadEndKey));
  if (self != current_ || is_finalizing()) return;
  // The thread is being taken apart: greens that are left cannot be run any more, and keep their
  // stacks, the scheduler and the hub.
  self->closing_ = true;
  self->mark_closed();
  kill_laters(*self);
  Faults::forget(*self);
  scopes_before = self->root_.scopes();
  self->root_.retire();
  {
    const std::lock_guard lock(all_mutex());
    self->unlink();
  }
  LeftBehind left;
  left.add(*self, &self->root_);
  self->end_waits();
  left.end("the native thread of this green has ended", true);
  current_ = nullptr;
  if (self->scheduler_.fibers_alive() > 0 || self->hub_->in_flight() > 0 ||
      self->scheduler_.timers() > 0) {
    self->scheduler_.abandon();
    return;
  }
  delete self;
}

Scheduler* ensure_scheduler() {
  if (Runtime* runtime = Runtime::current(); runtime != nullptr) {
    if (!runtime->closed()) return &runtime->scheduler();
    PyErr_SetString(PyExc_RuntimeError, "green threads have ended: the interpreter shuts down");
    return nullptr;
  }
  std::unique_ptr<Runtime> runtime = make_runtime();
  if (runtime == nullptr) return nullptr;
  Runtime* self = runtime.release();
  return self->start() ? &self->scheduler() : nullptr;
}

// What can fail, after the rest is in place. On failure the runtime goes on without it.
bool Runtime::start() {
  install_overflow_handler();
  install_tuple_hash();
  find_switch_interval();
  if (on_main_thread()) {
    return signals_.open();
  }
  // The thread state's dict dies with the thread, and our capsule with it.
  const Ref capsule = Ref::steal(PyCapsule_New(this, kThreadEndKey, thread_end));
  if (!capsule) return false;
  return PyDict_SetItemString(PyThreadState_GetDict(), kThreadEndKey, capsule.get()) == 0;
}

void set_stack_bytes(std::size_t bytes) {
  stack_bytes = bytes;
}

// --- Questions

Scheduler* scheduler_or_null() {
  Runtime* runtime = Runtime::current();
  return runtime != nullptr ? &runtime->scheduler() : nullptr;
}

Duration turn_lasts() {
  Runtime* runtime = Runtime::current();
  return runtime != nullptr ? Clock::now() - runtime->turn_began() : Duration::zero();
}

bool turn_is_late() {
  return turn_lasts() >= std::chrono::milliseconds(10);
}

bool in_runtime() {
  Runtime* runtime = Runtime::current();
  // In a subinterpreter the same OS thread has another thread state.
  return runtime != nullptr && runtime->running() != nullptr &&
         PyThreadState_Get() == &runtime->thread();
}

bool can_switch() {
  return in_runtime() && !Runtime::current()->closed();
}

bool threads_are_greens() {
  if (Runtime::current() != nullptr) return can_park();
  return on_main_thread() && PyInterpreterState_Get() == PyInterpreterState_Main() &&
         Runtime::scopes_before == 0;
}

bool can_park() {
  Runtime* runtime = Runtime::current();
  if (runtime == nullptr) return false;
  if (runtime->may_block()) [[unlikely]] {
    return can_switch() && runtime->running()->scopes() == 0;
  }
  return runtime->running() != nullptr && PyThreadState_Get() == &runtime->thread();
}

void enter_blocking() {
  if (can_switch()) {
    Runtime::current()->running()->open_scopes(1);
  } else {
    Runtime::scopes_before += 1;
  }
}

bool leave_blocking() {
  GreenState* state = can_switch() ? Runtime::current()->running() : nullptr;
  if (state != nullptr && state->scopes() > 0) {
    state->close_scopes(1);
    return true;
  }
  if (state == nullptr && Runtime::scopes_before > 0) {
    Runtime::scopes_before -= 1;
    return true;
  }
  PyErr_SetString(PyExc_RuntimeError, "this green is in no blocking() scope that it could leave");
  return false;
}

Ref current_green() {
  if (ensure_scheduler() == nullptr) return {};
  GreenState* state = Runtime::current()->running();
  GW_ASSERT(state != nullptr);
  return Ref::share(reinterpret_cast<PyObject*>(state->object()));
}

thread_local unsigned long forked_ident = 0;

unsigned long current_ident() {
  Runtime* runtime = Runtime::current();
  GreenState* state = runtime != nullptr ? runtime->running() : nullptr;
  if (state == nullptr || !state->has_ident())
    return forked_ident != 0 ? forked_ident : PyThread_get_thread_ident();
  return ident_of(state->fiber().number());
}

unsigned long own_ident() {
  Runtime* runtime = Runtime::current();
  GreenState* state = runtime != nullptr ? runtime->running() : nullptr;
  return state == nullptr || state->is_root() ? current_ident() : state->fiber().number();
}

void give_identities() {
  reserve_idents();
  Runtime::gives_identities = true;
}

bool raise_if_interrupted() {
  Runtime& runtime = *Runtime::current();
  GreenState& state = *runtime.running();
  runtime.scheduler().take_interrupt();
  if (state.holds_back == 0 && state.raise_thrown()) return true;
  if (!state.is_root()) return false;
  if (PyErr_CheckSignals() < 0) return true;
  // In the child of a handler that forked the wait goes on, on a runtime of its own.
  return Runtime::current() == nullptr && ensure_scheduler() == nullptr;
}

bool is_thrown_at() {
  const GreenState& state = *Runtime::current()->running();
  return state.holds_back == 0 && state.has_thrown();
}

void drop_stale_interrupt() {
  Runtime& runtime = *Runtime::current();
  const GreenState& state = *runtime.running();
  if (!state.is_root() && !state.has_thrown()) runtime.scheduler().take_interrupt();
}

HoldBack::HoldBack() : green_(*Runtime::current()->running()) {
  green_.holds_back += 1;
}

// In the child of a fork, by a signal's handler, the green may be another one now: then this one is
// gone, though its memory is not.
HoldBack::~HoldBack() {
  green_.holds_back -= 1;
  const Runtime* runtime = Runtime::current();
  if (runtime != &green_.runtime() || green_.holds_back > 0 || !green_.has_thrown()) return;
  green_.fiber().scheduler().interrupt(green_.fiber());
}

namespace {

struct Sleep {
  explicit Sleep(Fiber& sleeper) : fiber(sleeper), timer(*this), wait(*this) {}
  void end() {
    fiber.scheduler().stop(timer);
    fiber.scheduler().unpark(fiber);
  }

  struct TimerPart : Timer {
    explicit TimerPart(Sleep& sleep)
        : Timer([](Timer& timer) noexcept { static_cast<TimerPart&>(timer).of.end(); }),
          of(sleep) {}
    Sleep& of;
  };
  struct WaitPart : Wait {
    explicit WaitPart(Sleep& sleep)
        : Wait{"sleep", [](Wait& wait) noexcept { static_cast<WaitPart&>(wait).of.end(); }},
          of(sleep) {}
    Sleep& of;
  };
  Fiber& fiber;
  TimerPart timer;
  WaitPart wait;
};

}  // namespace

bool sleep_until(Instant when) {
  Runtime& runtime = *Runtime::current();
  Scheduler& scheduler = runtime.scheduler();
  GreenState& state = *runtime.running();
  if (when == Instant::min()) {
    scheduler.yield();
    return !state.has_thrown() || !raise_if_interrupted();
  }
  Sleep sleep(state.fiber());
  for (;;) {
    if (scheduler.now() >= when) return sleep_until(Instant::min());
    scheduler.start(sleep.timer, when);
    scheduler.park(sleep.wait);
    if (scheduler.take_interrupt() || state.has_thrown()) {
      if (raise_if_interrupted()) return false;
      continue;  // Which ends the loop when the time has come as well.
    }
    return true;
  }
}

bool sleep_for(Duration length) {
  if (length == Duration::zero()) return sleep_until(Instant::min());
  const Instant now = Runtime::current()->scheduler().now();
  return sleep_until(with_slack(now, saturating_add(now, length)));
}

Ref copy_context() {
  if (PyThreadState_Get()->context == nullptr) return {};
  return Ref::steal(PyContext_CopyCurrent());
}

// --- Hooks

void Runtime::before_wait() noexcept {
  current_->signals_.before_wait();
  current_->root_.load();
  current_->turn_began_.store(kNever, std::memory_order_relaxed);
  if (trace != nullptr) [[unlikely]]
    trace->sleep_begins(*current_);
  PyEval_SaveThread();
}

void Runtime::after_wait() noexcept {
  take_gil(current_->thread_);
  current_->root_.unload();
  current_->turn_began_.store(Clock::now(), std::memory_order_relaxed);
  if (trace != nullptr) [[unlikely]]
    trace->sleep_ends(*current_);
  current_->signals_.after_wait();
}

void Runtime::count_turn(Duration away) noexcept {
  counters_.lag_longest = std::max(counters_.lag_longest, away);
  const auto place = std::bit_width(static_cast<std::uint64_t>(away.count()));
  counters_.lag[std::min<std::size_t>(place, kLagPlaces - 1)] += 1;
}

void Runtime::each_turn() noexcept {
  // The hub has the root's mask, or a signal that the green before blocks would not come for as
  // long as others wait. One that came just now, before the hub sleeps, counts as having ended it.
  if (current_->mask_.put(current_->root_.mask())) current_->signals_.after_wait();
  const Instant now = Clock::now();
  current_->count_turn(now - current_->turn_began());
  current_->turn_began_.store(now, std::memory_order_relaxed);
  if (now - current_->gil_offered_ < kGilInterval) return;
  current_->gil_offered_ = now;
  current_->root_.load();
  offer_gil(current_->thread_);
  current_->root_.unload();
}

// --- The scope

GreenScope::GreenScope(PyObject* context)
    : state_(*Runtime::current(),
             *Runtime::current()->scheduler().running(),
             context,
             Runtime::current()->root().mask()) {
  begin_tracers();
}

GreenScope::~GreenScope() {
  state_.finish();
}

}  // namespace greenwsgi::py
