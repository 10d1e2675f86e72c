// types.cpp - see types.hpp and wsgi.hpp.
#include "src/wsgi/types.hpp"

#include "src/wsgi/wsgi.hpp"

namespace greenwsgi::wsgi {

using py::Ref;

bool Types::find(PyObject* module) {
  const auto get = [&module](Ref& into, const char* name) {
    into = Ref::steal(PyObject_GetAttrString(module, name));
    return bool(into);
  };
  const auto intern = [](Ref& into, const char* name) {
    into = Ref::steal(PyUnicode_InternFromString(name));
    return bool(into);
  };
  if (!get(input, "Input") || !get(start_response, "StartResponse") ||
      !get(error_stream, "ErrorStream") || !get(file_wrapper, "FileWrapper") ||
      !get(body_error, "RequestBodyError") || !get(body_timeout, "RequestBodyTimeout")) {
    return false;
  }
  Ref io = Ref::steal(PyImport_ImportModule("io"));
  module = io.get();
  return io && get(file_io, "FileIO") && get(buffered_reader, "BufferedReader") &&
         get(buffered_random, "BufferedRandom") && intern(close_name, "close") &&
         intern(flush_name, "flush") && intern(raw_name, "raw") &&
         intern(readable_name, "readable") && intern(tell_name, "tell");
}

int add_type(PyObject* module, PyType_Spec& spec, const char* name) {
  Ref type = Ref::steal(PyType_FromModuleAndSpec(module, &spec, nullptr));
  if (!type) return -1;
  return PyModule_AddObjectRef(module, name, type.get());
}

int add_body_errors(PyObject* module) {
  Ref members = Ref::steal(Py_BuildValue("{s:i}", "status", 400));
  if (!members) return -1;
  Ref error = Ref::steal(PyErr_NewExceptionWithDoc(
      "green.RequestBodyError",
      "The body of the request cannot be read: it is malformed (status 400), larger than the "
      "server "
      "allows (413), or did not come in time (408, RequestBodyTimeout). An application that lets "
      "it escape answers with that status.",
      PyExc_OSError, members.get()));
  if (!error) return -1;
  members = Ref::steal(Py_BuildValue("{s:i}", "status", 408));
  Ref bases = Ref::steal(PyTuple_Pack(2, error.get(), PyExc_TimeoutError));
  if (!members || !bases) return -1;
  Ref timeout = Ref::steal(PyErr_NewExceptionWithDoc("green.RequestBodyTimeout",
                                                     "The client stopped sending the body.",
                                                     bases.get(), members.get()));
  if (!timeout) return -1;
  if (PyModule_AddObjectRef(module, "RequestBodyError", error.get()) < 0) return -1;
  return PyModule_AddObjectRef(module, "RequestBodyTimeout", timeout.get());
}

int add_to_module(PyObject* module) {
  for (auto add : {add_body_errors, add_input, add_start_response, add_error_stream,
                   add_file_wrapper, add_server}) {
    if (add(module) < 0) return -1;
  }
  return 0;
}

}  // namespace greenwsgi::wsgi
