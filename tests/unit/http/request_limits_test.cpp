// request_limits_test.cpp - what a client may make the parser hold, and the bytes it may send
// where.
#include <doctest/doctest.h>

#include <string>

#include "read_requests.hpp"

namespace greenwsgi::http {
namespace {

const std::string kHost = "Host: a\r\n";

std::string request(const std::string& target, const std::string& fields) {
  return "GET " + target + " HTTP/1.1\r\n" + kHost + fields + "\r\n";
}

/// The status of all ways to send it, which must agree.
int status_of(const std::string& bytes, const RequestLimits& limits) {
  const Reading whole = read_whole(bytes, limits);
  CHECK(read_byte_by_byte(bytes, limits) == whole);
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    INFO("cut at ", cut);
    const Reading in_two = read_in_two(bytes, cut, limits);
    CHECK(in_two == whole);
  }
  return whole.status;
}

TEST_CASE("request line: as long as the limit is taken, one byte more is 414") {
  const RequestLimits limits{.request_line_bytes = 100};
  const std::size_t others = std::string_view("GET  HTTP/1.1").size();

  CHECK(status_of(request("/" + std::string(100 - others - 1, 'a'), ""), limits) == 0);
  CHECK(status_of(request("/" + std::string(100 - others, 'a'), ""), limits) == 414);
}

TEST_CASE("request line: one that never ends is refused as soon as it passes the limit") {
  const RequestLimits limits{.request_line_bytes = 100};
  RequestReader reader(limits);

  reader.give("GET /");
  for (int i = 5; i < 100; ++i) reader.give("a");
  CHECK(reader.reading().status == 0);
  reader.give("a");

  CHECK(reader.reading().status == 414);
}

TEST_CASE("header fields: as many as the limit are taken, one more is 431") {
  const RequestLimits limits{.header_count = 3};

  CHECK(status_of(request("/", "A: 1\r\nB: 2\r\n"), limits) == 0);
  CHECK(status_of(request("/", "A: 1\r\nB: 2\r\nC: 3\r\n"), limits) == 431);
}

TEST_CASE("header fields: one too many is refused at its first byte") {
  const RequestLimits limits{.header_count = 1};
  RequestReader reader(limits);

  reader.give("GET / HTTP/1.1\r\nHost: a\r\n");
  CHECK(reader.reading().status == 0);
  reader.give("A");

  CHECK(reader.reading().status == 431);
}

TEST_CASE("header fields: as long as the limit are taken, one byte more is 431") {
  const RequestLimits limits{.header_bytes = 50};
  const std::size_t others = kHost.size() + std::string_view("A: \r\n").size();

  CHECK(status_of(request("/", "A: " + std::string(50 - others, 'b') + "\r\n"), limits) == 0);
  CHECK(status_of(request("/", "A: " + std::string(51 - others, 'b') + "\r\n"), limits) == 431);
}

TEST_CASE("header fields: a name that never ends is refused at the limit") {
  const RequestLimits limits{.header_bytes = 50};

  CHECK(status_of("GET / HTTP/1.1\r\n" + std::string(51, 'a'), limits) == 431);
}

TEST_CASE(
    "header fields: when a line's end passes the limit, what the next begins with is not read") {
  // The CR of "A: ..." stands where the limit ends; its LF is behind it.
  const RequestLimits limits{.header_count = 2, .header_bytes = 50};
  const std::string line = "A: " + std::string(50 - kHost.size() - 3, 'b') + "\r\n";

  for (const std::string next : {"C: d\r\n", " folded\r\n", "\t", "\x01", ""}) {
    INFO("followed by ", next);
    CHECK(status_of(request("/", line + next), limits) == 431);
  }
}

TEST_CASE("header fields: what llhttp refuses in an earlier line comes before a limit") {
  const RequestLimits limits{.header_count = 2};

  CHECK(status_of("GET / HTTP/1.1\r\nHost: a\r\nA B: c\r\nC: d\r\n\r\n", limits) == 400);
  CHECK(status_of("BREW / HTTP/1.1\r\nHost: a\r\nA: c\r\nC: d\r\n\r\n", limits) == 501);
}

TEST_CASE("header fields: ones longer than the inline room are read, and so is their line") {
  std::string fields;
  for (int i = 0; i < 90; ++i) {
    fields +=
        "Name-" + std::to_string(i) + ": " + std::string(300, static_cast<char>('a' + i % 26));
    fields += "\r\n";
  }
  const std::string bytes = request("/p?q", fields);

  const Reading reading = read_whole(bytes);

  REQUIRE(reading.status == 0);
  CHECK(reading.requests.at(0).path == "/p");
  CHECK(reading.requests.at(0).query == "q");
  REQUIRE(reading.requests.at(0).fields.size() == 91);
  CHECK(reading.requests.at(0).fields[90].first == "Name-89");
  CHECK(reading.requests.at(0).fields[90].second == std::string(300, 'l'));
  CHECK(read_byte_by_byte(bytes) == reading);
  for (std::size_t cut = 0; cut < bytes.size(); cut += 97) {
    const Reading in_two = read_in_two(bytes, cut);
    CHECK(in_two == reading);
  }
}

TEST_CASE("header fields: an underscore is kept when the option is off") {
  const RequestLimits limits{.drop_underscore_names = false};

  const Reading reading = read_whole(request("/", "X_Y: z\r\n"), limits);

  REQUIRE(reading.status == 0);
  CHECK(reading.requests.at(0).fields.at(1).first == "X_Y");
}

TEST_CASE("body: as long as the limit is taken, one byte more is 413 at its head") {
  const RequestLimits limits{.body_bytes = 5};

  CHECK(status_of(request("/", "Content-Length: 5\r\n") + "hello", limits) == 0);
  CHECK(status_of(request("/", "Content-Length: 6\r\n"), limits) == 413);
}

TEST_CASE("body: chunks that pass the limit together are 413 at the size that does") {
  const RequestLimits limits{.body_bytes = 5};
  const std::string head = request("/", "Transfer-Encoding: chunked\r\n");

  CHECK(status_of(head + "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", limits) == 0);
  CHECK(status_of(head + "3\r\nabc\r\n3\r\n", limits) == 413);
}

TEST_CASE("body: a limit of 0 is none") {
  const RequestLimits limits{.body_bytes = 0};

  CHECK(status_of(request("/", "Content-Length: 9223372036854775807\r\n"), limits) == 0);
}

TEST_CASE("chunk extension: as long as the limit is skipped, one byte more is refused") {
  const std::string head = request("/", "Transfer-Encoding: chunked\r\n");
  const std::string most(ChunkDecoder::kExtensionBytesMax, 'x');

  CHECK(status_of(head + "1;" + most + "\r\na\r\n1;" + most + "\r\nb\r\n0\r\n\r\n", {}) == 0);
  CHECK(status_of(head + "1;" + most + "x\r\na\r\n0\r\n\r\n", {}) == 400);
}

TEST_CASE("trailers: they are limited as header fields are") {
  const std::string head = request("/", "Transfer-Encoding: chunked\r\n");
  const RequestLimits few{.header_count = 2};
  const RequestLimits small{.header_bytes = 50};

  CHECK(status_of(head + "0\r\nA: 1\r\nB: 2\r\n\r\n", few) == 0);
  CHECK(status_of(head + "0\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n", few) == 431);
  CHECK(status_of(head + "0\r\nA: " + std::string(45, 'b') + "\r\n\r\n", small) == 0);
  CHECK(status_of(head + "0\r\nA: " + std::string(46, 'b') + "\r\n\r\n", small) == 431);
}

TEST_CASE("empty lines: a few in front of a request are skipped, more are refused") {
  const std::string get = request("/", "");

  CHECK(status_of("\r\n\r\n\r\n\r\n" + get, {}) == 0);
  CHECK(status_of("\r\n\r\n\r\n\r\n\r\n" + get, {}) == 400);
  CHECK(status_of(get + "\r\n\r\n\r\n\r\n" + get, {}) == 0);
  CHECK(status_of("\n" + get, {}) == 400);
  CHECK(status_of("\r" + get, {}) == 400);
  CHECK(status_of("\r\r\n" + get, {}) == 400);
}

}  // namespace
}  // namespace greenwsgi::http
