// input.hpp - wsgi.input: the body of a request as a readable file.
//
// Bytes are copied out of the connection as they arrive; a read that wants more parks its green.
// Memory grows with what has arrived, never with what was announced.
#pragma once

#include "src/py/ref.hpp"

namespace greenwsgi::wsgi {

class Call;

/// Empty: a Python error is set. Borrows `call` until it is detached.
py::Ref make_input(PyTypeObject* type, Call& call);
void detach_input(PyObject* input);

}  // namespace greenwsgi::wsgi
