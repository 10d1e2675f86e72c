// request_parser.hpp - bytes in, request events out. Knows no descriptor, no fiber, no clock.
//
// Strict: whatever RFC 9112 lets two parsers read differently is an error, and nothing is repaired.
// Limits are checked while parsing, so that memory is bounded before a request is complete. One
// parser serves one connection, request after request; it holds no memory between requests
// (release()).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "greenwsgi/http/chunk_decoder.hpp"

namespace greenwsgi::http {

struct Header {
  std::string_view name;   // As sent.
  std::string_view value;  // Without the optional white space around it.
};

/// All views point into the parser and stay valid until its next request begins or release().
struct RequestHead {
  std::string_view method;
  std::string_view target;     // As sent.
  std::string_view path;       // Of the target, still percent-encoded; "*" for OPTIONS *.
  std::string_view query;      // Behind the first '?', without it.
  std::string_view authority;  // Of an absolute-form target, else empty.
  std::span<const Header> headers;
  std::int64_t content_length = -1;  // -1: the request had no such field.
  std::uint8_t version_minor = 1;    // HTTP/1.0 or HTTP/1.1.
  bool chunked = false;
  bool keep_alive = true;        // What the client wants (RFC 9112, 9.3).
  bool expect_continue = false;  // Expect: 100-continue on an HTTP/1.1 request with a body.
};

struct RequestLimits {
  std::size_t request_line_bytes = 8 * 1024;         // More: 414.
  std::size_t header_count = 100;                    // More: 431.
  std::size_t header_bytes = 32 * 1024;              // All header lines together; more: 431.
  std::uint64_t body_bytes = 1024ull * 1024 * 1024;  // More: 413. 0: no limit.
  bool drop_underscore_names =
      true;  // `_` in a header name: X_Y and X-Y would be one CGI variable.
};

class RequestParser {
 public:
  enum class Event : std::uint8_t {
    need_more,  // All of the input was consumed and nothing is complete.
    head,       // head() is complete. A body, or end, follows.
    body,       // `body` is the next piece of the body: a part of the input, not a copy.
    end,        // The request is complete; what follows in the input is the next one.
    error,      // See status(); the connection cannot be used any further.
  };
  struct Step {
    Event event;
    std::size_t consumed;  // Of the input.
    std::span<const std::byte> body{};
  };

  /// Borrows `limits`.
  explicit RequestParser(const RequestLimits& limits);
  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;
  ~RequestParser();

  /// Parses until the next event. After `end` the next call begins a new request; empty lines
  /// before a request line are skipped (RFC 9112, 2.2), a bounded number of them.
  Step next(std::span<const std::byte> input);

  const RequestHead& head() const;
  /// Of the request in progress, or refused: its method, target and version, or null while its
  /// request line is not complete or is not valid.
  const RequestHead* request_line() const;
  /// Has the request in progress begun, that is: sent a byte?
  bool in_request() const { return at_ != At::start && at_ != At::failed; }
  /// After an error: the status to answer with (400, 413, 414, 417, 431, 501, 505; 503 where there
  /// is no memory) and why, for the log.
  int status() const { return status_; }
  std::string_view reason() const { return reason_; }
  /// The views of head() are not needed any more: gives their memory back. The body of the request
  /// may still be going on.
  void release_head();

 private:
  struct State;
  enum class At : std::uint8_t { start, head, sized_body, chunked_body, end, failed };

  bool skip_empty_lines(std::span<const std::byte> input, std::size_t& used);
  Step read_head(std::span<const std::byte> input, std::size_t used);
  Step read_sized_body(std::span<const std::byte> input);
  Step read_chunked_body(std::span<const std::byte> input);
  Step refuse(int status, const char* reason, std::size_t used);

  std::unique_ptr<State> state_;  // Null between requests.
  const RequestLimits& limits_;
  std::uint64_t sized_left_ = 0;
  ChunkDecoder chunks_;
  const char* reason_ = "";
  int status_ = 0;
  std::uint8_t empty_lines_ = 0;
  bool after_cr_ = false;  // Of an empty line.
  At at_ = At::start;
};

/// RFC 9110, 5.6.2.
bool is_token(std::string_view text);
/// RFC 9110, 5.5, obsolete text allowed: no control characters but HTAB, so nothing that could end
/// the field.
bool is_field_value(std::string_view text);

}  // namespace greenwsgi::http
