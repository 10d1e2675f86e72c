// overflow.hpp - a green that has used up its stack says so before the process dies.
//
// A stack that overflows touches its guard page. The handler here runs on an alternate stack, names
// the green and the remedy, and then lets the fault happen again under whatever action was there
// before: faulthandler's traceback, where it is enabled, and a core dump.
#pragma once

namespace greenwsgi::py {

/// For the process, at the first call, and an alternate signal stack for the calling thread, unless
/// it has one.
void install_overflow_handler();

}  // namespace greenwsgi::py
