#include "src/py/trace.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "src/py/green_object.hpp"

namespace greenwsgi::py {

Trace* trace = nullptr;

namespace {

// Fibers count up from 1; each hub has the number of its root, and this.
constexpr std::uint64_t kFirstHubTrack = std::uint64_t{1} << 30;

std::uint64_t hub_track(Runtime& runtime) {
  return kFirstHubTrack + runtime.root().fiber().number();
}

}  // namespace

Trace::Trace(int fd, std::string_view title)
    : writer_(fd, ::getpid(), title), start_(Clock::now()) {}

Trace::~Trace() {
  const Instant now = Clock::now();
  Runtime::all().for_each([&](Runtime& runtime) {
    const auto close = [&](GreenState& green) {
      if (green.fiber().state() == Fiber::State::running)
        runs_until(green, now);
      else
        waits_until(green, now);
      names(green);
    };
    close(runtime.root());
    runtime.greens().for_each(close);
  });
}

// --- Greens

void Trace::names(GreenState& green) {
  const GreenObject* object = green.object_or_null();
  if (object != nullptr && object->name != nullptr) {
    const SavedError saved;
    Py_ssize_t bytes = 0;
    const char* text = PyUnicode_AsUTF8AndSize(object->name, &bytes);
    if (text != nullptr) {
      writer_.name_track(green.fiber().number(), {text, std::size_t(bytes)});
      return;
    }
    PyErr_Clear();  // A lone surrogate: the number will do.
  }
  const std::string number = std::to_string(green.fiber().number());
  writer_.name_track(green.fiber().number(), green.is_root() ? "main" : "green-" + number);
}

void Trace::begins(GreenState& green) {
  names(green);
  green.trace_mark.at = Clock::now();
  poll_until(green.runtime(), green.trace_mark.at);
}

void Trace::ends(GreenState& green) {
  runs_until(green, Clock::now());
}

// A green that the trace meets for the first time has been at it since before the trace began.
void Trace::runs_until(GreenState& green, Instant now) {
  TraceMark& mark = green.trace_mark;
  if (mark.at < start_) names(green);
  writer_.slice(green.fiber().number(), "running", std::max(mark.at, start_), now);
  mark.at = now;
}

void Trace::waits_until(GreenState& green, Instant now) {
  TraceMark& mark = green.trace_mark;
  if (mark.at < start_) {
    names(green);
    const bool parked = green.fiber().state() == Fiber::State::parked;
    mark.what = parked ? green.fiber().wait().what : "ready";
    mark.fd = -1;
  }
  writer_.slice(green.fiber().number(), mark.what, std::max(mark.at, start_), now, mark.fd);
  mark.at = now;
}

void Trace::leave(void* local) noexcept {
  auto& green = *static_cast<GreenState*>(local);
  trace->runs_until(green, Clock::now());
  const Fiber& fiber = green.fiber();
  const bool parked = fiber.state() == Fiber::State::parked;
  green.trace_mark.what = parked ? fiber.wait().what : "ready";
  green.trace_mark.fd = parked ? fiber.wait().fd : -1;
  GreenState::leave(local);
}

void Trace::enter(void* local) noexcept {
  GreenState::enter(local);
  auto& green = *static_cast<GreenState*>(local);
  const Instant now = Clock::now();
  trace->poll_until(green.runtime(), now);
  trace->waits_until(green, now);
}

// --- Hubs

void Trace::each_turn() noexcept {
  Runtime& runtime = *Runtime::current();
  const Instant now = Clock::now();
  trace->poll_until(runtime, now);
  runtime.trace_mark.poll = now;
  trace->writer_.flush_if_due(now);
  Runtime::each_turn();
}

// From the beginning of a turn of the hub to the first green that it runs.
void Trace::poll_until(Runtime& runtime, Instant now) {
  const Instant began = std::exchange(runtime.trace_mark.poll, Instant{});
  if (began < start_) return;
  if (runtime.trace_mark.named < start_) {
    runtime.trace_mark.named = now;
    writer_.name_track(hub_track(runtime), "hub of thread " + std::to_string(runtime.tid()));
  }
  writer_.slice(hub_track(runtime), "hub", began, now);
}

void Trace::sleep_ends(Runtime& runtime) {
  const Instant began = std::exchange(runtime.trace_mark.sleep, Instant{});
  // One that began before the trace has no turn around it.
  if (began < start_ || runtime.trace_mark.poll < start_) return;
  writer_.slice(hub_track(runtime), "sleep", began, Clock::now());
}

// --- On and off

bool start_trace(int fd, std::string_view title) {
  if (trace != nullptr) {
    ::close(fd);
    PyErr_SetString(PyExc_RuntimeError, "a trace is being written already: stop it first");
    return false;
  }
  // Only now, for it may be the file of the trace that runs. A pipe cannot be cut off.
  if (::ftruncate(fd, 0) != 0 && errno != EINVAL) {
    PyErr_SetFromErrno(PyExc_OSError);
    ::close(fd);
    return false;
  }
  trace = new Trace(fd, title);
  Runtime::all().for_each([](Runtime& runtime) { runtime.set_hooks(); });
  return true;
}

void stop_trace() {
  Trace* const stopped = std::exchange(trace, nullptr);
  Runtime::all().for_each([](Runtime& runtime) { runtime.set_hooks(); });
  delete stopped;
}

}  // namespace greenwsgi::py
