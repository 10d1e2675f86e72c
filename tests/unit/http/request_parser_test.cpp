// request_parser_test.cpp - the parser as its caller sees it: events, lifetimes, HTTP/1.0.
#include <doctest/doctest.h>

#include <string>

#include "read_requests.hpp"

namespace greenwsgi::http {
namespace {

using Event = RequestParser::Event;

RequestParser::Step give(RequestParser& parser, std::string_view text) {
  return parser.next(std::as_bytes(std::span(text.data(), text.size())));
}

constexpr std::string_view kGet = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";

TEST_CASE("a request without a body: head, then end, which consumes nothing") {
  const RequestLimits limits;
  RequestParser parser(limits);
  const std::string bytes = std::string(kGet) + "GET";

  const auto head = give(parser, bytes);
  CHECK(head.event == Event::head);
  CHECK(head.consumed == kGet.size());
  const auto end = give(parser, "GET");

  CHECK(end.event == Event::end);
  CHECK(end.consumed == 0);
}

TEST_CASE("a request is in progress from its first byte to its end") {
  const RequestLimits limits;
  RequestParser parser(limits);

  CHECK_FALSE(parser.in_request());
  give(parser, "\r\n");
  CHECK_FALSE(parser.in_request());
  give(parser, "G");
  CHECK(parser.in_request());
  give(parser, kGet.substr(1));
  CHECK(parser.in_request());
  give(parser, "");
  CHECK_FALSE(parser.in_request());
}

TEST_CASE("the body's pieces are parts of the input") {
  const RequestLimits limits;
  RequestParser parser(limits);
  give(parser, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
  const std::string_view text = "helloGET";

  const auto body = give(parser, text);

  CHECK(body.event == Event::body);
  CHECK(body.consumed == 5);
  CHECK(static_cast<const void*>(body.body.data()) == text.data());
  CHECK(body.body.size() == 5);
}

TEST_CASE("the head can be released while its body goes on") {
  const RequestLimits limits;
  RequestParser parser(limits);
  give(parser, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
  CHECK(give(parser, "he").event == Event::body);

  parser.release_head();

  CHECK(parser.in_request());
  CHECK(give(parser, "llo").event == Event::body);
  CHECK(give(parser, "").event == Event::end);
  CHECK(give(parser, kGet).event == Event::head);
  CHECK(parser.head().path == "/a");
}

TEST_CASE("an error stays") {
  const RequestLimits limits;
  RequestParser parser(limits);

  CHECK(give(parser, "\n").event == Event::error);
  const auto again = give(parser, kGet);

  CHECK(again.event == Event::error);
  CHECK(again.consumed == 0);
  CHECK(parser.status() == 400);
  CHECK(parser.reason() == "a control character in the head");
}

TEST_CASE("HTTP/1.0: Host may be missing, and the connection closes unless the client asks") {
  CHECK_FALSE(read_whole("GET / HTTP/1.0\r\n\r\n").requests.at(0).keep_alive);
  CHECK(read_whole("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").requests.at(0).keep_alive);
  CHECK_FALSE(read_whole("GET / HTTP/1.0\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n")
                  .requests.at(0)
                  .keep_alive);
}

TEST_CASE("HTTP/1.0: what needs 1.1 is refused or ignored") {
  CHECK(read_whole("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n").status == 400);
  CHECK(read_whole("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").status == 400);
  CHECK_FALSE(read_whole("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
                  .requests.at(0)
                  .expect_continue);
}

TEST_CASE("HTTP/1.1: a request without Host is refused, an absolute target's too") {
  CHECK(read_whole("GET / HTTP/1.1\r\n\r\n").status == 400);
  CHECK(read_whole("GET http://a/ HTTP/1.1\r\n\r\n").status == 400);
}

}  // namespace
}  // namespace greenwsgi::http
