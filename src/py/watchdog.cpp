#include "src/py/watchdog.hpp"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "greenwsgi/base/log.hpp"
#include "greenwsgi/base/signals_blocked.hpp"
#include "src/py/green_object.hpp"
#include "src/py/runtime_state.hpp"

namespace greenwsgi::py {

namespace {

double seconds(Duration length) {
  return std::chrono::duration<double>(length).count();
}

// Whom to tell. A thread that is unwound at the interpreter's end has no GIL to let go of it with.
class Report {
 public:
  explicit Report(PyObject* callable) : callable_(Ref::share(callable)) {}
  Report(const Report&) = delete;
  Report& operator=(const Report&) = delete;
  ~Report() { static_cast<void>(callable_.release()); }

  PyObject* get() const { return callable_.get(); }

  /// With the GIL, so that no two are the last.
  static void let_go(std::shared_ptr<Report> report) {
    if (report.use_count() == 1) report->callable_ = Ref();
  }

 private:
  Ref callable_;
};

// One block, between the watchdog and the thread that asks for the GIL to look at it.
struct Block {
  Runtime* runtime;                // To be looked up in Runtime::all() before use.
  int tid;                         // Of its thread.
  Instant turn;                    // Names the block: no turn has begun since.
  Instant since;                   // Others wait for the hub.
  std::shared_ptr<Report> report;  // Used and let go of by the thread that asks.
  std::mutex mutex{};
  std::condition_variable changed{};
  bool looked = false;
};

// 0 or an errno.
int start_thread(void* (*work)(void*), void* argument, pthread_t* thread) {
  const SignalsBlocked blocked;
  const int failed = pthread_create(thread, nullptr, work, argument);
  if (failed == 0) pthread_setname_np(*thread, "green-watchdog");
  return failed;
}

// Does anybody wait for this hub, but the main program that runs? Without the GIL an estimate.
bool others_wait(Runtime& runtime) {
  return runtime.scheduler().fibers_alive() > 0 || runtime.scheduler().timers() > 0 ||
         runtime.operations() > 0;
}

// With the GIL.
void tell(Block& block) {
  bool same = false;
  Runtime::all().for_each([&](Runtime& runtime) {
    same = same || (&runtime == block.runtime && runtime.turn_began() == block.turn);
  });
  if (!same) return;  // It is over; the watchdog says how long it was.
  GreenState* state = block.runtime->running();
  if (state == nullptr || !others_wait(*block.runtime)) return;
  const GreenObject* object = state->object_or_null();
  const Ref name = Ref::share(object != nullptr ? object->name : nullptr);
  const std::uint64_t number = state->fiber().number();
  const bool is_root = state->is_root();
  const Ref frame = state->frame();  // From here on the block may end.
  const Ref told = Ref::steal(PyObject_CallFunction(
      block.report->get(), "diKOiO", seconds(Clock::now() - block.since), block.tid,
      static_cast<unsigned long long>(number), name ? name.get() : Py_None, int(is_root),
      frame ? frame.get() : Py_None));
  if (!told) PyErr_WriteUnraisable(block.report->get());
}

// Not noexcept: at the interpreter's end CPython unwinds a thread that asks for the GIL.
void* ask_for_gil(void* argument) {
  const std::unique_ptr<std::shared_ptr<Block>> owned(
      static_cast<std::shared_ptr<Block>*>(argument));
  Block& block = **owned;
  const PyGILState_STATE state = PyGILState_Ensure();
  {
    const std::lock_guard lock(block.mutex);
    block.looked = true;
  }
  block.changed.notify_all();
  tell(block);
  Report::let_go(std::move(block.report));
  PyGILState_Release(state);
  return nullptr;
}

class Watchdog {
 public:
  Watchdog(Duration limit, PyObject* report)
      : limit_(limit), report_(std::make_shared<Report>(report)) {}
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  /// With the GIL.
  ~Watchdog() { Report::let_go(std::move(report_)); }

  int start() { return start_thread(run, this, &thread_); }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    pthread_join(thread_, nullptr);
  }

 private:
  static void* run(void* self) {
    static_cast<Watchdog*>(self)->watch();
    return nullptr;
  }

  void watch() {
    std::unique_lock lock(mutex_);
    Instant last = Clock::now();
    while (!changed_.wait_for(lock, pause_, [this] { return stop_; })) {
      const Instant now = Clock::now();
      // Whoever was not run itself (SIGSTOP, a machine that slept) cannot blame the hub.
      if (now - last > 2 * pause_) restart_ = now;
      look(now);
      last = Clock::now();
    }
  }

  void look(Instant now) {
    std::vector<std::shared_ptr<Block>> begun;
    std::vector<std::pair<int, Duration>> ended;  // Thread, length.
    {
      const std::lock_guard lock(Runtime::all_mutex());
      Runtime::all().for_each([&](Runtime& runtime) {
        Runtime::Watched& watched = runtime.watched;
        const Instant turn = runtime.turn_began();
        if (turn != watched.turn) {
          if (watched.told) ended.emplace_back(runtime.tid(), watched.last - watched.first);
          watched = {turn, kNever, now, false};
        }
        watched.last = now;
        if (watched.told || turn == kNever || !others_wait(runtime)) return;
        watched.first = std::min(watched.first, std::max(turn, now - pause_));
        const Instant since = std::max(watched.first, restart_);
        if (now - since < limit_) return;
        watched.told = true;
        begun.push_back(std::make_shared<Block>(&runtime, runtime.tid(), turn, since, report_));
      });
    }
    for (const auto& [tid, length] : ended)
      log(LogLevel::warning,
          "the hub of thread %d turns again; it was blocked for more than %.3f s", tid,
          seconds(length));
    for (const std::shared_ptr<Block>& block : begun) report(block, now);
  }

  void report(const std::shared_ptr<Block>& block, Instant now) {
    auto argument = std::make_unique<std::shared_ptr<Block>>(block);
    pthread_t thread;
    if (start_thread(ask_for_gil, argument.get(), &thread) == 0) {
      static_cast<void>(argument.release());
      pthread_detach(thread);
    }
    std::unique_lock lock(block->mutex);
    if (block->changed.wait_for(lock, pause_, [&] { return block->looked; })) return;
    log(LogLevel::warning,
        "the hub of thread %d is blocked for %.3f s by C code that holds the GIL and so hides the"
        " stack, which follows when that code comes back",
        block->tid, seconds(now - block->since));
  }

  const Duration limit_;
  const Duration pause_ = limit_ / 4;  // Between two looks, and the patience with the GIL.
  std::shared_ptr<Report> report_;
  pthread_t thread_{};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stop_ = false;
  Instant restart_{};
};

Watchdog* watchdog = nullptr;

}  // namespace

bool start_watchdog(Duration limit, PyObject* report) {
  while (watchdog != nullptr) stop_watchdog();  // Others may start one meanwhile.
  auto made = std::make_unique<Watchdog>(limit, report);
  const int failed = made->start();
  if (failed != 0) {
    errno = failed;
    PyErr_SetFromErrno(PyExc_OSError);
    return false;
  }
  watchdog = made.release();
  return true;
}

void stop_watchdog() {
  Watchdog* const stopped = std::exchange(watchdog, nullptr);
  if (stopped == nullptr) return;
  PyThreadState* thread = PyEval_SaveThread();
  stopped->stop();
  PyEval_RestoreThread(thread);
  delete stopped;
}

void forget_watchdog() {
  watchdog = nullptr;  // Its mutex may be held by a thread that is not here.
}

}  // namespace greenwsgi::py
