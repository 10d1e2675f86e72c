// green_state.cpp - the beginning and the end of a green's Python state, and what is thrown at it.
#include "src/py/green_state.hpp"

#include <new>

#include "src/py/green_object.hpp"
#include "src/py/runtime_state.hpp"
#include "src/py/trace.hpp"

namespace greenwsgi::py {

namespace {

// Thread states number themselves from 1; asyncio (3.11, 3.12) tells threads apart by this number.
constexpr std::uint64_t kFirstId = std::uint64_t{1} << 40;

ThreadSlice::Place place_of(const Fiber& fiber) {
  return {fiber.reserve(), fiber.stack_start(), fiber.stack_limit(), kFirstId + fiber.number()};
}

}  // namespace

// --- TimedThrow

bool TimedThrow::arm(GreenState& green, Instant when, PyObject* owner, PyObject* exception) {
  GW_ASSERT(!pending());
  if (!green.fiber().scheduler().make_room_for_timer()) {
    PyErr_NoMemory();
    return false;
  }
  owner_ = Py_NewRef(owner);
  thrown_.exception = Py_NewRef(exception);
  green_ = &green;
  when_ = when;
  green.timed_.push_back(*this);
  green.fiber().scheduler().start(timer_, when);
  return true;
}

void TimedThrow::move_to(GreenState& green) {
  GW_ASSERT(pending());
  unlink();
  green.timed_.push_back(*this);
  if (timer_.pending()) {
    green_->fiber().scheduler().stop(timer_);
    green.fiber().scheduler().start(timer_, when_);
  }
  green_ = &green;
}

void TimedThrow::disarm() {
  if (!pending()) return;
  green_->fiber().scheduler().stop(timer_);
  if (linked()) unlink();
  if (thrown_.linked()) thrown_.unlink();
  green_ = nullptr;
  // Last: one of the two may be what keeps *this alive.
  PyObject* exception = std::exchange(thrown_.exception, nullptr);
  PyObject* owner = std::exchange(owner_, nullptr);
  Py_DECREF(exception);
  Py_DECREF(owner);
}

void TimedThrow::on_time(Timer& timer) noexcept {
  // On the hub's stack: nothing of Python may run, so not even a reference is let go of here.
  TimedThrow& self = static_cast<TimerPart&>(timer).of;
  self.green_->queue(self.thrown_);
}

// --- GreenState

GreenState::GreenState(Runtime& runtime, Fiber& root)
    : thread_(runtime.thread()),
      runtime_(runtime),
      fiber_(root),
      began_(Clock::now()),
      stopped_(began_) {
  GW_ASSERT(root.is_root());
  fiber_.local = this;
}

GreenState::GreenState(Runtime& runtime, Fiber& fiber, PyObject* context, SignalMask mask)
    : thread_(runtime.thread()),
      runtime_(runtime),
      fiber_(fiber),
      mask_(mask & ~kFaults),
      faults_(mask & kFaults),
      began_(runtime.turn_began()),
      stopped_(began_) {
  GW_ASSERT(fiber.local == nullptr);
  GW_ASSERT(!fiber.is_root());
  has_ident_ = Runtime::gives_identities;
  slice_.start(thread_, place_of(fiber), context);
  runtime.mask_.put(mask_);
  runtime.signals_.saw_python();
  fiber.local = this;
  runtime.greens_.push_back(*this);
  if (trace != nullptr) [[unlikely]]
    trace->begins(*this);
}

GreenState::~GreenState() {
  GW_ASSERT(fiber_.local != this);  // finish() or retire() came first.
}

GreenObject* GreenState::object() {
  if (object_ != nullptr) return object_;
  GreenObject* object = new_green_object();
  if (object == nullptr) return nullptr;
  object->number = fiber_.number();
  adopt(object);
  return object_;
}

void GreenState::adopt(GreenObject* object) {
  GW_ASSERT(object_ == nullptr);
  object->status = GreenObject::Status::started;
  object->state = this;
  object_ = object;
}

Ref GreenState::take_object() {
  if (object_ != nullptr) object_->state = nullptr;
  return Ref::steal(reinterpret_cast<PyObject*>(std::exchange(object_, nullptr)));
}

void GreenState::succeed(GreenState& forked) {
  Ref object = forked.take_object();
  if (object) adopt(reinterpret_cast<GreenObject*>(object.release()));
  while (!forked.timed_.empty()) forked.timed_.front().move_to(*this);
  while (!forked.thrown_.empty()) queue(forked.thrown_.pop_front());
}

void GreenState::open_scopes(unsigned count) {
  scopes_ += count;
  runtime_.reasons_to_block_ += count;
}

void GreenState::close_scopes(unsigned count) {
  GW_ASSERT(count <= scopes_);
  scopes_ -= count;
  runtime_.reasons_to_block_ -= count;
}

bool GreenState::survives_overflow(const void* address) {
  if (!fiber_.open_yellow_zone(address)) return false;
  recursion_taken_ = exhaust_recursion(thread_);
  return true;
}

// Asked at each switch while the zone is open: until then what follows has to do with less.
void GreenState::end_overflow() {
  if (fiber_.close_yellow_zone()) restore_recursion(thread_, std::exchange(recursion_taken_, 0));
}

bool GreenState::has_ignored_its_end() const {
  return told_to_end && of_thread != nullptr && !has_thrown() &&
         fiber_.state() == Fiber::State::parked && !slice_.handles_exception();
}

void GreenState::choose_mask(SignalMask value) {
  GW_ASSERT(runtime_.running() == this);
  faults_ = is_root() ? 0 : value & kFaults;
  mask_ = runtime_.mask_.choose(value & ~faults_);
}

void GreenState::leave(void* local) noexcept {
  auto& self = *static_cast<GreenState*>(local);
  if (self.fiber_.yellow_zone_open()) [[unlikely]]
    self.end_overflow();
  self.slice_.save(self.thread_);
  self.stopped_ = self.runtime_.turn_began();
}

void GreenState::enter(void* local) noexcept {
  auto& self = *static_cast<GreenState*>(local);
  self.load();
  self.runtime_.mask_.put(self.mask_);
  self.runtime_.signals_.saw_python();
  if (put_off_signals != 0 && self.is_root()) [[unlikely]] {
    send_put_off_signals();
    put_off_signals = 0;
  }
}

Ref GreenState::frame() const {
  if (fiber_.state() != Fiber::State::running) return slice_.frame();
  return innermost_frame(thread_);
}

void GreenState::drop_locals() {
  slice_.drop_locals(thread_);
}

void GreenState::finish() {
  if (&runtime_ != Runtime::current()) end_forked_child();
  GW_ASSERT(!PyErr_Occurred());
  if (trace != nullptr) [[unlikely]]
    trace->names(*this);  // It may have been renamed.
  retire_object();
  drop_thrown();
  slice_.finish(thread_);
  retire_object();  // A destructor may have asked for the current green again.
  do {
    drop_thrown();
    await_poke();
  } while (has_thrown() || poke_.in_flight);  // Who knows its ident may throw at it until the end.
  fiber_.scheduler().take_interrupt();
  close_scopes(scopes_);  // A generator that was never closed may have left one open.
  if (trace != nullptr) [[unlikely]]
    trace->ends(*this);
  unlink();
  fiber_.local = nullptr;
}

void GreenState::retire() {
  GW_ASSERT(is_root());
  retire_object();
  drop_thrown();
  fiber_.local = nullptr;
}

void GreenState::retire_object() {
  if (object_ == nullptr) return;
  object_->state = nullptr;  // From here on nobody finds this green to throw at it.
  finish_green(object_);
  Py_CLEAR(object_);
}

void GreenState::drop_thrown() {
  while (!timed_.empty()) timed_.front().disarm();
  while (!thrown_.empty()) {
    Thrown& thrown = thrown_.pop_front();
    GW_ASSERT(thrown.timed == nullptr);
    const Ref exception = Ref::steal(thrown.exception);
    delete &thrown;
  }
}

// --- Throwing

void GreenState::queue(Thrown& thrown) {
  thrown_.push_back(thrown);
  if (Scheduler::current() == &fiber_.scheduler()) {
    fiber_.scheduler().interrupt(fiber_);
    return;
  }
  if (std::exchange(poke_.in_flight, true)) return;  // It has not been delivered yet: one will do.
  poke_.run = poked;
  poke_.green = this;
  fiber_.scheduler().post(poke_);
}

void GreenState::poked(Message& message) noexcept {
  GreenState& self = *static_cast<Poke&>(message).green;
  self.poke_.in_flight = false;
  if (self.poke_.awaited) {
    self.fiber_.scheduler().unpark(self.fiber_);
  } else {
    self.fiber_.scheduler().interrupt(self.fiber_);
  }
}

// A message from another thread points into this object, and may still be on its way.
void GreenState::await_poke() {
  if (!poke_.in_flight) return;
  poke_.awaited = true;
  Wait wait{"a message from another thread"};
  fiber_.scheduler().park(wait);
  poke_.awaited = false;
}

bool GreenState::throw_at(PyObject* exception) {
  auto* thrown = new (std::nothrow) Thrown;
  if (thrown == nullptr) {
    PyErr_NoMemory();
    return false;
  }
  thrown->exception = Py_NewRef(exception);
  queue(*thrown);
  return true;
}

bool GreenState::raise_thrown() {
  if (thrown_.empty()) return false;
  Thrown& thrown = thrown_.pop_front();
  const Ref exception = Ref::share(thrown.exception);
  if (thrown.timed != nullptr) {
    thrown.timed->disarm();
  } else {
    Py_DECREF(thrown.exception);
    delete &thrown;
  }
  if (!thrown_.empty()) fiber_.scheduler().interrupt(fiber_);  // The next wait raises the next.
  if (PyExceptionClass_Check(exception.get())) {
    PyErr_SetNone(exception.get());
  } else {
    PyErr_SetObject(PyExceptionInstance_Class(exception.get()), exception.get());
  }
  return true;
}

}  // namespace greenwsgi::py
