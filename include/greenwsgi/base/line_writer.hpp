// line_writer.hpp - a log file that never makes anybody wait.
//
// write() copies a line into memory; a native thread of the writer's own passes what has gathered
// to the descriptor. Memory is bounded: when the descriptor does not keep up, or the process has no
// memory, lines are dropped and counted, and the count is written as a line of its own when there
// is room again. Knows no format.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace greenwsgi {

class LineWriter {
 public:
  static constexpr std::size_t kBytesMax = 8 * 1024 * 1024;

  /// What is written in the place of so many dropped lines, without a newline.
  using SayDropped = std::string (*)(std::size_t lines);
  static std::string say_dropped(std::size_t lines);

  /// Borrows `fd`. Starts its thread at the first write().
  explicit LineWriter(int fd, SayDropped say = say_dropped);
  LineWriter(const LineWriter&) = delete;
  LineWriter& operator=(const LineWriter&) = delete;
  /// Writes what is left, for at most a second, and stops the thread.
  ~LineWriter();

  /// Adds `line` and a newline. From any thread; takes a mutex for the time of a copy. In the child
  /// of a fork, which has no such thread, it is written at once, and may wait for the descriptor.
  void write(std::string_view line) noexcept;
  /// In the place of a line for which there was no memory.
  void drop() noexcept;
  /// Waits until everything written so far has been passed on, or has failed, or for a second.
  void flush();
  /// Lines dropped so far.
  std::size_t dropped();

 private:
  void start_thread();
  bool gather(std::string_view line);
  void count_dropped();
  void write_directly(std::string_view line) const;
  void run();
  void say_what_was_dropped(std::string& text);
  bool pass_on(std::string_view text);
  bool stopping();

  int fd_;
  SayDropped say_dropped_;
  unsigned forks_;  // Another number now: this is a child of the process that made it.
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string gathered_;
  std::size_t dropped_ = 0;
  std::size_t dropped_unsaid_ = 0;
  bool busy_ = false;
  bool stop_ = false;
  bool torn_ = false;  // The descriptor has a line without its end. The thread's own.
  std::thread thread_;
};

}  // namespace greenwsgi
