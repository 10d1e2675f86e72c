// application.hpp - a WSGI application as the server's handler: what all calls of a server share.
#pragma once

#include <memory>

#include "greenwsgi/server/exchange.hpp"
#include "src/wsgi/environ.hpp"
#include "src/wsgi/error_log.hpp"
#include "src/wsgi/types.hpp"

namespace greenwsgi::wsgi {

class Application final : public server::Handler {
 public:
  /// `facts.errors` and `facts.file_wrapper` are filled in. False: a Python error is set.
  bool prepare(PyObject* callable, PyObject* module, int error_log_fd, ServerFacts facts);

  void handle(server::Exchange& exchange) noexcept override;

  PyObject* callable() const { return callable_.get(); }
  const Types& types() const { return types_; }
  EnvironMaker& environs() { return environs_; }
  ErrorLog& log() { return *log_; }
  /// The context that each call runs in a copy of; empty: an empty one.
  void set_context(py::Ref context) { context_ = std::move(context); }
  /// Sets a RequestBodyError; false.
  bool set_body_error(int status, const char* message) const;

  /// For tp_traverse.
  int visit(visitproc visit, void* arg) const;

 private:
  py::Ref callable_;
  py::Ref context_;
  py::Ref error_stream_;
  Types types_;
  EnvironMaker environs_;
  std::shared_ptr<ErrorLog> log_;
};

}  // namespace greenwsgi::wsgi
