// server_options.hpp - the arguments of _core.Server, checked and in the units of the rooms below.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "greenwsgi/server/server.hpp"
#include "src/py/ref.hpp"
#include "src/server/access_log.hpp"

namespace greenwsgi::wsgi {

struct ServerOptions {
  server::Options server;
  std::vector<int> listeners;
  std::optional<server::AccessFormat> access_log;
  int access_log_fd = 1;
  int error_log_fd = 2;
  std::string url_scheme = "http";
  std::size_t stack_bytes = 0;  // 0: as it is.
  bool multiprocess = false;
  py::Ref app;
};

/// False: a Python error is set that names the argument.
bool parse_options(PyObject* arguments, PyObject* keywords, ServerOptions& options);

}  // namespace greenwsgi::wsgi
