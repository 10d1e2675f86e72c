// patch.hpp - the patched standard library, as the extension module sees it.
//
// The C functions of CPython that block are hooked in place, where they are defined, so that every
// reference to them cooperates, whenever and wherever it was taken; docs/internals/patch.md tells
// how. Importing patches nothing: patch() does.
#pragma once

#include "src/py/ref.hpp"

namespace greenwsgi::patch {

/// 0, or -1 with a Python error set.
int add_to_module(PyObject* module);

}  // namespace greenwsgi::patch
