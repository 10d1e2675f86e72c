// timer.hpp - "call me at that time, unless I say otherwise".
//
// A TimerQueue is a 4-ary heap whose entries carry their deadline beside the pointer, so that a
// comparison touches no Timer; starting a timer behind all others, the usual case, moves nothing,
// and each Timer knows its place, so stopping one searches nothing. Timers with one deadline, which
// with_slack() makes of most, share an entry: they are in a ring, of which the heap knows the
// first, so that firing thousands of them does not touch thousands of stacks in between. Exact
// deadlines, no ticks. Callbacks run on the hub's stack, in the order of their deadlines, and never
// wait.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "greenwsgi/base/clock.hpp"

namespace greenwsgi {

/// `when`, put off by at most 1/128 of the time until then and by no more than 1 ms, so that sleeps
/// of about the same length end together and wake the thread once: the slack that select(2) takes
/// (and poll(2), epoll_wait(2); 1/1000 to 1/200), for those who promise "not before".
Instant with_slack(Instant now, Instant when);

class Timer {
 public:
  using Callback = void (*)(Timer&) noexcept;

  explicit Timer(Callback on_time) : on_time_(on_time) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer();  // Must not be pending.

  bool pending() const { return place_ != kNowhere; }

 private:
  friend class TimerQueue;
  static constexpr std::uint32_t kNowhere = UINT32_MAX;
  static constexpr std::uint32_t kInRing = kNowhere - 1;  // Not the first of its ring.
  Callback on_time_;
  Timer* next_ = nullptr;  // The ring, only while pending.
  Timer* previous_ = nullptr;
  std::uint32_t place_ = kNowhere;
};

class TimerQueue {
 public:
  TimerQueue() = default;
  TimerQueue(const TimerQueue&) = delete;
  TimerQueue& operator=(const TimerQueue&) = delete;
  ~TimerQueue();  // Must be empty.

  std::size_t size() const { return size_; }
  /// kNever when empty.
  Instant next() const { return heap_.empty() ? kNever : heap_.front().when; }

  /// Sees to it that start() needs no memory while there are up to `more` timers more than now.
  /// False: there is none.
  bool make_room(std::size_t more);
  /// A pending timer is moved to the new time. kNever stops it.
  void start(Timer& timer, Instant when);
  /// Harmless when it is not pending.
  void stop(Timer& timer);
  /// Calls back every timer whose time is not after `now`; a timer is no longer pending when its
  /// callback runs, which may start it again (it then fires in a later call).
  void fire(Instant now);

 private:
  struct Entry {
    Instant when;
    std::uint64_t sequence;  // Equal deadlines fire in the order they were started.
    Timer* timer;            // The first of its ring.
    bool before(const Entry& other) const {
      return when != other.when ? when < other.when : sequence < other.sequence;
    }
  };
  /// The ring that was begun last of those whose deadlines have this hash.
  struct Recent {
    Instant when = kNever;
    Timer* first = nullptr;
  };
  Recent& recent(Instant when);
  void remove(std::size_t place);
  void put(std::size_t place, const Entry& entry);
  void sift_up(std::size_t place, const Entry& entry);
  void sift_down(std::size_t place, const Entry& entry);

  std::vector<Entry> heap_;
  std::array<Recent, 16> recent_;
  std::uint64_t sequence_ = 0;
  std::size_t size_ = 0;
};

}  // namespace greenwsgi
