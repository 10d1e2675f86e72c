// inspect.hpp - what can be said about a green from outside: for people who look for a fault.
//
// Everything here may look at greens of any thread, because the GIL is held: a green that is not
// running stands still, and one that runs in another thread stands still while it has no GIL.
#pragma once

#include "src/py/green_object.hpp"

namespace greenwsgi::py {

/// The greens of all threads that have begun and not ended, or will begin: a list of Green objects,
/// of each thread its main program first, then in the order of their numbers. Empty: Python error
/// set.
Ref all_greens();

/// A dict with what Python cannot ask the object itself; its keys are in `Details` of
/// green/_core.pyi. Empty: Python error set. None when it has ended.
Ref green_details(GreenObject* green);

/// The innermost frame of the green, or None. Empty: Python error set.
Ref green_frame(GreenObject* green);

/// What get_ident() of its thread is natively, for the number of a green that has begun and not
/// ended; 0 for that of one that has ended or is to begin; `ident` itself for what is no number of
/// a green.
unsigned long native_ident(unsigned long ident);

/// The green that has this ident, the main program of a thread included; nullptr: none has, or its
/// thread has no greens.
GreenState* green_with(unsigned long ident);

}  // namespace greenwsgi::py
