// exit_after.hpp - the end of a process that is to end, and may not by itself: a thread of the
// program's goes on, a call blocks in C, a loop in Python never waits.
#pragma once

#include "greenwsgi/base/clock.hpp"

namespace greenwsgi::py {

/// After `length` a native thread ends the process with status 0, with a line on the standard
/// error, whatever its other threads do; nothing that the process has registered for its end is
/// called. Unless it has ended by then. False: there is no thread, and errno says why.
bool exit_after(Duration length);

}  // namespace greenwsgi::py
