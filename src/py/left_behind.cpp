#include "src/py/left_behind.hpp"

#include "src/py/green_object.hpp"
#include "src/py/later.hpp"

namespace greenwsgi::py {

void LeftBehind::add(Runtime& runtime, const GreenState* survivor) {
  const auto add_started = [&](GreenState& state) {
    if (&state == survivor || state.object_or_null() == nullptr) return;
    greens_.push_back(state.take_object());
  };
  add_started(runtime.root());
  runtime.greens().for_each(add_started);
  runtime.scheduler().for_each_ready([&](Fiber& fiber) {
    GreenObject* green = fiber.local == nullptr ? unstarted_green(fiber) : nullptr;
    // The reference that its stack had.
    if (green != nullptr) greens_.push_back(Ref::steal(reinterpret_cast<PyObject*>(green)));
  });
  runtime.laters().for_each([&](Later& later) {
    greens_.push_back(Ref::share(reinterpret_cast<PyObject*>(later.green)));
  });
}

void LeftBehind::end(const char* why, bool reported) {
  for (const Ref& each : greens_) {
    auto* green = reinterpret_cast<GreenObject*>(each.get());
    if (green->status == GreenObject::Status::done) continue;  // Killed by the code of another.
    Ref error = Ref::steal(PyObject_CallFunction(PyExc_RuntimeError, "s", why));
    if (!error) error = take_exception();  // There is no memory: that is why, then.
    if (!reported) {
      green->seen = true;
      Py_CLEAR(green->links.list);
    }
    if (green->status == GreenObject::Status::ready) {
      end_unstarted(green, error.release());
    } else {
      green->exception = error.release();
      finish_green(green);
    }
  }
  greens_.clear();
}

}  // namespace greenwsgi::py
