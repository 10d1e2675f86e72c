// types.hpp - the parts of the module's own room: each adds its names to the module.
#pragma once

#include "greenwsgi/base/clock.hpp"
#include "src/py/ref.hpp"

namespace greenwsgi::module {

// Each returns 0, or -1 with a Python error set.
int add_green_type(PyObject* module);
int add_timeout_type(PyObject* module);
int add_semaphore_type(PyObject* module);
int add_lock_types(PyObject* module);
int add_queue_types(PyObject* module);
int add_functions(PyObject* module);
int add_native_functions(PyObject* module);
int add_debug_functions(PyObject* module);

/// A time in seconds, as Python says it. False: a Python error is set.
bool parse_seconds(PyObject* seconds, Duration* length);

}  // namespace greenwsgi::module
