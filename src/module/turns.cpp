#include "src/module/turns.hpp"

#include <algorithm>
#include <new>

#include "src/patch/native_call.hpp"
#include "src/py/parking_lot.hpp"

namespace greenwsgi::module {

using py::Ref;

namespace {

// A giver whose item was taken cannot take it back: what was thrown at it must not be raised here.
bool is_settled(const Turn& turn) {
  return turn.granted && turn.errand == Errand::give && !turn.item;
}

PyLockStatus sleep_on(PyThread_type_lock lock, Instant deadline) {
  using Microseconds = std::chrono::microseconds;
  PY_TIMEOUT_T left = -1;
  if (deadline != kNever) {
    // Rounded up, and in portions, so that nothing overflows.
    const auto rest = std::chrono::ceil<Microseconds>(deadline - Clock::now());
    left = std::clamp<PY_TIMEOUT_T>(rest.count(), 0, Microseconds(std::chrono::hours(1)).count());
  }
  PyThreadState* thread = PyEval_SaveThread();
  const PyLockStatus status = PyThread_acquire_lock_timed(lock, left, 1);
  PyEval_RestoreThread(thread);
  return status;
}

// At the interpreter's end, when greens have ended and no other thread runs Python. Threads of our
// own that have nothing to do are none.
bool is_alone() {
  py::Runtime* runtime = py::Runtime::current();
  if (runtime == nullptr || !runtime->closed()) return false;
  using patch::NativeWork;
  unsigned idle = 0;
  for (const NativeWork work : {NativeWork::lookup, NativeWork::wait, NativeWork::call}) {
    const patch::NativeCounts counts = patch::native_counts(work);
    if (counts.queued > 0) return false;
    idle += counts.idle;
  }
  unsigned threads = 0;
  PyThreadState* thread = PyInterpreterState_ThreadHead(PyInterpreterState_Main());
  for (; thread != nullptr; thread = PyThreadState_Next(thread)) threads += 1;
  return threads <= 1 + idle;
}

// `turn` is at its end.
Waited outcome(Turn& turn, bool failed) {
  if (turn.linked()) turn.unlink();
  return {turn.granted, failed, std::move(turn.item), turn.number};
}

}  // namespace

Turn* Turns::first(Errand errand) {
  if (empty()) return nullptr;
  if (front().errand == errand) return &front();
  Turn* found = nullptr;
  turns_.for_each([&](Turn& turn) {
    if (found == nullptr && turn.errand == errand && !turn.left_behind()) found = &turn;
  });
  return found;
}

Py_ssize_t Turns::count() {
  Py_ssize_t count = 0;
  if (!empty()) turns_.for_each([&count](Turn& turn) { count += turn.left_behind() ? 0 : 1; });
  return count;
}

void Turns::grant(Turn& turn) {
  turn.unlink();
  turn.granted = true;
  if (turn.native != nullptr)
    PyThread_release_lock(turn.native);
  else
    py::unpark_one(&turn);  // False: its time is over, but it has not run; it will look.
}

void Turns::grant_all() {
  while (!empty()) grant(front());
}

// Their stacks, and what native threads left on the heap, are still there; nobody will run on them.
void Turns::forget_before_fork() {
  if (forks_ == py::forks.count) return;
  forks_ = py::forks.count;
  turns_.for_each([](Turn& turn) { turn.unlink(); });
}

Waited Turns::wait_as_green(Errand errand, Instant deadline, const char* what, Ref item) {
  Turn turn(errand, std::move(item));
  turn.home = py::Runtime::current();
  turns_.push_back(turn);
  bool failed = false;
  while (turn.linked() && !failed) {
    const py::Woken woken = py::park_on(&turn, deadline, false, what);
    if (is_settled(turn)) break;
    failed = py::raise_if_interrupted();
    forget_before_fork();  // By a signal's handler.
    if (woken == py::Woken::timed_out) break;
  }
  return outcome(turn, failed);
}

Waited Turns::wait_as_thread(Errand errand, Instant deadline, Ref item) {
  if (deadline == kNever && is_alone()) {
    PyErr_SetString(PyExc_RuntimeError,
                    "green threads have ended: nobody is left who could end this wait");
    return {false, true, std::move(item), 0};
  }
  // On the heap and freed by hand: at the interpreter's end this thread may be unwound without the
  // GIL, and then nothing here may run or vanish.
  auto* turn = new (std::nothrow) Turn(errand, std::move(item));
  PyThread_type_lock lock = turn != nullptr ? PyThread_allocate_lock() : nullptr;
  if (lock == nullptr) {
    delete turn;
    PyErr_NoMemory();
    return {false, true, {}, 0};
  }
  PyThread_acquire_lock(lock, WAIT_LOCK);
  turn->native = lock;
  turns_.push_back(*turn);
  bool failed = false;
  while (turn->linked() && !failed) {
    const PyLockStatus status = sleep_on(lock, deadline);
    if (is_settled(*turn)) break;
    if (status == PY_LOCK_INTR) failed = PyErr_CheckSignals() < 0;
    forget_before_fork();
    if (status == PY_LOCK_FAILURE && Clock::now() >= deadline) break;
  }
  Waited waited = outcome(*turn, failed);
  PyThread_acquire_lock(lock, NOWAIT_LOCK);  // Held or not, now it is; it is freed unlocked.
  PyThread_release_lock(lock);
  PyThread_free_lock(lock);
  delete turn;
  return waited;
}

Waited Turns::wait(Errand errand, Instant deadline, const char* what, Ref item) {
  for (;;) {
    forget_before_fork();
    const unsigned forks = forks_;
    Waited waited = py::can_park() ? wait_as_green(errand, deadline, what, std::move(item))
                                   : wait_as_thread(errand, deadline, std::move(item));
    if (waited.granted || waited.failed || forks == py::forks.count) return waited;
    item = std::move(waited.item);  // In a child now, where it stands in line again.
  }
}

}  // namespace greenwsgi::module
