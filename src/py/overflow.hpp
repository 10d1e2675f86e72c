// overflow.hpp - a green that has used up its stack gets a RecursionError; or says so before the
// process dies.
//
// CPython 3.11 to 3.13 count levels of recursion, and a level may take any number of bytes. A stack
// that overflows touches its yellow zone first. The handler here runs on an alternate stack, opens
// the zone and leaves nothing of the green's budget for recursion: the next level raises
// RecursionError. C code that goes on without looking comes to the guard page: then the handler
// names the green and the remedy, and lets the fault happen again under whatever action was there
// before: faulthandler's traceback, where it is enabled, and a core dump.
#pragma once

namespace greenwsgi::py {

/// For the process, at the first call, and an alternate signal stack for the calling thread, unless
/// it has one.
void install_overflow_handler();

/// As long as one lives, the action for SIGSEGV is what it was before ours: for who puts another
/// there, which ours then comes before. Nothing where another is before ours already.
class OverflowHandlerAside {
 public:
  OverflowHandlerAside();
  OverflowHandlerAside(const OverflowHandlerAside&) = delete;
  OverflowHandlerAside& operator=(const OverflowHandlerAside&) = delete;
  ~OverflowHandlerAside();

 private:
  bool was_first_;
};

}  // namespace greenwsgi::py
