// response_head.cpp - see response_head.hpp.
#include "greenwsgi/http/response_head.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "greenwsgi/base/assert.hpp"
#include "greenwsgi/http/request_parser.hpp"
#include "text.hpp"

namespace greenwsgi::http {

namespace {

constexpr std::size_t kUsualBytes = 448;  // Room from the beginning, instead of bit by bit.
constexpr std::size_t kKeptBytes = 4096;
/// Of all that end() may add but the server's name.
constexpr std::size_t kEndBytesMax = 160;

/// PEP 3333 names RFC 2616's list, which says "Trailers" for Trailer. Proxy-Connection never was a
/// standard's, but is as much the connection's.
bool is_hop_by_hop(std::string_view name) {
  switch (name.size()) {
    case 2:
      return equals_lower(name, "te");
    case 7:
      return equals_lower(name, "upgrade") || equals_lower(name, "trailer");
    case 8:
      return equals_lower(name, "trailers");
    case 10:
      return equals_lower(name, "connection") || equals_lower(name, "keep-alive");
    case 16:
      return equals_lower(name, "proxy-connection");
    case 17:
      return equals_lower(name, "transfer-encoding");
    case 18:
      return equals_lower(name, "proxy-authenticate");
    case 19:
      return equals_lower(name, "proxy-authorization");
    default:
      return false;
  }
}

bool has_no_body(int code) {
  return code < 200 || code == 204 || code == 304;
}

}  // namespace

bool ResponseHead::begin(std::string_view status) {
  clear();
  if (status.size() < 4 || status[3] != ' ') return false;
  if (!is_digit(status[0]) || !is_digit(status[1]) || !is_digit(status[2])) return false;
  const int code = (status[0] - '0') * 100 + (status[1] - '0') * 10 + (status[2] - '0');
  if (code < 100 || code > 599) return false;
  if (!is_field_value(status)) return false;
  code_ = code;
  bytes_.reserve(kUsualBytes);
  bytes_.append("HTTP/1.1 ").append(status).append("\r\n");
  return true;
}

ResponseHead::Added ResponseHead::add(std::string_view name, std::string_view value) {
  GW_ASSERT(begun());
  if (!is_token(name)) return Added::bad_name;
  if (!is_field_value(value)) return Added::bad_value;
  if (is_hop_by_hop(name)) return Added::hop_by_hop;
  // Written by end(), which knows whether the response may have one.
  if (equals_lower(name, "content-length")) return add_content_length(value);
  if (equals_lower(name, "date")) has_date_ = true;
  if (equals_lower(name, "server")) has_server_ = true;
  write_field(name, value);
  return Added::ok;
}

ResponseHead::Added ResponseHead::add_content_length(std::string_view value) {
  const std::int64_t length = parse_decimal(trim(value));
  if (length < 0) return Added::bad_length;
  if (content_length_ >= 0 && content_length_ != length) return Added::bad_length;
  content_length_ = length;
  return Added::ok;
}

Framing ResponseHead::end(const ResponseTo& request,
                          std::int64_t body_bytes,
                          std::string_view server) {
  GW_ASSERT(begun());
  bytes_.reserve(bytes_.size() + server.size() + kEndBytesMax);  // Throws before anything is done.
  if (!has_date_) write_field("Date", http_date());
  if (!has_server_ && !server.empty()) write_field("Server", server);

  Framing framing{.keep_alive = request.keep_alive};
  if (request.head || has_no_body(code_)) {
    // It describes the response to a GET here, so only the application can know it. RFC 9110, 8.6
    // forbids it in 1xx and 204.
    if (content_length_ >= 0 && code_ >= 200 && code_ != 204) {
      write_content_length(static_cast<std::uint64_t>(content_length_));
    }
  } else if (content_length_ >= 0 || body_bytes >= 0) {
    framing.body = Framing::Body::sized;
    framing.bytes = static_cast<std::uint64_t>(content_length_ >= 0 ? content_length_ : body_bytes);
    write_content_length(framing.bytes);
  } else if (request.version_minor >= 1) {
    framing.body = Framing::Body::chunked;
    write_field("Transfer-Encoding", "chunked");
  } else {
    framing.body = Framing::Body::to_close;
    framing.keep_alive = false;
  }

  if (!framing.keep_alive) {
    write_field("Connection", "close");
  } else if (request.version_minor == 0) {
    write_field("Connection", "keep-alive");
  }
  bytes_.append("\r\n");
  return framing;
}

void ResponseHead::write_field(std::string_view name, std::string_view value) {
  const std::size_t before = bytes_.size();
  bytes_.resize(before + name.size() + value.size() + 4);
  char* at = bytes_.data() + before;
  at = std::copy(name.begin(), name.end(), at);
  *at++ = ':';
  *at++ = ' ';
  at = std::copy(value.begin(), value.end(), at);
  *at++ = '\r';
  *at = '\n';
}

void ResponseHead::write_content_length(std::uint64_t bytes) {
  char digits[20];
  const std::to_chars_result end = std::to_chars(digits, digits + sizeof digits, bytes);
  write_field("Content-Length", {digits, static_cast<std::size_t>(end.ptr - digits)});
}

void ResponseHead::clear() {
  if (bytes_.capacity() > kKeptBytes) std::string().swap(bytes_);
  bytes_.clear();
  content_length_ = -1;
  code_ = 0;
  has_date_ = false;
  has_server_ = false;
}

std::string_view chunk_size_line(std::uint64_t bytes, char* room) {
  const std::to_chars_result end = std::to_chars(room, room + 16, bytes, 16);
  std::memcpy(end.ptr, "\r\n", 2);
  return {room, static_cast<std::size_t>(end.ptr - room) + 2};
}

}  // namespace greenwsgi::http
