#include "src/patch/fd_turns.hpp"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <new>

#include "src/patch/waiting.hpp"
#include "src/py/runtime_state.hpp"

namespace greenwsgi::patch {

namespace {

// Two levels, so that a record never moves and a process with few descriptors pays for few.
constexpr std::size_t kPageEntries = 256;
using Page = std::array<FdTurns, kPageEntries>;
constexpr std::size_t kPages = 4096 * 4;  // 4 M descriptors; the kernel's own limit is 1 M.
std::array<Page*, kPages> pages{};

// Where a native thread that closes waits for greens to leave.
std::mutex native_mutex;
std::condition_variable native_left;
unsigned native_closers = 0;

// The child of a fork has none of those who wait, nor who holds the mutex.
void forget_turns() {
  for (Page* page : pages) {
    if (page != nullptr) *page = Page();
  }
  new (&native_mutex) std::mutex;
  new (&native_left) std::condition_variable;
  native_closers = 0;
}

FdTurns* existing(int fd) {
  const std::size_t page = static_cast<std::size_t>(fd) / kPageEntries;
  if (page >= kPages || pages[page] == nullptr) return nullptr;
  return &(*pages[page])[static_cast<std::size_t>(fd) % kPageEntries];
}

// Tells another thread's scheduler to end the wait of whoever has the turn there.
struct EndWait : Message {
  int fd;
  Direction direction;
};

void run_end_wait(Message& message) noexcept {
  auto& self = static_cast<EndWait&>(message);
  FdTurns& turns = *existing(self.fd);
  Fiber* owner = self.direction == Direction::reading ? turns.reading.owner : turns.writing.owner;
  Scheduler* here = Scheduler::current();
  // It may have left meanwhile; then a later owner waits again, at most.
  if (owner != nullptr && &owner->scheduler() == here) here->interrupt(*owner);
  delete &self;
}

void end_waits(int fd, FdTurns& turns, Direction direction) {
  FdSide& side = direction == Direction::reading ? turns.reading : turns.writing;
  if (side.owner != nullptr) {
    Scheduler& home = side.owner->scheduler();
    if (&home == Scheduler::current()) {
      home.interrupt(*side.owner);
    } else if (auto* message = new (std::nothrow) EndWait{{run_end_wait}, fd, direction}) {
      home.post(*message);
    }
  }
  while (side.queued > 0 && py::unpark_one(&side)) {
  }
}

bool let_go_of_side(const Fiber& fiber, FdSide& side) {
  const Wait* wait = fiber.wait_or_null();
  const bool queued = wait != nullptr && wait->address == &side;
  if (!queued && side.owner != &fiber) return false;
  if (queued)
    side.queued -= 1;
  else
    side.owner = nullptr;
  if (side.owner == nullptr && side.queued > 0) py::unpark_one(&side);
  return true;
}

// Its thread has ended, and it will never do so itself.
void let_go(Fiber& fiber) {
  const Wait* wait = fiber.wait_or_null();
  for (Page* page : pages) {
    if (page == nullptr) continue;
    for (FdTurns& turns : *page) {
      const bool closed = wait != nullptr && wait->address == &turns.closing;
      if (closed) turns.closing -= 1;
      const bool read = let_go_of_side(fiber, turns.reading);
      const bool wrote = let_go_of_side(fiber, turns.writing);
      if ((closed || read || wrote) && turns.closing > 0) py::unpark_one(&turns.closing);
    }
  }
}

void wait_natively(const FdTurns& turns) {
  // A green's thread may itself be stuck, so the wait has an end: then the close goes ahead, and
  // the green finds out by itself.
  constexpr auto kPatience = std::chrono::seconds(1);
  const auto end = Clock::now() + kPatience;
  while (!turns.idle() && Clock::now() < end) {
    PyThreadState* thread = PyEval_SaveThread();
    {
      std::unique_lock lock(native_mutex);
      native_closers += 1;
      native_left.wait_for(lock, std::chrono::milliseconds(20));
      native_closers -= 1;
    }
    PyEval_RestoreThread(thread);
  }
}

}  // namespace

FdTurns* fd_turns(int fd) {
  if (FdTurns* turns = existing(fd)) return turns;
  static const int registered = pthread_atfork(nullptr, nullptr, forget_turns);
  (void)registered;
  py::Runtime::on_left_behind = let_go;
  const std::size_t page = static_cast<std::size_t>(fd) / kPageEntries;
  if (page < kPages) pages[page] = new (std::nothrow) Page();
  FdTurns* turns = existing(fd);
  if (turns == nullptr) PyErr_NoMemory();
  return turns;
}

void Turn::own() {
  side_.owner = Scheduler::current()->running();
  owns_ = true;
}

void Turn::leave() {
  side_.owner = nullptr;
  if (side_.queued > 0) py::unpark_one(&side_);
  if (turns_.closing == 0) return;
  py::unpark_one(&turns_.closing);
  const std::lock_guard lock(native_mutex);
  if (native_closers > 0) native_left.notify_all();
}

bool Turn::wait(Instant deadline) {
  if (turns_.closing > 0) {
    set_errno(EBADF);
    return false;
  }
  // By the handler of a signal that came while this very green waited here: it cannot wait for
  // itself, and goes first.
  if (side_.owner == Scheduler::current()->running()) return true;
  for (bool front = false;; front = true) {
    side_.queued += 1;
    const py::Woken why = py::park_on(&side_, deadline, front, "a turn at the descriptor");
    side_.queued -= 1;
    const bool raised = py::raise_if_interrupted();
    if (!raised && !was_closed() && side_.owner == nullptr) {
      own();
      return true;
    }
    if (!raised && !was_closed() && why != py::Woken::timed_out) continue;
    if (!raised && was_closed()) set_errno(EBADF);
    if (!raised && !was_closed()) set_timed_out();
    // Woken or not: somebody may have queued behind this one while it was on its way out.
    if (side_.owner == nullptr) py::unpark_one(&side_);
    if (turns_.closing > 0) py::unpark_one(&turns_.closing);
    return false;
  }
}

bool Turn::failed(Errno error, Instant deadline) const {
  if (error.code == ECANCELED && py::raise_if_interrupted()) return true;
  if (was_closed()) {
    set_errno(EBADF);
    return true;
  }
  if (error.code == ECANCELED) return false;
  // ETIMEDOUT may also be the kernel's own: a peer that no longer acknowledges.
  if (error.code == ETIMEDOUT && deadline != kNever && py::scheduler_or_null()->now() >= deadline) {
    set_timed_out();
  } else {
    set_errno(error.code);
  }
  return true;
}

void forget_expectations(int fd) {
  FdTurns* turns = existing(fd);
  if (turns == nullptr) return;
  turns->plain.forget();
  turns->tls.forget();
}

bool has_waiters(int fd) {
  const FdTurns* turns = existing(fd);
  return turns != nullptr && !turns->idle();
}

StillOpen::StillOpen(int fd, int other) {
  const int fds[] = {fd, other};
  for (int i = 0; i < 2; i++) {
    // A number beyond the table is no descriptor.
    turns_[i] = fds[i] < 0 ? nullptr : fd_turns(fds[i]);
    if (turns_[i] == nullptr)
      PyErr_Clear();
    else
      closes_[i] = turns_[i]->closes;
  }
}

bool StillOpen::holds() const {
  for (int i = 0; i < 2; i++) {
    if (turns_[i] != nullptr && turns_[i]->closes != closes_[i]) return false;
  }
  return true;
}

bool StillOpen::check() const {
  if (holds()) return true;
  set_errno(EBADF);
  return false;
}

bool yield_turn(int fd) {
  const StillOpen open(fd);
  return yield_turn() && open.check();
}

bool spend_turn(int fd) {
  return !turn_is_due() || yield_turn(fd);
}

namespace {

// Whoever closes may be inside itself: by the handler of a signal that came while it waited. Its
// own wait finds afterwards that the descriptor was closed.
bool others_have_left(const FdTurns& turns) {
  const Fiber* self = Scheduler::current()->running();
  for (const FdSide* side : {&turns.reading, &turns.writing}) {
    if (side->queued > 0 || (side->owner != nullptr && side->owner != self)) return false;
  }
  return true;
}

bool end_all_waits(int fd, FdTurns& turns) {
  turns.closing += 1;
  end_waits(fd, turns, Direction::reading);
  end_waits(fd, turns, Direction::writing);
  bool raised = false;
  if (!py::can_park()) {
    wait_natively(turns);
  } else {
    const py::HoldBack hold_back;  // Their waits have ended: now it must be closed.
    while (!others_have_left(turns) && !raised) {
      py::park_on(&turns.closing, kNever, false, "others to leave the descriptor");
      raised = py::raise_if_interrupted();
    }
  }
  if (turns.closing > 0) turns.closing -= 1;  // Not in a child that the handler of a signal forked.
  if (turns.closing > 0) py::unpark_one(&turns.closing);  // Another who closes it, too.
  return !raised;
}

}  // namespace

bool before_close(int fd) {
  FdTurns* turns = fd < 0 ? nullptr : existing(fd);
  if (turns == nullptr) return true;
  turns->closes += 1;
  if (!turns->idle() && !end_all_waits(fd, *turns)) return false;
  turns->plain.forget();
  turns->tls.forget();
  return true;
}

bool before_close_range(int low, int high) {
  constexpr int kEntries = static_cast<int>(kPageEntries);
  high = std::min(high, static_cast<int>(kPages) * kEntries);
  for (int fd = std::max(low, 0); fd < high; fd++) {
    if (existing(fd) == nullptr) {
      fd |= kEntries - 1;  // To the end of a page of which nobody has a record.
    } else if (!before_close(fd)) {
      return false;
    }
  }
  return true;
}

}  // namespace greenwsgi::patch
