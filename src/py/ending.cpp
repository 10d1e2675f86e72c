// ending.cpp - the ways a runtime ends before its greens do: the interpreter exits, or the process
// was forked.
//
// At exit parked greens get a GreenExit, so that their finally blocks run. When a second has gone
// in which not one of them ended, those that are left stay where they are: their stacks stay mapped
// and are never run again. In the child of a fork only the green that forked goes on; it becomes
// the root of a new runtime, and when its function returns the process ends, as when a native
// thread forks.
#include <pthread.h>
#include <unistd.h>

#include <limits>

#include "src/py/green_object.hpp"
#include "src/py/idents.hpp"
#include "src/py/later.hpp"
#include "src/py/left_behind.hpp"
#include "src/py/parking_lot.hpp"
#include "src/py/runtime.hpp"
#include "src/py/runtime_state.hpp"
#include "src/py/trace.hpp"
#include "src/py/watchdog.hpp"

namespace greenwsgi::py {

namespace {

constexpr Duration kExitPatience = std::chrono::seconds(1);
// When all that are left are daemon threads that have taken it and gone on: servers that catch
// everything, as multiprocessing's of descriptors. Natively none of them would be asked.
constexpr Duration kHeedlessPatience = std::chrono::milliseconds(100);

}  // namespace

Forks forks;

void Forks::begin(unsigned long ident) {
  survivors_.push_back({ident, ident});
  count += 1;
}

void Forks::end(unsigned long ident) {
  survivors_.back().is = ident;
}

unsigned long Forks::heir_of(unsigned long ident, unsigned since) const {
  for (; since < count; since++) {
    if (survivors_[since].was == ident) ident = survivors_[since].is;
  }
  return ident;
}

void Runtime::close() {
  closing_ = true;
  kill_laters(*this);
  Instant progress{};
  std::size_t fewest = std::numeric_limits<std::size_t>::max();
  // Rounds: greens that end may begin others.
  Duration pause = Duration::zero();
  while (!greens_.empty() || unstarted > 0) {
    std::size_t left = unstarted;
    std::size_t heedless = 0;
    greens_.for_each([&](GreenState& green) {
      left += 1;
      heedless += green.has_ignored_its_end() ? 1 : 0;
      // `threading` tells of every exception that ends a thread but this one.
      PyObject* end = green.of_thread != nullptr ? PyExc_SystemExit : names.green_exit;
      if (!std::exchange(green.told_to_end, true) && !green.throw_at(end)) PyErr_Clear();
    });
    const Instant now = scheduler_.now();
    if (left < fewest) {
      fewest = left;
      progress = now;
    }
    const Instant deadline = progress + (heedless == left ? kHeedlessPatience : kExitPatience);
    if (now >= deadline) break;
    if (!sleep_until(std::min(deadline, now + pause))) {
      PyErr_Clear();  // A second Ctrl-C: nobody waits for the patience to run out.
      break;
    }
    pause =
        std::min<Duration>(std::chrono::milliseconds(20), pause * 2 + std::chrono::milliseconds(1));
  }
  mark_closed();
  signals_.close();
}

void Runtime::mark_closed() {
  if (!std::exchange(closed_, true)) reasons_to_block_ += 1;
}

// At once, before the interpreter's own handlers and the program's run in the child: until
// after_fork_in_child() has its turn among them nothing waits on the parent's hub.
void Runtime::just_forked() noexcept {
  if (current_ != nullptr) current_->mark_closed();
}

void Runtime::after_fork_in_child() {
  forks.begin(own_ident());
  put_off_signals = 0;  // They are the parent's, as all that wait for their handlers.
  clear_parking_lot();
  new (&all_mutex()) std::mutex;  // Another thread may have held it.
  Runtime* old = current_;
  GreenState* survivor = old != nullptr ? old->running() : nullptr;
  LeftBehind parents;
  while (!all().empty()) parents.add(all().pop_front(), survivor);
  forget_watchdog();
  // Of whatever thread: a byte in it would wake the parent.
  if (SignalPipe::opened() != nullptr) SignalPipe::opened()->close();
  if (trace != nullptr) std::exchange(trace, nullptr)->abandon();
  if (old != nullptr) old->leave_to_parent(survivor);
  forks.end(own_ident());
  parents.end("this green stayed in the parent of a fork", false);
}

// Its hub shares descriptors with the parent's: nothing of it may be used or undone here.
void Runtime::leave_to_parent(GreenState* survivor) {
  scopes_before = survivor != nullptr ? survivor->scopes() : 0;
  if (survivor != nullptr && survivor->has_ident())
    forked_ident = ident_of(survivor->fiber().number());
  scheduler_.abandon();
  mark_closed();
  current_ = nullptr;
  // What goes by get_ident() (the owners of its locks, `threading`) goes on with the green's, and
  // so do its Green, its Timeouts and what was thrown at it.
  const bool goes_on = survivor != nullptr && survivor->has_heritage();
  if (!goes_on && forked_ident == 0) return;
  if (ensure_scheduler() == nullptr) return PyErr_Clear();
  if (goes_on) current_->root_.succeed(*survivor);
}

namespace {

// pthread_t's 0 is nobody's: the module was imported by another thread.
pthread_t main_thread = 0;

// What sys.exit() in the main program would end the process with.
int status_of_error() {
  if (PyErr_Occurred() == nullptr) return 0;
  if (PyErr_ExceptionMatches(PyExc_SystemExit) == 0) {
    PyErr_Print();
    return 1;
  }
  const Ref exception = take_exception();
  const Ref code = Ref::steal(PyObject_GetAttrString(exception.get(), "code"));
  if (!code || code.get() == Py_None) return 0;
  if (PyLong_Check(code.get())) return static_cast<int>(PyLong_AsLong(code.get()));
  PySys_FormatStderr("%S\n", code.get());
  return 1;
}

void flush(const char* stream) {
  PyObject* file = PySys_GetObject(stream);
  if (file == nullptr || file == Py_None) return;
  const Ref done = Ref::steal(PyObject_CallMethod(file, "flush", nullptr));
  if (!done) PyErr_Clear();  // Closed, or nobody reads it: there is nobody to tell.
}

}  // namespace

void note_main_thread() {
  static const int registered = pthread_atfork(nullptr, nullptr, Runtime::just_forked);
  (void)registered;
  if (::gettid() == ::getpid()) main_thread = pthread_self();
}

void end_forked_child() {
  if (pthread_equal(main_thread, pthread_self()) == 0) {
    // CPython 3.13 cannot finalize here: it looks for the main thread, which the child has not.
    const int status = status_of_error();
    flush("stdout");
    flush("stderr");
    ::_exit(status);
  }
  if (PyErr_Occurred()) {
    PyErr_Print();  // SystemExit ends the process here.
    Py_Exit(1);
  }
  Py_Exit(0);
}

void close_runtime() {
  Runtime* runtime = Runtime::current();
  if (runtime == nullptr || runtime->closed()) return;
  // exit() called on a green's stack cannot run the others.
  if (runtime->running() == &runtime->root()) runtime->close();
}

}  // namespace greenwsgi::py
