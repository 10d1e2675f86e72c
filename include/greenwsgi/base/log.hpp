// log.hpp - what the runtime has to say to whoever runs it: one line, one level, one sink.
//
// The default sink writes to stderr; a server replaces it by one that never blocks the hub
// (line_writer.hpp). No formatting library, no categories, no history.
#pragma once

#include <cstdint>
#include <string_view>

namespace greenwsgi {

enum class LogLevel : std::uint8_t { debug, info, warning, error };

/// "debug", "info", "warning", "error".
std::string_view name_of(LogLevel level);

/// Receives each line, without a newline. May be called from any thread; must not block for long.
using LogSink = void (*)(LogLevel level, std::string_view line);

/// nullptr restores the default (stderr). Set it before threads start.
void set_log_sink(LogSink sink);

/// Lines below `level` are dropped before they are formatted. Default: info.
void set_log_level(LogLevel level);

/// printf-style. A line longer than 2 KiB is cut.
[[gnu::format(printf, 2, 3)]] void log(LogLevel level, const char* format, ...);

}  // namespace greenwsgi
