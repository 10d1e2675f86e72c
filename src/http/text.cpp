// text.cpp - the table behind text.hpp, and the checks that other rooms share.
#include "text.hpp"

#include <limits>

#include "greenwsgi/http/request_parser.hpp"

namespace greenwsgi::http {

namespace {

constexpr bool contains(std::string_view set, char c) {
  return set.find(c) != std::string_view::npos;
}

constexpr std::uint8_t class_of(unsigned char byte) {
  const char c = static_cast<char>(byte);
  const bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  std::uint8_t all = 0;
  if (!alnum && !contains("!#$%&'*+-.^_`|~", c)) all |= kNotToken;
  if (byte <= 0x20 || byte >= 0x7f || c == '#') all |= kNotTarget;
  if (!alnum && !contains("-._~%!$&'()*+,;=", c)) all |= kNotRegName;
  if (c == '_') all |= kUnderscore;
  return all;
}

constexpr ByteClasses make_classes() {
  ByteClasses classes{};
  for (unsigned byte = 0; byte < 256; ++byte) {
    classes.of[byte] = class_of(static_cast<unsigned char>(byte));
  }
  return classes;
}

}  // namespace

constexpr ByteClasses kByteClasses = make_classes();

std::int64_t parse_decimal(std::string_view digits) {
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  if (digits.empty()) return -1;
  std::int64_t value = 0;
  for (const char c : digits) {
    if (!is_digit(c)) return -1;
    const int digit = c - '0';
    if (value > (kMax - digit) / 10) return -1;
    value = value * 10 + digit;
  }
  return value;
}

bool is_token(std::string_view text) {
  return !text.empty() && (classes_of(text) & kNotToken) == 0;
}

bool is_field_value(std::string_view text) {
  const char* at = text.data();
  const char* const end = at + text.size();
  for (;;) {
    at = find_control(at, end);
    if (at == end) return true;
    if (*at != '\t') return false;
    ++at;
  }
}

}  // namespace greenwsgi::http
