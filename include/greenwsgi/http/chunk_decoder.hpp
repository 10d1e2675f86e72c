// chunk_decoder.hpp - finds the data in a chunked body (RFC 9112, 7.1), and its last byte.
//
// Strict: a size is 1 to 16 hexadecimal digits, lines end in CRLF, no white space stands around a
// size. Chunk extensions are skipped, at most kExtensionBytesMax a chunk. Trailer fields are
// checked as header fields are, counted against the same limits, and dropped: they never become
// headers. Keeps a few words and copies nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace greenwsgi::http {

struct RequestLimits;

class ChunkDecoder {
 public:
  static constexpr std::size_t kExtensionBytesMax = 256;

  enum class Found : std::uint8_t { need_more, data, end, error };
  struct Step {
    Found found;
    std::size_t consumed;  // Of the input.
    std::span<const std::byte> data{};
  };

  ChunkDecoder() = default;

  /// Until the next piece of data, the body's last byte, or all of the input is consumed.
  Step next(std::span<const std::byte> input, const RequestLimits& limits);
  /// After Found::error: 400, 413 or 431, and why.
  int status() const { return status_; }
  const char* reason() const { return reason_; }

 private:
  enum class At : std::uint8_t {
    size_begin,
    size,
    extension,
    size_lf,
    data,
    data_cr,
    data_lf,
    trailer_begin,
    trailer_name,
    trailer_value,
    trailer_lf,
    last_lf,
    done,
  };

  bool take_framing(char c, const RequestLimits& limits);
  bool take_size_digit(char c);
  bool take_size_end(char c);
  bool begin_chunk(const RequestLimits& limits);
  bool take_trailer(char c, const RequestLimits& limits);
  bool take_trailer_begin(char c, const RequestLimits& limits);
  bool expect(char c, char wanted, At then);
  bool refuse(int status, const char* reason);

  std::uint64_t chunk_bytes_ = 0;  // Of this chunk's data, still to come.
  std::uint64_t body_bytes_ = 0;   // Announced so far.
  std::uint32_t line_bytes_ = 0;   // Size digits, then extension bytes, of this chunk.
  std::uint32_t trailer_bytes_ = 0;
  std::uint32_t trailer_count_ = 0;
  At at_ = At::size_begin;
  int status_ = 0;
  const char* reason_ = "";
};

}  // namespace greenwsgi::http
