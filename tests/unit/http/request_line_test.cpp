// request_line_test.cpp - the three parts of a request line, and the forms of a target.
#include "src/http/request_line.hpp"

#include <doctest/doctest.h>

#include <string>

namespace greenwsgi::http {
namespace {

int status_of(std::string_view line) {
  RequestHead head;
  return parse_request_line(line, head).status;
}

TEST_CASE("request line: the parts of a path with a query") {
  RequestHead head;

  REQUIRE_FALSE(parse_request_line("GET /a%20b?c=1?d HTTP/1.0", head));

  CHECK(head.method == "GET");
  CHECK(head.target == "/a%20b?c=1?d");
  CHECK(head.path == "/a%20b");
  CHECK(head.query == "c=1?d");
  CHECK(head.authority == "");
  CHECK(head.version_minor == 0);
}

TEST_CASE("request line: an absolute target gives its authority, and / for an empty path") {
  RequestHead head;

  REQUIRE_FALSE(parse_request_line("GET HTTP://example.org:8080?q HTTP/1.1", head));

  CHECK(head.authority == "example.org:8080");
  CHECK(head.path == "/");
  CHECK(head.query == "q");
  CHECK(head.version_minor == 1);
}

TEST_CASE("request line: a second reading forgets the first one's authority and query") {
  RequestHead head;
  REQUIRE_FALSE(parse_request_line("GET http://example.org/a?b HTTP/1.1", head));

  REQUIRE_FALSE(parse_request_line("OPTIONS * HTTP/1.1", head));

  CHECK(head.authority == "");
  CHECK(head.query == "");
  CHECK(head.path == "*");
}

TEST_CASE("request line: anything but three parts and two single spaces is refused") {
  for (const char* line : {"", "GET", "GET ", "GET /", "GET  / HTTP/1.1", "GET / HTTP/1.1 ",
                           "GET /  HTTP/1.1", " GET / HTTP/1.1", "GET\t/ HTTP/1.1"}) {
    CAPTURE(line);
    CHECK(status_of(line) == 400);
  }
}

TEST_CASE("request line: what is well-formed but not for this server has a status of its own") {
  CHECK(status_of("CONNECT a:1 HTTP/1.1") == 501);
  CHECK(status_of("GET / HTTP/2.0") == 505);
  CHECK(status_of("GET / HTTP/1.2") == 505);
  CHECK(status_of("GET / HTTP/1.1x") == 400);
  CHECK(status_of("GET / http/1.1") == 400);
}

TEST_CASE("request line: targets of no known form are refused") {
  for (const char* target : {"a", "*", "ftp://a/", "http://", "http:///a", "http://u@a/", "/#a"}) {
    CAPTURE(target);
    CHECK(status_of("GET " + std::string(target) + " HTTP/1.1") == 400);
  }
}

TEST_CASE("is_host: names, addresses, ports") {
  for (const char* host :
       {"a", "a.b-c", "127.0.0.1", "[::1]", "[::1]:80", "a:", "a:65535", "%41"}) {
    CAPTURE(host);
    CHECK(is_host(host));
  }
  for (const char* host : {"", ":80", "a:65536", "a:b", "[]", "[::1", "::1", "[::1]80", "[a]",
                           "a%4", "a%4g", "a b", "u@a", "a/b"}) {
    CAPTURE(host);
    CHECK_FALSE(is_host(host));
  }
}

}  // namespace
}  // namespace greenwsgi::http
