// signal_hooks.hpp - what signal_waits.cpp needs to know of the handlers that signal_hooks.cpp
// runs.
#pragma once

namespace greenwsgi::patch {

/// How many times a Python handler has run in the main program; greens park on its address.
extern unsigned long signals_handled;

/// Gives a relay to each handler that has none: set before the patch, from another thread than the
/// main one. Does nothing on other threads.
void relay_what_is_set();

/// Are handlers relayed?
bool handlers_are_relayed();

}  // namespace greenwsgi::patch
