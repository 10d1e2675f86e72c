// tracers.hpp - the trace and profile functions that a green begins with, and how it is rid of its
// own at the end. In between they are part of its thread state's slice.
#pragma once

#include "src/py/ref.hpp"

namespace greenwsgi::py {

/// Sets for the running green, which has just begun, what threading.settrace() and setprofile()
/// hold ready for new threads. What goes wrong is told as an exception nobody can catch.
void begin_tracers();

/// Takes them from the running green, whatever has set them. Runs destructors, which may switch.
void end_tracers();

}  // namespace greenwsgi::py
