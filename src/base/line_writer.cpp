#include "greenwsgi/base/line_writer.hpp"

#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <exception>
#include <new>
#include <utility>

#include "greenwsgi/base/clock.hpp"
#include "greenwsgi/base/signals_blocked.hpp"

namespace greenwsgi {

namespace {

using std::chrono_literals::operator""s;

constexpr Duration kPatience = 1s;  // Of flush() and of the destructor.
constexpr int kPollMilliseconds = 50;

/// A write after poll(2) that does not block: a pipe that is "writable" has room for PIPE_BUF
/// bytes. Whole lines where they fit: other processes may write into the same pipe.
std::size_t bytes_at_once(int fd, std::string_view text) {
  struct stat facts;
  const bool is_file = ::fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode);
  if (is_file || text.size() <= PIPE_BUF) return text.size();
  const std::size_t end = text.substr(0, PIPE_BUF).rfind('\n');
  return end == std::string_view::npos ? PIPE_BUF : end + 1;
}

/// Grows in every child of a fork.
std::atomic<unsigned> forks{0};

unsigned forks_so_far() {
  static const int registered =
      pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1, std::memory_order_relaxed); });
  static_cast<void>(registered);
  return forks.load(std::memory_order_relaxed);
}

}  // namespace

std::string LineWriter::say_dropped(std::size_t lines) {
  return std::to_string(lines) + " lines were dropped here: the log did not keep up";
}

LineWriter::LineWriter(int fd, SayDropped say)
    : fd_(fd), say_dropped_(say), forks_(forks_so_far()) {}

LineWriter::~LineWriter() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable())
    thread_.join();
  else
    run();
}

// Without the thread the lines wait for it, and the next write() tries again.
void LineWriter::start_thread() {
  const SignalsBlocked blocked;
  try {
    thread_ = std::thread([this] { run(); });
    pthread_setname_np(thread_.native_handle(), "green-writer");
  } catch (const std::exception&) {
    // std::system_error, std::bad_alloc.
  }
}

// In the child of a fork: the thread is the parent's, and so may the mutex be. What fails has
// nobody to tell of it.
void LineWriter::write_directly(std::string_view line) const try {
  std::string text(line);
  text.push_back('\n');
  for (std::string_view rest = text; !rest.empty();) {
    const ssize_t written = ::write(fd_, rest.data(), bytes_at_once(fd_, rest));
    if (written >= 0)
      rest.remove_prefix(static_cast<std::size_t>(written));
    else if (errno != EINTR)
      return;
  }
} catch (const std::bad_alloc&) {
  // Lost, as what fails is.
}

void LineWriter::write(std::string_view line) noexcept {
  if (forks_so_far() != forks_) [[unlikely]]
    return write_directly(line);
  const std::lock_guard lock(mutex_);
  if (!thread_.joinable()) start_thread();
  if (!gather(line)) count_dropped();
  changed_.notify_all();
}

bool LineWriter::gather(std::string_view line) try {
  const std::size_t bytes = gathered_.size() + line.size() + 1;
  if (bytes > kBytesMax) return false;
  if (bytes > gathered_.capacity()) gathered_.reserve(std::max(bytes, 2 * gathered_.capacity()));
  gathered_.append(line).push_back('\n');
  return true;
} catch (const std::bad_alloc&) {
  return false;
}

void LineWriter::drop() noexcept {
  if (forks_so_far() != forks_) return;
  const std::lock_guard lock(mutex_);
  count_dropped();
}

void LineWriter::count_dropped() {
  ++dropped_;
  ++dropped_unsaid_;
}

void LineWriter::flush() {
  if (forks_so_far() != forks_) return;
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, kPatience, [this] { return gathered_.empty() && !busy_; });
}

std::size_t LineWriter::dropped() {
  const std::lock_guard lock(mutex_);
  return dropped_;
}

void LineWriter::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stop_ || !gathered_.empty(); });
    if (gathered_.empty()) return;
    std::string text = std::exchange(gathered_, {});
    if (dropped_unsaid_ > 0) say_what_was_dropped(text);
    busy_ = true;
    lock.unlock();
    if (torn_) torn_ = !pass_on("\n");
    const bool passed_on = pass_on(text);
    lock.lock();
    busy_ = false;
    changed_.notify_all();
    if (!passed_on && stop_) return;
  }
}

void LineWriter::say_what_was_dropped(std::string& text) try {
  text += say_dropped_(dropped_unsaid_) + '\n';
  dropped_unsaid_ = 0;
} catch (const std::bad_alloc&) {
  // Next time.
}

bool LineWriter::stopping() {
  const std::lock_guard lock(mutex_);
  return stop_;
}

/// False when the descriptor took too long after stop_, or failed; what was not written is counted.
bool LineWriter::pass_on(std::string_view text) {
  Instant give_up = kNever;
  std::size_t done = 0;
  while (done < text.size()) {
    pollfd ready{fd_, POLLOUT, 0};
    const int count = ::poll(&ready, 1, kPollMilliseconds);
    if (give_up == kNever && stopping()) give_up = Clock::now() + kPatience;
    if (Clock::now() >= give_up) break;
    if (count <= 0) continue;
    const std::size_t bytes = bytes_at_once(fd_, text.substr(done));
    const ssize_t written = ::write(fd_, text.data() + done, bytes);
    if (written >= 0)
      done += static_cast<std::size_t>(written);
    else if (errno != EINTR && errno != EAGAIN)
      break;  // EPIPE, ENOSPC, EBADF, EIO: there is nobody to tell but the counter.
  }
  if (done == text.size()) return true;
  if (done > 0 && text[done - 1] != '\n') torn_ = true;
  const auto lines = std::count(text.begin() + static_cast<std::ptrdiff_t>(done), text.end(), '\n');
  const std::lock_guard lock(mutex_);
  dropped_ += static_cast<std::size_t>(lines);
  dropped_unsaid_ += static_cast<std::size_t>(lines);
  return false;
}

}  // namespace greenwsgi
