// corpus.hpp - requests to accept and to refuse, as tables. One line is one sentence about the
// parser, the bytes that prove it, and the outcome: a status, or what was read.
//
// Three tables spare the bytes that do not matter: corpus_lines.hpp gives the request line,
// corpus_fields.hpp the lines behind "Host: a", corpus_bodies.hpp the bytes behind the head of a
// chunked POST.
#pragma once

#include <string>
#include <string_view>

namespace greenwsgi::http {

using namespace std::string_view_literals;

struct Case {
  std::string_view sentence;
  std::string_view bytes;
  std::string_view outcome;
};

inline std::string message_of_line(std::string_view line) {
  return std::string(line) + "\r\nHost: a\r\n\r\n";
}
inline std::string message_of_fields(std::string_view lines) {
  return "POST / HTTP/1.1\r\nHost: a\r\n" + std::string(lines) + "\r\n";
}
inline std::string message_of_chunks(std::string_view chunks) {
  return "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + std::string(chunks);
}

}  // namespace greenwsgi::http
