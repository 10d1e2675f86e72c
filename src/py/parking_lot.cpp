// parking_lot.cpp - a table from address to those who wait for it.
//
// A Waiter lives on the waiting green's stack, and is all the memory that waiting takes: who wait
// for one address are in a ring, and the first of them is in the table's chain, until the next
// takes its place. Leaving is O(1). A waiter is in a ring exactly while nobody has decided how its
// wait ends; whoever decides (unpark, the timer, an interrupt) takes it out first, and the others
// then find it decided. When the decision comes from another thread, the waiter stays parked until
// that thread's message arrives, since the message is part of it.
#include "src/py/parking_lot.hpp"

#include <cstdint>
#include <new>
#include <vector>

#include "src/py/runtime.hpp"

namespace greenwsgi::py {

std::size_t parked_count = 0;

namespace {

struct Waiter {
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
    WaitPart(Waiter& waiter, const char* what, const void* its_key)
        : Wait{what, on_interrupt, its_key}, of(waiter) {}
    Waiter& of;
  };

  Waiter(Fiber& waiting, const char* what, const void* its_key)
      : fiber(waiting), key(its_key), timer(*this), message(*this), wait(*this, what, its_key) {}

  bool decided() const { return after == nullptr; }
  static void on_time(Timer& timer) noexcept;
  static void on_message(Message& message) noexcept;
  static void on_interrupt(Wait& wait) noexcept;

  Fiber& fiber;
  const void* key;
  Waiter* after = nullptr;  // The ring, until decided.
  Waiter* before = nullptr;
  Waiter* next_key = nullptr;  // The chain: of the first in a ring.
  Woken woken = Woken::unparked;
  TimerPart timer;
  MessagePart message;
  WaitPart wait;
};

class Lot {
 public:
  Lot() : chains_(kChainsLeast) {}

  /// Who has waited longest; nullptr: nobody waits.
  Waiter* first(const void* key) { return *link_to(key); }

  void add(Waiter& waiter, bool front) {
    Waiter** link = link_to(waiter.key);
    if (*link == nullptr) {
      waiter.after = waiter.before = &waiter;
      if (++keys_ > chains_.size() && grow()) link = link_to(waiter.key);
      *link = &waiter;
    } else {
      Waiter& first = **link;
      waiter.after = &first;
      waiter.before = first.before;
      first.before->after = &waiter;
      first.before = &waiter;
      if (front) take_place(link, waiter);
    }
    parked_count += 1;
  }

  void decide(Waiter& waiter, Woken how) {
    GW_ASSERT(!waiter.decided());
    Waiter** link = link_to(waiter.key);
    if (waiter.after == &waiter) {
      *link = waiter.next_key;
      keys_ -= 1;
    } else {
      if (*link == &waiter) take_place(link, *waiter.after);
      waiter.after->before = waiter.before;
      waiter.before->after = waiter.after;
    }
    waiter.after = waiter.before = nullptr;
    waiter.woken = how;
    parked_count -= 1;
  }

 private:
  static constexpr std::size_t kChainsLeast = 256;  // A power of two.

  std::size_t place(const void* key) const {
    // Objects are aligned: the low bits say nothing. Fibonacci's multiplier spreads the rest.
    const std::uint64_t mixed = (reinterpret_cast<std::uintptr_t>(key) >> 4) * 0x9E3779B97F4A7C15u;
    return static_cast<std::size_t>(mixed >> 32) & (chains_.size() - 1);
  }

  /// What points to the first who waits for it, or would.
  Waiter** link_to(const void* key) {
    Waiter** link = &chains_[place(key)];
    while (*link != nullptr && (*link)->key != key) link = &(*link)->next_key;
    return link;
  }

  static void take_place(Waiter** link, Waiter& of_the_first) {
    of_the_first.next_key = (*link)->next_key;
    *link = &of_the_first;
  }

  /// False: there is no memory, so that the chains stay longer than they might be.
  bool grow() try {
    const std::vector<Waiter*> old =
        std::exchange(chains_, std::vector<Waiter*>(chains_.size() * 4));
    for (Waiter* waiter : old) {
      while (waiter != nullptr) {
        Waiter*& chain = chains_[place(waiter->key)];
        waiter = std::exchange(waiter->next_key, std::exchange(chain, waiter));
      }
    }
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }

  std::vector<Waiter*> chains_;
  std::size_t keys_ = 0;
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
  lot().add(waiter, front);
  if (deadline != kNever) scheduler.start(waiter.timer, deadline);
  scheduler.park(waiter.wait);
  GW_ASSERT(waiter.decided());
  scheduler.stop(waiter.timer);
  return waiter.woken;
}

bool unpark_one(const void* key) {
  if (parked_count == 0) return false;
  Waiter* waiter = lot().first(key);
  if (waiter == nullptr) return false;
  lot().decide(*waiter, Woken::unparked);
  Scheduler& scheduler = waiter->fiber.scheduler();
  if (&scheduler == Scheduler::current())
    scheduler.unpark(waiter->fiber);
  else
    scheduler.post(waiter->message);
  return true;
}

bool anyone_parked_on(const void* key) {
  return parked_count != 0 && lot().first(key) != nullptr;
}

void clear_parking_lot() {
  // The waiters stand on stacks that nobody will run again: they, and the old table, are left as
  // they are.
  new (&lot()) Lot;
  parked_count = 0;
}

}  // namespace greenwsgi::py
