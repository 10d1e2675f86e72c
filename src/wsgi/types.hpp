// types.hpp - the Python types of this room, found once a server.
//
// They live in the extension module, under these names; a server keeps references of its own, so
// that a call finds them without a look-up and nobody can exchange them under it.
#pragma once

#include "src/py/ref.hpp"

namespace greenwsgi::wsgi {

struct Types {
  py::Ref input;           // _core.Input
  py::Ref start_response;  // _core.StartResponse
  py::Ref error_stream;    // _core.ErrorStream
  py::Ref file_wrapper;    // _core.FileWrapper
  py::Ref body_error;      // _core.RequestBodyError
  py::Ref body_timeout;    // _core.RequestBodyTimeout

  /// False: a Python error is set.
  bool find(PyObject* module);
};

inline PyTypeObject* as_type(const py::Ref& type) {
  return reinterpret_cast<PyTypeObject*>(type.get());
}

// Each adds one file's type to the module; 0, or -1 with a Python error set.
int add_input(PyObject* module);
int add_start_response(PyObject* module);
int add_error_stream(PyObject* module);
int add_file_wrapper(PyObject* module);
int add_body_errors(PyObject* module);
int add_server(PyObject* module);

/// Makes a type from `spec` and adds it under `name`.
int add_type(PyObject* module, PyType_Spec& spec, const char* name);

}  // namespace greenwsgi::wsgi
