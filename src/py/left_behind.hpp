// left_behind.hpp - greens that will never run again: those of a thread that has ended, and in the
// child of a fork all but the one that forked.
//
// Their stacks stay as they are, and no finally block runs. But nobody waits for them in vain: they
// are done, by a RuntimeError. Needs the GIL.
#pragma once

#include <vector>

#include "src/py/runtime_state.hpp"

namespace greenwsgi::py {

class LeftBehind {
 public:
  /// Takes in all greens of `runtime` but `survivor`. Runs no Python.
  void add(Runtime& runtime, const GreenState* survivor);
  /// They are done. Runs any code. `reported`: who linked to their end is told, and so is the
  /// world, of those whom nobody waits for.
  void end(const char* why, bool reported);

 private:
  std::vector<Ref> greens_;
};

}  // namespace greenwsgi::py
