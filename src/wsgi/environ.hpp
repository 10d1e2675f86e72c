// environ.hpp - the environ dictionary of PEP 3333, built from a request's head.
//
// It starts as a copy of a template that has every key of every request, so that filling it inserts
// nothing but the request's own header fields. All text is Latin-1, all of it exactly `str`.
#pragma once

#include <string_view>

#include "greenwsgi/server/exchange.hpp"
#include "src/py/ref.hpp"
#include "src/wsgi/texts.hpp"

namespace greenwsgi::wsgi {

/// What is the same for all requests of a server. Borrowed.
struct ServerFacts {
  PyObject* errors;        // wsgi.errors
  PyObject* file_wrapper;  // wsgi.file_wrapper
  std::string_view url_scheme;
  std::string_view software;
  bool multiprocess;
};

class EnvironMaker {
 public:
  /// False: a Python error is set.
  bool prepare(const ServerFacts& facts);

  struct Made {
    py::Ref environ;  // Empty: a Python error is set.
    py::Ref method, target;
  };
  /// `input`: wsgi.input, borrowed.
  Made make(const http::RequestHead& head, const server::Endpoints& ends, PyObject* input);

 private:
  /// Keys, interned.
  struct Keys {
    py::Ref request_method, path_info, query_string, request_uri, raw_uri, server_protocol,
        server_name, server_port, remote_addr, remote_port, input, http_host;
  };
  bool prepare_keys();
  void fill(Made& made,
            const http::RequestHead& head,
            const server::Endpoints& ends,
            PyObject* input);
  bool set_request(PyObject* environ, const http::RequestHead& head, Made& made);
  bool set_ends(PyObject* environ, const server::Endpoints& ends);
  bool set_headers(PyObject* environ, const http::RequestHead& head);

  Keys keys_;
  py::Ref template_;
  py::Ref empty_, http_1_0_, http_1_1_;
  TextCache texts_;
  HeaderKeys header_keys_;
};

/// "%2F" as "/"; a '%' without two hexadecimal digits stays. To `room`, at least as long as `path`.
std::string_view percent_decode(std::string_view path, char* room);

}  // namespace greenwsgi::wsgi
