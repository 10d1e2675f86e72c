#include "src/py/inspect.hpp"

#include <algorithm>
#include <vector>

#include "src/py/idents.hpp"
#include "src/py/runtime.hpp"
#include "src/py/runtime_state.hpp"

namespace greenwsgi::py {

namespace {

using Greens = std::vector<Ref>;

// Green objects for greens that nobody has asked for theirs. Making one may run any code, by way of
// the garbage collector; so they are made first and given out afterwards, while nothing else runs.
class Spares {
 public:
  /// False: a Python error is set.
  bool provide(std::size_t count) {
    while (spares_.size() < count) {
      GreenObject* spare = new_green_object();
      if (spare == nullptr) return false;
      spares_.push_back(Ref::steal(reinterpret_cast<PyObject*>(spare)));
    }
    return true;
  }
  bool give_to(GreenState& state) {
    if (spares_.empty()) return false;
    auto* object = reinterpret_cast<GreenObject*>(spares_.back().release());
    spares_.pop_back();
    object->number = state.fiber().number();
    state.adopt(object);
    return true;
  }

 private:
  Greens spares_;
};

// Adds the object of each green that has one. How many have none.
std::size_t gather(Runtime& runtime, Spares& spares, Greens& found) {
  std::size_t without = 0;
  const auto add_state = [&](GreenState& state) {
    if (state.object_or_null() == nullptr && !spares.give_to(state))
      without += 1;
    else
      found.push_back(Ref::share(reinterpret_cast<PyObject*>(state.object_or_null())));
  };
  add_state(runtime.root());
  const auto first = static_cast<std::ptrdiff_t>(found.size());
  runtime.greens().for_each(add_state);
  runtime.scheduler().for_each_ready([&](Fiber& fiber) {
    GreenObject* green = fiber.local == nullptr ? unstarted_green(fiber) : nullptr;
    if (green != nullptr) found.push_back(Ref::share(reinterpret_cast<PyObject*>(green)));
  });
  std::sort(found.begin() + first, found.end(), [](const Ref& left, const Ref& right) {
    return reinterpret_cast<const GreenObject*>(left.get())->number <
           reinterpret_cast<const GreenObject*>(right.get())->number;
  });
  return without;
}

const char* state_of(const GreenObject& green) {
  if (green.status == GreenObject::Status::ready) return "not started";
  switch (green.state->fiber().state()) {
    case Fiber::State::running:
      return "running";
    case Fiber::State::parked:
      return "waiting";
    case Fiber::State::ready:
    case Fiber::State::done:
      break;
  }
  return "ready";
}

double seconds_between(Instant from, Instant to) {
  return std::max(0.0, std::chrono::duration<double>(to - from).count());
}

// A name that somebody has given it, or the one it has by itself.
Ref spawner_of(const GreenObject& green) {
  if (green.spawner_number == 0) return Ref::share(Py_None);
  if (green.spawner_name != nullptr) return Ref::share(green.spawner_name);
  bool is_root = false;
  Runtime::all().for_each([&](Runtime& runtime) {
    is_root = is_root || runtime.root().fiber().number() == green.spawner_number;
  });
  return Ref::steal(is_root ? PyUnicode_FromString("main")
                            : PyUnicode_FromFormat("green-%llu", green.spawner_number));
}

bool set(const Ref& dict, const char* key, Ref value) {
  return value && PyDict_SetItemString(dict.get(), key, value.get()) == 0;
}

}  // namespace

Ref all_greens() {
  Spares spares;
  Greens found;
  for (;;) {
    found.clear();
    std::size_t without = 0;
    Runtime::all().for_each([&](Runtime& runtime) { without += gather(runtime, spares, found); });
    if (without == 0) break;
    if (!spares.provide(without)) return {};
  }
  Ref list = Ref::steal(PyList_New(static_cast<Py_ssize_t>(found.size())));
  if (!list) return {};
  Py_ssize_t at = 0;
  for (Ref& green : found) PyList_SET_ITEM(list.get(), at++, green.release());
  return list;
}

Ref green_details(GreenObject* green) {
  Ref details = Ref::steal(PyDict_New());
  if (!details || !set(details, "spawner", spawner_of(*green))) return {};
  if (green->status == GreenObject::Status::done ||
      (green->state == nullptr && green->status == GreenObject::Status::started))
    return Ref::share(Py_None);
  // From here on nothing that might let another green run.
  const char* state = state_of(*green);
  if (!set(details, "state", Ref::steal(PyUnicode_FromString(state)))) return {};
  if (green->state == nullptr) return details;
  GreenState& inside = *green->state;
  const unsigned long thread = inside.runtime().thread().thread_id;
  Wait wait{nullptr};
  if (inside.fiber().state() == Fiber::State::parked) wait = inside.fiber().wait();
  const Instant now = Clock::now();
  const double age = seconds_between(inside.began(), now);
  const double since = seconds_between(inside.stopped(), now);
  const bool runs = inside.fiber().state() == Fiber::State::running;
  const bool fine =
      set(details, "thread", Ref::steal(PyLong_FromUnsignedLong(thread))) &&
      set(details, "age", Ref::steal(PyFloat_FromDouble(age))) &&
      (runs || set(details, "since", Ref::steal(PyFloat_FromDouble(since)))) &&
      (wait.what == nullptr || set(details, "what", Ref::steal(PyUnicode_FromString(wait.what)))) &&
      (wait.fd < 0 || set(details, "fd", Ref::steal(PyLong_FromLong(wait.fd)))) &&
      (wait.address == nullptr ||
       set(details, "address", Ref::steal(PyLong_FromVoidPtr(const_cast<void*>(wait.address)))));
  return fine ? std::move(details) : Ref{};
}

Ref green_frame(GreenObject* green) {
  if (green->state == nullptr) return Ref::share(Py_None);
  Ref frame = green->state->frame();
  return frame ? std::move(frame) : Ref::share(Py_None);
}

unsigned long native_ident(unsigned long ident) {
  const std::uint64_t number = number_of(ident);
  if (number == 0 || number > Fiber::number_taken_last()) return ident;
  if (ident == current_ident()) return PyThread_get_thread_ident();
  GreenState* green = green_with(ident);
  return green != nullptr ? green->runtime().thread().thread_id : 0;
}

GreenState* green_with(unsigned long ident) {
  const std::uint64_t number = number_of(ident);
  GreenState* found = nullptr;
  Runtime::all().for_each([&](Runtime& runtime) {
    const bool has_forked = &runtime == Runtime::current() && ident == forked_ident;
    if (has_forked || runtime.thread().thread_id == ident) found = &runtime.root();
    runtime.greens().for_each([&](GreenState& state) {
      if (state.fiber().number() == number) found = &state;
    });
  });
  return found;
}

}  // namespace greenwsgi::py
