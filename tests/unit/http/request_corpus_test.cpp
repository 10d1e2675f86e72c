// request_corpus_test.cpp - the corpus, each message in one piece, in every two, and byte by byte.
#include <doctest/doctest.h>

#include "corpus_bodies.hpp"
#include "corpus_fields.hpp"
#include "corpus_lines.hpp"
#include "read_requests.hpp"

namespace greenwsgi::http {
namespace {

/// How the bytes arrive must not matter.
Reading read_every_way(const std::string& bytes) {
  const Reading whole = read_whole(bytes);
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    INFO("cut at ", cut);
    const Reading in_two = read_in_two(bytes, cut);
    CHECK(in_two == whole);
  }
  const Reading single = read_byte_by_byte(bytes);
  CHECK(single == whole);
  return whole;
}

std::string status_of(const Reading& reading) {
  return std::to_string(reading.status);
}

std::string line_of(const Reading& reading) {
  if (reading.status != 0) return status_of(reading);
  const ReadRequest& request = reading.requests.at(0);
  std::string text = request.method + " " + request.path;
  if (!request.query.empty()) text += "?" + request.query;
  if (!request.authority.empty()) text += " @" + request.authority;
  return text;
}

std::string fields_of(const Reading& reading) {
  if (reading.status != 0) return status_of(reading);
  const ReadRequest& request = reading.requests.at(0);
  std::string text;
  for (std::size_t i = 1; i < request.fields.size(); ++i) {
    text += request.fields[i].first + "=" + request.fields[i].second + ";";
  }
  if (request.content_length >= 0) {
    text += "[length " + std::to_string(request.content_length) + "]";
  }
  if (request.chunked) text += "[chunked]";
  if (!request.keep_alive) text += "[close]";
  if (request.expect_continue) text += "[continue]";
  return text;
}

std::string body_of(const Reading& reading) {
  if (reading.status != 0) return status_of(reading);
  const ReadRequest& request = reading.requests.at(0);
  return request.ended ? "\"" + request.body + "\"" : "...";
}

TEST_CASE("request line: what the corpus says of it holds, however the bytes arrive") {
  for (const Case& line : kLines) {
    INFO(line.sentence);
    CHECK(line_of(read_every_way(message_of_line(line.bytes))) == line.outcome);
  }
}

TEST_CASE("header fields: what the corpus says of them holds, however the bytes arrive") {
  for (const Case& fields : kFields) {
    INFO(fields.sentence);
    CHECK(fields_of(read_every_way(message_of_fields(fields.bytes))) == fields.outcome);
  }
}

TEST_CASE("Host: what the corpus says of it holds, however the bytes arrive") {
  for (const Case& host : kHosts) {
    INFO(host.sentence);
    const std::string bytes = "GET / HTTP/1.1\r\nHost: " + std::string(host.bytes) + "\r\n\r\n";
    CHECK(fields_of(read_every_way(bytes)) == host.outcome);
  }
}

TEST_CASE("chunked body: what the corpus says of it holds, however the bytes arrive") {
  for (const Case& body : kBodies) {
    INFO(body.sentence);
    const Reading reading = read_every_way(message_of_chunks(body.bytes));
    CHECK(body_of(reading) == body.outcome);
    // Trailers never become headers.
    CHECK(reading.requests.at(0).fields.size() == 2);
  }
}

TEST_CASE("pipelined requests: each ends at its last byte, and the next begins there") {
  const std::string bytes =
      "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
      "\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n"
      "POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\nT: "
      "u\r\n\r\n"
      "GET /4 HTTP/1.0\r\n\r\n";

  const Reading reading = read_every_way(bytes);

  CHECK(reading.status == 0);
  CHECK(reading.consumed == bytes.size());
  REQUIRE(reading.requests.size() == 4);
  CHECK(reading.requests[0].body == "abc");
  CHECK(reading.requests[1].path == "/2");
  CHECK(reading.requests[2].body == "de");
  CHECK(reading.requests[3].version_minor == 0);
  for (const ReadRequest& request : reading.requests) CHECK(request.ended);
}

TEST_CASE("a request behind a refused one is not read") {
  const Reading reading = read_every_way("GET / HTTP/9.9\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");

  CHECK(reading.status == 505);
  CHECK(reading.requests.empty());
}

}  // namespace
}  // namespace greenwsgi::http
