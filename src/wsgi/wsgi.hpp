// wsgi.hpp - what the extension module needs to know of this room: how its types get into it.
#pragma once

#include "src/py/ref.hpp"

namespace greenwsgi::wsgi {

/// Adds Server, FileWrapper, RequestBodyError and the types behind them to `module`, the extension
/// module that is being executed. 0, or -1 with a Python error set.
int add_to_module(PyObject* module);

}  // namespace greenwsgi::wsgi
