// access_log.cpp - see access_log.hpp.
//
// The time of day is local, with its offset, as log readers expect; it is formatted once a second.
#include "src/server/access_log.hpp"

#include <charconv>
#include <cstdio>

#include "greenwsgi/http/response_head.hpp"

namespace greenwsgi::server {

namespace {

constexpr char kHex[] = "0123456789abcdef";

/// In quotes: a backslash before quotes and backslashes, `hex_prefix` and two digits for what is
/// not printable ASCII.
void append_escaped(std::string& line, std::string_view text, std::string_view hex_prefix) {
  line += '"';
  for (const char letter : text) {
    const auto code = static_cast<unsigned char>(letter);
    if (letter == '"' || letter == '\\') {
      line += '\\';
      line += letter;
    } else if (code >= 32 && code < 127) {
      line += letter;
    } else {
      line += hex_prefix;
      line += kHex[code >> 4];
      line += kHex[code & 15];
    }
  }
  line += '"';
}

/// As Apache escapes.
void append_quoted(std::string& line, std::string_view text) {
  append_escaped(line, text, "\\x");
}

/// Bytes that are not ASCII are given as the characters of Latin-1: always valid, never lossy.
void append_json(std::string& line, std::string_view text) {
  append_escaped(line, text, "\\u00");
}

template <class Number>
void append_number(std::string& line, Number number) {
  char room[24];
  const auto end = std::to_chars(room, room + sizeof room, number).ptr;
  line.append(room, end);
}

struct TimeText {
  std::time_t at = -1;
  char clf[40];  // 10/Oct/2000:13:55:36 -0700
  char iso[40];  // 2000-10-10T13:55:36-0700
};

const TimeText& time_text(std::time_t at) {
  static thread_local TimeText text;
  if (text.at == at) return text;
  std::tm parts{};
  localtime_r(&at, &parts);
  char rest[32];
  std::strftime(rest, sizeof rest, "%Y:%H:%M:%S %z", &parts);
  std::snprintf(text.clf, sizeof text.clf, "%02d/%s/%s", parts.tm_mday,
                http::month_name(parts.tm_mon), rest);
  std::strftime(text.iso, sizeof text.iso, "%Y-%m-%dT%H:%M:%S%z", &parts);
  text.at = at;
  return text;
}

std::string_view or_dash(std::string_view text) {
  return text.empty() ? "-" : text;
}

std::string_view protocol(const AccessRecord& record) {
  return record.version_minor == 0 ? "HTTP/1.0" : "HTTP/1.1";
}

std::string format_text(AccessFormat format, const AccessRecord& record, std::time_t at) {
  std::string line(or_dash(record.remote_address));
  line += " - - [";
  line += time_text(at).clf;
  line += "] ";
  std::string request(record.method);
  request += ' ';
  request += record.target;
  request += ' ';
  request += protocol(record);
  append_quoted(line, request);
  line += ' ';
  append_number(line, record.status);
  line += ' ';
  append_number(line, record.body_bytes);
  if (format == AccessFormat::combined) {
    line += ' ';
    append_quoted(line, or_dash(record.referer));
    line += ' ';
    append_quoted(line, or_dash(record.user_agent));
  }
  return line;
}

void append_member(std::string& line, std::string_view name, std::string_view value) {
  line += ",\"";
  line += name;
  line += "\":";
  append_json(line, value);
}

std::string format_json(const AccessRecord& record, std::time_t at) {
  std::string line = "{\"time\":\"";
  line += time_text(at).iso;
  line += '"';
  append_member(line, "remote_address", record.remote_address);
  append_member(line, "method", record.method);
  append_member(line, "target", record.target);
  append_member(line, "protocol", protocol(record));
  line += ",\"status\":";
  append_number(line, record.status);
  line += ",\"body_bytes\":";
  append_number(line, record.body_bytes);
  line += ",\"duration_us\":";
  append_number(line,
                std::chrono::duration_cast<std::chrono::microseconds>(record.duration).count());
  append_member(line, "referer", record.referer);
  append_member(line, "user_agent", record.user_agent);
  line += '}';
  return line;
}

}  // namespace

std::string format_access(AccessFormat format, const AccessRecord& record, std::time_t at) {
  return format == AccessFormat::json ? format_json(record, at) : format_text(format, record, at);
}

void AccessLog::write(const AccessRecord& record, void* log) {
  auto& self = *static_cast<AccessLog*>(log);
  try {
    self.lines_.write(format_access(self.format_, record, std::time(nullptr)));
  } catch (const std::bad_alloc&) {
    self.lines_.drop();
  }
}

}  // namespace greenwsgi::server
