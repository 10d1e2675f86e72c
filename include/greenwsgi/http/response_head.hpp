// response_head.hpp - the head of one response, and the framing of its body.
//
// The one place that knows how a response's end is marked (RFC 9112, 6.3): Content-Length, chunks,
// the connection's end, or no body at all (HEAD, 1xx, 204, 304). The caller gives status and header
// fields, which are checked as they are added; end() adds what is missing and decides. Knows no
// descriptor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace greenwsgi::http {

/// What the response must know of its request.
struct ResponseTo {
  bool head = false;  // The method is HEAD.
  std::uint8_t version_minor = 1;
  bool keep_alive = true;  // The connection may be used again, as far as the request and the
                           // server are concerned.
};

struct Framing {
  enum class Body : std::uint8_t {
    none,      // Whatever the application writes is dropped.
    sized,     // Exactly `bytes` follow.
    chunked,   // RFC 9112, 7.1.
    to_close,  // The connection's end is the body's.
  };
  Body body = Body::none;
  std::uint64_t bytes = 0;
  bool keep_alive = false;
};

class ResponseHead {
 public:
  enum class Added : std::uint8_t {
    ok,
    bad_name,    // No token.
    bad_value,   // A control character: CR or LF would let the application forge fields.
    hop_by_hop,  // PEP 3333 forbids them: Connection, Transfer-Encoding, TE, Upgrade...
    bad_length,  // Content-Length is no number, or there are two that differ.
  };

  /// Starts over. `status` is "200 OK"; false when it is not three digits (100 to 599, then a space
  /// and a reason that is_field_value()).
  bool begin(std::string_view status);
  bool begun() const { return code_ != 0; }
  Added add(std::string_view name, std::string_view value);
  int code() const { return code_; }
  /// What the caller gave, or -1.
  std::int64_t content_length() const { return content_length_; }

  /// Completes the head: Date and Server unless the caller gave them (`server` empty: no Server),
  /// Content-Length or Transfer-Encoding, Connection where it says something. `body_bytes`: the
  /// length of the whole body when it is known without a Content-Length field, else -1; a field
  /// that the caller gave wins. To be called once. std::bad_alloc: nothing has been done.
  Framing end(const ResponseTo& request, std::int64_t body_bytes, std::string_view server);
  /// After end(): the bytes to send. Before: what has been gathered.
  const std::string& bytes() const { return bytes_; }
  /// Ready for begin(); keeps a small buffer.
  void clear();

 private:
  Added add_content_length(std::string_view value);
  void write_content_length(std::uint64_t bytes);
  void write_field(std::string_view name, std::string_view value);

  std::string bytes_;
  std::int64_t content_length_ = -1;
  int code_ = 0;
  bool has_date_ = false;
  bool has_server_ = false;
};

/// The size line in front of a chunk, "1f40\r\n"; `room` holds it, at least 18 bytes.
std::string_view chunk_size_line(std::uint64_t bytes, char* room);
inline constexpr std::string_view kChunkEnd = "\r\n";
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

/// Now, as an IMF-fixdate (RFC 9110, 5.6.7), 29 characters, made once a second. The view stays
/// valid until the next call on this thread.
std::string_view http_date();
/// "Jan" for 0. strftime's names follow the locale, which belongs to the application.
const char* month_name(int month);
/// "Not Found" for 404; "Unknown" where RFC 9110 has no name.
std::string_view reason_phrase(int code);

}  // namespace greenwsgi::http
