// head_reader.hpp - gathers the head of one request and reads it, with llhttp and against llhttp.
//
// The head is kept in one piece, so that its fields are views into it. Two readers must agree on
// it: a scan of our own that admits CRLF lines only, no other control characters and no folding,
// and enforces the limits; and llhttp, which is given whole lines and splits them. Their results
// are compared byte for byte, so that what one of llhttp's versions tolerates and another does not
// never shows (docs/internals/http.md). The only user of llhttp.
#pragma once

#include <llhttp.h>

#include <cstddef>
#include <memory>
#include <span>

#include "greenwsgi/http/request_parser.hpp"
#include "text.hpp"

namespace greenwsgi::http {

constexpr Refusal kNoMemoryForHead{503, "there is no memory for the head"};

class HeadReader {
 public:
  enum class Progress : std::uint8_t { need_more, complete, refused };
  struct Read {
    Progress progress;
    std::size_t consumed;  // Of the input; up to the head's last byte when it is complete.
  };

  /// Borrows `limits`.
  explicit HeadReader(const RequestLimits& limits);
  HeadReader(const HeadReader&) = delete;
  HeadReader& operator=(const HeadReader&) = delete;

  /// Starts over with the next request; keeps the memory.
  void restart();
  Read read(std::span<const std::byte> input);
  const RequestHead& head() const { return head_; }
  /// Null while the request line is not complete; the head's fields are not set before its end.
  const RequestHead* request_line() const { return fields_begin_ != 0 ? &head_ : nullptr; }
  const Refusal& refusal() const { return refusal_; }

 private:
  friend struct LlhttpCallbacks;

  void append(std::span<const std::byte> input);
  bool grow();
  Progress scan();
  Progress stop_scan(const char* at, const char* end);
  Refusal check_line_start(char first) const;
  Refusal check_limits() const;
  Refusal end_line(std::size_t line_end);
  Progress finish();
  Refusal feed(std::size_t end);
  Refusal check_fields();
  bool add_header(std::string_view name);
  bool grow_headers();
  Progress refuse(Refusal refusal);

  static constexpr std::size_t kInlineBytes = 2048;
  static constexpr std::size_t kInlineHeaders = 32;

  const RequestLimits& limits_;
  llhttp_t llhttp_;
  RequestHead head_;
  Refusal refusal_;

  // Offsets into data_. Everything in front of line_begin_ is whole lines; of it, llhttp has seen
  // what is in front of fed_.
  std::size_t size_;
  std::size_t scanned_;
  std::size_t line_begin_;
  std::size_t fields_begin_;  // 0 while the request line is not complete.
  std::size_t fed_;
  std::size_t field_lines_;
  bool llhttp_complete_;

  char* data_ = inline_data_;
  std::size_t capacity_ = kInlineBytes;
  Header* headers_ = inline_headers_.array;
  std::size_t header_size_;
  std::size_t header_capacity_ = kInlineHeaders;
  std::unique_ptr<char[]> heap_data_;
  std::unique_ptr<Header[]> heap_headers_;
  // Not cleared: it would cost as much as reading a short head.
  union InlineHeaders {
    InlineHeaders() {}
    Header array[kInlineHeaders];
  } inline_headers_;
  char inline_data_[kInlineBytes];
};

}  // namespace greenwsgi::http
