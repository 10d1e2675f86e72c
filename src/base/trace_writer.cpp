#include "greenwsgi/base/trace_writer.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace greenwsgi {

namespace {

using std::chrono_literals::operator""ms;

constexpr Duration kFlushInterval = 200ms;

std::string dropped_event(std::size_t chunks) {
  return ",{\"name\":\"" + std::to_string(chunks) +
         " pieces of the trace were dropped: the disk did not keep up\","
         "\"ph\":\"M\",\"pid\":0}";
}

// `text` as the inside of a JSON string. Bytes above ASCII are UTF-8 already.
void append_escaped(std::string& to, std::string_view text) {
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      to += '\\';
      to += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char code[8];
      std::snprintf(code, sizeof code, "\\u%04x", static_cast<unsigned>(c));
      to += code;
    } else {
      to += c;
    }
  }
}

// Microseconds, to the nanosecond.
void append_time(std::string& to, const char* key, Duration time) {
  const long long nanoseconds = std::max<long long>(0, time.count());
  char text[48];
  std::snprintf(text, sizeof text, ",\"%s\":%lld.%03lld", key, nanoseconds / 1000,
                nanoseconds % 1000);
  to += text;
}

}  // namespace

TraceWriter::TraceWriter(int fd, int pid, std::string_view title)
    : fd_(fd), pid_(pid), lines_(std::make_unique<LineWriter>(fd, dropped_event)) {
  chunk_ = "[{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":" + std::to_string(pid_) +
           ",\"args\":{\"name\":\"";
  append_escaped(chunk_, title);
  chunk_ += "\"}}\n";
}

TraceWriter::~TraceWriter() {
  flush();
  lines_->write("]");
  lines_.reset();  // Its thread writes to the descriptor.
  ::close(fd_);
}

void TraceWriter::begin_event() {
  chunk_ += ",{\"pid\":";
  chunk_ += std::to_string(pid_);
}

void TraceWriter::end_event() {
  chunk_ += "}\n";
  if (chunk_.size() >= kChunkBytes) flush();
}

void TraceWriter::name_track(std::uint64_t track, std::string_view name) {
  begin_event();
  chunk_ += ",\"tid\":" + std::to_string(track) +
            ",\"name\":\"thread_name\",\"ph\":\"M\",\"args\":{\"name\":\"";
  append_escaped(chunk_, name);
  chunk_ += "\"}";
  end_event();
}

void TraceWriter::slice(std::uint64_t track, const char* what, Instant begin, Instant end, int fd) {
  begin_event();
  chunk_ += ",\"tid\":" + std::to_string(track) + ",\"ph\":\"X\",\"name\":\"";
  append_escaped(chunk_, what);
  chunk_ += '"';
  append_time(chunk_, "ts", begin.time_since_epoch());
  append_time(chunk_, "dur", end - begin);
  if (fd >= 0) chunk_ += ",\"args\":{\"descriptor\":" + std::to_string(fd) + "}";
  end_event();
}

void TraceWriter::flush_if_due(Instant now) {
  if (now - flushed_ < kFlushInterval) return;
  flushed_ = now;
  flush();
}

void TraceWriter::flush() {
  if (chunk_.empty()) return;
  chunk_.pop_back();  // The newline, which the LineWriter adds.
  lines_->write(chunk_);
  chunk_.clear();
}

void TraceWriter::abandon() {
  ::close(fd_);
  static_cast<void>(lines_.release());
}

}  // namespace greenwsgi
