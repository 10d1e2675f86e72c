// start_response.hpp - the start_response() callable of a call, and the write() it returns.
//
// Status and header fields are checked and written into the response's head at once: what the
// application does to its list afterwards does not matter.
#pragma once

#include "greenwsgi/http/response_head.hpp"
#include "src/py/ref.hpp"

namespace greenwsgi::wsgi {

class Call;

/// Empty: a Python error is set. Borrows `call` until it is detached.
py::Ref make_start_response(PyTypeObject* type, Call& call);
void detach_start_response(PyObject* start_response);

/// Begins `head` with what an application gave. False: a Python error is set, `head` is a torso.
bool fill_head(http::ResponseHead& head, PyObject* status, PyObject* headers);
/// Raises the exception of a sys.exc_info() tuple again. Always false.
bool raise_again(PyObject* exc_info);

}  // namespace greenwsgi::wsgi
