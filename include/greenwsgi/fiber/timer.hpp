// timer.hpp - "call me at that time, unless I say otherwise".
//
// A TimerQueue is a 4-ary heap; starting a timer behind all others, the usual case, moves nothing,
// and each Timer knows its slot, which knows its place, so stopping one searches nothing. Timers
// with one deadline, which with_slack() makes of most, share an entry: they are in a ring, of which
// the heap knows the first. What is compared and linked lies in arrays: the Timer itself is on the
// stack of who waits, in no cache, and is touched only when it starts, stops and fires. Exact
// deadlines, no ticks. Callbacks run on the hub's stack, in the order of their deadlines, and never
// wait.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "greenwsgi/base/clock.hpp"

namespace greenwsgi {

/// `when`, put off by at most 1/64 of the time until then and by no more than about 1 ms, so that
/// sleeps of about the same length end together and wake the thread once: the slack that select(2)
/// takes (and poll(2), epoll_wait(2); 1/1000 to 1/200), for those who promise "not before". To be
/// woken is dear: in a virtual machine 15 to 20 us of processor time, more than a whole request.
Instant with_slack(Instant now, Instant when);

class Timer {
 public:
  using Callback = void (*)(Timer&) noexcept;

  explicit Timer(Callback on_time) : on_time_(on_time) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer();  // Must not be pending.

  bool pending() const { return slot_ != kNowhere; }

 private:
  friend class TimerQueue;
  static constexpr std::uint32_t kNowhere = UINT32_MAX;
  Callback on_time_;
  std::uint32_t slot_ = kNowhere;
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
  /// Calls back the first `at_most` timers whose time is not after `now`. A timer is no longer
  /// pending when its callback runs, which may start it again: it then fires in a later call.
  void fire(Instant now, std::size_t at_most = SIZE_MAX);

 private:
  static constexpr std::uint32_t kNone = UINT32_MAX;
  /// Of a pending timer, or free.
  struct Slot {
    Timer* timer;
    std::uint32_t next;  // The ring; of a free one: the next that is free.
    std::uint32_t previous;
    std::uint32_t place;  // In the heap; kNone: not the first of its ring.
  };
  struct Entry {
    Instant when;
    std::uint64_t sequence;  // Equal deadlines fire in the order they were started.
    std::uint32_t first;     // The slot of the first of its ring.
    bool before(const Entry& other) const {
      return when != other.when ? when < other.when : sequence < other.sequence;
    }
  };
  /// The ring that was begun last of those whose deadlines have this hash.
  struct Recent {
    Instant when = kNever;
    std::uint32_t first = kNone;
  };
  Recent& recent(Instant when);
  std::uint32_t take_slot(Timer& timer);
  /// Of the ring with this slot: the next that fire.
  void prefetch(std::uint32_t slot) const;
  void remove(std::size_t place);
  void put(std::size_t place, const Entry& entry);
  void sift_up(std::size_t place, const Entry& entry);
  void sift_down(std::size_t place, const Entry& entry);

  std::vector<Entry> heap_;
  std::vector<Slot> slots_;
  std::uint32_t free_ = kNone;
  std::array<Recent, 16> recent_;
  std::uint64_t sequence_ = 0;
  std::size_t size_ = 0;
};

}  // namespace greenwsgi
