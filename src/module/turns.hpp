// turns.hpp - who waits for one semaphore, lock or queue: greens of any thread and native threads,
// in one line, first come first served.
//
// A turn is granted: whoever releases hands over to the first of the line instead of letting
// all compete, so nobody who comes later can overtake. The GIL makes each step one. A grant reaches
// its waiter before the waiter runs; whoever then leaves by an exception must hand on what it was
// granted (Waited says both), except a giver whose item was taken: its exception waits for its next
// wait. In the child of fork(2) the parent's waiters are gone from every line; the one that forked
// out of a signal handler inside its wait stands in line again.
#pragma once

#include <cstdint>

#include "greenwsgi/base/clock.hpp"
#include "greenwsgi/base/list.hpp"
#include "src/py/ref.hpp"
#include "src/py/runtime.hpp"
#include "src/py/runtime_state.hpp"

namespace greenwsgi::module {

/// What one stands in line for.
enum class Errand : unsigned char {
  take,  // To be handed something, which it hands on when it cannot use it.
  look,  // To be shown what the next will take.
  give,  // To be rid of its item.
};

/// One that waits: in line exactly until it is granted its turn or gives up.
struct Turn : ListNode {
  Turn(Errand its_errand, py::Ref its_item) : item(std::move(its_item)), errand(its_errand) {}

  /// Is it a green's that will never run again, because its thread has ended?
  bool left_behind() const { return home != nullptr && home->closed(); }

  PyThread_type_lock native = nullptr;  // What a native thread sleeps on; a green has none.
  py::Runtime* home = nullptr;          // Of a green.
  py::Ref item;                         // A giver's until taken; another's when it was given one.
  std::uint64_t number = 0;             // The item's, as the queue counts.
  Errand errand;
  bool granted = false;
};

/// How a wait ended. Neither granted nor failed: the time is over.
struct Waited {
  bool granted = false;
  bool failed = false;  // A Python error is set. May be granted all the same.
  py::Ref item;         // What the turn holds at the end.
  std::uint64_t number = 0;
};

class Turns {
 public:
  Turns() = default;
  Turns(const Turns&) = delete;
  Turns& operator=(const Turns&) = delete;
  ~Turns() { forget_before_fork(); }  // Whoever waits holds a reference to what it waits for.

  bool empty() {
    if (forks_ != py::forks.count) forget_before_fork();
    while (!turns_.empty() && turns_.front().left_behind()) turns_.front().unlink();
    return turns_.empty();
  }
  /// Only when !empty().
  Turn& front() { return turns_.front(); }
  /// The first of those with this errand; nullptr when there is none.
  Turn* first(Errand errand);
  Py_ssize_t count();

  /// Takes `turn` out of the line and wakes whose it is. Never switches.
  void grant(Turn& turn);
  void grant_all();

  /// Stands in line, at its end, until granted, the deadline, or an exception. Switches, or blocks
  /// a native thread. `what`: for people, a literal.
  Waited wait(Errand errand, Instant deadline, const char* what, py::Ref item = {});

 private:
  void forget_before_fork();
  Waited wait_as_green(Errand errand, Instant deadline, const char* what, py::Ref item);
  Waited wait_as_thread(Errand errand, Instant deadline, py::Ref item);

  List<Turn> turns_;
  unsigned forks_ = py::forks.count;
};

}  // namespace greenwsgi::module
