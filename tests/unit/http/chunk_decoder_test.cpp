// chunk_decoder_test.cpp - the data of a chunked body, its end, and what is refused in between.
#include "greenwsgi/http/chunk_decoder.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "greenwsgi/http/request_parser.hpp"

namespace greenwsgi::http {
namespace {

struct Decoded {
  std::string data;
  bool ended = false;
  int status = 0;
  std::size_t consumed = 0;
  bool operator==(const Decoded&) const = default;
};

/// Decodes `bytes`, given in pieces of `piece_bytes`.
Decoded decode(std::string_view bytes, std::size_t piece_bytes, const RequestLimits& limits = {}) {
  using Found = ChunkDecoder::Found;
  ChunkDecoder decoder;
  Decoded decoded;
  while (decoded.consumed < bytes.size()) {
    const std::string_view piece = bytes.substr(decoded.consumed, piece_bytes);
    const auto step = decoder.next(std::as_bytes(std::span(piece)), limits);
    REQUIRE(step.consumed <= piece.size());
    decoded.consumed += step.consumed;
    decoded.data.append(reinterpret_cast<const char*>(step.data.data()), step.data.size());
    if (step.found == Found::need_more) REQUIRE(step.consumed == piece.size());
    if (step.found == Found::error) decoded.status = decoder.status();
    decoded.ended = step.found == Found::end;
    if (decoded.ended || decoded.status != 0) break;
  }
  return decoded;
}

Decoded decode(std::string_view bytes, const RequestLimits& limits = {}) {
  const Decoded whole = decode(bytes, bytes.size(), limits);
  CHECK(decode(bytes, 1, limits) == whole);
  return whole;
}

TEST_CASE("chunks: their data is put together, and nothing behind the end is touched") {
  const std::string body = "3\r\nabc\r\n0A;name=\"v\"\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\n";

  const Decoded decoded = decode(body + "GET /");

  CHECK(decoded.data == "abc0123456789");
  CHECK(decoded.ended);
  CHECK(decoded.consumed == body.size());
}

TEST_CASE("chunks: data is a part of the input, not a copy") {
  const std::string_view body = "3\r\nabc";
  ChunkDecoder decoder;

  const auto step = decoder.next(std::as_bytes(std::span(body)), {});

  CHECK(step.found == ChunkDecoder::Found::data);
  CHECK(reinterpret_cast<const char*>(step.data.data()) == body.data() + 3);
  CHECK(step.data.size() == 3);
}

TEST_CASE("chunks: framing that two readers could take differently is refused") {
  for (const char* body :
       {"\r\n", "g\r\n", "-1\r\n", " 1\r\n", "1 \r\n", "0x1\r\n", "1\n", "1\r\r\n", "1;a\n",
        "1\r\nab\r\n", "1\r\na\n", "1\r\na\r\r", "0\r\n\n", "0\r\n:a\r\n", "0\r\nA B: c\r\n",
        "0\r\nA: b\n", "0\r\nA: b\rc", "0\r\n\r\r", "00000000000000001\r\n"}) {
    CAPTURE(body);
    CHECK(decode(body).status == 400);
  }
}

TEST_CASE("chunks: sizes that together pass 63 bits are refused, not wrapped") {
  CHECK(decode("8000000000000000\r\n", {.body_bytes = 0}).status == 400);
  CHECK(decode("1\r\na\r\n7fffffffffffffff\r\n", {.body_bytes = 0}).status == 400);
  CHECK(decode("1\r\na\r\n7ffffffffffffffe\r\n", {.body_bytes = 0}).status == 0);
}

TEST_CASE("chunks: the limit holds for the body, not for a chunk") {
  const RequestLimits five{.body_bytes = 5};
  CHECK(decode("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", five).ended);
  CHECK(decode("3\r\nabc\r\n3\r\n", five).status == 413);
}

TEST_CASE("chunks: an extension may be so long and no longer, in each chunk") {
  const std::string longest(ChunkDecoder::kExtensionBytesMax, 'e');
  CHECK(decode("1;" + longest + "\r\na\r\n0;" + longest + "\r\n\r\n").ended);
  CHECK(decode("1;" + longest + "e\r\n").status == 400);
}

TEST_CASE("chunks: trailers count against the limits of header fields") {
  CHECK(decode("0\r\nA: 1\r\nB: 2\r\n\r\n", {.header_count = 2}).ended);
  CHECK(decode("0\r\nA: 1\r\nB: 2\r\n\r\n", {.header_count = 1}).status == 431);
  CHECK(decode("0\r\nA: 1\r\n\r\n", {.header_bytes = 6}).ended);
  CHECK(decode("0\r\nA: 12\r\n\r\n", {.header_bytes = 6}).status == 431);
}

}  // namespace
}  // namespace greenwsgi::http
