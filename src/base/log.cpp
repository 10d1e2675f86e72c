#include "greenwsgi/base/log.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdarg>
#include <cstdio>

namespace greenwsgi {

namespace {

void write_to_stderr(LogLevel level, std::string_view line) {
  char text[2200];
  const int length =
      std::snprintf(text, sizeof text, "greenwsgi: %.*s: %.*s\n", int(name_of(level).size()),
                    name_of(level).data(), int(line.size()), line.data());
  // A pipe that nobody empties must not stop the program: then the line is lost.
  constexpr int kPatienceMilliseconds = 100;
  pollfd room{STDERR_FILENO, POLLOUT, 0};
  if (::poll(&room, 1, kPatienceMilliseconds) <= 0) return;
  // One write a line, so that lines of several processes do not mix; a closed stderr is nobody's
  // error, and there is no other place to report it.
  [[maybe_unused]] auto written = ::write(STDERR_FILENO, text, std::size_t(length));
}

std::atomic<LogSink> current_sink{write_to_stderr};
std::atomic<LogLevel> current_level{LogLevel::info};

}  // namespace

std::string_view name_of(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return "debug";
    case LogLevel::info:
      return "info";
    case LogLevel::warning:
      return "warning";
    case LogLevel::error:
      return "error";
  }
  return "?";
}

void set_log_sink(LogSink sink) {
  current_sink = sink != nullptr ? sink : write_to_stderr;
}

void set_log_level(LogLevel level) {
  current_level = level;
}

void log(LogLevel level, const char* format, ...) {
  if (level < current_level.load(std::memory_order_relaxed)) return;
  char line[2048];
  std::va_list arguments;
  va_start(arguments, format);
  const int length = std::vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  if (length < 0) return;  // Only a wrong format string, which the compiler checks.
  current_sink.load()(level, {line, std::min(std::size_t(length), sizeof line - 1)});
}

}  // namespace greenwsgi
