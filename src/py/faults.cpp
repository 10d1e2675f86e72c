#include "src/py/faults.hpp"

#include "src/py/trace.hpp"

namespace greenwsgi::py {

namespace {

struct Armed {
  Runtime* runtime;
  Faults::Moment moment;
  std::uint64_t left;   // Waits until the one; 0: it was, or there is none.
  std::uint64_t count;  // Waits that there were.
  Thrown* thrown;       // Made beforehand: where it is thrown no Python may run.
};

Armed armed{};
GreenState* due_green = nullptr;  // Whose wait is the one, from its beginning until it is thrown.

Message middle{nullptr};

// Has it just begun a wait at which something may be thrown?
bool may_throw(GreenState& green) {
  const Fiber& fiber = green.fiber();
  if (fiber.is_root() || fiber.state() == Fiber::State::done) return false;
  return fiber.state() == Fiber::State::ready || fiber.wait().cancel != nullptr;
}

void drop(Thrown* thrown) {
  if (thrown == nullptr) return;
  const Ref exception = Ref::steal(thrown->exception);
  delete thrown;
}

}  // namespace

void Faults::arm(std::uint64_t number, PyObject* exception, Moment moment) {
  disarm();
  Thrown* thrown = number == 0 ? nullptr : new Thrown;
  if (thrown != nullptr) thrown->exception = Py_NewRef(exception);
  Runtime* runtime = Runtime::current();
  GW_ASSERT(runtime != nullptr);
  armed = {runtime, moment, number, 0, thrown};
  runtime->set_hooks();
}

std::uint64_t Faults::disarm() {
  Runtime* runtime = std::exchange(armed.runtime, nullptr);
  if (runtime == nullptr) return 0;
  runtime->set_hooks();
  due_green = nullptr;
  drop(std::exchange(armed.thrown, nullptr));
  return armed.count;
}

void Faults::forget(Runtime& runtime) {
  if (armed.runtime == &runtime) disarm();
}

bool Faults::take_hooks(Runtime& runtime) {
  if (armed.runtime != &runtime) return false;
  SchedulerHooks hooks = runtime.plain_hooks();
  hooks.leave = leave;
  hooks.enter = enter;
  runtime.scheduler().set_hooks(hooks);
  return true;
}

void Faults::throw_now(GreenState& green) {
  green.queue(*std::exchange(armed.thrown, nullptr));
}

void Faults::in_the_middle(Message& message) noexcept {
  message.run = nullptr;
  GreenState* green = std::exchange(due_green, nullptr);
  if (green != nullptr) throw_now(*green);
}

void Faults::leave(void* local) noexcept {
  (trace != nullptr ? Trace::leave : GreenState::leave)(local);
  auto& green = *static_cast<GreenState*>(local);
  if (!may_throw(green)) return;
  armed.count += 1;
  if (armed.left == 0 || --armed.left > 0) return;
  if (armed.moment == Moment::begin) {
    throw_now(green);
    return;
  }
  due_green = &green;
  if (armed.moment == Moment::end) return;
  // It runs in the next turn of the hub, before any green that has parked in this one.
  if (middle.run != nullptr) return;  // On its way, since before arm().
  middle.run = in_the_middle;
  green.fiber().scheduler().post(middle);
}

void Faults::enter(void* local) noexcept {
  (trace != nullptr ? Trace::enter : GreenState::enter)(local);
  if (due_green != local || armed.moment != Moment::end) return;
  due_green = nullptr;
  throw_now(*static_cast<GreenState*>(local));
}

}  // namespace greenwsgi::py
