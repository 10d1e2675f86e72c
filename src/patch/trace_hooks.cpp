// sys._settraceallthreads, _setprofileallthreads (3.12 and later): also for greens that do not run.
//
// The original sets the function in each thread state, and so for the one green of each thread
// whose slice is loaded. The others get it as if they had set it themselves, because the
// interpreter counts who has one.
#include <vector>

#include "src/patch/hooks.hpp"
#include "src/py/runtime.hpp"
#include "src/py/runtime_state.hpp"

namespace greenwsgi::patch {

namespace {

using py::Ref;

// While it lives patched functions block: code that is called meanwhile must not switch.
class NoSwitch {
 public:
  NoSwitch() { py::enter_blocking(); }
  NoSwitch(const NoSwitch&) = delete;
  NoSwitch& operator=(const NoSwitch&) = delete;
  ~NoSwitch() { py::leave_blocking(); }
};

template <class Change>
void for_each_parked(Change change) {
  py::Runtime::all().for_each([&](py::Runtime& runtime) {
    const py::GreenState* running = runtime.running();
    const py::GreenState* loaded = running != nullptr ? running : &runtime.root();
    const auto unless_loaded = [&](py::GreenState& green) {
      if (&green != loaded) change(green);
    };
    unless_loaded(runtime.root());
    runtime.greens().for_each(unless_loaded);
  });
}

// Trace functions, or profile functions.
struct Kind {
  Py_tracefunc PyThreadState::*function;
  PyObject* PyThreadState::*object;
  void (*set)(Py_tracefunc, PyObject*);
};
constexpr Kind tracing = {&PyThreadState::c_tracefunc, &PyThreadState::c_traceobj, PyEval_SetTrace};
constexpr Kind profiling = {&PyThreadState::c_profilefunc, &PyThreadState::c_profileobj,
                            PyEval_SetProfile};

template <const Kind& kind>
PyObject* hook_all_threads(Call& call) {
  PyObject* done = call.pass_on();
  if (done == nullptr || PyInterpreterState_Get() != PyInterpreterState_Main()) return done;
  PyThreadState& caller = *PyThreadState_Get();
  const Py_tracefunc function = caller.*kind.function;
  const Ref object = Ref::share(caller.*kind.object);
  std::vector<Ref> replaced;  // Let go of at the end: that may run any code.
  const NoSwitch no_switch;
  for_each_parked([&](py::GreenState& green) {
    green.change_tracers(caller, [&] {
      replaced.push_back(Ref::share(caller.*kind.object));
      kind.set(function, object.get());
    });
  });
  return done;
}

constexpr Target targets[] = {
    target<hook_all_threads<tracing>>("sys", nullptr, "_settraceallthreads", true),
    target<hook_all_threads<profiling>>("sys", nullptr, "_setprofileallthreads", true),
};

}  // namespace

const Group trace_group = {"trace", targets, nullptr};

}  // namespace greenwsgi::patch
