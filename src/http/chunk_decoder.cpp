// chunk_decoder.cpp - see chunk_decoder.hpp. Framing goes byte by byte, data in one piece.
#include "greenwsgi/http/chunk_decoder.hpp"

#include <algorithm>
#include <limits>

#include "greenwsgi/base/assert.hpp"
#include "greenwsgi/http/request_parser.hpp"
#include "text.hpp"

namespace greenwsgi::http {

namespace {

constexpr std::uint32_t kSizeDigitsMax = 16;

int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  const int lower = c | 0x20;
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

}  // namespace

ChunkDecoder::Step ChunkDecoder::next(std::span<const std::byte> input,
                                      const RequestLimits& limits) {
  GW_ASSERT(at_ != At::done);
  GW_ASSERT(status_ == 0);
  std::size_t used = 0;
  while (used < input.size()) {
    if (at_ == At::data) {
      const std::size_t bytes = std::min<std::uint64_t>(chunk_bytes_, input.size() - used);
      chunk_bytes_ -= bytes;
      if (chunk_bytes_ == 0) at_ = At::data_cr;
      return {Found::data, used + bytes, input.subspan(used, bytes)};
    }
    if (!take_framing(static_cast<char>(input[used]), limits)) return {Found::error, used};
    ++used;
    if (at_ == At::done) return {Found::end, used};
  }
  return {Found::need_more, used};
}

bool ChunkDecoder::take_framing(char c, const RequestLimits& limits) {
  switch (at_) {
    case At::size_begin:
      chunk_bytes_ = 0;
      line_bytes_ = 0;
      return take_size_digit(c);
    case At::size:
      return hex_digit(c) >= 0 ? take_size_digit(c) : take_size_end(c);
    case At::extension:
      if (c == '\r') return expect(c, '\r', At::size_lf);
      if (is_control(c) && c != '\t') return refuse(400, "a control character in a chunk line");
      if (++line_bytes_ > kExtensionBytesMax) return refuse(400, "a chunk extension is too long");
      return true;
    case At::size_lf:
      return c == '\n' ? begin_chunk(limits) : refuse(400, "a bare CR in a chunk line");
    case At::data_cr:
      return expect(c, '\r', At::data_lf);
    case At::data_lf:
      return expect(c, '\n', At::size_begin);
    default:
      return take_trailer(c, limits);
  }
}

bool ChunkDecoder::take_size_digit(char c) {
  const int digit = hex_digit(c);
  if (digit < 0) return refuse(400, "a chunk size is not a hexadecimal number");
  if (++line_bytes_ > kSizeDigitsMax) return refuse(400, "a chunk size is too long");
  chunk_bytes_ = chunk_bytes_ << 4 | static_cast<unsigned>(digit);
  at_ = At::size;
  return true;
}

bool ChunkDecoder::take_size_end(char c) {
  if (c == '\r') return expect(c, '\r', At::size_lf);
  if (c != ';') return refuse(400, "a chunk size is not a hexadecimal number");
  line_bytes_ = 0;
  at_ = At::extension;
  return true;
}

bool ChunkDecoder::begin_chunk(const RequestLimits& limits) {
  constexpr std::uint64_t kMax = std::numeric_limits<std::int64_t>::max();
  if (chunk_bytes_ > kMax - body_bytes_) return refuse(400, "a chunk size is too large");
  body_bytes_ += chunk_bytes_;
  if (limits.body_bytes != 0 && body_bytes_ > limits.body_bytes) {
    return refuse(413, "the body is longer than the limit");
  }
  at_ = chunk_bytes_ == 0 ? At::trailer_begin : At::data;
  return true;
}

bool ChunkDecoder::take_trailer(char c, const RequestLimits& limits) {
  if (at_ == At::last_lf) return expect(c, '\n', At::done);
  if (at_ == At::trailer_begin && c == '\r') return expect(c, '\r', At::last_lf);
  if (++trailer_bytes_ > limits.header_bytes) return refuse(431, "the trailer section is too long");
  if (at_ == At::trailer_lf) return expect(c, '\n', At::trailer_begin);

  if (at_ == At::trailer_begin) return take_trailer_begin(c, limits);
  if (at_ == At::trailer_name) {
    if (c == ':') {
      at_ = At::trailer_value;
      return true;
    }
    return (byte_class(c) & kNotToken) == 0 || refuse(400, "a trailer field's name is not a token");
  }
  GW_ASSERT(at_ == At::trailer_value);
  if (c == '\r') return expect(c, '\r', At::trailer_lf);
  return !is_control(c) || c == '\t' || refuse(400, "a control character in a trailer field");
}

bool ChunkDecoder::take_trailer_begin(char c, const RequestLimits& limits) {
  if (++trailer_count_ > limits.header_count) return refuse(431, "there are too many trailers");
  if ((byte_class(c) & kNotToken) != 0) {
    return refuse(400, "a trailer field's name is not a token");
  }
  at_ = At::trailer_name;
  return true;
}

bool ChunkDecoder::expect(char c, char wanted, At then) {
  at_ = then;
  return c == wanted || refuse(400, "a line of the chunked body does not end in CRLF");
}

bool ChunkDecoder::refuse(int status, const char* reason) {
  status_ = status;
  reason_ = reason;
  return false;
}

}  // namespace greenwsgi::http
