// request_bytes_test.cpp - each of the 256 bytes at each kind of place in a head, against sets that
// are written out here. It holds llhttp's tables, which differ between its versions, to the RFC.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "read_requests.hpp"

namespace greenwsgi::http {
namespace {

const std::string kAlnum = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const std::string kToken = kAlnum + "!#$%&'*+-.^_`|~";

std::string visible() {
  std::string all;
  for (char c = '!'; c <= '~'; ++c) all += c;
  return all;
}

std::string without(std::string text, char c) {
  text.erase(text.find(c), 1);
  return text;
}

std::string upper_half() {
  std::string all;
  for (int byte = 0x80; byte <= 0xff; ++byte) all += static_cast<char>(byte);
  return all;
}

/// The bytes that may stand at the mark in `pattern`.
std::string taken_at_mark(std::string_view pattern) {
  const std::size_t mark = pattern.find('@');
  std::string taken;
  for (int byte = 0; byte < 256; ++byte) {
    std::string bytes(pattern);
    bytes[mark] = static_cast<char>(byte);
    const RequestLimits limits{.drop_underscore_names = false};
    const Reading reading = read_whole(bytes, limits);
    if (reading.status == 0 && reading.requests.size() == 1) taken += static_cast<char>(byte);
  }
  return taken;
}

void check_same_bytes(std::string taken, std::string wanted) {
  std::sort(taken.begin(), taken.end());
  std::sort(wanted.begin(), wanted.end());
  CHECK(taken == wanted);
}

TEST_CASE("target: every visible character but # is taken, nothing else") {
  check_same_bytes(taken_at_mark("GET /a@b HTTP/1.1\r\nHost: a\r\n\r\n"), without(visible(), '#'));
  check_same_bytes(taken_at_mark("GET /a?b@c HTTP/1.1\r\nHost: a\r\n\r\n"),
                   without(visible(), '#'));
  check_same_bytes(taken_at_mark("GET /@ HTTP/1.1\r\nHost: a\r\n\r\n"), without(visible(), '#'));
}

TEST_CASE("target: only a slash begins a path") {
  check_same_bytes(taken_at_mark("GET @ HTTP/1.1\r\nHost: a\r\n\r\n"), "/");
  check_same_bytes(taken_at_mark("OPTIONS @ HTTP/1.1\r\nHost: a\r\n\r\n"), "/*");
}

TEST_CASE("header name: token characters are taken at its begin, within and at its end") {
  check_same_bytes(taken_at_mark("GET / HTTP/1.1\r\nHost: a\r\n@bc: d\r\n\r\n"), kToken);
  check_same_bytes(taken_at_mark("GET / HTTP/1.1\r\nHost: a\r\nb@c: d\r\n\r\n"), kToken + ":");
  check_same_bytes(taken_at_mark("GET / HTTP/1.1\r\nHost: a\r\nbc@: d\r\n\r\n"), kToken + ":");
}

TEST_CASE("header name: token characters are taken where llhttp looks for names it knows") {
  for (const char* name :
       {"Content-Length", "Transfer-Encoding", "Connection", "Upgrade", "Proxy-Connection"}) {
    const std::string before = "GET / HTTP/1.1\r\nHost: a\r\n" + std::string(name);
    check_same_bytes(taken_at_mark(before + "@: d\r\n\r\n"),
                     name == std::string_view("Connection") || name[0] == 'U' || name[0] == 'P'
                         ? kToken + ":"
                         : kToken);
    check_same_bytes(taken_at_mark(before + "x@y: d\r\n\r\n"), kToken + ":");
  }
}

TEST_CASE("header value: everything is taken but control characters other than HTAB") {
  const std::string text = visible() + upper_half() + " \t";
  check_same_bytes(taken_at_mark("GET / HTTP/1.1\r\nHost: a\r\nB: @\r\n\r\n"), text);
  check_same_bytes(taken_at_mark("GET / HTTP/1.1\r\nHost: a\r\nB: c@d\r\n\r\n"), text);
  check_same_bytes(taken_at_mark("GET / HTTP/1.1\r\nHost: a\r\nConnection: c@d\r\n\r\n"), text);
  check_same_bytes(taken_at_mark("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: @\r\n\r\n"), text);
}

TEST_CASE("Content-Length: only digits are taken") {
  check_same_bytes(taken_at_mark("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1@2\r\n\r\n"),
                   "0123456789");
  check_same_bytes(taken_at_mark("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: @2\r\n\r\n"),
                   "0123456789 \t");
  check_same_bytes(taken_at_mark("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2@\r\n\r\n"),
                   "0123456789 ");
}

TEST_CASE("Transfer-Encoding: only white space is taken around the coding") {
  check_same_bytes(taken_at_mark("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:@chunked\r\n\r\n"),
                   " \t");
  check_same_bytes(
      taken_at_mark("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked@\r\n\r\n"), " \t");
}

TEST_CASE("line ends: nothing but CR LF ends a line of the head") {
  check_same_bytes(taken_at_mark("GET / HTTP/1.1@\nHost: a\r\n\r\n"), "\r");
  check_same_bytes(taken_at_mark("GET / HTTP/1.1\r@Host: a\r\n\r\n"), "\n");
  check_same_bytes(taken_at_mark("GET / HTTP/1.1\r\nHost: a@\n\r\n"), "\r");
  check_same_bytes(taken_at_mark("GET / HTTP/1.1\r\nHost: a\r@\r\n"), "\n");
  check_same_bytes(taken_at_mark("GET / HTTP/1.1\r\nHost: a\r\n@\n"), "\r");
  check_same_bytes(taken_at_mark("GET / HTTP/1.1\r\nHost: a\r\n\r@"), "\n");
}

TEST_CASE("version: only 1.0 and 1.1 are taken") {
  check_same_bytes(taken_at_mark("GET / HTTP/1.@\r\nHost: a\r\n\r\n"), "01");
  check_same_bytes(taken_at_mark("GET / HTTP/@.1\r\nHost: a\r\n\r\n"), "1");
  check_same_bytes(taken_at_mark("GET / HTTP/1@1\r\nHost: a\r\n\r\n"), ".");
  check_same_bytes(taken_at_mark("GET / HTTP@1.1\r\nHost: a\r\n\r\n"), "/");
}

TEST_CASE("is_token: the token characters of RFC 9110, and not the empty text") {
  CHECK_FALSE(is_token(""));
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    CHECK(is_token(std::string("a") + c) == (kToken.find(c) != std::string::npos));
  }
}

TEST_CASE("is_field_value: no control character but HTAB, wherever it stands") {
  CHECK(is_field_value(""));
  for (int byte = 0; byte < 256; ++byte) {
    const bool allowed = byte == '\t' || (byte >= 0x20 && byte != 0x7f);
    for (std::size_t at = 0; at < 40; ++at) {
      std::string text(40, 'a');
      text[at] = static_cast<char>(byte);
      CHECK(is_field_value(text) == allowed);
    }
  }
}

}  // namespace
}  // namespace greenwsgi::http
