#include "src/py/later.hpp"

#include <new>
#include <utility>

namespace greenwsgi::py {

namespace {

// How soon to try again when there is no memory for a stack.
constexpr Duration kAgain = std::chrono::milliseconds(10);

// From here on nobody can take the start back; the green may still be killed.
void take_away(Later& later) {
  later.green->later = nullptr;
  later.unlink();
  later.runtime.scheduler().stop(later);
}

}  // namespace

void Later::on_time(Timer& timer) noexcept {
  auto& self = static_cast<Later&>(timer);
  if (self.green->later != nullptr) {
    take_away(self);
    self.runtime.unstarted += 1;
  }
  self.begin();
}

void Later::on_message(Message& message) noexcept {
  static_cast<Later&>(message).begin();
}

void Later::begin() {
  Scheduler& scheduler = runtime.scheduler();
  if (!give_fiber(green, scheduler).ok()) {
    scheduler.start(*this, saturating_add(scheduler.now(), kAgain));
    return;
  }
  delete this;
}

GreenObject* spawn_green_later(Instant when,
                               PyObject* function,
                               PyObject* arguments,
                               PyObject* keywords) {
  GreenObject* green = prepare_green(function, arguments, keywords);
  if (green == nullptr) return nullptr;
  Runtime& runtime = *Runtime::current();
  auto* later = runtime.scheduler().make_room_for_timer() ? new (std::nothrow) Later(runtime, green)
                                                          : nullptr;
  if (later == nullptr) {
    Py_DECREF(green);
    PyErr_NoMemory();
    return nullptr;
  }
  green->number = Fiber::take_number();
  green->later = later;
  runtime.laters().push_back(*later);
  runtime.scheduler().start(*later, when);
  return reinterpret_cast<GreenObject*>(Py_NewRef(green));  // One is the timer's.
}

void cancel_later(GreenObject* green) {
  Later& later = *green->later;
  take_away(later);
  if (!green->links.empty() && !later.runtime.closing()) {
    later.runtime.unstarted += 1;
    later.runtime.scheduler().post(later);
    return;
  }
  delete &later;
  const Ref owned = Ref::steal(reinterpret_cast<PyObject*>(green));
  green->links.tell(owned.get());
}

void kill_laters(Runtime& runtime) {
  while (!runtime.laters().empty()) {
    if (throw_at_green(runtime.laters().front().green, names.green_exit)) continue;
    PyErr_Clear();  // No memory: they stay where they are.
    return;
  }
}

}  // namespace greenwsgi::py
