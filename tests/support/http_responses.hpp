// http_responses.hpp - what a client has received, taken apart: an independent, simple reader of
// responses, so that a test of the server does not believe the server.
//
// Splits a stream into responses by RFC 9112, 6.3. Interim ones (1xx) are listed like the others.
// What is not a whole response stays in `rest`; what cannot be one fails the test (`broken`).
#pragma once

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>
#include <vector>

namespace greenwsgi::testing {

struct HttpResponse {
  int status = 0;
  std::string head;  // The fields, each with its CRLF.
  std::string body;

  bool has(std::string_view field) const { return head.find(field) != std::string::npos; }
};

struct HttpResponses {
  std::vector<HttpResponse> all;
  std::string rest;
  bool broken = false;

  /// The statuses, "200 200 404".
  std::string statuses() const {
    std::string text;
    for (const HttpResponse& one : all) {
      if (!text.empty()) text += ' ';
      text += std::to_string(one.status);
    }
    return text;
  }
};

/// Takes the body out of `bytes`; false when it is not complete.
inline bool take_chunked(std::string_view& bytes, std::string& body, bool& broken) {
  for (;;) {
    const std::size_t line = bytes.find("\r\n");
    if (line == std::string_view::npos) return false;
    std::size_t size = 0;
    const auto parsed = std::from_chars(bytes.data(), bytes.data() + line, size, 16);
    broken |= line == 0 || parsed.ptr != bytes.data() + line;
    if (broken || bytes.size() < line + 2 + size + 2) return false;
    body += bytes.substr(line + 2, size);
    broken |= bytes.substr(line + 2 + size, 2) != "\r\n";
    bytes.remove_prefix(line + 2 + size + 2);
    if (size == 0) return true;
  }
}

inline bool take_body(const HttpResponse& one,
                      bool to_head,
                      bool ended,
                      std::string_view& bytes,
                      std::string& body,
                      bool& broken) {
  if (to_head || one.status < 200 || one.status == 204 || one.status == 304) return true;
  if (one.has("Transfer-Encoding: chunked\r\n")) return take_chunked(bytes, body, broken);
  const std::size_t at = one.head.find("Content-Length: ");
  std::size_t size = bytes.size();
  if (at == std::string::npos && !ended) return false;
  if (at != std::string::npos)
    std::from_chars(one.head.data() + at + 16, one.head.data() + one.head.size(), size);
  if (bytes.size() < size) return false;
  body = bytes.substr(0, size);
  bytes.remove_prefix(size);
  return true;
}

/// `ended`: the server has closed the connection. `to_heads`: the requests were HEAD.
inline HttpResponses read_responses(std::string_view bytes, bool ended, bool to_heads = false) {
  HttpResponses found;
  while (!bytes.empty() && !found.broken) {
    const std::size_t line = bytes.find("\r\n");
    const std::size_t end = bytes.find("\r\n\r\n");
    found.broken =
        !bytes.substr(0, 9).starts_with(std::string_view("HTTP/1.1 ").substr(0, bytes.size()));
    if (found.broken || end == std::string_view::npos) break;
    HttpResponse one;
    std::from_chars(bytes.data() + 9, bytes.data() + 12, one.status);
    one.head = bytes.substr(line + 2, end - line);
    std::string_view left = bytes.substr(end + 4);
    if (!take_body(one, to_heads, ended, left, one.body, found.broken)) break;
    bytes = left;
    found.all.push_back(std::move(one));
  }
  found.rest = bytes;
  return found;
}

}  // namespace greenwsgi::testing
