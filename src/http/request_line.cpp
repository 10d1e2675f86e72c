// request_line.cpp - see request_line.hpp.
#include "request_line.hpp"

#include <arpa/inet.h>

#include <cstring>

namespace greenwsgi::http {

namespace {

constexpr auto kNone = std::string_view::npos;

bool is_hex(char c) {
  return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

bool is_ipv6(std::string_view text) {
  char room[INET6_ADDRSTRLEN];
  if (text.size() >= sizeof room) return false;
  std::memcpy(room, text.data(), text.size());
  room[text.size()] = '\0';
  in6_addr address;
  return inet_pton(AF_INET6, room, &address) == 1;
}

bool is_reg_name(std::string_view text) {
  if (text.empty()) return false;
  if ((classes_of(text) & kNotRegName) != 0) return false;
  for (std::size_t at = text.find('%'); at != kNone; at = text.find('%', at + 1)) {
    if (at + 2 >= text.size()) return false;
    if (!is_hex(text[at + 1]) || !is_hex(text[at + 2])) return false;
  }
  return true;
}

/// What follows the host: nothing, or a colon and a port, which RFC 3986 allows to be empty.
bool is_port_part(std::string_view text) {
  if (text.empty() || text == ":") return true;
  if (text.front() != ':') return false;
  const std::int64_t port = parse_decimal(text.substr(1));
  return port >= 0 && port <= 65535;
}

Refusal parse_version(std::string_view version, RequestHead& head) {
  if (version.size() != 8 || !version.starts_with("HTTP/") || !is_digit(version[5]) ||
      version[6] != '.' || !is_digit(version[7])) {
    return {400, "the request line has no HTTP version"};
  }
  if (version[5] != '1' || version[7] > '1') return {505, "the HTTP version is not supported"};
  head.version_minor = static_cast<std::uint8_t>(version[7] - '0');
  return {};
}

void split_query(std::string_view text, RequestHead& head) {
  const std::size_t mark = text.find('?');
  head.path = text.substr(0, mark);
  head.query = mark == kNone ? std::string_view{} : text.substr(mark + 1);
}

Refusal split_absolute(std::string_view target, RequestHead& head) {
  const std::size_t colon = target.find("://");
  const std::string_view scheme = target.substr(0, colon == kNone ? 0 : colon);
  if (!equals_lower(scheme, "http") && !equals_lower(scheme, "https")) {
    return {400, "the request target is neither a path nor an http(s) URI"};
  }
  const std::string_view rest = target.substr(colon + 3);
  const std::size_t authority_end = std::min(rest.find_first_of("/?"), rest.size());
  head.authority = rest.substr(0, authority_end);
  // Refuses user information too, which a reg-name cannot hold.
  if (!is_host(head.authority)) return {400, "the request target's authority is not valid"};
  split_query(rest.substr(authority_end), head);
  if (head.path.empty()) head.path = "/";
  return {};
}

Refusal split_target(RequestHead& head) {
  head.authority = {};
  if (head.target.front() == '/') {
    split_query(head.target, head);
    return {};
  }
  if (head.target == "*") {
    if (head.method != "OPTIONS") return {400, "the request target * is for OPTIONS only"};
    head.path = head.target;
    head.query = {};
    return {};
  }
  return split_absolute(head.target, head);
}

}  // namespace

bool is_host(std::string_view text) {
  if (text.starts_with('[')) {
    const std::size_t close = text.find(']');
    if (close == kNone) return false;
    return is_ipv6(text.substr(1, close - 1)) && is_port_part(text.substr(close + 1));
  }
  const std::size_t colon = std::min(text.find(':'), text.size());
  return is_reg_name(text.substr(0, colon)) && is_port_part(text.substr(colon));
}

Refusal parse_request_line(std::string_view line, RequestHead& head) {
  const std::size_t method_end = line.find(' ');
  if (method_end == kNone) return {400, "the request line has no target"};
  head.method = line.substr(0, method_end);
  if (!is_token(head.method)) return {400, "the method is not a token"};

  const std::size_t target_begin = method_end + 1;
  const std::size_t target_end = line.find(' ', target_begin);
  if (target_end == kNone) return {400, "the request line has no HTTP version"};
  head.target = line.substr(target_begin, target_end - target_begin);
  if (head.target.empty()) return {400, "the request target is empty"};
  if ((classes_of(head.target) & kNotTarget) != 0) {
    return {400, "the request target holds a character that must be encoded"};
  }

  if (Refusal refusal = parse_version(line.substr(target_end + 1), head)) return refusal;
  if (head.method == "CONNECT") return {501, "CONNECT is for proxies"};
  return split_target(head);
}

}  // namespace greenwsgi::http
