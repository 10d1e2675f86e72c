// parking_lot.cpp - a table from address to queue of waiters.
//
// A Waiter lives on the waiting green's stack and knows its queue, so leaving is O(1). It is in a
// queue exactly while nobody has decided how its wait ends; whoever decides (unpark, the timer, an
// interrupt) takes it out first, and the others then find it decided. When the decision comes from
// another thread, the waiter stays parked until that thread's message arrives, since the message is
// part of it.
#include "src/py/parking_lot.hpp"

#include <cstdint>
#include <memory>
#include <vector>

#include "src/py/runtime.hpp"

namespace greenwsgi::py {

std::size_t parked_count = 0;

namespace {

struct Queue;

struct Waiter : ListNode {
  // First members, so that callbacks find the waiter from what they are given.
  struct TimerPart : Timer {
    explicit TimerPart(Waiter& waiter) : Timer(on_time), of(waiter) {}
    Waiter& of;
  };
  struct MessagePart : Message {
    explicit MessagePart(Waiter& waiter) : Message{on_message}, of(waiter) {}
    Waiter& of;
  };
  struct WaitPart : Wait {
    WaitPart(Waiter& waiter, const char* what, const void* key)
        : Wait{what, on_interrupt, key}, of(waiter) {}
    Waiter& of;
  };

  Waiter(Fiber& waiting, const char* what, const void* key)
      : fiber(waiting), timer(*this), message(*this), wait(*this, what, key) {}

  bool decided() const { return queue == nullptr; }
  static void on_time(Timer& timer) noexcept;
  static void on_message(Message& message) noexcept;
  static void on_interrupt(Wait& wait) noexcept;

  Fiber& fiber;
  Queue* queue = nullptr;  // Until decided.
  Woken woken = Woken::unparked;
  TimerPart timer;
  MessagePart message;
  WaitPart wait;
};

// All who wait for one address. Exists while anybody does.
struct Queue {
  const void* key;
  Queue* next;  // In its bucket, or on the free list.
  List<Waiter> waiters;
};

class Lot {
 public:
  Lot() : buckets_(kBucketsLeast) {}

  Queue* find(const void* key) const {
    Queue* queue = buckets_[place(key)];
    while (queue != nullptr && queue->key != key) queue = queue->next;
    return queue;
  }

  void add(Waiter& waiter, const void* key, bool front) {
    Queue* queue = find(key);
    if (queue == nullptr) queue = make(key);
    waiter.queue = queue;
    if (front)
      queue->waiters.push_front(waiter);
    else
      queue->waiters.push_back(waiter);
    parked_count += 1;
  }

  void decide(Waiter& waiter, Woken how) {
    GW_ASSERT(!waiter.decided());
    waiter.unlink();
    waiter.woken = how;
    Queue* queue = std::exchange(waiter.queue, nullptr);
    parked_count -= 1;
    if (queue->waiters.empty()) drop(queue);
  }

 private:
  static constexpr std::size_t kBucketsLeast = 256;  // A power of two.

  std::size_t place(const void* key) const {
    // Objects are aligned: the low bits say nothing. Fibonacci's multiplier spreads the rest.
    const std::uint64_t mixed = (reinterpret_cast<std::uintptr_t>(key) >> 4) * 0x9E3779B97F4A7C15u;
    return static_cast<std::size_t>(mixed >> 32) & (buckets_.size() - 1);
  }

  Queue* make(const void* key) {
    if (count_ >= buckets_.size()) grow();
    Queue* queue = free_;
    if (queue != nullptr)
      free_ = queue->next;
    else
      queue = new Queue;
    queue->key = key;
    Queue*& bucket = buckets_[place(key)];
    queue->next = std::exchange(bucket, queue);
    count_ += 1;
    return queue;
  }

  void drop(Queue* queue) {
    Queue** link = &buckets_[place(queue->key)];
    while (*link != queue) link = &(*link)->next;
    *link = queue->next;
    queue->next = std::exchange(free_, queue);
    count_ -= 1;
  }

  void grow() {
    const std::vector<Queue*> old =
        std::exchange(buckets_, std::vector<Queue*>(buckets_.size() * 4));
    for (Queue* queue : old) {
      while (queue != nullptr) {
        Queue*& bucket = buckets_[place(queue->key)];
        queue = std::exchange(queue->next, std::exchange(bucket, queue));
      }
    }
  }

  std::vector<Queue*> buckets_;
  Queue* free_ = nullptr;  // As many as there were at once: a program's peak of parked greens.
  std::size_t count_ = 0;
};

Lot& lot() {
  static Lot* the_lot = new Lot;  // Never destroyed: parked greens outlive the process's statics.
  return *the_lot;
}

void Waiter::on_time(Timer& timer) noexcept {
  Waiter& self = static_cast<TimerPart&>(timer).of;
  if (self.decided()) return;  // By another thread, whose message is on its way.
  lot().decide(self, Woken::timed_out);
  self.fiber.scheduler().unpark(self.fiber);
}

void Waiter::on_interrupt(Wait& wait) noexcept {
  Waiter& self = static_cast<WaitPart&>(wait).of;
  if (self.decided()) return;
  lot().decide(self, Woken::interrupted);
  self.fiber.scheduler().unpark(self.fiber);
}

void Waiter::on_message(Message& message) noexcept {
  Waiter& self = static_cast<MessagePart&>(message).of;
  self.fiber.scheduler().unpark(self.fiber);
}

}  // namespace

Woken park_on(const void* key, Instant deadline, bool front, const char* what) {
  Scheduler& scheduler = *Scheduler::current();
  GW_ASSERT(scheduler.running() != nullptr);
  Waiter waiter(*scheduler.running(), what, key);
  lot().add(waiter, key, front);
  if (deadline != kNever) scheduler.start(waiter.timer, deadline);
  scheduler.park(waiter.wait);
  GW_ASSERT(waiter.decided());
  scheduler.stop(waiter.timer);
  return waiter.woken;
}

bool unpark_one(const void* key) {
  if (parked_count == 0) return false;
  Queue* queue = lot().find(key);
  if (queue == nullptr) return false;
  Waiter& waiter = queue->waiters.front();
  lot().decide(waiter, Woken::unparked);
  Scheduler& scheduler = waiter.fiber.scheduler();
  if (&scheduler == Scheduler::current())
    scheduler.unpark(waiter.fiber);
  else
    scheduler.post(waiter.message);
  return true;
}

bool anyone_parked_on(const void* key) {
  return parked_count != 0 && lot().find(key) != nullptr;
}

void clear_parking_lot() {
  // The waiters stand on stacks that nobody will run again: they, and the old table, are left as
  // they are.
  new (&lot()) Lot;
  parked_count = 0;
}

}  // namespace greenwsgi::py
