// head_reader.cpp - see head_reader.hpp.
#include "head_reader.hpp"

#include <algorithm>
#include <cstring>
#include <new>

#include "greenwsgi/base/assert.hpp"
#include "message_fields.hpp"
#include "request_line.hpp"

namespace greenwsgi::http {

// llhttp calls back for whole names, because it is given whole lines. Where a value ends follows
// from where the next line begins.
struct LlhttpCallbacks {
  static HeadReader& reader(llhttp_t* llhttp) { return *static_cast<HeadReader*>(llhttp->data); }

  static int on_name(llhttp_t* llhttp, const char* at, std::size_t bytes) {
    return reader(llhttp).add_header({at, bytes}) ? HPE_OK : HPE_USER;
  }
  /// Pauses, so that llhttp never comes to the body, which is not its business here.
  static int on_complete(llhttp_t* llhttp) {
    reader(llhttp).llhttp_complete_ = true;
    return HPE_PAUSED;
  }
};

namespace {

constexpr llhttp_settings_t kSettings = {
    .on_header_field = LlhttpCallbacks::on_name,
    .on_headers_complete = LlhttpCallbacks::on_complete,
};

/// The request line was checked before llhttp saw it: what is left for it to dislike is the method.
/// Later versions know more methods; ours are those that all of them know.
Refusal refusal_of(llhttp_errno_t error) {
  switch (error) {
    case HPE_INVALID_METHOD:
    case HPE_INVALID_CONSTANT:   // RTSP's methods in a request of HTTP.
    case HPE_PAUSED_H2_UPGRADE:  // PRI.
      return {501, "the method is not implemented"};
    case HPE_INVALID_URL:
      return {400, "the request target is not valid"};
    case HPE_INVALID_CONTENT_LENGTH:
    case HPE_UNEXPECTED_CONTENT_LENGTH:
      return {400, "Content-Length is not valid"};
    case HPE_INVALID_TRANSFER_ENCODING:
      return {400, "Transfer-Encoding is not valid"};
    case HPE_USER:  // Our on_name().
      return kNoMemoryForHead;
    default:
      return {400, "a header field is not valid"};
  }
}

/// Most versions of llhttp refuse a tab behind Content-Length's number, some take it.
bool tab_behind_number(const Header& field, std::string_view rest) {
  if (rest.empty() || !is_space(rest.back())) return false;
  const char* const value_end = field.value.data() + field.value.size();
  const auto behind = static_cast<std::size_t>(rest.data() + rest.size() - value_end);
  return rest.substr(rest.size() - behind).find('\t') != std::string_view::npos &&
         equals_lower(field.name, "content-length");
}

constexpr int kLastMethod = HTTP_SOURCE;

std::string_view between(const char* begin, const char* end) {
  return {begin, static_cast<std::size_t>(end - begin)};
}

}  // namespace

HeadReader::HeadReader(const RequestLimits& limits) : limits_(limits) {
  restart();
}

void HeadReader::restart() {
  llhttp_init(&llhttp_, HTTP_REQUEST, &kSettings);
  llhttp_.data = this;
  refusal_ = {};
  size_ = 0;
  scanned_ = 0;
  line_begin_ = 0;
  fields_begin_ = 0;
  fed_ = 0;
  field_lines_ = 0;
  header_size_ = 0;
  llhttp_complete_ = false;
}

HeadReader::Read HeadReader::read(std::span<const std::byte> input) {
  std::size_t used = 0;
  while (used < input.size()) {
    if (size_ == capacity_ && !grow()) return {refuse(kNoMemoryForHead), used};
    const std::size_t bytes = std::min(capacity_ - size_, input.size() - used);
    append(input.subspan(used, bytes));
    used += bytes;
    const Progress progress = scan();
    if (progress == Progress::refused) return {progress, used};
    // What was copied of the body goes back.
    if (progress == Progress::complete) return {progress, used - (size_ - line_begin_)};
  }
  return {Progress::need_more, used};
}

void HeadReader::append(std::span<const std::byte> input) {
  GW_ASSERT(input.size() <= capacity_ - size_);
  std::memcpy(data_ + size_, input.data(), input.size());
  size_ += input.size();
}

/// Moves the head, and the views with it. The limits bound how often. False: there is no memory.
bool HeadReader::grow() {
  const std::size_t capacity = capacity_ * 2;
  std::unique_ptr<char[]> bigger(new (std::nothrow) char[capacity]);
  if (bigger == nullptr) return false;
  std::memcpy(bigger.get(), data_, size_);
  for (Header& header : std::span(headers_, header_size_)) {
    header.name = {bigger.get() + (header.name.data() - data_), header.name.size()};
  }
  heap_data_ = std::move(bigger);
  data_ = heap_data_.get();
  capacity_ = capacity;
  if (fields_begin_ != 0) {
    const Refusal refusal = parse_request_line({data_, fields_begin_ - 2}, head_);
    GW_ASSERT(!refusal);
  }
  return true;
}

HeadReader::Progress HeadReader::scan() {
  const char* const end = data_ + size_;
  const char* at = data_ + scanned_;
  for (;;) {
    if (scanned_ == line_begin_ && at != end) {
      // The line before may have ended behind the limit: then nothing of this one counts.
      if (const Refusal refusal = check_limits()) return refuse(refusal);
      if (const Refusal refusal = check_line_start(*at)) return refuse(refusal);
    }
    at = find_control(at, end);
    scanned_ = static_cast<std::size_t>(at - data_);
    if (const Refusal refusal = check_limits()) return refuse(refusal);
    if (end - at < 2 || at[0] != '\r' || at[1] != '\n') [[unlikely]] {
      if (at == end || *at != '\t') return stop_scan(at, end);
      ++scanned_;
      ++at;
      continue;
    }
    const bool last = scanned_ == line_begin_ && fields_begin_ != 0;
    if (const Refusal refusal = end_line(scanned_)) return refuse(refusal);
    if (last) return finish();
    at += 2;
  }
}

/// At the end of what has come, or at a control character that may not stand there.
HeadReader::Progress HeadReader::stop_scan(const char* at, const char* end) {
  const bool cut = at == end || (end - at == 1 && *at == '\r');
  if (!cut) return refuse({400, "a control character in the head"});
  // Not to save work, but to refuse a line as soon as it is there.
  if (const Refusal refusal = feed(line_begin_)) return refuse(refusal);
  return Progress::need_more;
}

inline Refusal HeadReader::check_line_start(char first) const {
  if (fields_begin_ == 0 || first == '\r') return {};
  if (is_space(first)) [[unlikely]]
    return {400, "a header field is folded"};
  if (field_lines_ == limits_.header_count) [[unlikely]] {
    return {431, "there are too many header fields"};
  }
  return {};
}

inline Refusal HeadReader::check_limits() const {
  if (fields_begin_ != 0) [[likely]] {
    if (scanned_ - fields_begin_ <= limits_.header_bytes) [[likely]]
      return {};
    return {431, "the header fields are too long"};
  }
  if (scanned_ <= limits_.request_line_bytes) [[likely]]
    return {};
  return {414, "the request line is too long"};
}

/// A line ended in CRLF at `line_end`.
inline Refusal HeadReader::end_line(std::size_t line_end) {
  if (fields_begin_ == 0) {
    if (const Refusal refusal = parse_request_line({data_, line_end}, head_)) return refusal;
    fields_begin_ = line_end + 2;
  } else if (line_end != line_begin_) {
    ++field_lines_;
  }
  line_begin_ = line_end + 2;
  scanned_ = line_begin_;
  return {};
}

HeadReader::Progress HeadReader::finish() {
  if (const Refusal refusal = feed(line_begin_)) return refuse(refusal);
  if (!llhttp_complete_) return refuse({400, "the end of the head is in doubt"});
  if (const Refusal refusal = check_fields()) return refuse(refusal);
  head_.headers = {headers_, header_size_};
  return Progress::complete;
}

/// Gives llhttp the whole lines in front of `end` that it has not seen.
Refusal HeadReader::feed(std::size_t end) {
  if (fed_ == end) return {};
  const llhttp_errno_t error = llhttp_execute(&llhttp_, data_ + fed_, end - fed_);
  fed_ = end;
  if (llhttp_get_method(&llhttp_) > kLastMethod) return {501, "the method is not implemented"};
  const bool paused = error == HPE_PAUSED && llhttp_complete_;
  return error == HPE_OK || paused ? Refusal{} : refusal_of(error);
}

/// The names that llhttp found must each begin a line that the scan found, and end at its colon;
/// the rest of that line is the value.
Refusal HeadReader::check_fields() {
  if (header_size_ != field_lines_) return {400, "the header fields are in doubt"};
  MessageFields fields;
  const char* line = data_ + fields_begin_;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < field_lines_; ++i) {
    const std::string_view name = headers_[i].name;
    const bool last = i + 1 == field_lines_;
    const char* const next_line = last ? data_ + line_begin_ - 2 : headers_[i + 1].name.data();
    const char* const name_end = name.data() + name.size();
    if (name.data() != line || name_end >= next_line || *name_end != ':') {
      return {400, "a header field is in doubt"};
    }
    const unsigned name_classes = classes_of(name);
    if (name.empty() || (name_classes & kNotToken) != 0) {
      return {400, "a header field's name is not a token"};
    }
    line = next_line;
    if (limits_.drop_underscore_names && (name_classes & kUnderscore) != 0) continue;

    const std::string_view rest = between(name_end + 1, next_line - 2);
    const Header field{name, trim(rest)};
    if (tab_behind_number(field, rest)) return {400, "Content-Length is not valid"};
    if (const Refusal refusal = fields.take(field)) return refusal;
    headers_[kept++] = field;
  }
  header_size_ = kept;
  return fields.finish(limits_, head_);
}

/// False: there is no memory.
inline bool HeadReader::add_header(std::string_view name) {
  if (header_size_ == header_capacity_ && !grow_headers()) [[unlikely]]
    return false;
  headers_[header_size_++].name = name;
  return true;
}

bool HeadReader::grow_headers() {
  std::unique_ptr<Header[]> bigger(new (std::nothrow) Header[header_capacity_ * 2]);
  if (bigger == nullptr) return false;
  std::copy_n(headers_, header_size_, bigger.get());
  heap_headers_ = std::move(bigger);
  headers_ = heap_headers_.get();
  header_capacity_ *= 2;
  return true;
}

/// What llhttp finds wrong in an earlier line comes first, so that the answer does not depend on
/// how the bytes arrived.
HeadReader::Progress HeadReader::refuse(Refusal refusal) {
  const Refusal earlier = feed(line_begin_);
  refusal_ = earlier ? earlier : refusal;
  return Progress::refused;
}

}  // namespace greenwsgi::http
