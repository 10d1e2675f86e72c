// reference.hpp - a naive reader of HTTP/1 requests, to hold the real one against.
//
// Written from RFC 9112 alone, with whole strings and no state: slow, obviously strict, and sharing
// no code with src/http. It answers one question: is there, at this place, exactly one way to read
// a request, and which? What it cannot read so, the parser must not have accepted.
#pragma once

#include <cctype>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace greenwsgi::fuzz {

struct ReferenceRequest {
  std::string method, target, version;
  std::vector<std::pair<std::string, std::string>> fields;
  std::string body;
  std::size_t end = 0;  // In the connection's bytes.
};

inline std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

inline bool only(const std::string& text, const std::string& allowed) {
  return !text.empty() && text.find_first_not_of(allowed) == std::string::npos;
}

inline const std::string kDigits = "0123456789";
inline const std::string kTokenBytes =
    "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

inline bool has_control(const std::string& text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte == 0x7f || (byte < 0x20 && byte != '\t')) return true;
  }
  return false;
}

/// The line at `at` without its CRLF; `at` moves behind it.
inline std::optional<std::string> take_line(const std::string& bytes, std::size_t& at) {
  const std::size_t end = bytes.find("\r\n", at);
  if (end == std::string::npos) return std::nullopt;
  std::string line = bytes.substr(at, end - at);
  at = end + 2;
  return has_control(line) ? std::nullopt : std::optional(line);
}

inline std::optional<std::pair<std::string, std::string>> split_field(const std::string& line) {
  const std::size_t colon = line.find(':');
  if (colon == std::string::npos) return std::nullopt;
  std::string name = line.substr(0, colon);
  if (!only(name, kTokenBytes)) return std::nullopt;
  const std::size_t begin = line.find_first_not_of(" \t", colon + 1);
  if (begin == std::string::npos) return std::pair{name, std::string{}};
  return std::pair{name, line.substr(begin, line.find_last_not_of(" \t") + 1 - begin)};
}

using Fields = std::vector<std::pair<std::string, std::string>>;

inline std::optional<Fields> take_fields(const std::string& bytes, std::size_t& at) {
  Fields fields;
  for (;;) {
    const auto line = take_line(bytes, at);
    if (!line) return std::nullopt;
    if (line->empty()) return fields;
    const auto field = split_field(*line);
    if (!field) return std::nullopt;
    fields.push_back(*field);
  }
}

inline std::optional<std::string> take_chunks(const std::string& bytes, std::size_t& at) {
  std::string body;
  for (;;) {
    const auto line = take_line(bytes, at);
    if (!line) return std::nullopt;
    const std::string digits = line->substr(0, line->find(';'));
    if (!only(digits, "0123456789abcdefABCDEF") || digits.size() > 16) return std::nullopt;
    const unsigned long long size = std::stoull(digits, nullptr, 16);
    if (size == 0) break;
    if (bytes.size() - at < 2 || bytes.size() - at - 2 < size) return std::nullopt;
    body += bytes.substr(at, size);
    at += size;
    if (bytes.substr(at, 2) != "\r\n") return std::nullopt;
    at += 2;
  }
  if (!take_fields(bytes, at)) return std::nullopt;
  return body;
}

inline std::vector<std::string> values_of(const Fields& fields, const std::string& name) {
  std::vector<std::string> values;
  for (const auto& [field, value] : fields) {
    if (lower(field) == name) values.push_back(value);
  }
  return values;
}

inline std::optional<std::string> take_body(const std::string& bytes,
                                            const ReferenceRequest& request,
                                            std::size_t& at) {
  const auto codings = values_of(request.fields, "transfer-encoding");
  const auto lengths = values_of(request.fields, "content-length");
  if (codings.size() + lengths.size() > 1) return std::nullopt;
  if (codings.size() == 1) {
    if (lower(codings[0]) != "chunked" || request.version != "HTTP/1.1") return std::nullopt;
    return take_chunks(bytes, at);
  }
  if (lengths.empty()) return std::string{};
  if (!only(lengths[0], kDigits)) return std::nullopt;
  const std::string number =
      lengths[0].substr(std::min(lengths[0].find_first_not_of('0'), lengths[0].size() - 1));
  if (number.size() > 18) return std::nullopt;  // More than any input has.
  const unsigned long long size = std::stoull(number);
  if (bytes.size() - at < size) return std::nullopt;
  at += size;
  return bytes.substr(at - size, size);
}

/// The request that begins at `at`, complete, or nothing.
inline std::optional<ReferenceRequest> read_reference(const std::string& bytes, std::size_t at) {
  while (bytes.compare(at, 2, "\r\n") == 0) at += 2;
  const auto line = take_line(bytes, at);
  if (!line) return std::nullopt;
  const std::size_t first = line->find(' ');
  const std::size_t second = line->find(' ', first + 1);
  if (first == std::string::npos || second == std::string::npos) return std::nullopt;

  ReferenceRequest request;
  request.method = line->substr(0, first);
  request.target = line->substr(first + 1, second - first - 1);
  request.version = line->substr(second + 1);
  if (!only(request.method, kTokenBytes) || request.target.empty()) return std::nullopt;
  if (request.target.find_first_of("\t#") != std::string::npos) return std::nullopt;
  if (request.version != "HTTP/1.1" && request.version != "HTTP/1.0") return std::nullopt;

  const auto fields = take_fields(bytes, at);
  if (!fields) return std::nullopt;
  request.fields = *fields;
  const std::size_t hosts = values_of(*fields, "host").size();
  if (hosts > 1 || (hosts == 0 && request.version == "HTTP/1.1")) return std::nullopt;

  const auto body = take_body(bytes, request, at);
  if (!body) return std::nullopt;
  request.body = *body;
  request.end = at;
  return request;
}

}  // namespace greenwsgi::fuzz
