#include "greenwsgi/fiber/timer.hpp"

#include <algorithm>
#include <bit>
#include <utility>

#include "greenwsgi/base/assert.hpp"
#include "greenwsgi/base/prefetch.hpp"

namespace greenwsgi {

namespace {
constexpr std::size_t kChildren = 4;
constexpr int kPrefetched = 16;  // Timers at a time: so their way through page tables overlaps.

template <class T>
void reserve(std::vector<T>& vector, std::size_t wanted) {
  if (wanted > vector.capacity()) vector.reserve(std::max(wanted, vector.capacity() * 2));
}

}  // namespace

Instant with_slack(Instant now, Instant when) {
  constexpr std::int64_t kSlackMax = std::int64_t{1} << 20;  // 1.05 ms.
  if (when == kNever || when <= now) return when;
  const std::int64_t allowed = std::min((when - now).count() / 64, kSlackMax);
  if (allowed < 1) return when;
  // A power of two, so that different lengths meet at the same instants, too.
  const auto step = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(allowed)));
  const std::int64_t late = when.time_since_epoch().count() & (step - 1);
  return late == 0 ? when : when + Duration(step - late);
}

Timer::~Timer() {
  GW_ASSERT(!pending());
}

TimerQueue::~TimerQueue() {
  GW_ASSERT(heap_.empty());
}

bool TimerQueue::make_room(std::size_t more) {
  const std::size_t wanted = size_ + more;
  try {
    reserve(heap_, wanted);
    reserve(slots_, wanted);
  } catch (const std::bad_alloc&) {
    return false;
  }
  return true;
}

TimerQueue::Recent& TimerQueue::recent(Instant when) {
  static_assert(std::tuple_size_v<decltype(recent_)> == 16);
  constexpr std::uint64_t kGoldenRatio = 0x9e3779b97f4a7c15;  // Knuth's multiplicative hash.
  const auto count = static_cast<std::uint64_t>(when.time_since_epoch().count());
  return recent_[count * kGoldenRatio >> 60];
}

std::uint32_t TimerQueue::take_slot(Timer& timer) {
  std::uint32_t slot = free_;
  if (slot == kNone) {
    GW_ASSERT(slots_.size() < kNone);
    slot = static_cast<std::uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    free_ = slots_[slot].next;
  }
  slots_[slot] = {&timer, slot, slot, kNone};
  return slot;
}

void TimerQueue::start(Timer& timer, Instant when) {
  if (timer.pending()) stop(timer);
  if (when == kNever) return;
  size_ += 1;
  const std::uint32_t slot = timer.slot_ = take_slot(timer);
  Recent& latest = recent(when);
  if (latest.first != kNone && latest.when == when) {
    Slot& first = slots_[latest.first];
    slots_[slot].next = latest.first;
    slots_[slot].previous = first.previous;
    slots_[first.previous].next = slot;
    first.previous = slot;
    return;
  }
  latest = {when, slot};
  const Entry entry{when, sequence_++, slot};
  heap_.push_back(entry);
  sift_up(heap_.size() - 1, entry);
}

void TimerQueue::stop(Timer& timer) {
  if (!timer.pending()) return;
  size_ -= 1;
  const std::uint32_t slot = std::exchange(timer.slot_, Timer::kNowhere);
  GW_ASSERT(slots_[slot].timer == &timer);
  Slot& freed = slots_[slot];
  const std::uint32_t second = freed.next != slot ? freed.next : kNone;
  slots_[freed.next].previous = freed.previous;
  slots_[freed.previous].next = freed.next;
  freed.next = std::exchange(free_, slot);
  const std::size_t place = freed.place;
  if (place == kNone) return;
  GW_ASSERT(heap_[place].first == slot);
  Recent& latest = recent(heap_[place].when);
  if (latest.first == slot) latest.first = second;
  if (second == kNone) return remove(place);
  put(place, {heap_[place].when, heap_[place].sequence, second});
}

void TimerQueue::remove(std::size_t place) {
  const Entry last = heap_.back();
  heap_.pop_back();
  if (place == heap_.size()) return;
  if (place > 0 && last.before(heap_[(place - 1) / kChildren])) {
    sift_up(place, last);
  } else {
    sift_down(place, last);
  }
}

void TimerQueue::prefetch(std::uint32_t slot) const {
  for (int count = 0; count < kPrefetched; count++, slot = slots_[slot].next)
    greenwsgi::prefetch(slots_[slot].timer, 1);  // The line that it begins in.
}

void TimerQueue::fire(Instant now, std::size_t at_most) {
  // A timer started by a callback belongs to the next call, or a callback that starts its own timer
  // in the past would never let go. So it must not get into a ring from before.
  const std::uint64_t started_before = sequence_;
  if (next() <= now) recent_.fill({});
  int prefetched = 0;
  for (; at_most > 0 && !heap_.empty() && heap_.front().when <= now; at_most--) {
    if (heap_.front().sequence >= started_before) break;
    const std::uint32_t slot = heap_.front().first;
    if (prefetched-- == 0) {
      prefetch(slot);
      prefetched = kPrefetched - 1;
    }
    Timer& timer = *slots_[slot].timer;
    stop(timer);
    timer.on_time_(timer);
  }
}

void TimerQueue::put(std::size_t place, const Entry& entry) {
  heap_[place] = entry;
  slots_[entry.first].place = static_cast<std::uint32_t>(place);
}

void TimerQueue::sift_up(std::size_t place, const Entry& entry) {
  while (place > 0) {
    const std::size_t parent = (place - 1) / kChildren;
    if (!entry.before(heap_[parent])) break;
    put(place, heap_[parent]);
    place = parent;
  }
  put(place, entry);
}

void TimerQueue::sift_down(std::size_t place, const Entry& entry) {
  for (;;) {
    const std::size_t first = place * kChildren + 1;
    if (first >= heap_.size()) break;
    std::size_t least = first;
    const std::size_t end = std::min(first + kChildren, heap_.size());
    for (std::size_t child = first + 1; child < end; child++) {
      if (heap_[child].before(heap_[least])) least = child;
    }
    if (!heap_[least].before(entry)) break;
    put(place, heap_[least]);
    place = least;
  }
  put(place, entry);
}

}  // namespace greenwsgi
