// response_head_test.cpp - which fields a response may have, and how its end is marked.
#include "greenwsgi/http/response_head.hpp"

#include <doctest/doctest.h>

#include <string>

namespace greenwsgi::http {
namespace {

using Added = ResponseHead::Added;
using Body = Framing::Body;

struct Ended {
  Framing framing;
  std::string bytes;
};

/// A response with a Date of its own, so that its bytes are known.
Ended end_of(std::string_view status,
             std::string_view length,
             const ResponseTo& request,
             std::int64_t body_bytes) {
  ResponseHead head;
  REQUIRE(head.begin(status));
  REQUIRE(head.add("Date", "D") == Added::ok);
  if (!length.empty()) REQUIRE(head.add("Content-Length", length) == Added::ok);
  const Framing framing = head.end(request, body_bytes, "");
  return {framing, head.bytes()};
}

TEST_CASE("status: three digits from 100 to 599, a space and a reason") {
  ResponseHead head;
  for (const char* status : {"200 OK", "100 ", "599 a b", "404 Caf\xe9", "200 a\tb"}) {
    INFO(status);
    CHECK(head.begin(status));
    CHECK(head.begun());
  }
  for (const char* status : {"", "200", "2000 OK", "20 OK", "099 a", "600 a", "abc d", "+20 a",
                             " 200 OK", "200OK", "200\tOK", "200 O\r\nK", "200 \n", "200 \x7f"}) {
    INFO(status);
    CHECK_FALSE(head.begin(status));
    CHECK_FALSE(head.begun());
  }
}

TEST_CASE("a response: status line, fields in order, Date, Server, the length, the empty line") {
  ResponseHead head;
  REQUIRE(head.begin("200 OK"));
  CHECK(head.add("B", "1") == Added::ok);
  CHECK(head.add("A", "2") == Added::ok);
  CHECK(head.add("B", "") == Added::ok);

  const Framing framing = head.end({}, 5, "green");

  CHECK(framing.body == Body::sized);
  CHECK(framing.bytes == 5);
  CHECK(framing.keep_alive);
  CHECK(head.bytes() ==
        "HTTP/1.1 200 OK\r\nB: 1\r\nA: 2\r\nB: \r\nDate: " + std::string(http_date()) +
            "\r\nServer: green\r\nContent-Length: 5\r\n\r\n");
}

TEST_CASE("Date and Server of the application replace the server's") {
  ResponseHead head;
  REQUIRE(head.begin("200 OK"));
  CHECK(head.add("date", "d") == Added::ok);
  CHECK(head.add("SERVER", "s") == Added::ok);

  head.end({}, 0, "green");

  CHECK(head.bytes() == "HTTP/1.1 200 OK\r\ndate: d\r\nSERVER: s\r\nContent-Length: 0\r\n\r\n");
}

TEST_CASE("a field's name must be a token") {
  ResponseHead head;
  REQUIRE(head.begin("200 OK"));
  for (const char* name : {"", "A B", "A:", "A\r\nB", "\xc3\xa9", "A\t", "(A)"}) {
    INFO(name);
    CHECK(head.add(name, "v") == Added::bad_name);
  }
  CHECK(head.bytes() == "HTTP/1.1 200 OK\r\n");
}

TEST_CASE("a field's value must not hold control characters") {
  using namespace std::string_view_literals;
  ResponseHead head;
  REQUIRE(head.begin("200 OK"));
  for (const std::string_view value : {"a\r\nB: c"sv, "a\n"sv, "\r"sv, "a\0"sv, "\x7f"sv}) {
    CHECK(head.add("A", value) == Added::bad_value);
  }
  CHECK(head.add("A", "caf\xe9\t!") == Added::ok);
}

TEST_CASE("the connection's own fields are refused in any case") {
  ResponseHead head;
  REQUIRE(head.begin("200 OK"));
  for (const char* name :
       {"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "TE", "Trailer",
        "Trailers", "Transfer-Encoding", "Upgrade", "Proxy-Connection", "CONNECTION", "te"}) {
    INFO(name);
    CHECK(head.add(name, "v") == Added::hop_by_hop);
  }
  CHECK(head.add("WWW-Authenticate", "v") == Added::ok);
}

TEST_CASE("Content-Length must be a number, and one number") {
  ResponseHead head;
  for (const char* value : {"", "-1", "+1", "1 2", "0x1", "a", "9223372036854775808", "1,1"}) {
    INFO(value);
    REQUIRE(head.begin("200 OK"));
    CHECK(head.add("Content-Length", value) == Added::bad_length);
  }
  REQUIRE(head.begin("200 OK"));
  CHECK(head.add("Content-Length", " 7 ") == Added::ok);
  CHECK(head.add("content-length", "07") == Added::ok);
  CHECK(head.add("Content-Length", "8") == Added::bad_length);
  CHECK(head.content_length() == 7);
  head.end({}, -1, "");
  const std::string& bytes = head.bytes();
  const std::size_t first = bytes.find("Content-Length: 7\r\n");
  CHECK(first != std::string::npos);
  CHECK(bytes.find("ength", first + 14) == std::string::npos);
}

TEST_CASE("a body of unknown length is chunked to 1.1, and ends with the connection to 1.0") {
  const Ended to_1_1 = end_of("200 OK", "", {}, -1);
  const Ended to_1_0 = end_of("200 OK", "", {.version_minor = 0, .keep_alive = true}, -1);

  CHECK(to_1_1.framing.body == Body::chunked);
  CHECK(to_1_1.framing.keep_alive);
  CHECK(to_1_1.bytes == "HTTP/1.1 200 OK\r\nDate: D\r\nTransfer-Encoding: chunked\r\n\r\n");
  CHECK(to_1_0.framing.body == Body::to_close);
  CHECK_FALSE(to_1_0.framing.keep_alive);
  CHECK(to_1_0.bytes == "HTTP/1.1 200 OK\r\nDate: D\r\nConnection: close\r\n\r\n");
}

TEST_CASE("a length that the application gave wins over the one that the server sees") {
  const Ended ended = end_of("200 OK", "10", {}, 5);

  CHECK(ended.framing.body == Body::sized);
  CHECK(ended.framing.bytes == 10);
}

TEST_CASE("HEAD: no body, the application's length stays, none is made up") {
  const Ended given = end_of("200 OK", "10", {.head = true}, 0);
  const Ended unknown = end_of("200 OK", "", {.head = true}, 0);

  CHECK(given.framing.body == Body::none);
  CHECK(given.framing.keep_alive);
  CHECK(given.bytes == "HTTP/1.1 200 OK\r\nDate: D\r\nContent-Length: 10\r\n\r\n");
  CHECK(unknown.framing.body == Body::none);
  CHECK(unknown.bytes == "HTTP/1.1 200 OK\r\nDate: D\r\n\r\n");
}

TEST_CASE("204 and 1xx: no body and no Content-Length, whatever the application gave") {
  for (const char* status : {"204 No Content", "103 Early Hints"}) {
    const Ended ended = end_of(status, "10", {}, 10);

    CHECK(ended.framing.body == Body::none);
    CHECK(ended.framing.keep_alive);
    CHECK(ended.bytes == "HTTP/1.1 " + std::string(status) + "\r\nDate: D\r\n\r\n");
  }
}

TEST_CASE("304: no body, and the length only if the application gave it") {
  const Ended given = end_of("304 Not Modified", "10", {}, 0);
  const Ended unknown = end_of("304 Not Modified", "", {}, 0);

  CHECK(given.framing.body == Body::none);
  CHECK(given.bytes == "HTTP/1.1 304 Not Modified\r\nDate: D\r\nContent-Length: 10\r\n\r\n");
  CHECK(unknown.bytes == "HTTP/1.1 304 Not Modified\r\nDate: D\r\n\r\n");
}

TEST_CASE("a bodyless response keeps even a 1.0 client's connection") {
  const Ended ended = end_of("304 Not Modified", "", {.version_minor = 0, .keep_alive = true}, -1);

  CHECK(ended.framing.keep_alive);
  CHECK(ended.bytes.ends_with("\r\nConnection: keep-alive\r\n\r\n"));
}

TEST_CASE("Connection says close when it closes, and keep-alive to a 1.0 client that asked") {
  const Ended closing = end_of("200 OK", "", {.keep_alive = false}, 1);
  const Ended kept = end_of("200 OK", "", {.version_minor = 0, .keep_alive = true}, 1);
  const Ended usual = end_of("200 OK", "", {}, 1);

  CHECK_FALSE(closing.framing.keep_alive);
  CHECK(closing.bytes.ends_with("\r\nConnection: close\r\n\r\n"));
  CHECK(kept.framing.keep_alive);
  CHECK(kept.bytes.ends_with("\r\nConnection: keep-alive\r\n\r\n"));
  CHECK(usual.bytes.find("Connection") == std::string::npos);
}

TEST_CASE("begin starts over, and clear gives a large buffer back") {
  ResponseHead head;
  REQUIRE(head.begin("200 OK"));
  CHECK(head.add("Content-Length", "3") == Added::ok);
  CHECK(head.add("A", std::string(100'000, 'a')) == Added::ok);

  head.clear();

  CHECK_FALSE(head.begun());
  CHECK(head.bytes().capacity() < 5000);
  REQUIRE(head.begin("404 Not Found"));
  CHECK(head.content_length() == -1);
  CHECK(head.code() == 404);
  CHECK(head.bytes() == "HTTP/1.1 404 Not Found\r\n");
}

TEST_CASE("a chunk's size line is hexadecimal without leading zeros") {
  char room[18];
  CHECK(chunk_size_line(1, room) == "1\r\n");
  CHECK(chunk_size_line(0x1f40, room) == "1f40\r\n");
  CHECK(chunk_size_line(~0ull, room) == "ffffffffffffffff\r\n");
}

TEST_CASE("reason phrases are those of RFC 9110") {
  CHECK(reason_phrase(200) == "OK");
  CHECK(reason_phrase(404) == "Not Found");
  CHECK(reason_phrase(413) == "Content Too Large");
  CHECK(reason_phrase(299) == "Unknown");
}

}  // namespace
}  // namespace greenwsgi::http
