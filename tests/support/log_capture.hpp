// log_capture.hpp - what is logged while a test looks, instead of on stderr.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "greenwsgi/base/log.hpp"

namespace greenwsgi::testing {

struct LogCapture {
  LogCapture() {
    lines.clear();
    set_log_sink([](LogLevel, std::string_view line) { lines.emplace_back(line); });
  }
  LogCapture(const LogCapture&) = delete;
  LogCapture& operator=(const LogCapture&) = delete;
  ~LogCapture() { set_log_sink(nullptr); }

  static inline std::vector<std::string> lines;
};

}  // namespace greenwsgi::testing
