// head_reader_test.cpp - gathering a head: where it ends, growth, and starting over. What a head
// may hold is the corpus's (request_corpus_test.cpp).
#include "src/http/head_reader.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

namespace greenwsgi::http {
namespace {

using Progress = HeadReader::Progress;

HeadReader::Read give(HeadReader& reader, std::string_view text) {
  return reader.read(std::as_bytes(std::span(text)));
}

TEST_CASE("head: ends at its last byte, and leaves the rest of the input alone") {
  const RequestLimits limits;
  HeadReader reader(limits);
  reader.restart();
  const std::string_view head = "GET /a?b HTTP/1.1\r\nHost: x\r\nA:  b \r\n\r\n";

  const auto read = give(reader, std::string(head) + "rest");

  REQUIRE(read.progress == Progress::complete);
  CHECK(read.consumed == head.size());
  CHECK(reader.head().path == "/a");
  REQUIRE(reader.head().headers.size() == 2);
  CHECK(reader.head().headers[1].name == "A");
  CHECK(reader.head().headers[1].value == "b");
}

TEST_CASE("head: a piece that ends nothing is consumed whole, wherever it was cut") {
  const RequestLimits limits;
  const std::string_view head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n";
  for (std::size_t cut = 1; cut < head.size(); ++cut) {
    CAPTURE(cut);
    HeadReader reader(limits);
    reader.restart();

    const auto first = give(reader, head.substr(0, cut));
    const auto second = give(reader, head.substr(cut));

    CHECK(first.progress == Progress::need_more);
    CHECK(first.consumed == cut);
    REQUIRE(second.progress == Progress::complete);
    CHECK(second.consumed == head.size() - cut);
    CHECK(reader.head().content_length == 1);
  }
}

TEST_CASE("head: one that outgrows the inline memory keeps all its fields, in pieces too") {
  const RequestLimits limits;
  HeadReader reader(limits);
  reader.restart();
  std::string head = "GET / HTTP/1.1\r\nHost: x\r\n";
  for (int i = 0; i < 90; ++i)
    head +=
        "Field-" + std::to_string(i) + ": " + std::string(100, 'v') + std::to_string(i) + "\r\n";
  head += "\r\n";

  Progress progress = Progress::need_more;
  for (const char& byte : head) progress = give(reader, {&byte, 1}).progress;

  REQUIRE(progress == Progress::complete);
  REQUIRE(reader.head().headers.size() == 91);
  CHECK(reader.head().method == "GET");
  CHECK(reader.head().headers[0].value == "x");
  CHECK(reader.head().headers[90].name == "Field-89");
  CHECK(reader.head().headers[90].value == std::string(100, 'v') + "89");
}

TEST_CASE("head: restart forgets the request before, its fields and its framing") {
  const RequestLimits limits;
  HeadReader reader(limits);
  reader.restart();
  give(reader, "POST /a?q HTTP/1.0\r\nContent-Length: 9\r\n\r\n");

  reader.restart();
  const auto read = give(reader, "GET /b HTTP/1.1\r\nHost: x\r\n\r\n");

  REQUIRE(read.progress == Progress::complete);
  CHECK(reader.head().method == "GET");
  CHECK(reader.head().query == "");
  CHECK(reader.head().content_length == -1);
  CHECK(reader.head().version_minor == 1);
  CHECK(reader.head().headers.size() == 1);
}

TEST_CASE("head: what is refused says why, as soon as the bytes are there") {
  const RequestLimits limits{.request_line_bytes = 20, .header_count = 1, .header_bytes = 30};
  const auto refused = [&](std::string_view text) {
    HeadReader reader(limits);
    reader.restart();
    CHECK(give(reader, text).progress == Progress::refused);
    CHECK(std::string_view(reader.refusal().reason) != "");
    return reader.refusal().status;
  };

  CHECK(refused("GET /aaaaaaaaaaaaaaaaaaaaaaaaaa") == 414);
  CHECK(refused("GET / HTTP/1.1\r\nA: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa") == 431);
  CHECK(refused("GET / HTTP/1.1\r\nA: b\r\nB: c\r\n") == 431);
  CHECK(refused("GET / HTTP/1.1\r\nA: b\n") == 400);
  CHECK(refused("GET / HTTP/1.1\r\nA: b\r\n c") == 400);
}

}  // namespace
}  // namespace greenwsgi::http
