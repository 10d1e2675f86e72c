// trace.hpp - what each green did and when, written to a file: one track a green, one a hub.
//
// While there is no trace, nothing is called and nothing is looked at in a switch: starting one
// puts its own functions into the schedulers' hooks. Beginnings, ends and sleeps look at one
// pointer. Needs the GIL, which is held whenever a green begins, switches or ends.
#pragma once

#include "greenwsgi/base/trace_writer.hpp"
#include "src/py/runtime_state.hpp"

namespace greenwsgi::py {

class Trace {
 public:
  /// Takes over `fd`. Every runtime is traced from now on.
  Trace(int fd, std::string_view title);
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;
  /// What goes on ends here, for the file.
  ~Trace();

  void begins(GreenState& green);
  void names(GreenState& green);
  void ends(GreenState& green);
  void sleep_begins(Runtime& runtime) { runtime.trace_mark.sleep = Clock::now(); }
  void sleep_ends(Runtime& runtime);
  /// In the child of fork(2): closes the file, which is the parent's; the object is lost.
  void abandon() { writer_.abandon(); }

  static void leave(void* local) noexcept;
  static void enter(void* local) noexcept;
  static void each_turn() noexcept;

 private:
  void runs_until(GreenState& green, Instant now);
  void waits_until(GreenState& green, Instant now);
  void poll_until(Runtime& runtime, Instant now);

  TraceWriter writer_;
  Instant start_;
};

/// The trace of the process; nullptr while there is none.
extern Trace* trace;

/// RuntimeError, and false, when there is one already, else what is in the file is replaced; takes
/// over `fd` in any case.
bool start_trace(int fd, std::string_view title);
/// Harmless when there is none. Completes the file.
void stop_trace();

}  // namespace greenwsgi::py
