// access_log.hpp - one line for each answered request, in the formats that log readers know.
//
// Everything that a client has sent is escaped, so that no request can end a line, close a quote or
// leave a terminal in a strange state. Never waits: lines go to a LineWriter.
#pragma once

#include <ctime>
#include <string>
#include <string_view>

#include "greenwsgi/base/line_writer.hpp"
#include "greenwsgi/server/server.hpp"

namespace greenwsgi::server {

enum class AccessFormat : std::uint8_t {
  common,    // NCSA: host - - [time] "request line" status bytes
  combined,  // The same, then "referer" "user agent".
  json,      // One object a line; durations in microseconds.
};

/// `at`: when the request was answered, in seconds since 1970.
std::string format_access(AccessFormat format, const AccessRecord& record, std::time_t at);

class AccessLog {
 public:
  /// Borrows `fd`.
  AccessLog(AccessFormat format, int fd) : format_(format), lines_(fd) {}

  /// For Server::set_access_log(); `log` is an AccessLog.
  static void write(const AccessRecord& record, void* log);

 private:
  AccessFormat format_;
  LineWriter lines_;
};

}  // namespace greenwsgi::server
