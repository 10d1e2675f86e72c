// read_requests.hpp - drives a RequestParser over bytes that arrive in given pieces, and keeps what
// it reported as plain values that can be compared.
//
// It is a caller as the server is one: what the parser did not consume is offered again, with what
// came since. Checks the parser's contract on the way: it never consumes more than it was given,
// and it makes progress.
#pragma once

#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greenwsgi/http/request_parser.hpp"

namespace greenwsgi::http {

struct ReadRequest {
  std::string method, target, path, query, authority;
  std::vector<std::pair<std::string, std::string>> fields;
  std::int64_t content_length = -1;
  int version_minor = -1;
  bool chunked = false, keep_alive = false, expect_continue = false;
  std::string body;
  bool ended = false;
  bool operator==(const ReadRequest&) const = default;
};

struct Reading {
  std::vector<ReadRequest> requests;
  int status = 0;  // Of the refusal that ended it; 0: the bytes ended first.
  std::string reason;
  std::size_t consumed = 0;  // Of all bytes, when nothing was refused.
  bool operator==(const Reading&) const = default;
};

class RequestReader {
 public:
  explicit RequestReader(const RequestLimits& limits) : parser_(limits) {}

  /// One more piece has arrived.
  void give(std::string_view piece) {
    while (reading_.status == 0) {
      const auto step = parser_.next(std::as_bytes(std::span(piece.data(), piece.size())));
      if (step.consumed > piece.size()) throw std::logic_error("more consumed than given");
      piece.remove_prefix(step.consumed);
      reading_.consumed += step.consumed;
      take(step);
      if (step.event != RequestParser::Event::need_more) continue;
      if (!piece.empty()) throw std::logic_error("more wanted, but not all was consumed");
      return;
    }
  }
  const Reading& reading() const { return reading_; }
  RequestParser& parser() { return parser_; }

 private:
  void take(const RequestParser::Step& step) {
    using Event = RequestParser::Event;
    if (step.event == Event::head) {
      reading_.requests.push_back(copy_of(parser_.head()));
    } else if (step.event == Event::body) {
      if (step.body.empty()) throw std::logic_error("an empty piece of the body");
      const auto* text = reinterpret_cast<const char*>(step.body.data());
      reading_.requests.back().body.append(text, step.body.size());
    } else if (step.event == Event::end) {
      // The head lives until the next request begins.
      ReadRequest again = copy_of(parser_.head());
      again.body = reading_.requests.back().body;
      if (again != reading_.requests.back()) throw std::logic_error("the head has changed");
      reading_.requests.back().ended = true;
    } else if (step.event == Event::error) {
      reading_.status = parser_.status();
      reading_.reason = parser_.reason();
      reading_.consumed = 0;
    }
  }

  static ReadRequest copy_of(const RequestHead& head) {
    ReadRequest copy{.method = std::string(head.method),
                     .target = std::string(head.target),
                     .path = std::string(head.path),
                     .query = std::string(head.query),
                     .authority = std::string(head.authority),
                     .content_length = head.content_length,
                     .version_minor = head.version_minor,
                     .chunked = head.chunked,
                     .keep_alive = head.keep_alive,
                     .expect_continue = head.expect_continue};
    for (const Header& header : head.headers) copy.fields.emplace_back(header.name, header.value);
    return copy;
  }

  RequestParser parser_;
  Reading reading_;
};

inline Reading read_whole(std::string_view bytes, const RequestLimits& limits = {}) {
  RequestReader reader(limits);
  reader.give(bytes);
  return reader.reading();
}

inline Reading read_in_two(std::string_view bytes,
                           std::size_t cut,
                           const RequestLimits& limits = {}) {
  RequestReader reader(limits);
  reader.give(bytes.substr(0, cut));
  reader.give(bytes.substr(cut));
  return reader.reading();
}

inline Reading read_byte_by_byte(std::string_view bytes, const RequestLimits& limits = {}) {
  RequestReader reader(limits);
  for (std::size_t i = 0; i < bytes.size(); ++i) reader.give(bytes.substr(i, 1));
  return reader.reading();
}

}  // namespace greenwsgi::http
