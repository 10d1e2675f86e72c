// message_fields.cpp - see message_fields.hpp.
#include "message_fields.hpp"

#include "request_line.hpp"

namespace greenwsgi::http {

namespace {

constexpr auto kNone = std::string_view::npos;

/// Takes the first element off a comma-separated list.
std::string_view pop_element(std::string_view& list) {
  const std::size_t comma = list.find(',');
  const std::string_view element = trim(list.substr(0, comma));
  list = comma == kNone ? std::string_view{} : list.substr(comma + 1);
  return element;
}

/// "gzip, chunked": well-formed, and its end could be found, but the coding is not ours.
bool is_coding_then_chunked(std::string_view list) {
  int elements = 0;
  int chunked = 0;
  bool last_chunked = false;
  while (!list.empty()) {
    const std::string_view element = pop_element(list);
    if (!is_token(element)) return false;
    last_chunked = equals_lower(element, "chunked");
    chunked += last_chunked ? 1 : 0;
    ++elements;
  }
  return last_chunked && chunked == 1 && elements > 1;
}

}  // namespace

Refusal MessageFields::take(const Header& field) {
  // Most names leave at their length; the words differ in length, so one comparison settles it.
  switch (field.name.size()) {
    case 4:
      return equals_lower(field.name, "host") ? take_host(field.value) : Refusal{};
    case 6:
      return equals_lower(field.name, "expect") ? take_expect(field.value) : Refusal{};
    case 10:
      if (equals_lower(field.name, "connection")) take_connection(field.value);
      return {};
    case 14:
      return equals_lower(field.name, "content-length") ? take_content_length(field.value)
                                                        : Refusal{};
    case 17:
      return equals_lower(field.name, "transfer-encoding") ? take_transfer_encoding(field.value)
                                                           : Refusal{};
    default:
      return {};
  }
}

Refusal MessageFields::take_host(std::string_view value) {
  if (host_) return {400, "there are two Host fields"};
  host_ = true;
  // An empty Host is what RFC 9110, 7.2 prescribes for a target without an authority.
  if (!value.empty() && !is_host(value)) return {400, "the Host field is not valid"};
  return {};
}

Refusal MessageFields::take_content_length(std::string_view value) {
  if (content_length_ >= 0) return {400, "there are two Content-Length fields"};
  content_length_ = parse_decimal(value);
  if (content_length_ < 0) return {400, "Content-Length is not a number"};
  return {};
}

Refusal MessageFields::take_transfer_encoding(std::string_view value) {
  if (chunked_) return {400, "there are two Transfer-Encoding fields"};
  if (is_coding_then_chunked(value)) return {501, "the transfer coding is not implemented"};
  if (!equals_lower(value, "chunked")) return {400, "Transfer-Encoding is not chunked"};
  chunked_ = true;
  return {};
}

Refusal MessageFields::take_expect(std::string_view value) {
  if (!equals_lower(value, "100-continue")) return {417, "the expectation is not 100-continue"};
  expect_continue_ = true;
  return {};
}

void MessageFields::take_connection(std::string_view value) {
  while (!value.empty()) {
    const std::string_view option = pop_element(value);
    if (equals_lower(option, "close")) close_ = true;
    if (equals_lower(option, "keep-alive")) keep_alive_ = true;
  }
}

Refusal MessageFields::finish(const RequestLimits& limits, RequestHead& head) const {
  const bool http_1_1 = head.version_minor == 1;
  if (http_1_1 && !host_) return {400, "there is no Host field"};
  if (chunked_ && content_length_ >= 0) {
    return {400, "there are both Content-Length and Transfer-Encoding"};
  }
  if (chunked_ && !http_1_1) return {400, "Transfer-Encoding is not for HTTP/1.0"};
  const auto length = static_cast<std::uint64_t>(content_length_ < 0 ? 0 : content_length_);
  if (limits.body_bytes != 0 && length > limits.body_bytes) {
    return {413, "the body is longer than the limit"};
  }

  head.content_length = content_length_;
  head.chunked = chunked_;
  head.keep_alive = !close_ && (http_1_1 || keep_alive_);
  head.expect_continue = expect_continue_ && http_1_1 && (chunked_ || content_length_ > 0);
  return {};
}

}  // namespace greenwsgi::http
