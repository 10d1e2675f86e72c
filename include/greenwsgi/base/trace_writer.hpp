// trace_writer.hpp - a file in the Trace Event format (JSON), which Perfetto and chrome://tracing
// open.
//
// Events gather in memory and leave in chunks by way of a LineWriter, so nobody waits for the disk
// and memory is bounded. Each event is a line of its own that begins with the comma: what is in the
// file after any chunk is an array that lacks nothing but its "]", which the format lets be absent.
// Knows tracks and slices, not what they stand for. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "greenwsgi/base/clock.hpp"
#include "greenwsgi/base/line_writer.hpp"

namespace greenwsgi {

class TraceWriter {
 public:
  static constexpr std::size_t kChunkBytes = 64 * 1024;

  /// Takes over `fd`, and writes there for the process `pid`, whose name for people is `title`.
  TraceWriter(int fd, int pid, std::string_view title);
  TraceWriter(const TraceWriter&) = delete;
  TraceWriter& operator=(const TraceWriter&) = delete;
  /// Completes the file, in at most a second.
  ~TraceWriter();

  /// The last name of a track is the one that people see.
  void name_track(std::uint64_t track, std::string_view name);
  /// On one track slices must be disjoint or nested. `what`: a literal. `fd`: -1 for none.
  void slice(std::uint64_t track, const char* what, Instant begin, Instant end, int fd = -1);
  /// Hands on what has gathered when the last time is a while ago; a file that is read while it
  /// grows, or that a killed process leaves, is behind by no more than that.
  void flush_if_due(Instant now);

  /// In the child of fork(2), where the writer's thread is not: closes the descriptor, and no more.
  /// The object can then only be forgotten.
  void abandon();

 private:
  void begin_event();
  void end_event();
  void flush();

  int fd_;
  int pid_;
  std::string chunk_;
  Instant flushed_{};
  std::unique_ptr<LineWriter> lines_;
};

}  // namespace greenwsgi
