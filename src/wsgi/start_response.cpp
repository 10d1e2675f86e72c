// start_response.cpp - see start_response.hpp.
#include "src/wsgi/start_response.hpp"

#include <structmember.h>

#include <cstddef>
#include <string_view>

#include "src/wsgi/call.hpp"
#include "src/wsgi/free_list.hpp"
#include "src/wsgi/types.hpp"

namespace greenwsgi::wsgi {

using py::Ref;

namespace {

struct StartResponse {
  PyObject_HEAD vectorcallfunc vectorcall;
  Call* call;  // Null once the call has ended.
};
using StartResponses = FreeList<StartResponse>;

Call* call_of(PyObject* self) {
  Call* call = reinterpret_cast<StartResponse*>(self)->call;
  if (call == nullptr) {
    PyErr_SetString(PyExc_RuntimeError, "the request of this start_response() has ended");
  }
  return call;
}

PyObject* write(PyObject* self, PyObject* piece) {
  Call* call = call_of(self);
  if (call == nullptr || !call->write(piece)) return nullptr;
  Py_RETURN_NONE;
}

PyMethodDef write_method = {"write", write, METH_O,
                            "Send a piece of the body at once. Waits for the client."};

/// The third argument, by position or as exc_info=; false: a Python error is set.
bool find_exc_info(PyObject* const* arguments,
                   Py_ssize_t count,
                   PyObject* names,
                   PyObject** found) {
  const Py_ssize_t named = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
  *found = count == 3 ? arguments[2] : nullptr;
  if (named == 0) return true;
  if (named == 1 && count == 2 &&
      PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "exc_info") == 0) {
    *found = arguments[2];
    return true;
  }
  PyErr_SetString(PyExc_TypeError, "start_response() takes no keyword but exc_info");
  return false;
}

PyObject* call_it(PyObject* self,
                  PyObject* const* arguments,
                  std::size_t flagged,
                  PyObject* names) {
  const Py_ssize_t count = PyVectorcall_NARGS(flagged);
  Call* call = call_of(self);
  if (call == nullptr) return nullptr;
  if (count < 2 || count > 3) {
    return PyErr_Format(PyExc_TypeError,
                        "start_response(status, headers, exc_info=None): %zd arguments given",
                        count);
  }
  PyObject* exc_info;
  if (!find_exc_info(arguments, count, names, &exc_info)) return nullptr;
  if (!call->start_response(arguments[0], arguments[1], exc_info)) return nullptr;
  return PyCFunction_NewEx(&write_method, self, nullptr);
}

PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(StartResponse, vectorcall), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

PyType_Slot slots[] = {
    {Py_tp_doc,
     const_cast<char*>("start_response(status, headers, exc_info=None) -> write, of PEP 3333.")},
    {Py_tp_dealloc, reinterpret_cast<void*>(StartResponses::drop)},
    {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
    {Py_tp_members, members},
    {0, nullptr},
};

PyType_Spec spec = {
    "green._core.StartResponse",
    sizeof(StartResponse),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    slots,
};

/// The Latin-1 bytes of a str; false: a Python error is set.
bool text_of(PyObject* object, const char* what, std::string_view& text) {
  if (!PyUnicode_Check(object)) {
    PyErr_Format(PyExc_TypeError, "%s must be str, not %.100s", what, Py_TYPE(object)->tp_name);
    return false;
  }
  if (PyUnicode_KIND(object) != PyUnicode_1BYTE_KIND) {
    PyErr_Format(PyExc_ValueError, "%s %R is not Latin-1", what, object);
    return false;
  }
  text = {reinterpret_cast<const char*>(PyUnicode_1BYTE_DATA(object)),
          static_cast<std::size_t>(PyUnicode_GET_LENGTH(object))};
  return true;
}

bool refuse(http::ResponseHead::Added why, PyObject* name, PyObject* value) {
  using Added = http::ResponseHead::Added;
  switch (why) {
    case Added::ok:
      return true;
    case Added::bad_name:
      PyErr_Format(PyExc_ValueError, "%R is no header name", name);
      break;
    case Added::bad_value:
      PyErr_Format(PyExc_ValueError, "header %U: a control character in %R", name, value);
      break;
    case Added::hop_by_hop:
      PyErr_Format(PyExc_ValueError, "header %U is the server's to send (PEP 3333)", name);
      break;
    case Added::bad_length:
      PyErr_Format(PyExc_ValueError, "Content-Length %R: not a number, or a second one", value);
      break;
  }
  return false;
}

bool add_header(http::ResponseHead& head, PyObject* header) {
  if (!PyTuple_Check(header) || PyTuple_GET_SIZE(header) != 2) {
    PyErr_Format(PyExc_TypeError, "a header must be a tuple (name, value), not %R", header);
    return false;
  }
  PyObject* name = PyTuple_GET_ITEM(header, 0);
  PyObject* value = PyTuple_GET_ITEM(header, 1);
  std::string_view name_text, value_text;
  return text_of(name, "a header's name", name_text) &&
         text_of(value, "a header's value", value_text) &&
         refuse(head.add(name_text, value_text), name, value);
}

}  // namespace

bool fill_head(http::ResponseHead& head, PyObject* status, PyObject* headers) {
  std::string_view text;
  if (!text_of(status, "the status", text)) return false;
  if (!head.begin(text) || head.code() < 200) {
    PyErr_Format(PyExc_ValueError, "status %R is not a code from 200 to 599, a space and a reason",
                 status);
    return false;
  }
  if (!PyList_Check(headers)) {
    PyErr_Format(PyExc_TypeError, "the headers must be a list, not %.100s",
                 Py_TYPE(headers)->tp_name);
    return false;
  }
  // Nothing in here runs Python code, so that the list stays as it is.
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(headers); ++i) {
    if (!add_header(head, PyList_GET_ITEM(headers, i))) return false;
  }
  return true;
}

bool raise_again(PyObject* exc_info) {
  PyObject* value = PyTuple_GET_ITEM(exc_info, 1);
  PyObject* trace = PyTuple_GET_ITEM(exc_info, 2);
  if (!PyExceptionInstance_Check(value)) {
    PyErr_SetString(PyExc_TypeError, "exc_info holds no exception");
    return false;
  }
  if (PyTraceBack_Check(trace) && PyException_SetTraceback(value, trace) < 0) return false;
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(value)), value);
  return false;
}

Ref make_start_response(PyTypeObject* type, Call& call) {
  StartResponse* made = StartResponses::make(type);
  if (made == nullptr) return {};
  made->vectorcall = call_it;
  made->call = &call;
  return Ref::steal(reinterpret_cast<PyObject*>(made));
}

void detach_start_response(PyObject* start_response) {
  reinterpret_cast<StartResponse*>(start_response)->call = nullptr;
}

int add_start_response(PyObject* module) {
  return add_type(module, spec, "StartResponse");
}

}  // namespace greenwsgi::wsgi
