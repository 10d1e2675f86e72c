// error_log.hpp - where a server's applications say what went wrong: wsgi.errors, and the
// tracebacks of calls that failed.
//
// Whole lines go to a LineWriter, which never blocks. What a green has written of a line stays its
// own until the line is complete, so that the lines of a thousand calls do not mix. The GIL guards
// it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "greenwsgi/base/line_writer.hpp"
#include "src/py/ref.hpp"

namespace greenwsgi::wsgi {

class ErrorLog {
 public:
  explicit ErrorLog(int fd) : lines_(fd) {}

  /// Lines of the running green; the last one may be unfinished.
  void write(std::string_view text);
  /// Passes on what the running green has written of its last line.
  void end_line();
  /// "title: ", then the traceback of `exception`, as one block.
  void report(const std::string& title, PyObject* exception);

  LineWriter& lines() { return lines_; }

 private:
  static constexpr std::size_t kLineMax = 16 * 1024;
  static constexpr std::size_t kWritersMax = 1000;

  void end_all_lines();

  LineWriter lines_;
  std::unordered_map<std::uint64_t, std::string> unfinished_;  // By the writer's number.
};

/// A new wsgi.errors object; `type` is _core.ErrorStream. Empty: a Python error is set.
py::Ref make_error_stream(PyTypeObject* type, std::shared_ptr<ErrorLog> log);

/// Control characters and what is no ASCII as \xNN, so that a request cannot forge a line.
std::string printable(std::string_view bytes);

}  // namespace greenwsgi::wsgi
