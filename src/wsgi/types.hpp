// types.hpp - the Python types and names that this room's calls need, found once a server.
//
// A server keeps references of its own, so that a call finds them without a look-up and nobody can
// exchange them under it.
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

  // What a FileWrapper may stand for.
  py::Ref file_io;          // io.FileIO
  py::Ref buffered_reader;  // io.BufferedReader
  py::Ref buffered_random;  // io.BufferedRandom

  // Names of attributes, interned.
  py::Ref close_name;
  py::Ref flush_name;
  py::Ref raw_name;
  py::Ref readable_name;
  py::Ref tell_name;

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
